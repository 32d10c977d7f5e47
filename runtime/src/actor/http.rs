//! HTTP requests into a component: `wasi:http/incoming-handler`, streaming both ways.

mod whole;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wattle_contracts::call::{CallError, ErrorKind};

use super::{Actor, Shared};
use crate::host::REQUEST_HANDLER;
use crate::http_body::{BodyError, HttpBody};
use crate::outside::{CallContext, LogLevel};
use crate::trap;

/// The head of a response, whose body streams, as the component gave it.
type Head = Result<Response<HyperOutgoingBody>, ErrorCode>;

impl Actor {
    /// Gives a request to the component. Returns when it has set the head of its response; the
    /// body streams while the component goes on, until the call's deadline. Dropping the future
    /// before that ends the component. Dropping the body closes the stream that it writes to.
    pub async fn http(
        &self,
        context: CallContext,
        request: Request<HttpBody>,
    ) -> Result<Response<HttpBody>, CallError> {
        let Begun { mut guest, mut head, broken, deadline } = self.begin(context, request)?;
        // The component first: most have said everything when they return, and then nothing has
        // to go on beside the response.
        let first = timeout_at(deadline, async {
            tokio::select! {
                biased;
                ended = &mut guest => Event::Ended(ended),
                head = &mut head => Event::Head(head),
            }
        });
        match first.await {
            Err(_) => Err(self.shared.too_late()),
            Ok(Event::Ended(Err(error))) => Err(error),
            Ok(Event::Ended(Ok(()))) => {
                let head = head.try_recv().map_err(|_| self.shared.no_response())?;
                Ok(self.shared.response(head)?.map(HttpBody::new))
            }
            Ok(Event::Head(Err(_))) => match timeout_at(deadline, guest).await {
                // The component dropped the means to answer, and may have trapped for a reason.
                Ok(ended) => Err(ended.err().unwrap_or_else(|| self.shared.no_response())),
                Err(_) => Err(self.shared.too_late()),
            },
            Ok(Event::Head(Ok(head))) => {
                let response = self.shared.response(head)?;
                let shared = self.shared.clone();
                let told = broken.clone();
                self.component.engine().go_on(async move {
                    let error = match timeout_at(deadline, &mut guest).await {
                        Ok(Ok(())) => return,
                        Ok(Err(error)) => error,
                        Err(_) => shared.too_late(),
                    };
                    // Nobody waits for the outcome any more but who reads the body, and the log.
                    shared.outside.log(&shared.id, LogLevel::Error, "http", &error.to_string());
                    let _ = told.set(error);
                });
                Ok(response.map(|body| HttpBody::new(Streaming { body, broken })))
            }
        }
    }

    /// The component at work on a request: nothing is done before it is polled.
    fn begin(
        &self,
        context: CallContext,
        mut request: Request<HttpBody>,
    ) -> Result<Begun, CallError> {
        let Some(handler) = &self.handler else {
            let message = format!("{} does not export {REQUEST_HANDLER}", self.id());
            return Err(CallError::new(ErrorKind::NotLinked, message));
        };
        let in_flight = self.shared.enter()?;
        let mut seat = self.instances.seat(&self.shared, context)?;
        let deadline = seat.store.data().context().deadline;
        if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
            // HTTP/1.0 needs none, and the component is promised one.
            request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        }
        let scheme = match request.uri().scheme_str() {
            Some("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        let (set, head) = oneshot::channel::<Head>();
        let mut view = seat.store.data_mut().http();
        let resources = view
            .new_incoming_request(scheme, request)
            .and_then(|request| Ok((request, view.new_response_outparam(set)?)));
        let (request, response) = resources.map_err(|error| {
            let message = format!("the request can't be given to {}: {error:#}", self.id());
            CallError::new(ErrorKind::Internal, message)
        })?;

        let (handler, instances) = (handler.clone(), self.instances.clone());
        let (actor, broken) = (self.shared.clone(), Arc::new(OnceLock::new()));
        let guest: Guest = Box::pin({
            let broken = broken.clone();
            async move {
                // The instance goes first: a place that is free has one that is free.
                let (_in_flight, mut seat) = (in_flight, seat);
                let called = async {
                    let instance = seat.instance(instances.pre()).await?;
                    let proxy = handler.load(&mut seat.store, &instance)?;
                    let handler = proxy.wasi_http_incoming_handler();
                    handler.call_handle(&mut seat.store, request, response).await
                };
                let called = called.await;
                if let Some(fuel) = instances.used(&seat) {
                    actor.outside.used(fuel);
                }
                match called {
                    Ok(()) => {
                        instances.give_back(seat);
                        Ok(())
                    }
                    Err(error) => {
                        let error = trap::failure(seat.store.data(), REQUEST_HANDLER, &error);
                        // Said before the store is dropped, and the body's channel with it.
                        let _ = broken.set(error.clone());
                        Err(error)
                    }
                }
            }
        });
        Ok(Begun { guest, head, broken, deadline })
    }
}

/// The component at work on a request.
type Guest = Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

/// A request that is begun.
struct Begun {
    guest: Guest,
    head: oneshot::Receiver<Head>,
    /// Why the component has failed, once it has.
    broken: Arc<OnceLock<CallError>>,
    deadline: Instant,
}

enum Event {
    Ended(Result<(), CallError>),
    Head(Result<Head, oneshot::error::RecvError>),
}

impl Shared {
    fn response(&self, head: Head) -> Result<Response<HyperOutgoingBody>, CallError> {
        head.map_err(|code| {
            let message = format!("{} answered with the error {code:?}", self.id);
            CallError::new(ErrorKind::Trapped, message)
        })
    }

    fn no_response(&self) -> CallError {
        let message = format!("{} returned without a response", self.id);
        CallError::new(ErrorKind::Trapped, message)
    }
}

/// A body whose component still runs. One that ends because the component failed must not look
/// like one that is complete.
struct Streaming {
    body: HyperOutgoingBody,
    broken: Arc<OnceLock<CallError>>,
}

impl Body for Streaming {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled.map(|frame| match (frame, self.broken.get()) {
            (Some(Ok(frame)), _) => Some(Ok(frame)),
            (_, Some(error)) => Some(Err(BodyError::new(error.to_string()))),
            (Some(Err(error)), None) => Some(Err(BodyError::new(error.to_string()))),
            (None, None) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
