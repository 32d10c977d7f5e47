/* The numbers in the bucket. */
#pragma once

#include "text.h"

/* A number as text or, when `failed`, the text that the asker is to see. */
typedef struct {
    bool failed;
    text_t text;
} count_t;

/* Adds one. */
count_t counts_increment(text_t key);

/* Changes nothing. */
count_t counts_read(text_t key);
