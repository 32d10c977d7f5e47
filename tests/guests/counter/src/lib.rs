//! Counts visits in a key-value bucket.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET` or `POST /` | adds one to the key `count`, and says the new number |
//! | `GET` or `POST /KEY` | the same for another key |
//! | `GET /peek`, `GET /peek/KEY` | says the number and changes nothing |
//!
//! When the bucket can't be had, the answer is 503 and the text says why. The bucket is named by the configuration
//! value `bucket`, and is `default` when there is none. Nothing is kept between two requests, so each may well go
//! to a new instance, on another node.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/http", world: "counter", generate_all });
}
mod counts;
mod reply;
mod route;

use bindings::exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use bindings::wasi::http::types::Method;
use bindings::wasi::logging::logging::{Level, log};
use reply::Reply;
use route::Route;

struct Counter;

impl Guest for Counter {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        answer(&request.method(), &target).send(outparam);
    }
}

fn answer(method: &Method, target: &str) -> Reply {
    let count = match (Route::of(target), method) {
        (Route::Count(key), Method::Get | Method::Post) => counts::increment(key),
        (Route::Peek(key), Method::Get) => counts::read(key),
        (Route::Count(_), _) => return Reply::not_allowed("GET, POST"),
        (Route::Peek(_), _) => return Reply::not_allowed("GET"),
    };
    match count {
        Ok(count) => Reply::ok(format!("{count}\n")),
        Err(error) => {
            log(Level::Warn, "counter", &error);
            Reply::unavailable(format!("{error}\n"))
        }
    }
}

bindings::export!(Counter with_types_in bindings);
