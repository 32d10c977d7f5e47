/* What the generated bindings want of the C library, and no more. */
#pragma once

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
size_t strlen(const char *text);
