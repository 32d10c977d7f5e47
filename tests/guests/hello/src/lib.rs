//! Answers every request with the same six bytes: what is measured is everything around it.
#![no_std]

extern crate alloc;

mod bindings {
    wit_bindgen::generate!({ path: "../wit/http", world: "plain", generate_all });
}

use bindings::exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use bindings::wasi::http::types::{Fields, OutgoingBody, OutgoingResponse};

lean::stand!();

struct Hello;

impl Guest for Hello {
    fn handle(_: IncomingRequest, outparam: ResponseOutparam) {
        // Whatever fails here fails because the asker is gone, so nobody is left to be told.
        let _ = answer(outparam);
    }
}

fn answer(outparam: ResponseOutparam) -> Option<()> {
    let headers = Fields::new();
    headers.append("content-length", b"6").ok()?;
    let response = OutgoingResponse::new(headers);
    let body = response.body().ok()?;
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().ok()?;
    stream.blocking_write_and_flush(b"hello\n").ok()?;
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}

bindings::export!(Hello with_types_in bindings);
