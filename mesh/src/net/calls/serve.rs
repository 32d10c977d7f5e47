//! Answers one call of the peer.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind, Relay};
use wattle_contracts::wire::Side;

use super::inbox::Inbox;
use super::link::{Arriving, Link};
use super::signal::{Gone, Signal};
use super::source::{End, send_body};
use crate::core::mux::ReplyError;
use crate::net::body::BodyStream;
use crate::net::service::Reply;

/// A call of the peer that was taken.
pub(super) struct Job {
    pub(super) link: Arc<Link>,
    pub(super) call: u64,
    pub(super) header: CallHeader,
    pub(super) payload: Bytes,
    pub(super) server: Arc<Signal>,
    pub(super) inbox: Option<Arc<Inbox>>,
}

/// How long a node may have called before it is known here how it came.
const NEWS: Duration = Duration::from_secs(2);

/// Serves the call and sends its answer.
pub(super) async fn serve(job: Job) {
    let Job { link, call, mut header, payload, server, inbox } = job;
    let mut answer = Answer { link, call, held: payload.len(), outcome: None };
    let link = answer.link.clone();
    let body = inbox
        .map(|inbox| Arriving { link: link.clone(), call, side: Side::Callee, inbox }.into_body());
    if header.hops > CallHeader::MAX_HOPS {
        let text = format!("the call went over more than {} nodes", CallHeader::MAX_HOPS);
        return answer.fail(CallError::new(ErrorKind::NotAllowed, text));
    }
    if let Some(relay) = header.relay.as_deref() {
        let asked = Instant::now();
        if let Err(why) = check_path(&link, relay, header.time_left).await {
            let text = format!("the call came over {why} (rule: speaker)");
            return answer.fail(CallError::new(ErrorKind::NotAllowed, text));
        }
        header.time_left = header.time_left.saturating_sub(asked.elapsed());
    }
    if let Err(error) = link.config.relays.check(link.peer, &header, &payload) {
        return answer.fail(error);
    }
    let time_left = header.time_left;
    let relays = header.relay.as_deref().is_some_and(|relay| relay.to != link.config.relays.node());
    let work: Pin<Box<dyn Future<Output = Result<Reply, CallError>> + Send + '_>> = match relays {
        false => link.config.service.call(link.peer, header, payload, body),
        true => Box::pin(link.config.relays.pass_on(link.peer, header, payload, body)),
    };
    match server.or_gone(tokio::time::timeout(time_left, work)).await {
        Err(Gone) => answer.outcome = Some(Err(ErrorKind::Cancelled)),
        Ok(Err(_)) => {
            let text = format!("it was not done within {time_left:?}");
            answer.fail(CallError::new(ErrorKind::Deadline, text));
        }
        Ok(Ok(Err(error))) => answer.fail(error),
        Ok(Ok(Ok(Reply { payload, body }))) => answer.send(payload, body, &server).await,
    }
}

/// Whether everybody on the way of a call that others have passed on belongs. Before anything is
/// remembered of it: whoever makes up nodes must not take the room of those that there are.
async fn check_path(link: &Link, relay: &Relay, time_left: Duration) -> Result<(), String> {
    if relay.path.len() > Relay::MAX {
        return Err(format!("more than {} nodes", Relay::MAX));
    }
    let (roster, clock) = (&link.config.roster, link.config.relays.clock());
    roster.until_known(&relay.path, clock.now(), NEWS.min(time_left)).await;
    let now = clock.now();
    match relay.path.iter().find(|node| !roster.is_member(**node, now)) {
        None => Ok(()),
        Some(node) if roster.is_revoked(*node) => Err(format!("{node}, which was revoked")),
        Some(node) => {
            Err(format!("{node}, which is no member of this mesh, as far as is known here"))
        }
    }
}

/// The answer that is owed. One that is dropped unsent, because whatever should have made it
/// panicked, is an error too: the caller must not wait for its deadline.
struct Answer {
    link: Arc<Link>,
    call: u64,
    held: usize,
    outcome: Option<Result<(), ErrorKind>>,
}

impl Answer {
    async fn send(&mut self, payload: Bytes, body: Option<BodyStream>, server: &Signal) {
        let sent = self.link.mux().reply(self.call, payload, body.is_some());
        match sent {
            Err(ReplyError::Gone) => self.outcome = Some(Err(ErrorKind::Cancelled)),
            Err(error @ ReplyError::TooLarge { .. }) => {
                self.fail(CallError::new(ErrorKind::Internal, error.to_string()));
            }
            Ok(streams) => {
                self.link.flush();
                // The arguments are long forgotten while a body is sent.
                self.release();
                match body.filter(|_| streams) {
                    None => self.outcome = Some(Ok(())),
                    Some(body) => self.send_body(body, server).await,
                }
            }
        }
    }

    async fn send_body(&mut self, body: BodyStream, server: &Signal) {
        match send_body(&self.link, self.call, Side::Callee, body, server).await {
            End::Sent => self.outcome = Some(Ok(())),
            End::Gone => self.outcome = Some(Err(ErrorKind::Cancelled)),
            End::Failed(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: CallError) {
        self.outcome = Some(Err(error.kind));
        // It may have been given up meanwhile.
        let _ = self.link.mux().fail(self.call, error);
        self.link.flush();
    }

    fn release(&mut self) {
        self.link.held.fetch_sub(std::mem::take(&mut self.held), Ordering::Relaxed);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.release();
        if self.outcome.is_none() {
            let text = "the node that was called dropped the call; see its log";
            self.fail(CallError::new(ErrorKind::Internal, text));
        }
        if let Some(outcome) = self.outcome {
            self.link.config.metrics.calls_in.count(outcome);
        }
    }
}
