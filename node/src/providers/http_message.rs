//! HTTP messages between nodes: heads as messages of the wire, bodies as its streams.

use bytes::Bytes;
use futures::StreamExt as _;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyStream as FrameStream, StreamBody};
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::provider::{HttpRequestHead, HttpResponseHead};
use wattle_contracts::wire;
use wattle_mesh::net::BodyStream;
use wattle_runtime::{HttpBody, http_heads};

/// The contract of requests that come in.
pub(crate) const INCOMING: &str = "wasi:http/incoming-handler";
/// The contract of requests that go out of the mesh.
pub(crate) const OUTGOING: &str = "wasi:http/outgoing-handler";

fn malformed(error: impl std::fmt::Display) -> CallError {
    CallError::new(ErrorKind::Internal, format!("malformed HTTP message: {error}"))
}

/// What is sent for `request`: its head, and its body if it has one.
pub(crate) fn request_out(
    request: Request<HttpBody>,
) -> Result<(Bytes, Option<BodyStream>), CallError> {
    let head = http_heads::request_head(&request);
    Ok((wire::encode(&head).map_err(malformed)?.into(), body_out(request.into_body())))
}

/// The request that `payload` and `body` are.
pub(crate) fn request_in(
    payload: &[u8],
    body: Option<BodyStream>,
) -> Result<Request<HttpBody>, CallError> {
    let head: HttpRequestHead = wire::decode(payload).map_err(malformed)?;
    http_heads::request_from(head, body_in(body)).map_err(malformed)
}

/// What is sent for `response`.
pub(crate) fn response_out(
    response: Response<HttpBody>,
) -> Result<(Bytes, Option<BodyStream>), CallError> {
    let head = http_heads::response_head(&response);
    Ok((wire::encode(&head).map_err(malformed)?.into(), body_out(response.into_body())))
}

/// The response that `payload` and `body` are.
pub(crate) fn response_in(
    payload: &[u8],
    body: Option<BodyStream>,
) -> Result<Response<HttpBody>, CallError> {
    let head: HttpResponseHead = wire::decode(payload).map_err(malformed)?;
    http_heads::response_from(head, body_in(body)).map_err(malformed)
}

/// Trailers do not travel: the stream of a call carries bytes alone.
fn body_out(body: HttpBody) -> Option<BodyStream> {
    if http_body::Body::is_end_stream(&body) {
        return None;
    }
    let parts = FrameStream::new(body).filter_map(async |frame| match frame {
        Ok(frame) => frame.into_data().ok().map(Ok),
        Err(error) => Some(Err(CallError::new(ErrorKind::Cancelled, error.to_string()))),
    });
    Some(BodyStream::new(parts))
}

fn body_in(body: Option<BodyStream>) -> HttpBody {
    match body {
        Some(body) => {
            HttpBody::new(StreamBody::new(body.map(|part| part.map(http_body::Frame::data))))
        }
        None => HttpBody::empty(),
    }
}

/// The HTTP response that tells a caller outside the mesh how its call failed.
pub(crate) fn error_response(error: &CallError) -> Response<HttpBody> {
    let text = format!("{error}\n");
    let mut response = Response::new(HttpBody::full(text));
    *response.status_mut() =
        http::StatusCode::from_u16(error.kind.http_status()).unwrap_or_default();
    let headers = response.headers_mut();
    headers
        .insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert("wattle-error", HeaderValue::from_static(error.kind.name()));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_request_survives_the_way() {
        let request = Request::builder()
            .method("POST")
            .uri("http://shop.example/a?b=c")
            .header("x", "1")
            .header("x", "2")
            .body(HttpBody::full("body"))
            .unwrap();
        let (head, body) = request_out(request).unwrap();
        let read = request_in(&head, body).unwrap();
        assert_eq!(read.method(), "POST");
        assert_eq!(read.uri(), "http://shop.example/a?b=c");
        assert_eq!(read.headers().get_all("x").iter().count(), 2);
        assert_eq!(read.into_body().collect().await.unwrap().to_bytes(), "body");
    }

    #[test]
    fn a_bad_head_is_an_error() {
        assert!(request_in(b"\xff\xff\xff", None).is_err());
        assert!(response_in(b"", None).is_err());
        let head = HttpRequestHead { method: "GE T".into(), uri: "/".into(), headers: vec![] };
        assert!(request_in(&wire::encode(&head).unwrap(), None).is_err());
    }

    #[test]
    fn an_error_is_told_with_its_kind() {
        let response = error_response(&CallError::new(ErrorKind::Deadline, "too late"));
        assert_eq!(response.status(), 504);
        assert_eq!(response.headers()["wattle-error"], "deadline");
    }
}
