//! Sends a request's body back while it is still coming in, and holds one chunk of it at a time.
//!
//! `GET /bytes/N` sends `N` bytes, where byte number `i` is `i % 251`.
#![no_std]

extern crate alloc;

mod bindings {
    wit_bindgen::generate!({ path: "../wit/http", world: "plain", generate_all });
}
mod pump;
mod reply;

use bindings::exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use bindings::wasi::http::types::Method;

lean::stand!();

struct Streamer;

impl Guest for Streamer {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        match (request.method(), path.strip_prefix("/bytes/")) {
            (Method::Get, Some(count)) => match count.parse() {
                Ok(count) => reply::pattern(count, outparam),
                Err(_) => reply::refuse(400, outparam),
            },
            _ => reply::echo(&request, outparam),
        }
    }
}

bindings::export!(Streamer with_types_in bindings);
