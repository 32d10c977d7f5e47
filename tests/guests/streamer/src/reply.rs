//! Answers whose body is a stream. One that breaks off is dropped unfinished, which the receiver sees as such.

use alloc::string::ToString;

use crate::bindings::exports::wasi::http::incoming_handler::{IncomingRequest, ResponseOutparam};
use crate::bindings::wasi::http::types::{Fields, OutgoingBody, OutgoingResponse};
use crate::bindings::wasi::io::streams::{OutputStream, StreamError};
use crate::pump;

/// The body of the request, as it comes in.
pub(crate) fn echo(request: &IncomingRequest, outparam: ResponseOutparam) {
    let Ok(incoming) = request.consume() else {
        return;
    };
    let Ok(input) = incoming.stream() else {
        return;
    };
    let _ = send(200, None, outparam, |output| pump::copy(&input, output));
}

/// So many bytes of the pattern.
pub(crate) fn pattern(count: u64, outparam: ResponseOutparam) {
    let _ = send(200, Some(count), outparam, |output| pump::pattern(count, output));
}

/// A status and nothing else.
pub(crate) fn refuse(status: u16, outparam: ResponseOutparam) {
    let _ = send(status, Some(0), outparam, |_| Ok(()));
}

/// What fails on the way fails because the asker is gone, so nobody is left to be told.
fn send(
    status: u16,
    length: Option<u64>,
    outparam: ResponseOutparam,
    fill: impl FnOnce(&OutputStream) -> Result<(), StreamError>,
) -> Option<()> {
    let headers = Fields::new();
    headers.append("content-type", b"application/octet-stream").ok()?;
    if let Some(length) = length {
        headers.append("content-length", length.to_string().as_bytes()).ok()?;
    }
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).ok()?;
    let body = response.body().ok()?;
    ResponseOutparam::set(outparam, Ok(response));
    let stream = body.write().ok()?;
    fill(&stream).ok()?;
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}
