//! Sends a streamed body, as fast as its receiver takes it in.

use std::sync::Arc;

use bytes::Bytes;
use wattle_contracts::call::CallError;
use wattle_contracts::wire::Side;

use super::link::Link;
use super::signal::{Gone, Signal};
use crate::core::mux::Sent;
use crate::net::body::BodyStream;

/// How sending a body ended.
#[derive(Debug)]
pub(super) enum End {
    /// It is all on its way, or the receiver wants no more.
    Sent,
    /// The call is over.
    Gone,
    /// Its source failed.
    Failed(CallError),
}

/// Sends `body` in call `call` as `side`, until one of them ends.
pub(super) async fn send_body(
    link: &Arc<Link>,
    call: u64,
    side: Side,
    mut body: BodyStream,
    signal: &Signal,
) -> End {
    loop {
        let part = match signal.or_gone(body.next()).await {
            Ok(Some(Ok(part))) if part.is_empty() => continue,
            Ok(Some(Ok(part))) => Some(part),
            Ok(Some(Err(error))) => return End::Failed(error),
            Ok(None) => None,
            Err(Gone) => return End::Gone,
        };
        let last = part.is_none();
        match send_part(link, call, side, part.unwrap_or_default(), last, signal).await {
            Sent::All if last => return End::Sent,
            Sent::All => {}
            Sent::Unwanted => return End::Sent,
            Sent::Gone | Sent::Wait => return End::Gone,
        }
    }
}

async fn send_part(
    link: &Arc<Link>,
    call: u64,
    side: Side,
    mut part: Bytes,
    last: bool,
    signal: &Signal,
) -> Sent {
    loop {
        // Before the attempt: room that is made in between must not be missed.
        let mut room = std::pin::pin!(link.room.notified());
        room.as_mut().enable();
        let (sent, has_room) = {
            let mut mux = link.mux();
            (mux.send(call, side, &mut part, last), mux.has_room())
        };
        link.flush();
        match sent {
            Sent::Wait if has_room => {
                if signal.wait().await.is_err() {
                    return Sent::Gone;
                }
            }
            Sent::Wait => {
                if signal.or_gone(room).await.is_err() {
                    return Sent::Gone;
                }
            }
            sent => return sent,
        }
    }
}
