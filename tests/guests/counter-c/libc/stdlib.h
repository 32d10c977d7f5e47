/* What the generated bindings want of the C library, and no more. */
#pragma once

#include <stddef.h>

void *realloc(void *block, size_t size);
void free(void *block);
_Noreturn void abort(void);

/* Forgets every block at once. Between two requests nothing is kept. */
void free_everything(void);
