/* Counts visits in a key-value bucket. It answers as the Rust guest `counter` does, except that what it reads it
   passes on without a look at whether it is a number. */
#include <stdlib.h>

#include "counts.h"
#include "reply.h"

static text_t key_or_default(text_t path) {
    return path.len == 0 ? text("count") : path;
}

/* Whether the path, without its first slash, is `peek` or below it. What is left is the key. */
static bool is_peek(text_t path, text_t *key) {
    if (!text_strip(&path, "peek") || (path.len > 0 && path.ptr[0] != '/')) {
        return false;
    }
    while (text_strip(&path, "/")) {
    }
    *key = path;
    return true;
}

static void log_count(wasi_logging_logging_level_t level, text_t message) {
    text_t context = text("counter");
    wasi_logging_logging_log(level, &context, &message);
}

static void answer(wasi_http_types_own_response_outparam_t outparam, uint8_t method, text_t target) {
    text_t key = text_until(target, '?');
    text_strip(&key, "/");
    bool peek = is_peek(key, &key);
    bool allowed = method == WASI_HTTP_TYPES_METHOD_GET || (!peek && method == WASI_HTTP_TYPES_METHOD_POST);
    if (!allowed) {
        reply(outparam, 405, peek ? "GET" : "GET, POST", text("method not allowed\n"));
        return;
    }
    key = key_or_default(key);
    count_t count = peek ? counts_read(key) : counts_increment(key);
    if (count.failed) {
        log_count(WASI_LOGGING_LOGGING_LEVEL_WARN, count.text);
    } else if (!peek) {
        text_t subject = text_join(key, text(" is now "));
        log_count(WASI_LOGGING_LOGGING_LEVEL_DEBUG, text_join(subject, count.text));
    }
    reply(outparam, count.failed ? 503 : 200, NULL, text_join(count.text, text("\n")));
}

void exports_wasi_http_incoming_handler_handle(
    exports_wasi_http_incoming_handler_own_incoming_request_t request,
    exports_wasi_http_incoming_handler_own_response_outparam_t outparam) {
    free_everything();
    wasi_http_types_borrow_incoming_request_t borrowed = wasi_http_types_borrow_incoming_request(request);
    wasi_http_types_method_t method;
    wasi_http_types_method_incoming_request_method(borrowed, &method);
    text_t target;
    if (!wasi_http_types_method_incoming_request_path_with_query(borrowed, &target)) {
        target = text("/");
    }
    answer(outparam, method.tag, target);
    wasi_http_types_incoming_request_drop_own(request);
}
