//! Requests and responses over HTTP as they travel in a rehearsal: each with the whole of its body,
//! behind its head and the length of that.

use std::sync::Arc;

use http::{Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::wire;
use wattle_runtime::http_heads;

/// The longest body, in bytes. In a real mesh it may be of any length, as nobody holds all of it.
pub(crate) const BODY: usize = 4 << 20;

/// A request with its body, as bytes.
pub(crate) fn pack_request(request: &Request<Vec<u8>>) -> Result<Arc<[u8]>, CallError> {
    pack(&http_heads::request_head(request), request.body())
}

/// The request that these bytes are.
pub(crate) fn unpack_request(bytes: &[u8]) -> Result<Request<Vec<u8>>, CallError> {
    let (head, body) = unpack(bytes)?;
    http_heads::request_from(head, body).map_err(malformed)
}

/// A response with its body, as bytes.
pub(crate) fn pack_response(response: &Response<Vec<u8>>) -> Result<Arc<[u8]>, CallError> {
    pack(&http_heads::response_head(response), response.body())
}

/// The response that these bytes are.
pub(crate) fn unpack_response(bytes: &[u8]) -> Result<Response<Vec<u8>>, CallError> {
    let (head, body) = unpack(bytes)?;
    http_heads::response_from(head, body).map_err(malformed)
}

fn pack(head: &impl Serialize, body: &[u8]) -> Result<Arc<[u8]>, CallError> {
    let head = wire::encode(head).map_err(malformed)?;
    let length = u32::try_from(head.len()).map_err(malformed)?;
    Ok([&length.to_le_bytes(), head.as_slice(), body].concat().into())
}

fn unpack<H: DeserializeOwned>(bytes: &[u8]) -> Result<(H, Vec<u8>), CallError> {
    let short = || malformed("it is cut short");
    let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(malformed)?;
    let (head, body) = rest.split_at_checked(length).ok_or_else(short)?;
    Ok((wire::decode(head).map_err(malformed)?, body.to_vec()))
}

fn malformed(error: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Internal, format!("malformed HTTP message: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_way_and_what_is_cut_short_is_none() {
        let request = Request::builder().method("POST").uri("http://h.example/a?b=c");
        let request = request.header("x", "1").header("x", "2").body(b"body".to_vec()).unwrap();
        let bytes = pack_request(&request).unwrap();
        let read = unpack_request(&bytes).unwrap();
        assert_eq!((read.method(), read.uri()), (request.method(), request.uri()));
        assert_eq!((read.headers(), read.body()), (request.headers(), request.body()));
        assert!((0..bytes.len() - 4).all(|end| unpack_request(&bytes[..end]).is_err()));

        let response = Response::builder().status(503).body(b"later".to_vec()).unwrap();
        let read = unpack_response(&pack_response(&response).unwrap()).unwrap();
        assert_eq!((read.status().as_u16(), read.body().as_slice()), (503, b"later".as_slice()));
    }
}
