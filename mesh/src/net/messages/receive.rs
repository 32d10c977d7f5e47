//! The subscriber's side: each durable message to its component, one after the other, and what was
//! handled to disk before it is acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::id::{ComponentId, NodeId, Subject};
use wattle_contracts::message::{Delivery, DeliveryReply, DeliveryStop, Group, MessageId, Receipt};
use wattle_contracts::wire;

use super::counts::one_more;
use super::{Message, Messenger};
use crate::core::outbox::{Inbox, Refused};
use crate::net::StoreError;

/// After so long no further message of a delivery is begun: the publisher wants to hear how far
/// it came.
const SLICE: Duration = Duration::from_secs(5);

/// Set when whoever waits for an answer has gone away.
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The right to handle the messages of one publisher, group and subject; given back when dropped.
struct Lane<'a> {
    messenger: &'a Messenger,
    group: &'a Group,
    publisher: NodeId,
    subject: &'a Subject,
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.messenger.inbox().end(self.group, self.publisher, self.subject);
    }
}

impl Messenger {
    pub(super) async fn serve_delivery(
        &self,
        from: NodeId,
        header: &CallHeader,
        payload: &[u8],
    ) -> Result<Bytes, CallError> {
        let malformed = |error| CallError::new(ErrorKind::Internal, format!("{error}"));
        let delivery: Delivery = wire::decode(payload).map_err(malformed)?;
        if !self.is_from_publisher(from, header, &delivery) {
            return Err(self.refuse_forged(from, delivery.publisher));
        }
        let signed = delivery.proof;
        let reply = self.reply_to(header, delivery).await;
        let receipt = match signed.filter(|_| is_passed_on(header)) {
            Some(signed) => Receipt::signed(reply, self.inner.mesh.key(), &signed),
            None => Ok(Receipt { reply, proof: None }),
        };
        receipt.and_then(|receipt| wire::encode(&receipt)).map(Bytes::from).map_err(malformed)
    }

    async fn reply_to(&self, header: &CallHeader, delivery: Delivery) -> DeliveryReply {
        let later = |why| DeliveryReply { handled: 0, stopped: Some(DeliveryStop::Busy(why)) };
        // What is remembered of a publisher is kept: only of nodes that there are, and of none that
        // was revoked, as the view has none of those.
        if self.inner.mesh.view().node(delivery.publisher).is_none() {
            return later(format!("{} is not known here yet", delivery.publisher));
        }
        // Else what it had sent with another key would be taken for new.
        let first = delivery.remembered_as();
        if self.inner.mesh.first(delivery.publisher) != first {
            return later(format!(
                "that {} was {} is not known here yet",
                delivery.publisher, first
            ));
        }
        let component = self.subscriptions().component(&delivery.group).cloned();
        match component {
            // The publisher may know of a declaration that is still on its way here.
            Some(component) if component == header.route.target => {
                match self.subscriptions().takes(&delivery.group, &delivery.subject) {
                    true => self.receive(component, delivery).await,
                    false => later(format!(
                        "`{}` is not known here to subscribe to `{}`",
                        delivery.group, delivery.subject
                    )),
                }
            }
            _ => later(format!(
                "`{}` is not known here as the handler of `{}`",
                header.route.target, delivery.group
            )),
        }
    }

    /// Whether `delivery` is from the publisher that it names. One that came straight from a node
    /// is that node's: the connection says so. Whoever passes one on can say what it likes, so
    /// that one is signed by its publisher.
    fn is_from_publisher(&self, from: NodeId, header: &CallHeader, delivery: &Delivery) -> bool {
        match is_passed_on(header) {
            false => delivery.publisher == from,
            true => delivery.is_signed_for(self.me()),
        }
    }

    /// Counts what is not from the node that it names, and tells of it.
    pub(super) fn count_forged(&self, named: NodeId, what: &str) {
        let count = self.inner.counters.forged.fetch_add(1, Ordering::Relaxed) + 1;
        // A flood of them must not be one of log lines.
        if count.is_power_of_two() {
            tracing::warn!(node = %named, what, count, "refused what is not shown to be that node's");
        }
    }

    fn refuse_forged(&self, from: NodeId, publisher: NodeId) -> CallError {
        self.count_forged(publisher, &format!("a delivery that {from} brought"));
        let me = self.me().short();
        let message = format!(
            "node {me} does not take these messages from {from}: nothing shows that they are of \
             {publisher}"
        );
        CallError::new(ErrorKind::NotAllowed, message)
    }

    /// Handles a delivery in a task of its own: a connection that breaks must not end a handler in
    /// the middle, only keep it from beginning with the next message.
    pub(super) async fn receive(
        &self,
        component: ComponentId,
        delivery: Delivery,
    ) -> DeliveryReply {
        let flag = Arc::new(AtomicBool::new(false));
        let _abandoned = Abandoned(Arc::clone(&flag));
        let messenger = self.clone();
        let work = async move { messenger.handle_all(&component, delivery, &flag).await };
        tokio::spawn(work).await.unwrap_or_else(|error| DeliveryReply {
            handled: 0,
            stopped: Some(DeliveryStop::Failed(format!("the handling broke off: {error}"))),
        })
    }

    async fn handle_all(
        &self,
        component: &ComponentId,
        delivery: Delivery,
        abandoned: &AtomicBool,
    ) -> DeliveryReply {
        let publisher = delivery.remembered_as();
        let Delivery { group, floor, subject, messages, .. } = delivery;
        let _inside = self.inner.gate.enter();
        let begun = self.inbox().begin(&group, publisher, &subject, floor);
        if let Err(refused) = begun {
            let why = match refused {
                Refused::Running => "an earlier delivery is still being handled",
                Refused::TooFarAhead => "too much was handled ahead of an older message",
            };
            return DeliveryReply { handled: 0, stopped: Some(DeliveryStop::Busy(why.into())) };
        }
        let _lane = Lane { messenger: self, group: &group, publisher, subject: &subject };
        let begun = Instant::now();
        let (mut handled, mut stopped) = (0, None);
        let mut writes: JoinSet<Result<(), StoreError>> = JoinSet::new();
        for (sequence, body) in messages {
            if self.inbox().is_settled(&group, publisher, sequence) {
                one_more(&self.inner.counters.repeated);
                handled += 1;
                continue;
            }
            if abandoned.load(Ordering::Relaxed) || (handled > 0 && begun.elapsed() > SLICE) {
                break;
            }
            if self.inner.gate.is_shut() {
                // Not begun, so that it may go to another node at once.
                stopped = Some(DeliveryStop::NotHere);
                break;
            }
            let id = Some(MessageId { publisher, sequence });
            let message = Message { subject: subject.clone(), body, id };
            if let Err(error) = self.inner.handler.handle(component, message).await {
                stopped = Some(self.not_handled(component, error));
                break;
            }
            one_more(&self.inner.counters.handled);
            handled += 1;
            let floor = self.inbox().handled(&group, publisher, sequence);
            let (store, group) = (Arc::clone(&self.inner.store), group.clone());
            // Begun now, awaited together: the next message need not wait for the disk.
            let write = async move { store.handled(&group, publisher, sequence, floor).await };
            writes.spawn(write);
        }
        for written in writes.join_all().await {
            if let Err(error) = written {
                // Known in memory, so that it is not handled again when it comes again.
                let why = format!("what was handled can't be written down: {error}");
                tracing::warn!(%group, why, "messages are not acknowledged");
                return DeliveryReply { handled: 0, stopped: Some(DeliveryStop::Busy(why)) };
            }
        }
        DeliveryReply { handled, stopped }
    }

    fn not_handled(&self, component: &ComponentId, error: CallError) -> DeliveryStop {
        match error.kind {
            ErrorKind::Unreachable => DeliveryStop::NotHere,
            ErrorKind::Overloaded => DeliveryStop::Busy(error.message),
            _ => {
                one_more(&self.inner.counters.failed);
                tracing::debug!(%component, %error, "a message was not handled");
                DeliveryStop::Failed(error.to_string())
            }
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inner.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a call has come through another node than its caller's.
fn is_passed_on(header: &CallHeader) -> bool {
    header.relay.as_ref().is_some_and(|relay| !relay.path.is_empty())
}
