//! Heads of HTTP messages from other nodes, as requests and responses are made of them.

use wattle_contracts::provider::{HttpRequestHead, HttpResponseHead};
use wattle_contracts::wire;
use wattle_runtime::http_heads::{request_from, request_head, response_from, response_head};

/// A message that is made of a head has just these fields, and is sent on with a head that makes the
/// same message.
pub fn holds(data: &[u8]) {
    if let Ok(head) = wire::decode::<HttpRequestHead>(data) {
        let fields = sorted(&head.headers);
        if let Ok(request) = request_from(head, ()) {
            let sent = request_head(&request);
            assert_eq!(sorted(&sent.headers), fields);
            let arrived = wire::decode(&wire::encode(&sent).unwrap()).unwrap();
            let again = request_from(arrived, ()).unwrap();
            assert_eq!(again.method(), request.method());
            assert_eq!(again.uri(), request.uri());
            assert_eq!(again.headers(), request.headers());
            assert_eq!(request_head(&again), sent);
        }
    }
    if let Ok(head) = wire::decode::<HttpResponseHead>(data) {
        let (status, fields) = (head.status, sorted(&head.headers));
        if let Ok(response) = response_from(head, ()) {
            assert!((100..1000).contains(&status));
            let sent = response_head(&response);
            assert_eq!((sent.status, sorted(&sent.headers)), (status, fields));
            let arrived = wire::decode(&wire::encode(&sent).unwrap()).unwrap();
            assert_eq!(response_head(&response_from(arrived, ()).unwrap()), sent);
        }
    }
}

/// Names in lower case, each with its values in their order.
fn sorted(headers: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let lower = |(name, value): &(String, Vec<u8>)| (name.to_ascii_lowercase(), value.clone());
    let mut sorted: Vec<_> = headers.iter().map(lower).collect();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    sorted
}

pub fn seeds() -> Vec<Vec<u8>> {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let request = |method: &str, uri: &str, headers: Vec<_>| {
        wire::encode(&HttpRequestHead { method: method.into(), uri: uri.into(), headers }).unwrap()
    };
    let response = |status, headers| wire::encode(&HttpResponseHead { status, headers }).unwrap();
    vec![
        request("GET", "/", vec![]),
        request("POST", "https://shop.example:8443/a/b?c=d", vec![header("Host", "shop.example")]),
        request("OPTIONS", "*", vec![header("accept", "text/html"), header("accept", "*/*")]),
        request("CONNECT", "shop.example:443", vec![]),
        request("M-SEARCH", "http://[::1]/%20", vec![header("x-empty", "")]),
        request("GE T", "http://", vec![header("a b", "\n")]),
        response(200, vec![header("Set-Cookie", "a=1"), header("set-cookie", "b=2")]),
        response(99, vec![]),
        response(1000, vec![]),
    ]
}
