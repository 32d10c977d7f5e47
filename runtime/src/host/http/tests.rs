use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::Empty;
use tokio::time::Instant;
use wasmtime_wasi_http::p2::bindings::http::types::{HostFields, HostOutgoingRequest};
use wattle_contracts::call::{CallError, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, ContractId};

use super::*;
use crate::actor::Shared;
use crate::limits::Limits;
use crate::outside::{CallContext, KeyValue, KeyValueError, LogLevel, Outside, Way};

/// Answers a request for `/ok`, never one for `/never`, and fails all others.
struct Upstream;

#[async_trait]
impl Outside for Upstream {
    fn way(&self, _: &ComponentId, _: &ContractId, _: &str) -> Arc<dyn Way> {
        Arc::new(|| Err(CallError::new(ErrorKind::NotLinked, "nowhere")))
    }

    fn key_value(&self, _: &ComponentId, _: &str) -> Result<Arc<dyn KeyValue>, KeyValueError> {
        Err(KeyValueError::NoSuchStore)
    }

    fn log(&self, _: &ComponentId, _: LogLevel, _: &str, _: &str) {}

    async fn send_http(
        &self,
        context: CallContext,
        source: &ComponentId,
        request: http::Request<HttpBody>,
        timeouts: HttpTimeouts,
    ) -> Result<http::Response<HttpBody>, HttpOutError> {
        assert_eq!(context.source, Source::Component(source.clone()));
        assert_eq!(timeouts.connect, Some(Duration::from_secs(1)));
        match request.uri().path() {
            "/ok" => Ok(http::Response::new(HttpBody::full("fine"))),
            "/never" => std::future::pending().await,
            _ => Err(HttpOutError::Refused),
        }
    }
}

fn call(limits: Limits) -> Call {
    let id = "shop/caller".parse().unwrap();
    let shared = Shared::new(id, std::collections::BTreeMap::new(), limits, Arc::new(Upstream));
    let deadline = Instant::now() + Duration::from_millis(50);
    let context = CallContext::new(Source::Gateway, deadline);
    Call::new(Arc::new(shared), context)
}

/// A request that `call` makes, not awaited yet.
fn begin(
    call: &mut Call,
    path: &str,
) -> impl Future<Output = Result<http::Response<WasiBody>, Error>> + use<> {
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = http::Request::get(format!("http://up.example{path}")).body(body).unwrap();
    let options =
        RequestOptions { connect_timeout: Some(Duration::from_secs(1)), ..Default::default() };
    let sent = call.send_request(request, Some(options), Box::new(async { Ok(()) }));
    async move { Pin::from(sent).await.map(|(response, _)| response) }
}

async fn send(path: &str, limits: Limits) -> Result<http::Response<WasiBody>, Error> {
    begin(&mut call(limits), path).await
}

#[tokio::test]
async fn a_request_goes_out_and_its_response_comes_back() {
    let response = send("/ok", Limits::default()).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
}

#[tokio::test]
async fn failures_get_their_wasi_names() {
    let refused = send("/", Limits::default()).await.unwrap_err();
    assert!(matches!(refused, Error::ConnectionRefused), "{refused}");
    let late = send("/never", Limits::default()).await.unwrap_err();
    assert!(matches!(late, Error::HttpResponseTimeout), "{late}");
    let limits = Limits { outbound: 0, ..Limits::default() };
    let limited = send("/ok", limits).await.unwrap_err();
    assert!(matches!(limited, Error::InternalError(Some(_))), "{limited}");
}

/// Requests are not awaited by a component that makes them: it may have any number under way.
#[tokio::test]
async fn requests_beyond_those_under_way_are_refused_until_one_is_over() {
    let mut call = call(Limits { outstanding: 2, ..Limits::default() });
    let is_refused = |sent: Result<_, Error>| matches!(sent, Err(Error::ConnectionLimitReached));
    let first = begin(&mut call, "/never");
    let second = begin(&mut call, "/ok");
    assert!(is_refused(begin(&mut call, "/ok").await));
    // One that has its response is under way until the body is read or given up.
    let response = second.await.unwrap();
    assert!(is_refused(begin(&mut call, "/ok").await));
    drop(response);
    begin(&mut call, "/ok").await.unwrap();
    // One that is given up counts no more.
    let third = begin(&mut call, "/never");
    assert!(is_refused(begin(&mut call, "/ok").await));
    drop((first, third));
    let (one, two) = (begin(&mut call, "/ok"), begin(&mut call, "/ok"));
    let (one, two) = (one.await.unwrap(), two.await.unwrap());
    assert!(is_refused(begin(&mut call, "/ok").await));
    // So does one that failed.
    drop(one);
    assert!(matches!(begin(&mut call, "/").await, Err(Error::ConnectionRefused)));
    begin(&mut call, "/ok").await.unwrap();
    drop(two);
}

/// All that may be held of them together is what one call may hold outside of its memory.
#[tokio::test]
async fn what_is_written_to_bodies_is_held_in_small_pieces() {
    let mut state = State::new(call(Limits::default()));
    let mut held = 0;
    for number in 0..400 {
        let mut http = state.http();
        let fields = HostFields::new(&mut http).unwrap();
        let request = HostOutgoingRequest::new(&mut http, fields).unwrap();
        let body = HostOutgoingRequest::body(&mut http, request).unwrap().unwrap();
        let mut stream = http.table.get_mut(&body).unwrap().take_output_stream().unwrap();
        let piece = stream.check_write().unwrap();
        assert!(piece <= BODY_PIECE && piece > 0);
        // Nobody reads it.
        while let Ok(piece @ 1..) = stream.check_write() {
            stream.write(vec![0; piece].into()).unwrap();
            held += piece;
        }
        assert!(number > 0 || held == 2 * BODY_PIECE, "{held}");
    }
    assert!(held <= 12 << 20, "{held} bytes");
}

#[tokio::test]
async fn fields_have_a_longest() {
    let mut state = State::new(call(Limits::default()));
    let mut http = state.http();
    let fields = HostFields::new(&mut http).unwrap();
    let id = fields.rep();
    let mut append = |value: usize| {
        let fields = Resource::new_borrow(id);
        HostFields::append(&mut http, fields, "x".into(), vec![b'a'; value])
    };
    append(60 << 10).unwrap();
    assert!(append(8 << 10).is_err());
    append(1 << 10).unwrap();
}
