//! The reading half of a link.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::wire::{Frame, FrameDecoder, FrameHead, Side, WireError};

use super::inbox::Inbox;
use super::link::{Arriving, InCall, Link};
use super::serve::{Job, serve};
use super::signal::Signal;
use crate::core::mux::{Event, Violation};
use crate::net::service::Reply;

/// How much is read at once, in bytes.
const READ: usize = 64 * 1024;

/// After so many reads without a pause, others get their turn.
const TURN: u32 = 64;

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(in crate::net) enum Ended {
    #[error("the peer closed it")]
    Closed,
    #[error("{0}")]
    Lost(io::Error),
    #[error("the peer closed it in the middle of a frame")]
    CutShort,
    #[error("{0}")]
    Malformed(#[from] WireError),
    #[error("{0}")]
    Violation(#[from] Violation),
}

impl Ended {
    /// Whether the peer sent something that no honest peer sends.
    pub(in crate::net) fn is_fault(&self) -> bool {
        matches!(self, Ended::CutShort | Ended::Malformed(_) | Ended::Violation(_))
    }
}

/// Reads until the stream ends.
pub(super) async fn run(link: &Arc<Link>) -> Ended {
    let mut decoder = FrameDecoder::default();
    let mut scratch = vec![0; READ];
    let mut turn = 0;
    loop {
        let read = match poll_fn(|cx| link.stream.poll_read(cx, &mut scratch)).await {
            Ok(read) => read,
            Err(error) => return Ended::Lost(error),
        };
        if read == 0 {
            return match decoder.is_between_frames() {
                true => Ended::Closed,
                false => Ended::CutShort,
            };
        }
        decoder.buffer().extend_from_slice(scratch.get(..read).unwrap_or_default());
        if let Err(ended) = take_all(link, &mut decoder) {
            return ended;
        }
        turn += 1;
        if turn % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
}

fn take_all(link: &Arc<Link>, decoder: &mut FrameDecoder) -> Result<(), Ended> {
    while let Some(frame) = decoder.next_frame()? {
        if let Some(job) = take(link, frame)? {
            tokio::spawn(serve(job));
        }
    }
    // Refusals are queued without anybody who would write them.
    if link.mux().has_outgoing() {
        link.flush();
    }
    Ok(())
}

/// Takes one frame in. Gives back the call that is to be served, if it is one.
fn take(link: &Arc<Link>, frame: Frame) -> Result<Option<Job>, Violation> {
    let mut accepted = None;
    let has_body = matches!(frame.head, FrameHead::Call { streams: true, .. });
    let accept = |_: u64, _: &CallHeader| {
        let server = Arc::new(Signal::default());
        let inbox = has_body.then(Arc::<Inbox>::default);
        accepted = Some((server.clone(), inbox.clone()));
        InCall { server, inbox }
    };
    let mut mux = link.mux();
    match mux.receive(frame, accept)? {
        Event::Call { call, header, payload, .. } => {
            drop(mux);
            return Ok(accepted
                .and_then(|(server, inbox)| admit(link, call, *header, payload, server, inbox)));
        }
        Event::RequestData { handle, payload, last, .. } => {
            if let Some(inbox) = &handle.inbox {
                inbox.push(payload);
                if last {
                    inbox.end(Ok(()));
                }
            }
        }
        Event::ReplyRoom { handle, .. } => handle.server.room(),
        Event::RequestRoom { handle, .. } => {
            if let Some(sender) = &handle.sender {
                sender.room();
            }
        }
        Event::RequestUnwanted { handle, .. } => {
            if let Some(sender) = handle.sender.take() {
                sender.gone();
            }
        }
        Event::Reply { mut handle, payload, .. } => {
            if let Some(answer) = handle.answer.take() {
                let _ = answer.send(Ok(Reply { payload, body: None }));
            }
        }
        Event::ReplyStarts { call, handle, payload } => {
            let inbox = Arc::<Inbox>::default();
            handle.inbox = Some(inbox.clone());
            let answer = handle.answer.take();
            // Nobody may wait any more; dropping the body then tells the peer to stop, for which
            // it needs the lock.
            drop(mux);
            let arriving = Arriving { link: link.clone(), call, side: Side::Caller, inbox };
            let reply = Reply { payload, body: Some(arriving.into_body()) };
            if let Some(answer) = answer {
                let _ = answer.send(Ok(reply));
            }
        }
        Event::ReplyData { handle, payload, .. } => {
            if let Some(inbox) = &handle.inbox {
                inbox.push(payload);
            }
        }
        Event::ReplyEnds { handle, payload, .. } => {
            if let Some(inbox) = &handle.inbox {
                inbox.push(payload);
                inbox.end(Ok(()));
            }
        }
        Event::Failed { handle, error, .. } => handle.fail(error),
        Event::Cancelled { handle, .. } => drop(handle),
        Event::Draining => tracing::debug!(peer = %link.peer, "the peer drains"),
        Event::Nothing => {}
    }
    Ok(None)
}

/// A call of the peer, if this node can hold its arguments.
fn admit(
    link: &Arc<Link>,
    call: u64,
    header: CallHeader,
    payload: Bytes,
    server: Arc<Signal>,
    inbox: Option<Arc<Inbox>>,
) -> Option<Job> {
    let size = payload.len();
    let held = link.held.fetch_add(size, Ordering::Relaxed);
    if held + size > link.config.held_bytes {
        link.held.fetch_sub(size, Ordering::Relaxed);
        let text = "the arguments of calls from that node fill its share of memory; \
                    the call was not begun";
        let error = CallError::new(ErrorKind::Overloaded, text);
        // It may have been given up meanwhile.
        let _ = link.mux().fail(call, error);
        return None;
    }
    Some(Job { link: link.clone(), call, header, payload, server, inbox })
}
