//! One simulated node: the state machines of `mesh::core`, joined as the drivers of a real node
//! join them.
//!
//! What is decided is decided in `mesh::core`. Here stands what `mesh::net` and the node's daemon
//! do around it: who is asked what when, and what is done with the answer. A machine knows no
//! world: it is handed a moment and an input, and gives back effects.

mod abroad;
mod calls;
mod census;
mod chat;
mod frame;
mod gossip;
mod guests;
mod introducing;
mod links;
mod messages;
mod plane;
mod receive;
mod requests;
mod serve;
mod share;
mod table;
mod ticks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::id::{CellName, ComponentId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Labels, RecordBody, RecordKey};
use wattle_contracts::trust::UnixMillis;
use wattle_mesh::core::membership::{Membership, Standing};
use wattle_mesh::core::redial::Target;
use wattle_mesh::core::time::Time;
use wattle_mesh::core::{outbox, records};
use wattle_mesh::net::Timing;

pub(crate) use calls::Calling;
pub(crate) use frame::{Frame, answer_size};
pub(crate) use gossip::Gossip as GossipMessage;
pub(crate) use requests::Asking;
pub use requests::OutsideHost;

use crate::lattice::disk::{Kept, Op};
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;
use crate::rng::Seeded;
use crate::wasm::{Code, Guests, Values};

/// What all nodes of a run have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often things happen: what ships, unless a scenario slows it down.
    pub timing: Timing,
    /// Whether nodes gossip. Without it each knows only of those it has a connection to.
    pub gossip: bool,
    /// By whose code they do.
    pub gossip_by: GossipBy,
    /// What connections are.
    pub fidelity: Fidelity,
    /// What a node keeps of records.
    pub records: records::Limits,
    /// What a node keeps of messages.
    pub outbox: outbox::Config,
    /// How long a component takes to be fetched, compiled and started.
    pub start: Duration,
    /// How components behave.
    pub behaviours: BTreeMap<ComponentId, Behaviour>,
    /// The hosts outside of the mesh that components may ask, by name.
    pub outside: BTreeMap<String, OutsideHost>,
    /// The real components of the apps, where they are to be run.
    pub code: Option<Code>,
    /// The rule that is broken, if one is.
    pub broken: Option<Mutant>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timing: Timing::default(),
            gossip: true,
            gossip_by: GossipBy::Chitchat,
            fidelity: Fidelity::Pipes,
            records: records::Limits::default(),
            outbox: outbox::Config::default(),
            start: Duration::from_millis(500),
            behaviours: BTreeMap::new(),
            outside: BTreeMap::new(),
            code: None,
            broken: None,
        }
    }
}

/// What carries the facts of nodes about themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GossipBy {
    /// The code that ships.
    Chitchat,
    /// A stand-in that exchanges in the same way, for hundreds of nodes.
    StandIn,
}

/// What the connections between nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fidelity {
    /// Pipes with the timing of QUIC.
    #[default]
    Pipes,
    /// Real QUIC over datagrams.
    Quic,
}

/// How a component behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Behaviour {
    /// How long a call or a message takes it.
    pub takes: Duration,
    /// How often it fails, in millionths.
    pub fails_ppm: u32,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { takes: Duration::from_millis(5), fails_ppm: 0 }
    }
}

/// What a machine is handed besides its input.
pub(crate) struct Cx<'a> {
    /// The node's monotonic clock.
    pub(crate) now: Time,
    /// The node's wall clock.
    pub(crate) wall: UnixMillis,
    /// The clock of its outbox.
    pub(crate) age: outbox::OutboxTime,
    pub(crate) rng: &'a mut Seeded,
    pub(crate) out: &'a mut Vec<Effect>,
}

impl Cx<'_> {
    fn happens(&mut self, what: Happening) {
        self.out.push(Effect::Happens(what));
    }

    fn wake(&mut self, at: Time, what: Wake) {
        self.out.push(Effect::Wake { at, what });
    }
}

/// What a machine wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    Send {
        connection: u64,
        payload: Payload,
    },
    Dial {
        target: Target,
        addresses: Vec<String>,
    },
    /// Dials a node that dials this one at the same moment.
    DialTogether {
        node: NodeId,
    },
    Close {
        connection: u64,
    },
    Write {
        ops: Vec<Op>,
        then: Then,
    },
    Reload,
    Wake {
        at: Time,
        what: Wake,
    },
    Happens(Happening),
}

/// What travels over a connection.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    Control(wattle_contracts::control::Control),
    Gossip(Arc<GossipMessage>),
    Call(Box<Frame>),
}

/// What is done once a write has ended.
#[derive(Debug)]
pub(crate) enum Then {
    Nothing,
    Records(Box<plane::Rest>),
    Kept { sequence: u64, groups: Vec<wattle_contracts::message::Group> },
    Settled(Vec<messages::Settling>),
    Handled { delivery: u64, sequence: u64 },
    Stored(Box<guests::Stored>),
}

/// What a machine wants to be woken for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wake {
    Tick(u64),
    Plane,
    Reload,
    Gossip,
    Share,
    Messages,
    Call(u64),
    Attempt(u64),
    Serve(u64),
    Handle(u64),
    Settle(u64),
    Guest(u64),
}

/// The volatile part of a node.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) me: NodeId,
    key: Arc<SigningKey>,
    settings: Arc<Settings>,
    /// Whom this node may know; everybody where there is no limit.
    circle: Option<Arc<BTreeSet<NodeId>>>,
    links: links::Links,
    pub(crate) membership: Membership,
    census: census::Census,
    abroad: abroad::Abroad,
    introducing: introducing::Introducing,
    gossip: gossip::State,
    /// chitchat, where it and not the stand-in carries the gossip.
    chat: Option<chat::Chat>,
    plane: plane::Plane,
    table: table::Table,
    share: share::Share,
    calls: calls::Calls,
    serving: serve::Serving,
    messages: messages::Messages,
    receiving: receive::Receiving,
    values: Values,
    guests: Option<Box<Guests>>,
    executions: BTreeMap<u64, guests::Guest>,
    /// Something that others go by has changed since it was last looked at.
    changed: bool,
    ticks: ticks::Ticks,
}

/// Who a node is.
pub(crate) struct Identity {
    pub(crate) id: NodeId,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) labels: Arc<Labels>,
    pub(crate) cell: CellName,
    pub(crate) circle: Option<Arc<BTreeSet<NodeId>>>,
}

impl Machine {
    /// Starts a node with what is on its disk, and the addresses that it is given.
    pub(crate) fn start(
        identity: Identity,
        settings: Arc<Settings>,
        kept: &Kept,
        hints: &[String],
        cx: &mut Cx<'_>,
    ) -> Self {
        let Identity { id, key, labels, cell, circle } = identity;
        let tick = settings.timing.tick;
        let first = cx.now.plus(spread(tick, cx.rng));
        let known = kept.remembered().iter().map(|(node, _)| *node);
        let mut machine = Self {
            me: id,
            key,
            circle,
            links: links::Links::new(id, settings.timing.clone()),
            membership: Membership::new(id, Default::default(), cx.now, known),
            census: census::Census::new(&settings.timing, labels, kept.said()),
            abroad: abroad::Abroad::new(id, cell, cx.now),
            introducing: introducing::Introducing::default(),
            // As chitchat, which takes another life for another node: later, whatever the clock says.
            gossip: gossip::State::new(
                id,
                UnixMillis(cx.wall.0.max(kept.said())),
                settings.timing.gossip,
            ),
            chat: (settings.gossip && settings.gossip_by == GossipBy::Chitchat)
                .then(|| chat::Chat::new(id)),
            plane: plane::Plane::default(),
            table: table::Table::default(),
            share: share::Share::default(),
            calls: calls::Calls::default(),
            serving: serve::Serving::default(),
            messages: messages::Messages::load(kept, settings.outbox.clone(), cx.wall),
            receiving: receive::Receiving::load(kept),
            values: Values::load(kept),
            guests: None,
            executions: BTreeMap::new(),
            changed: true,
            ticks: ticks::Ticks::new(first, tick),
            settings,
        };
        machine.load_records(kept, cx);
        machine.first_hints(kept, hints, cx);
        machine.say_about(cx);
        cx.wake(first, Wake::Tick(0));
        if machine.chat.is_some() {
            machine.chat_begins(cx);
        } else if machine.settings.gossip {
            let round = machine.settings.timing.gossip;
            let first = cx.now.plus(spread(round, cx.rng));
            cx.wake(first, Wake::Gossip);
        }
        machine.settle(cx);
        machine
    }

    /// Something that the machine asked to be woken for is due.
    pub(crate) fn wake(&mut self, what: Wake, cx: &mut Cx<'_>) {
        match what {
            Wake::Tick(number) if self.is_tick(number) => {
                self.tick(cx);
                self.settle(cx);
                return self.plan_next_tick(cx);
            }
            Wake::Tick(_) => return,
            Wake::Plane => self.plane_due(cx),
            Wake::Reload => cx.out.push(Effect::Reload),
            Wake::Gossip if self.chat.is_some() => self.chat_due(cx),
            Wake::Gossip => {
                self.gossip_round(cx);
                cx.wake(cx.now.plus(self.settings.timing.gossip), Wake::Gossip);
            }
            Wake::Share => self.changed = true,
            Wake::Messages => self.step_messages(cx),
            Wake::Call(id) => self.advance_call(id, cx),
            Wake::Attempt(id) => self.attempt_late(id, cx),
            Wake::Serve(id) => self.executed(id, cx),
            Wake::Handle(id) => self.handle_next(id, cx),
            Wake::Settle(id) => self.settle_again(id, cx),
            Wake::Guest(id) => self.guest_due(id, cx),
        }
        self.settle(cx);
    }

    /// What came over a connection.
    pub(crate) fn receive(&mut self, connection: u64, payload: Payload, cx: &mut Cx<'_>) {
        use wattle_contracts::control::Control;
        let Some(from) = self.links.peer_of(connection) else { return };
        match payload {
            Payload::Control(Control::Records(message)) => self.records_from(from, message, cx),
            Payload::Control(Control::Probe(probe)) => self.on_probe(from, probe, cx),
            // Of other cells there are summaries, and no gossip goes on between them.
            Payload::Control(Control::Peers(_) | Control::Gossip(_)) | Payload::Gossip(_)
                if !self.is_near(from) => {}
            Payload::Control(Control::Peers(hints)) => self.on_hints(hints, cx),
            Payload::Control(Control::Introduce(said)) => self.on_introduce(from, said, cx),
            Payload::Control(Control::Goodbye(fact)) => self.on_goodbye(from, *fact, cx),
            Payload::Control(Control::Gossip(message)) => self.on_chat(from, message, cx),
            Payload::Control(_) => {}
            Payload::Gossip(message) => self.on_gossip(from, &message, cx),
            Payload::Call(frame) => self.on_frame(from, connection, *frame, cx),
        }
        self.settle(cx);
    }

    /// A write has ended.
    pub(crate) fn written(&mut self, then: Then, is_done: bool, cx: &mut Cx<'_>) {
        match then {
            Then::Nothing => {}
            Then::Records(rest) => self.records_written(*rest, is_done, cx),
            Then::Kept { sequence, groups } => self.message_kept(sequence, groups, is_done, cx),
            Then::Settled(settled) => self.messages_settled(settled, is_done, cx),
            Then::Handled { delivery, sequence } => {
                self.handled_written(delivery, sequence, is_done, cx);
            }
            Then::Stored(stored) => self.value_written(*stored, is_done, cx),
        }
        self.settle(cx);
    }

    /// A person changes a record here.
    pub(crate) fn edit(&mut self, key: RecordKey, body: RecordBody, cx: &mut Cx<'_>) {
        self.put_record(key, body, cx);
        self.settle(cx);
    }

    fn tick(&mut self, cx: &mut Cx<'_>) {
        self.tend_cells(cx);
        self.tick_links(cx);
        self.tick_census(cx);
        self.seek(cx);
    }

    /// After every input: what follows from what has changed.
    fn settle(&mut self, cx: &mut Cx<'_>) {
        if std::mem::take(&mut self.changed) {
            self.set_detours();
            self.settle_share(cx);
            self.remember(cx);
            self.step_messages(cx);
        }
        self.plan_earlier_tick(cx);
    }

    /// Through whom nodes are reached: of this cell behind a cut, or of another cell.
    fn set_detours(&mut self) {
        self.links.set_detours(self.membership.detours(), self.abroad.ways());
    }

    fn is_broken(&self, rule: Mutant) -> bool {
        self.settings.broken == Some(rule)
    }

    /// How many nodes it knows, and holds to be alive, itself included.
    pub(crate) fn census_counts(&self) -> (usize, usize) {
        let alive = self.membership.nodes().filter(|node| node.standing() == Standing::Alive);
        (self.membership.nodes().count(), alive.count())
    }
}

/// A share of `interval`, so that not all nodes do the same at once.
fn spread(interval: Duration, rng: &mut Seeded) -> Duration {
    use rand::Rng as _;
    let micros = u64::try_from(interval.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(rng.random_range(0..=micros))
}
