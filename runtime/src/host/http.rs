//! `wasi:http/outgoing-handler` to the node, and what errors are called there.

use std::pin::Pin;
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

impl WasiHttpHooks for Call {
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
        let actor = self.actor.clone();
        let options = options.unwrap_or_default();
        let timeouts = HttpTimeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        };
        Box::new(async move {
            let deadline = context.deadline;
            let sent = actor.outside.send_http(context, &actor.id, request.map(HttpBody::new), timeouts);
            let response = match tokio::time::timeout_at(deadline, Pin::from(sent)).await {
                Ok(response) => response.map_err(out_error)?,
                Err(_) => return Err(Error::HttpResponseTimeout),
            };
            let response = response.map(|body| body.map_err(Into::into).boxed_unsync());
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
