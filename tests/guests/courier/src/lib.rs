//! Passes requests on to hosts outside of the mesh: `/HOST/PATH` asks `http://HOST/PATH` with the same method, and
//! answers with what that said. What fails is a 502 that names the error.
#![no_std]

extern crate alloc;

mod bindings {
    wit_bindgen::generate!({ path: "../wit/http", world: "courier", generate_all });
}

use alloc::format;
use alloc::vec::Vec;

use bindings::exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};
use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{
    ErrorCode, Fields, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, Scheme,
};

lean::stand!();

struct Courier;

impl Guest for Courier {
    fn handle(request: IncomingRequest, outparam: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let (host, path) = target.trim_start_matches('/').split_once('/').unwrap_or((&target, ""));
        let (status, body) = match ask(&request.method(), host, &format!("/{path}")) {
            Ok(answer) => answer,
            Err(code) => (502, format!("{code:?}").into_bytes()),
        };
        // Whatever fails here fails because the asker is gone, so nobody is left to be told.
        let _ = answer(status, &body, outparam);
    }
}

/// The body is sent after the head, in two pieces: whoever takes it has to wait for it.
fn ask(method: &Method, host: &str, path: &str) -> Result<(u16, Vec<u8>), ErrorCode> {
    let broken = || ErrorCode::InternalError(None);
    let request = OutgoingRequest::new(Fields::new());
    request.set_method(method).map_err(|()| broken())?;
    request.set_scheme(Some(&Scheme::Http)).map_err(|()| broken())?;
    request.set_authority(Some(host)).map_err(|()| broken())?;
    request.set_path_with_query(Some(path)).map_err(|()| broken())?;
    let body = request.body().map_err(|()| broken())?;
    let coming = outgoing_handler::handle(request, None)?;
    let stream = body.write().map_err(|()| broken())?;
    for piece in [b"please".as_slice(), b" and thank you"] {
        stream.blocking_write_and_flush(piece).map_err(|_| broken())?;
    }
    drop(stream);
    OutgoingBody::finish(body, None)?;
    coming.subscribe().block();
    let response = coming.get().ok_or_else(broken)?.map_err(|()| broken())??;
    let incoming = response.consume().map_err(|()| broken())?;
    let stream = incoming.stream().map_err(|()| broken())?;
    let mut whole = Vec::new();
    // Its end is the end of what can be read, however that came about.
    while let Ok(piece) = stream.blocking_read(64 * 1024) {
        whole.extend_from_slice(&piece);
    }
    Ok((response.status(), whole))
}

fn answer(status: u16, bytes: &[u8], outparam: ResponseOutparam) -> Option<()> {
    let response = OutgoingResponse::new(Fields::new());
    response.set_status_code(status).ok()?;
    let body = response.body().ok()?;
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().ok()?;
    for piece in bytes.chunks(4096) {
        stream.blocking_write_and_flush(piece).ok()?;
    }
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}

bindings::export!(Courier with_types_in bindings);
