//! Messages that wait here until every group that subscribes has handled them. The publisher's
//! side of `mesh::net::messages`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::call::{CallHeader, CallRoute, Encoding, ErrorKind, Source, TraceContext};
use wattle_contracts::id::{ComponentId, ContractId, NodeId, Subject};
use wattle_contracts::message::{Delivery, DeliveryReply, DeliveryStop, Group, MessageId};
use wattle_contracts::trust::UnixMillis;
use wattle_mesh::core::outbox::{
    Action, Config, Outbox, OutboxTime, Outcome, Reach, Sending, Settled, StoredMessage,
};
use wattle_mesh::core::time::Time;

use super::calls::Whose;
use super::frame::{self, Answer};
use super::{Cx, Effect, Machine, Then, Wake};
use crate::lattice::disk::{Kept, Op};
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;

/// How long an answer is waited for. A handler may take minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// Looks for messages that became too old so often.
const TICK: Duration = Duration::from_secs(1);
/// How long to wait after the disk refused to write.
const DISK_RETRY: Duration = Duration::from_secs(1);

pub(crate) type Settling = (Group, u64, Settled);

/// The outbox of a node.
#[derive(Debug)]
pub(super) struct Messages {
    outbox: Outbox,
    /// The size of each body that is held.
    sizes: BTreeMap<u64, usize>,
    /// The bodies of those that somebody reads.
    bodies: BTreeMap<u64, Body>,
    /// The components that wait until a message is kept.
    publishing: BTreeMap<u64, (u64, u64)>,
    wakes: Time,
    next: u64,
    /// What the disk refused to write down, and will be asked again.
    unsettled: BTreeMap<u64, Vec<Settling>>,
}

impl Messages {
    pub(super) fn load(kept: &Kept, config: Config, wall: UnixMillis) -> Self {
        let (next, messages, groups) = kept.messages();
        // Above every sequence that was ever used, also by a disk that is no longer there.
        let next = next.max(wall.0.saturating_mul(1000));
        let sizes = messages.iter().map(|message| (message.sequence, message.size)).collect();
        let bodies = bodies(kept, &messages);
        let outbox = Outbox::new(config, next, messages, groups);
        let publishing = BTreeMap::new();
        Self {
            outbox,
            sizes,
            bodies,
            publishing,
            wakes: Time::NEVER,
            next: 0,
            unsettled: BTreeMap::new(),
        }
    }
}

/// The body of a message, and for how many groups it is kept still.
#[derive(Debug)]
struct Body {
    bytes: Arc<[u8]>,
    left: usize,
}

fn bodies(kept: &Kept, messages: &[StoredMessage]) -> BTreeMap<u64, Body> {
    let body = |message: &StoredMessage| {
        let bytes = Arc::clone(kept.bodies().get(&message.sequence)?);
        Some((message.sequence, Body { bytes, left: message.groups.len() }))
    };
    messages.iter().filter_map(body).collect()
}

impl Messages {
    /// A message has ended for one group more.
    fn forget_body(&mut self, sequence: u64) {
        if let Some(body) = self.bodies.get_mut(&sequence) {
            body.left = body.left.saturating_sub(1);
            if body.left == 0 {
                self.bodies.remove(&sequence);
            }
        }
    }
}

/// Who can be reached, at one moment.
struct ReachNow<'a>(&'a Machine);

impl Reach for ReachNow<'_> {
    fn connected(&self, node: NodeId) -> bool {
        node == self.0.me || self.0.is_reachable(node)
    }

    fn serving(&self, group: &Group) -> Vec<NodeId> {
        let Self(machine) = self;
        let Some(component) = machine.table.subscriptions.component(group) else {
            return Vec::new();
        };
        let serves = |node: &NodeId| {
            machine.is_reachable(*node)
                && machine
                    .runs_of(*node)
                    .is_some_and(|runs| runs.components.contains_key(component))
        };
        let others = machine.everybody().filter(|node| *node != machine.me);
        let mut others: Vec<(Duration, NodeId)> = others
            .filter(serves)
            .map(|node| (machine.round_trip(node).unwrap_or(Duration::MAX), node))
            .collect();
        others.sort_unstable();
        let me = machine.runs(component).then_some(machine.me);
        me.into_iter().chain(others.into_iter().map(|(_, node)| node)).collect()
    }
}

impl Machine {
    /// Somebody publishes here: a message of this size, or with this body, for which the component
    /// `asked_by` waits. False if it is not taken.
    pub(crate) fn publish(
        &mut self,
        subject: &Subject,
        size: usize,
        body: Option<Arc<[u8]>>,
        asked_by: Option<(u64, u64)>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let groups = self.table.subscriptions.of(subject);
        let set: BTreeSet<Group> = groups.iter().cloned().collect();
        let size = body.as_ref().map_or(size, |body| body.len());
        let taken = self.messages.outbox.publish(cx.age, subject, size, &set);
        let Ok(sequence) = taken else {
            cx.happens(Happening::PublishRefused);
            return false;
        };
        let id = MessageId { publisher: self.me, sequence };
        if groups.is_empty() {
            cx.happens(Happening::Published { id, groups });
            if let Some(asked_by) = asked_by {
                self.guest_published(asked_by, Some(id), cx);
            }
            return true;
        }
        self.messages.publishing.extend(asked_by.map(|asked_by| (sequence, asked_by)));
        self.messages.sizes.insert(sequence, size);
        let (subject, taken) = (subject.clone(), cx.age);
        let mut ops = vec![Op::Keep { sequence, subject, size, taken, groups: set }];
        if let Some(body) = body {
            let (bytes, left) = (Arc::clone(&body), groups.len());
            self.messages.bodies.insert(sequence, Body { bytes, left });
            ops.push(Op::Body(sequence, body));
        }
        cx.out.push(Effect::Write { ops, then: Then::Kept { sequence, groups } });
        true
    }

    pub(super) fn message_kept(
        &mut self,
        sequence: u64,
        groups: Vec<Group>,
        is_done: bool,
        cx: &mut Cx<'_>,
    ) {
        self.messages.outbox.written(sequence, is_done);
        let id = MessageId { publisher: self.me, sequence };
        cx.happens(match is_done {
            true => Happening::Published { id, groups },
            false => Happening::PublishRefused,
        });
        if let Some(asked_by) = self.messages.publishing.remove(&sequence) {
            self.guest_published(asked_by, is_done.then_some(id), cx);
        }
        self.step_messages(cx);
    }

    /// Does what is to be done now.
    pub(super) fn step_messages(&mut self, cx: &mut Cx<'_>) {
        if self.messages.wakes <= cx.now {
            self.messages.wakes = Time::NEVER;
        }
        if self.messages.outbox.is_empty() {
            return;
        }
        let mut actions = Vec::new();
        // Taken out, so that it can look at the rest of the machine.
        let empty = Outbox::new(self.settings.outbox.clone(), 0, [], []);
        let mut outbox = std::mem::replace(&mut self.messages.outbox, empty);
        outbox.step(cx.now, cx.age, &ReachNow(self), &mut actions);
        let wake = outbox.wake_at(cx.now).min(cx.now.plus(TICK));
        self.messages.outbox = outbox;
        self.act_on_messages(actions, cx);
        if wake < self.messages.wakes {
            self.messages.wakes = wake;
            cx.wake(wake, Wake::Messages);
        }
    }

    fn act_on_messages(&mut self, actions: Vec<Action>, cx: &mut Cx<'_>) {
        let mut settled = Vec::new();
        for action in actions {
            match action {
                Action::Deliver(sending) => self.deliver(sending, cx),
                Action::Settle { group, sequence, how } => settled.push((group, sequence, how)),
                Action::Assign { group, node } => {
                    let ops = vec![Op::Assign(group, node)];
                    cx.out.push(Effect::Write { ops, then: Then::Nothing });
                }
            }
        }
        if !settled.is_empty() {
            self.write_settled(settled, cx);
        }
    }

    fn write_settled(&mut self, settled: Vec<Settling>, cx: &mut Cx<'_>) {
        let op =
            |(group, sequence, how): &Settling| Op::Settle(group.clone(), *sequence, how.clone());
        let ops = settled.iter().map(op).collect();
        cx.out.push(Effect::Write { ops, then: Then::Settled(settled) });
    }

    pub(super) fn messages_settled(
        &mut self,
        settled: Vec<Settling>,
        is_done: bool,
        cx: &mut Cx<'_>,
    ) {
        if !is_done {
            self.messages.next += 1;
            self.messages.unsettled.insert(self.messages.next, settled);
            return cx.wake(cx.now.plus(DISK_RETRY), Wake::Settle(self.messages.next));
        }
        for (group, sequence, how) in settled {
            let name = match how {
                Settled::Handled => "handled",
                Settled::Expired => "expired",
                Settled::Parked(_) => "parked",
            };
            if name != "parked" {
                self.messages.forget_body(sequence);
            }
            let id = MessageId { publisher: self.me, sequence };
            cx.happens(Happening::Settled { group: group.clone(), id, how: name });
            self.messages.outbox.settled(&group, sequence, how);
        }
        self.step_messages(cx);
    }

    /// Writes down what is settled, however long the disk refuses.
    pub(super) fn settle_again(&mut self, id: u64, cx: &mut Cx<'_>) {
        if let Some(settled) = self.messages.unsettled.remove(&id) {
            self.write_settled(settled, cx);
        }
    }

    fn deliver(&mut self, sending: Sending, cx: &mut Cx<'_>) {
        let Some(component) = self.table.subscriptions.component(&sending.group).cloned() else {
            let why = "nobody subscribes any more".into();
            return self.outcome(sending, stopped(DeliveryStop::Busy(why)), cx);
        };
        let sizes = &self.messages.sizes;
        let bodies = &self.messages.bodies;
        let body = |sequence: &u64| match bodies.get(sequence) {
            Some(body) => (*sequence, body.bytes.to_vec()),
            None => (*sequence, vec![0; sizes.get(sequence).copied().unwrap_or(0)]),
        };
        let delivery = Arc::new(Delivery {
            publisher: self.me,
            first: None,
            group: sending.group.clone(),
            floor: sending.floor,
            subject: sending.subject.clone(),
            messages: sending.sequences.iter().map(body).collect(),
            // Who passes one on is honest here.
            proof: None,
        });
        if sending.node == self.me {
            return self.receive_here(sending, &component, &delivery, cx);
        }
        let Some(header) = header(&component) else { return };
        let (to, whose) = (sending.node, Whose::Delivery(Box::new(sending)));
        self.request(whose, to, header, frame::Body::Delivery(delivery), cx);
    }

    /// The end of a delivery to another node.
    pub(super) fn delivered(
        &mut self,
        sending: Sending,
        result: Result<Answer, ErrorKind>,
        cx: &mut Cx<'_>,
    ) {
        let outcome = match result {
            Ok(Answer::Delivery(reply)) => Outcome::Answered(reply),
            Ok(Answer::Done { .. }) => Outcome::Lost("an answer to something else".into()),
            Err(_) if self.is_broken(Mutant::LoseMessages) => {
                let handled = u32::try_from(sending.sequences.len()).unwrap_or(u32::MAX);
                Outcome::Answered(DeliveryReply { handled, stopped: None })
            }
            Err(kind) => Outcome::Lost(kind.to_string()),
        };
        self.outcome(sending, outcome, cx);
    }

    pub(super) fn outcome(&mut self, sending: Sending, outcome: Outcome, cx: &mut Cx<'_>) {
        let mut actions = Vec::new();
        self.messages.outbox.outcome(cx.now, &sending, outcome, cx.rng, &mut actions);
        self.act_on_messages(actions, cx);
        // In a turn of its own: what it does next may end at once, too.
        cx.wake(cx.now, Wake::Messages);
    }

    /// How many messages wait here.
    pub(crate) fn waiting_messages(&self) -> usize {
        let status = self.messages.outbox.status(OutboxTime(0));
        status.iter().map(|group| group.waiting).sum()
    }
}

fn header(target: &ComponentId) -> Option<CallHeader> {
    let contract: ContractId = "wattle:messaging/incoming-handler".parse().ok()?;
    Some(CallHeader {
        time_left: PATIENCE,
        trace: TraceContext::default(),
        route: Arc::new(CallRoute {
            source: Source::Messages,
            target: target.clone(),
            contract,
            function: "handle".into(),
            encoding: Encoding::Message,
        }),
        hops: 1,
        relay: None,
    })
}

pub(super) fn stopped(stop: DeliveryStop) -> Outcome {
    Outcome::Answered(DeliveryReply { handled: 0, stopped: Some(stop) })
}
