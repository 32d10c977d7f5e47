//! Messages that come here: each to its component, one after the other, and what was handled to
//! disk before it is acknowledged. The subscriber's side of `mesh::net::messages`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::call::{CallHeader, ErrorKind};
use wattle_contracts::id::{ComponentId, NodeId};
use wattle_contracts::message::{Delivery, DeliveryReply, DeliveryStop, MessageId};
use wattle_mesh::core::outbox::{Inbox, Outcome, Sending};
use wattle_mesh::core::time::Time;

use super::frame::Answer;
use super::{Cx, Effect, Machine, Then, Wake};
use crate::lattice::disk::{Kept, Op};
use crate::lattice::fabric::draw;
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;
use crate::wasm::Message;

/// After so long no further message of a delivery is begun.
const SLICE: Duration = Duration::from_secs(5);

/// The inbox of a node, and the deliveries that are being handled.
#[derive(Debug)]
pub(super) struct Receiving {
    inbox: Inbox,
    next: u64,
    deliveries: BTreeMap<u64, Handling>,
}

/// A delivery that is being handled.
#[derive(Debug)]
struct Handling {
    component: ComponentId,
    delivery: Arc<Delivery>,
    answers: Whom,
    begun: Time,
    /// The next message.
    at: usize,
    handled: u32,
    stopped: Option<DeliveryStop>,
    /// Whether nothing more is begun.
    is_over: bool,
    writing: BTreeSet<u64>,
    disk_failed: bool,
}

#[derive(Debug)]
enum Whom {
    Own(Box<Sending>),
    Peer {
        connection: u64,
        id: u64,
    },
    /// Whoever waited has gone away.
    Nobody,
}

impl Receiving {
    pub(super) fn load(kept: &Kept) -> Self {
        let mut inbox = Inbox::default();
        for ((group, publisher), (floor, handled)) in kept.handled() {
            inbox.load(group.clone(), *publisher, *floor, handled.clone());
        }
        Self { inbox, next: 0, deliveries: BTreeMap::new() }
    }

    /// Nobody waits any more for what came over this connection.
    pub(super) fn abandon(&mut self, connection: u64) {
        for one in self.deliveries.values_mut() {
            if matches!(one.answers, Whom::Peer { connection: of, .. } if of == connection) {
                one.answers = Whom::Nobody;
            }
        }
    }
}

impl Machine {
    pub(super) fn serve_delivery(
        &mut self,
        from: NodeId,
        (connection, id): (u64, u64),
        header: &CallHeader,
        delivery: &Arc<Delivery>,
        cx: &mut Cx<'_>,
    ) {
        // Each can only speak for itself; whoever passes a call on vouches for whom it had it from.
        let path = header.relay.as_ref().map(|relay| relay.path.as_slice()).unwrap_or_default();
        let origin = *path.first().unwrap_or(&from);
        if delivery.publisher != origin {
            cx.happens(Happening::Fault("messages in the name of another".into()));
            let refused = Err(wattle_contracts::call::ErrorKind::NotAllowed);
            return self.respond(connection, id, refused, cx);
        }
        let component = self.table.subscriptions.component(&delivery.group).cloned();
        let answers = Whom::Peer { connection, id };
        match component.filter(|component| *component == header.route.target) {
            Some(component) if self.standing_of(origin).is_some() => {
                self.handle_all(component, Arc::clone(delivery), answers, cx);
            }
            // The publisher may know of a declaration that is still on its way here.
            _ => {
                let why = "not known here as its handler, or its publisher is not".into();
                let stopped = Some(DeliveryStop::Busy(why));
                self.reply(answers, DeliveryReply { handled: 0, stopped }, cx);
            }
        }
    }

    pub(super) fn receive_here(
        &mut self,
        sending: Sending,
        component: &ComponentId,
        delivery: &Arc<Delivery>,
        cx: &mut Cx<'_>,
    ) {
        let answers = Whom::Own(Box::new(sending));
        self.handle_all(component.clone(), Arc::clone(delivery), answers, cx);
    }

    fn handle_all(
        &mut self,
        component: ComponentId,
        delivery: Arc<Delivery>,
        answers: Whom,
        cx: &mut Cx<'_>,
    ) {
        let Delivery { publisher, group, floor, subject, .. } = &*delivery;
        if self.receiving.inbox.begin(group, *publisher, subject, *floor).is_err() {
            let stopped = Some(DeliveryStop::Busy("an earlier delivery is being handled".into()));
            return self.reply(answers, DeliveryReply { handled: 0, stopped }, cx);
        }
        self.receiving.next += 1;
        let id = self.receiving.next;
        let handling = Handling {
            component,
            delivery,
            answers,
            begun: cx.now,
            at: 0,
            handled: 0,
            stopped: None,
            is_over: false,
            writing: BTreeSet::new(),
            disk_failed: false,
        };
        self.receiving.deliveries.insert(id, handling);
        self.begin_next(id, cx);
    }

    /// Gives the next message to the component, or ends the delivery.
    fn begin_next(&mut self, id: u64, cx: &mut Cx<'_>) {
        let again = self.is_broken(Mutant::HandleAgain);
        let Receiving { inbox, deliveries, .. } = &mut self.receiving;
        let Some(one) = deliveries.get_mut(&id) else { return };
        let Delivery { publisher, group, messages, .. } = &*one.delivery;
        while let Some((sequence, _)) = messages.get(one.at)
            && inbox.is_settled(group, *publisher, *sequence)
            && !again
        {
            one.at += 1;
            one.handled += 1;
        }
        let is_gone = matches!(one.answers, Whom::Nobody);
        let is_late = one.handled > 0 && cx.now.since(one.begun) > SLICE;
        if one.at >= messages.len() || is_gone || is_late {
            one.is_over = true;
        } else if !self.share_runs(id) {
            self.stop_delivery(id, DeliveryStop::NotHere);
        } else {
            if self.begin_handler(id, cx) {
                return;
            }
            let behaviour = self.behaviour_of(id);
            return cx.wake(cx.now.plus(behaviour), Wake::Handle(id));
        }
        self.end_if_over(id, cx);
    }

    /// Lets a real component handle the next message. False where it is made up.
    fn begin_handler(&mut self, id: u64, cx: &mut Cx<'_>) -> bool {
        let Some(one) = self.receiving.deliveries.get(&id) else { return false };
        let Some((sequence, body)) = one.delivery.messages.get(one.at) else { return false };
        let message = Message {
            subject: one.delivery.subject.to_string(),
            body: body.clone(),
            id: Some(MessageId { publisher: one.delivery.publisher, sequence: *sequence }),
        };
        let component = one.component.clone();
        self.begin_handling(id, &component, message, cx)
    }

    /// A real component is done with a message.
    pub(super) fn handled_with(&mut self, id: u64, result: Result<(), ErrorKind>, cx: &mut Cx<'_>) {
        match result {
            Ok(()) => self.next_is_handled(id, cx),
            Err(kind) => {
                self.stop_delivery(id, DeliveryStop::Failed(kind.to_string()));
                self.end_if_over(id, cx);
            }
        }
    }

    fn share_runs(&self, id: u64) -> bool {
        self.receiving.deliveries.get(&id).is_some_and(|one| self.runs(&one.component))
    }

    fn behaviour_of(&self, id: u64) -> Duration {
        let component = self.receiving.deliveries.get(&id).map(|one| &one.component);
        let behaviour = component.and_then(|id| self.settings.behaviours.get(id));
        behaviour.copied().unwrap_or_default().takes
    }

    fn stop_delivery(&mut self, id: u64, stop: DeliveryStop) {
        if let Some(one) = self.receiving.deliveries.get_mut(&id) {
            (one.stopped, one.is_over) = (Some(stop), true);
        }
    }

    /// The component is done with a message.
    pub(super) fn handle_next(&mut self, id: u64, cx: &mut Cx<'_>) {
        let Some(one) = self.receiving.deliveries.get_mut(&id) else { return };
        let behaviour = self.settings.behaviours.get(&one.component).copied().unwrap_or_default();
        if draw(behaviour.fails_ppm, cx.rng) {
            self.stop_delivery(id, DeliveryStop::Failed("it failed".into()));
            return self.end_if_over(id, cx);
        }
        self.next_is_handled(id, cx);
    }

    fn next_is_handled(&mut self, id: u64, cx: &mut Cx<'_>) {
        let Some(one) = self.receiving.deliveries.get_mut(&id) else { return };
        let Delivery { publisher, group, messages, .. } = &*one.delivery;
        let Some((sequence, _)) = messages.get(one.at) else { return };
        let (publisher, group, sequence) = (*publisher, group.clone(), *sequence);
        one.at += 1;
        one.handled += 1;
        one.writing.insert(sequence);
        let message = MessageId { publisher, sequence };
        cx.happens(Happening::Handled { group: group.clone(), id: message });
        let floor = self.receiving.inbox.handled(&group, publisher, sequence);
        let ops = vec![Op::Handled { group, publisher, sequence, floor }];
        cx.out.push(Effect::Write { ops, then: Then::Handled { delivery: id, sequence } });
        self.begin_next(id, cx);
    }

    pub(super) fn handled_written(
        &mut self,
        id: u64,
        sequence: u64,
        is_done: bool,
        cx: &mut Cx<'_>,
    ) {
        let Some(one) = self.receiving.deliveries.get_mut(&id) else { return };
        one.writing.remove(&sequence);
        one.disk_failed |= !is_done;
        if is_done {
            let Delivery { publisher, group, .. } = &*one.delivery;
            let message = MessageId { publisher: *publisher, sequence };
            cx.happens(Happening::HandledKept { group: group.clone(), id: message });
        }
        self.end_if_over(id, cx);
    }

    fn end_if_over(&mut self, id: u64, cx: &mut Cx<'_>) {
        let is_over = |one: &Handling| one.is_over && one.writing.is_empty();
        if !self.receiving.deliveries.get(&id).is_some_and(is_over) {
            return;
        }
        let Some(one) = self.receiving.deliveries.remove(&id) else { return };
        let Delivery { publisher, group, subject, .. } = &*one.delivery;
        self.receiving.inbox.end(group, *publisher, subject);
        let reply = match one.disk_failed {
            true => {
                let why = "what was handled can't be written down".into();
                DeliveryReply { handled: 0, stopped: Some(DeliveryStop::Busy(why)) }
            }
            false => DeliveryReply { handled: one.handled, stopped: one.stopped },
        };
        self.reply(one.answers, reply, cx);
    }

    fn reply(&mut self, answers: Whom, reply: DeliveryReply, cx: &mut Cx<'_>) {
        match answers {
            Whom::Own(sending) => self.outcome(*sending, Outcome::Answered(reply), cx),
            Whom::Peer { connection, id } => {
                self.respond(connection, id, Ok(Answer::Delivery(reply)), cx);
            }
            Whom::Nobody => {}
        }
    }
}
