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

/// A map has room for 24,576, and panics where it is not asked first. Another node may send more.
fn headers_in(headers: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, http::Error> {
    let mut map = HeaderMap::try_with_capacity(headers.len())?;
    for (name, value) in headers {
        map.try_append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?)?;
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_headers_than_a_map_holds_are_an_error() {
        for (count, fits) in [(20_000, true), (30_000, false), (100_000, false)] {
            let headers: Vec<_> =
                (0..count).map(|number| (format!("x-{number}"), vec![])).collect();
            let head = HttpResponseHead { status: 200, headers: headers.clone() };
            let response = response_from(head, ());
            assert_eq!(
                response.map(|response| response.headers().len()).ok(),
                fits.then_some(count)
            );
            let (method, uri) = ("GET".into(), "http://here/".into());
            let request = request_from(HttpRequestHead { method, uri, headers }, ());
            assert_eq!(request.is_ok(), fits);
        }
    }
}
