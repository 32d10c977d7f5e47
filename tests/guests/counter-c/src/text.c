#include "text.h"

#include <stdlib.h>
#include <string.h>

text_t text(const char *literal) {
    return (text_t){(uint8_t *)literal, strlen(literal)};
}

static text_t allocate(size_t length) {
    uint8_t *bytes = realloc(NULL, length);
    if (bytes == NULL) {
        abort();
    }
    return (text_t){bytes, length};
}

text_t text_of_number(uint64_t number) {
    size_t length = 1;
    for (uint64_t rest = number; rest >= 10; rest /= 10) {
        length++;
    }
    text_t digits = allocate(length);
    while (length-- > 0) {
        digits.ptr[length] = '0' + (uint8_t)(number % 10);
        number /= 10;
    }
    return digits;
}

text_t text_join(text_t first, text_t second) {
    text_t both = allocate(first.len + second.len);
    memcpy(both.ptr, first.ptr, first.len);
    memcpy(both.ptr + first.len, second.ptr, second.len);
    return both;
}

text_t text_until(text_t whole, uint8_t byte) {
    size_t length = 0;
    while (length < whole.len && whole.ptr[length] != byte) {
        length++;
    }
    return (text_t){whole.ptr, length};
}

bool text_strip(text_t *whole, const char *start) {
    size_t length = strlen(start);
    if (whole->len < length) {
        return false;
    }
    for (size_t at = 0; at < length; at++) {
        if (whole->ptr[at] != (uint8_t)start[at]) {
            return false;
        }
    }
    whole->ptr += length;
    whole->len -= length;
    return true;
}
