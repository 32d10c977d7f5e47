//! HTTP requests into a component whose response is wanted as a whole: for rehearsals, where no
//! task and no timer goes on beside a call.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as _;
use tokio::sync::oneshot;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wattle_contracts::call::{CallError, ErrorKind};

use super::{Begun, Head};
use crate::actor::{Actor, Shared};
use crate::http_body::HttpBody;
use crate::outside::CallContext;

impl Actor {
    /// Gives a request to the component, and returns its response once the component has said all of
    /// it and has returned. A body of more than `most` bytes is an error. Nothing is spawned, and
    /// no clock is looked at: whoever polls gives up when it is too late.
    pub async fn http_whole(
        &self,
        context: CallContext,
        request: Request<HttpBody>,
        most: usize,
    ) -> Result<Response<Bytes>, CallError> {
        let Begun { mut guest, head, .. } = self.begin(context, request)?;
        let mut gathering = Gathering { head: Some(head), response: None, most };
        poll_fn(|context| {
            let waiting = Arc::new(Waiting::new(context.waker().clone()));
            let waker = Waker::from(Arc::clone(&waiting));
            loop {
                waiting.woken.store(false, Ordering::Relaxed);
                match guest.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) => return Poll::Ready(gathering.end(&self.shared)),
                    // It gives way, and wants to go on by itself.
                    Poll::Pending if waiting.woken.load(Ordering::Relaxed) => break,
                    Poll::Pending => {}
                }
                match gathering.take(&self.shared) {
                    Err(error) => return Poll::Ready(Err(error)),
                    // Perhaps it has waited for just that.
                    Ok(true) => {}
                    Ok(false) => break,
                }
            }
            waiting.passes_on.store(true, Ordering::Relaxed);
            if waiting.woken.load(Ordering::Relaxed) {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }
}

/// Tells a component that gives way from one that has to wait: what is taken from it while it is
/// polled wakes it, too, and is nothing that anybody else should hear of.
struct Waiting {
    woken: AtomicBool,
    passes_on: AtomicBool,
    outer: Waker,
}

impl Waiting {
    fn new(outer: Waker) -> Self {
        Self { woken: AtomicBool::new(false), passes_on: AtomicBool::new(false), outer }
    }
}

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        if self.passes_on.load(Ordering::Relaxed) {
            self.outer.wake_by_ref();
        }
    }
}

/// What has come of a response so far.
struct Gathering {
    head: Option<oneshot::Receiver<Head>>,
    response: Option<(Response<HyperOutgoingBody>, Vec<u8>)>,
    most: usize,
}

impl Gathering {
    /// Takes what is there. False if that was nothing.
    fn take(&mut self, actor: &Shared) -> Result<bool, CallError> {
        let mut took = false;
        // Who has sent no head may still trap, which says more.
        let sent = self.head.as_mut().and_then(|head| head.try_recv().ok());
        if let Some(head) = sent {
            self.head = None;
            self.response = Some((actor.response(head)?, Vec::new()));
            took = true;
        }
        let Some((response, bytes)) = &mut self.response else { return Ok(took) };
        let mut context = Context::from_waker(Waker::noop());
        while !response.body().is_end_stream() {
            match Pin::new(response.body_mut()).poll_frame(&mut context) {
                Poll::Pending | Poll::Ready(None) => break,
                Poll::Ready(Some(Err(error))) => {
                    let message = format!("{} broke its response off: {error}", actor.id);
                    return Err(CallError::new(ErrorKind::Trapped, message));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    took = true;
                    bytes.extend_from_slice(&frame.into_data().unwrap_or_default());
                }
            }
            if bytes.len() > self.most {
                let (id, most) = (&actor.id, self.most);
                let message = format!("{id} answered with a body of more than {most} bytes");
                return Err(CallError::new(ErrorKind::Internal, message));
            }
        }
        Ok(took)
    }

    /// The component has returned.
    fn end(&mut self, actor: &Shared) -> Result<Response<Bytes>, CallError> {
        while self.take(actor)? {}
        let (response, bytes) = self.response.take().ok_or_else(|| actor.no_response())?;
        Ok(response.map(|_| bytes.into()))
    }
}
