#include "reply.h"

/* As much as `blocking-write-and-flush` takes at once. */
#define CHUNK 4096

static void append(wasi_http_types_own_fields_t headers, const char *name, text_t value) {
    text_t field = text(name);
    wasi_http_types_field_value_t bytes = {value.ptr, value.len};
    wasi_http_types_header_error_t error;
    wasi_http_types_method_fields_append(wasi_http_types_borrow_fields(headers), &field, &bytes, &error);
}

static void write_all(wasi_http_types_own_output_stream_t stream, text_t rest) {
    while (rest.len > 0) {
        counter_list_u8_t now = {rest.ptr, rest.len < CHUNK ? rest.len : CHUNK};
        wasi_io_streams_stream_error_t error;
        if (!wasi_io_streams_method_output_stream_blocking_write_and_flush(
                wasi_io_streams_borrow_output_stream(stream), &now, &error)) {
            wasi_io_streams_stream_error_free(&error);
            return;
        }
        rest.ptr += now.len;
        rest.len -= now.len;
    }
}

void reply(wasi_http_types_own_response_outparam_t outparam, uint16_t status, const char *allow, text_t body) {
    wasi_http_types_own_fields_t headers = wasi_http_types_constructor_fields();
    append(headers, "content-type", text("text/plain; charset=utf-8"));
    append(headers, "content-length", text_of_number(body.len));
    if (allow != NULL) {
        append(headers, "allow", text(allow));
    }
    wasi_http_types_own_outgoing_response_t response = wasi_http_types_constructor_outgoing_response(headers);
    wasi_http_types_borrow_outgoing_response_t borrowed = wasi_http_types_borrow_outgoing_response(response);
    wasi_http_types_method_outgoing_response_set_status_code(borrowed, status);
    wasi_http_types_own_outgoing_body_t outgoing;
    bool has_body = wasi_http_types_method_outgoing_response_body(borrowed, &outgoing);
    wasi_http_types_result_own_outgoing_response_error_code_t result = {.is_err = false, .val.ok = response};
    wasi_http_types_static_response_outparam_set(outparam, &result);
    if (!has_body) {
        return;
    }
    wasi_http_types_own_output_stream_t stream;
    if (wasi_http_types_method_outgoing_body_write(wasi_http_types_borrow_outgoing_body(outgoing), &stream)) {
        write_all(stream, body);
        wasi_io_streams_output_stream_drop_own(stream);
    }
    wasi_http_types_error_code_t error;
    wasi_http_types_static_outgoing_body_finish(outgoing, NULL, &error);
}
