/* Pieces of text, not ended by a zero: a pointer and a length, as the component model passes them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "counter.h"

typedef counter_string_t text_t;

/* A text from the program's own source. */
text_t text(const char *literal);

/* The number in decimal digits. */
text_t text_of_number(uint64_t number);

/* Both, one after the other, in new memory. */
text_t text_join(text_t first, text_t second);

/* What is before the first such byte, or all of it. */
text_t text_until(text_t whole, uint8_t byte);

/* Takes `start` off the front, if it is there. */
bool text_strip(text_t *whole, const char *start);
