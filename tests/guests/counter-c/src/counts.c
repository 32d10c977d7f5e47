#include "counts.h"

static count_t failed(text_t why) {
    return (count_t){true, why};
}

static count_t said(wasi_keyvalue_store_error_t error) {
    switch (error.tag) {
    case WASI_KEYVALUE_STORE_ERROR_NO_SUCH_STORE:
        return failed(text("no such store"));
    case WASI_KEYVALUE_STORE_ERROR_ACCESS_DENIED:
        return failed(text("access denied"));
    default:
        return failed(error.val.other);
    }
}

/* The bucket that the configuration names. When it can't be opened, `error` says why. */
static bool open_bucket(wasi_keyvalue_store_own_bucket_t *bucket, count_t *error) {
    text_t name = text("bucket");
    counter_option_string_t configured;
    wasi_config_store_error_t config_error;
    if (!wasi_config_store_get(&name, &configured, &config_error)) {
        /* Both cases carry a text, at the same place. */
        *error = failed(config_error.val.upstream);
        return false;
    }
    text_t identifier = configured.is_some ? configured.val : text("default");
    wasi_keyvalue_store_error_t store_error;
    if (!wasi_keyvalue_store_open(&identifier, bucket, &store_error)) {
        *error = said(store_error);
        return false;
    }
    return true;
}

count_t counts_increment(text_t key) {
    count_t count;
    wasi_keyvalue_store_own_bucket_t bucket;
    if (!open_bucket(&bucket, &count)) {
        return count;
    }
    uint64_t number;
    wasi_keyvalue_store_error_t error;
    bool done = wasi_keyvalue_atomics_increment(wasi_keyvalue_store_borrow_bucket(bucket), &key, 1, &number, &error);
    wasi_keyvalue_store_bucket_drop_own(bucket);
    return done ? (count_t){false, text_of_number(number)} : said(error);
}

count_t counts_read(text_t key) {
    count_t count;
    wasi_keyvalue_store_own_bucket_t bucket;
    if (!open_bucket(&bucket, &count)) {
        return count;
    }
    counter_option_list_u8_t value;
    wasi_keyvalue_store_error_t error;
    bool done = wasi_keyvalue_store_method_bucket_get(wasi_keyvalue_store_borrow_bucket(bucket), &key, &value, &error);
    wasi_keyvalue_store_bucket_drop_own(bucket);
    if (!done) {
        return said(error);
    }
    /* Stores keep what they increment as a decimal number in text. */
    return (count_t){false, value.is_some ? (text_t){value.val.ptr, value.val.len} : text("0")};
}
