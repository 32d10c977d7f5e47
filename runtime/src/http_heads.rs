//! The heads of HTTP messages, as they travel between nodes.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use wattle_contracts::provider::{HttpRequestHead, HttpResponseHead};

/// The head of a request.
pub fn request_head<B>(request: &Request<B>) -> HttpRequestHead {
    HttpRequestHead {
        method: request.method().to_string(),
        uri: request.uri().to_string(),
        headers: headers_out(request.headers()),
    }
}

/// The request with this head and this body.
pub fn request_from<B>(head: HttpRequestHead, body: B) -> Result<Request<B>, http::Error> {
    let request = Request::builder().method(head.method.as_str()).uri(head.uri);
    let mut request = request.body(body)?;
    *request.headers_mut() = headers_in(head.headers)?;
    Ok(request)
}

/// The head of a response.
pub fn response_head<B>(response: &Response<B>) -> HttpResponseHead {
    let status = response.status().as_u16();
    HttpResponseHead { status, headers: headers_out(response.headers()) }
}

/// The response with this head and this body.
pub fn response_from<B>(head: HttpResponseHead, body: B) -> Result<Response<B>, http::Error> {
    let mut response = Response::builder().status(head.status).body(body)?;
    *response.headers_mut() = headers_in(head.headers)?;
    Ok(response)
}

fn headers_out(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let pair = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_string(), value.as_bytes().to_vec())
    };
    headers.iter().map(pair).collect()
}

fn headers_in(headers: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, http::Error> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        map.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    Ok(map)
}
