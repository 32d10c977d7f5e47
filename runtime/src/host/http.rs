//! `wasi:http/outgoing-handler` to the node, what errors are called there, and how much of what a
//! component writes is held outside of its memory.

use std::sync::{Arc, LazyLock};

use http_body_util::BodyExt;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::types::{
    self, HostOutgoingRequest as _, Method, OutgoingRequest,
};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttp,
    WasiHttpHooks, WasiHttpView as _,
};

use super::WASI;
use crate::http_body::HttpBody;
use crate::outside::{HttpOutError, HttpTimeouts};
use crate::state::{Call, State};

/// The interface through which a component takes requests.
pub(crate) const REQUEST_HANDLER: &str = "wasi:http/incoming-handler";

/// One for all: it is asked for on each request.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

/// What a component may write to a body at once, in bytes. Two such pieces wait for who reads the
/// body: they live in the memory of the host, which no limit of the component counts.
const BODY_PIECE: usize = 64 << 10;

/// So many bodies of one call take pieces of that size. Further ones take [`SMALL_PIECE`]s: most
/// components write one or a few, and who writes a thousand may have all of them open.
const LARGE_BODIES: u32 = 64;

/// What may be written at once to a body beyond that, in bytes.
const SMALL_PIECE: usize = 4 << 10;

/// The longest method of an HTTP request, in bytes. (Its target and its scheme have limits of their
/// own.)
const MAX_METHOD: usize = 64;

/// `wasi:http/types`, where a method has a longest.
pub(super) fn add_types(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), State::http)?;
    // Each request would keep one as long as what the component may hand out at once.
    linker.allow_shadowing(true);
    let bounded = linker.instance(&format!("wasi:http/types@{WASI}"))?.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: StoreContextMut<'_, State>,
         (request, method): (Resource<OutgoingRequest>, Method)| {
            let mut http = store.data_mut().http();
            match &method {
                Method::Other(name) if name.len() > MAX_METHOD => Ok((Err(()),)),
                _ => Ok((http.set_method(request, method)?,)),
            }
        },
    );
    linker.allow_shadowing(false);
    bounded
}

/// What is still to be done after a response's head has arrived.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Call {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        1
    }

    /// Asked once for each body.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.bodies = self.bodies.saturating_add(1);
        if self.bodies <= LARGE_BODIES { BODY_PIECE } else { SMALL_PIECE }
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
mod tests;
