//! `wasi:http/outgoing-handler` to the node, and what errors are called there.

use std::sync::{Arc, LazyLock};

use http_body_util::BodyExt;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use crate::http_body::HttpBody;
use crate::outside::{HttpOutError, HttpTimeouts};
use crate::state::Call;

/// The interface through which a component takes requests.
pub(crate) const REQUEST_HANDLER: &str = "wasi:http/incoming-handler";

/// One for all: it is asked for on each request.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

/// What is still to be done after a response's head has arrived.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// What a component writes of a body before somebody takes it lies in the memory of the host, for each body that
/// it has open: so much, in bytes, and one such piece more.
const BODY_CHUNK: usize = 64 << 10;

impl WasiHttpHooks for Call {
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _written: Rest,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Rest), Error>> + Send> {
        let context = match self.outbound() {
            Ok(context) => context,
            Err(error) => {
                return Box::new(async move { Err(Error::InternalError(Some(error.message))) });
            }
        };
        let Some(place) = self.under_way() else {
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let actor = self.actor.clone();
        let is_rehearsed = actor.outside.surroundings().is_some();
        let options = options.unwrap_or_default();
        let timeouts = HttpTimeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        };
        Box::new(async move {
            let deadline = context.deadline;
            let sent =
                actor.outside.send_http(context, &actor.id, request.map(HttpBody::new), timeouts);
            let response = match is_rehearsed {
                // Its time is not that of a clock here.
                true => sent.await.map_err(out_error)?,
                false => match tokio::time::timeout_at(deadline, sent).await {
                    Ok(response) => response.map_err(out_error)?,
                    Err(_) => return Err(Error::HttpResponseTimeout),
                },
            };
            let response = response.map(|body| {
                // Under way until its body is read, or given up.
                let body = body.map_frame(move |frame| {
                    let _ = &place;
                    frame
                });
                body.map_err(Into::into).boxed_unsync()
            });
            let rest: Rest = Box::new(async { Ok(()) });
            Ok((response, rest))
        })
    }
}

/// The `wasi:http` error that stands for what happened.
fn out_error(error: HttpOutError) -> Error {
    match error {
        HttpOutError::Denied => Error::HttpRequestDenied,
        HttpOutError::Dns(rcode) => Error::DnsError { rcode: Some(rcode), info_code: None },
        HttpOutError::NotFound => Error::DestinationNotFound,
        HttpOutError::Unavailable => Error::DestinationUnavailable,
        HttpOutError::Refused => Error::ConnectionRefused,
        HttpOutError::Terminated => Error::ConnectionTerminated,
        HttpOutError::ConnectTimeout => Error::ConnectionTimeout,
        HttpOutError::ResponseTimeout => Error::HttpResponseTimeout,
        HttpOutError::Overloaded => Error::ConnectionLimitReached,
        HttpOutError::Tls => Error::TlsProtocolError,
        HttpOutError::Loop => Error::LoopDetected,
        HttpOutError::Protocol => Error::HttpProtocolError,
        HttpOutError::Internal(message) => Error::InternalError(Some(message)),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::time::Duration;

    use async_trait::async_trait;
    use http_body_util::Empty;
    use tokio::time::Instant;
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

    async fn send(path: &str, limits: Limits) -> Result<http::Response<WasiBody>, Error> {
        let id = "shop/caller".parse().unwrap();
        let shared = Shared::new(id, std::collections::BTreeMap::new(), limits, Arc::new(Upstream));
        let deadline = Instant::now() + Duration::from_millis(50);
        let context = CallContext::new(Source::Gateway, deadline);
        let mut call = Call::new(Arc::new(shared), context);
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = http::Request::get(format!("http://up.example{path}")).body(body).unwrap();
        let options =
            RequestOptions { connect_timeout: Some(Duration::from_secs(1)), ..Default::default() };
        let sent = call.send_request(request, Some(options), Box::new(async { Ok(()) }));
        Pin::from(sent).await.map(|(response, _)| response)
    }

    #[tokio::test]
    async fn a_request_goes_out_and_its_response_comes_back() {
        let response = send("/ok", Limits::default()).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "fine");
    }

    #[tokio::test]
    async fn as_many_requests_are_under_way_as_may_be_and_one_that_ends_makes_room() {
        let id = "shop/caller".parse().unwrap();
        let limits = Limits { outstanding: 2, ..Limits::default() };
        let shared = Shared::new(id, std::collections::BTreeMap::new(), limits, Arc::new(Upstream));
        let context = CallContext::new(Source::Gateway, Instant::now() + Duration::from_secs(60));
        let mut call = Call::new(Arc::new(shared), context);
        let mut send = |path: &str| {
            let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let uri = format!("http://up.example{path}");
            let request = http::Request::get(uri).body(body).unwrap();
            let connect_timeout = Some(Duration::from_secs(1));
            let options = RequestOptions { connect_timeout, ..Default::default() };
            Pin::from(call.send_request(request, Some(options), Box::new(async { Ok(()) })))
        };
        // One is never answered, the other's answer is kept.
        let never = send("/never");
        let (answered, _) = send("/ok").await.unwrap();
        let Err(refused) = send("/ok").await else { panic!("three are under way") };
        assert!(matches!(refused, Error::ConnectionLimitReached), "{refused}");
        drop(answered);
        let (answered, _) = send("/ok").await.unwrap();
        assert!(send("/ok").await.is_err());
        drop(never);
        let _last = send("/ok").await.unwrap();
        drop(answered);
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
}
