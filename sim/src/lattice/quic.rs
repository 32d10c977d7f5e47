//! Connections that are real: quinn's own state machines (`quinn-proto`), in virtual time, over
//! the datagrams of the made-up network. Handshakes, retransmission, congestion, idle time-outs
//! and closes are QUIC's; what is lost, late, doubled or cut off is the [`fabric`](super::fabric)'s.
//!
//! Each node has an endpoint for as long as it is up, and its own clock. The datagrams are told to
//! the trace with their sizes and times, not with their bytes: these depend on keys that TLS draws.

mod end;
mod frame;
mod host;
mod papers;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use rand::{Rng as _, RngCore as _};
use wattle_contracts::key::SigningKey;
use wattle_contracts::wire;
use wattle_mesh::core::redial::Target;
use wattle_mesh::core::time::Time;
use wattle_mesh::net::Timing;

use self::end::{Lane, News};
use self::frame::Frame;
use self::host::{Host, Pumped};
use self::papers::Papers;
use super::{Event, ForNode, Lattice, address};
use crate::machine::Payload;

/// The port of every node.
const PORT: u16 = 4433;
/// A translator of addresses remembers so long to whom somebody has sent.
const NAT_REMEMBERS: Duration = Duration::from_secs(120);
/// What no end has asked for after so many idle time-outs, none will.
const KEPT_ASIDE: u32 = 24;

/// The real part of the network.
pub(super) struct Net {
    /// What virtual time zero is to quinn.
    base: Instant,
    /// Without papers, a node has no connections.
    papers: Vec<Option<Papers>>,
    hosts: Vec<Option<Host>>,
    /// When the last datagram that keeps the order arrives, from whom at whom.
    last: BTreeMap<(usize, usize), Time>,
    /// When somebody last sent to somebody.
    sent: BTreeMap<(usize, usize), Time>,
    /// What is on its way and has no bytes of its own, since when.
    aside: BTreeMap<u64, (Time, Payload)>,
    next: u64,
}

/// What is to happen to connections.
#[derive(Debug)]
pub(super) enum Due {
    Datagram { from: usize, to: usize, bytes: Vec<u8> },
    Timer { node: usize, life: u64, end: u64, at: Time },
    Patience { node: usize, life: u64, end: u64 },
    Ping { node: usize, life: u64, end: u64 },
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Net {
    /// A network of nodes with these keys.
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a SigningKey>, timing: &Timing) -> Self {
        let papers: Vec<_> = keys.map(|key| Papers::new(key, timing).ok()).collect();
        Self {
            base: Instant::now(),
            hosts: papers.iter().map(|_| None).collect(),
            papers,
            last: BTreeMap::new(),
            sent: BTreeMap::new(),
            aside: BTreeMap::new(),
            next: 0,
        }
    }
}

/// Where a node is reached.
fn address_of(number: usize) -> SocketAddr {
    let number = u128::try_from(number).unwrap_or(u128::MAX);
    SocketAddr::new(Ipv6Addr::from_bits((0xfd << 120) | number).into(), PORT)
}

impl Lattice {
    /// What a node's clock shows, as quinn is told it.
    fn instant(&self, number: usize) -> Option<Instant> {
        let local = self.nodes.get(number)?.clocks.local(self.now);
        self.quic.as_ref()?.base.checked_add(local.elapsed())
    }

    /// The end of the network at a node that is up.
    fn host(&mut self, number: usize) -> Option<&mut Host> {
        let node = self.nodes.get(number).filter(|node| node.machine.is_some())?;
        let net = self.quic.as_mut()?;
        let slot = net.hosts.get_mut(number)?;
        if slot.as_ref().is_none_or(|host| host.life != node.life) {
            let endpoint = net.papers.get(number)?.as_ref()?.endpoint(&mut self.rng);
            *slot = Some(Host::new(node.life, endpoint));
        }
        slot.as_mut()
    }

    fn life_of(&self, number: usize) -> u64 {
        self.nodes.get(number).map_or(0, |node| node.life)
    }

    pub(super) fn quic_dial(&mut self, from: usize, target: Target, addresses: &[String]) {
        let number = match &target {
            Target::Node(node) => self.number_of(*node),
            Target::Address(text) => self.by_address.get(text).copied(),
        };
        let known = addresses.iter().any(|text| self.by_address.get(text).copied() == number);
        let patience = self.settings.timing.admission;
        let to = number.filter(|to| *to != from && known);
        let Some(peer) = to.and_then(|to| Some((to, self.id_of(to)?))) else {
            let fails = self.now.plus(patience);
            return self.plan(fails, from, ForNode::DialFailed(target));
        };
        self.next_pipe += 1;
        let (id, seed) = (self.next_pipe, self.rng.next_u64());
        let config = self.quic.as_ref().and_then(|net| net.papers.get(from)?.as_ref());
        let config = config.map(|papers| papers.dialling(seed));
        let (Some(now), Some(config)) = (self.instant(from), config) else { return };
        let Some(host) = self.host(from) else { return };
        if !host.dial(id, now, config, peer, target.clone()) {
            return self.plan(self.now, from, ForNode::DialFailed(target));
        }
        self.be_patient(from, id);
        self.pump(from, id);
    }

    /// A handshake, and then the door, may each take so long.
    fn be_patient(&mut self, node: usize, end: u64) {
        let at = self.now.plus(self.settings.timing.admission);
        let life = self.life_of(node);
        self.queue.put(at, Event::Quic(Due::Patience { node, life, end }));
    }

    pub(super) fn quic_send(&mut self, number: usize, id: u64, payload: Payload) {
        let bytes = self.account(number, id, &payload);
        let lane = match payload {
            Payload::Call(_) => Lane::Calls,
            _ => Lane::Control,
        };
        let frame = match payload {
            Payload::Control(control) => wire::encode(&control).ok().map(Frame::Control),
            made_up => self.put_aside(made_up).map(|key| Frame::Aside { key, bytes }),
        };
        let end = self.host(number).and_then(|host| host.end(id));
        if let (Some(end), Some(frame)) = (end, frame) {
            end.say(lane, &frame);
            self.pump(number, id);
        }
    }

    /// Keeps what has no bytes of its own until it arrives.
    fn put_aside(&mut self, payload: Payload) -> Option<u64> {
        let forgets = self.settings.timing.idle_timeout * KEPT_ASIDE;
        let net = self.quic.as_mut()?;
        while let Some(first) = net.aside.first_entry()
            && self.now.since(first.get().0) > forgets
        {
            first.remove();
        }
        net.next += 1;
        net.aside.insert(net.next, (self.now, payload));
        Some(net.next)
    }

    pub(super) fn quic_close(&mut self, number: usize, id: u64) {
        let Some(now) = self.instant(number) else { return };
        let Some(end) = self.host(number).and_then(|host| host.end(id)) else { return };
        let was_up = end.is_up();
        end.close(now);
        self.pump(number, id);
        if was_up {
            self.with(number, |machine, cx| machine.disconnected(id, cx));
        }
    }

    /// The connections of a node that are up.
    pub(super) fn quic_up(&self, number: usize) -> Vec<u64> {
        let host = self.quic.as_ref().and_then(|net| net.hosts.get(number)?.as_ref());
        let host = host.filter(|host| host.life == self.life_of(number));
        host.map(|host| host.up().collect()).unwrap_or_default()
    }

    pub(super) fn quic_due(&mut self, due: Due) {
        let (node, life, id) = match due {
            Due::Datagram { from, to, bytes } => return self.datagram(from, to, &bytes),
            Due::Timer { node, life, end, .. }
            | Due::Patience { node, life, end }
            | Due::Ping { node, life, end } => (node, life, end),
        };
        if self.life_of(node) != life || !self.is_up(node) {
            return;
        }
        match due {
            Due::Timer { at, .. } => {
                let Some(end) = self.host(node).and_then(|host| host.end(id)) else { return };
                if end.armed == Some(at) {
                    end.armed = None;
                    self.pump(node, id);
                }
            }
            Due::Patience { .. } => self.patience_ends(node, id),
            Due::Ping { .. } => self.ping(node, id),
            Due::Datagram { .. } => {}
        }
    }

    fn patience_ends(&mut self, number: usize, id: u64) {
        let Some(now) = self.instant(number) else { return };
        let Some(end) = self.host(number).and_then(|host| host.end(id)) else { return };
        if end.is_shaking_hands() || end.is_at_the_door() {
            let (target, peer) = (end.target.clone(), end.peer);
            end.close(now);
            self.pump(number, id);
            self.came_to_nothing(number, target, peer.0);
        }
    }

    fn came_to_nothing(&mut self, number: usize, target: Option<Target>, peer: usize) {
        match (target, self.id_of(peer)) {
            (Some(target), _) => {
                self.with(number, |machine, cx| machine.dial_failed(&target, cx));
            }
            (None, Some(by)) => _ = self.with(number, |machine, cx| machine.knocked(by, cx)),
            (None, None) => {}
        }
    }

    /// A datagram arrives.
    fn datagram(&mut self, from: usize, to: usize, bytes: &[u8]) {
        if !self.is_up(to) || !self.is_let_in(from, to) {
            return;
        }
        let (Some(now), Some(peer)) = (self.instant(to), self.id_of(from)) else { return };
        let new = self.next_pipe + 1;
        let Some(host) = self.host(to) else { return };
        match host.take(new, now, (from, peer), bytes) {
            Ok(id) => {
                if id == new {
                    self.next_pipe = new;
                    self.be_patient(to, id);
                }
                self.pump(to, id);
            }
            Err(Some(answer)) => self.emit(to, from, answer),
            Err(None) => {}
        }
    }

    /// Whether translators of addresses let it in: who is inside must have sent something out.
    fn is_let_in(&self, from: usize, to: usize) -> bool {
        let sent = self.quic.as_ref().and_then(|net| net.sent.get(&(to, from)));
        let lately = sent.is_some_and(|at| self.now.since(*at) < NAT_REMEMBERS);
        lately || self.fabric.may_dial(from, to)
    }

    /// Puts a datagram on its way.
    fn emit(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.trace.note_message(self.now, length, from, &[]);
        let Self { quic: Some(net), fabric, nodes, queue, rng, now, .. } = self else { return };
        net.sent.insert((from, to), *now);
        let Some(transit) = fabric.datagram(*now, (from, to), bytes.len(), rng) else { return };
        let slow = nodes.get(to).map_or(Duration::ZERO, |node| node.slow);
        let mut at = now.plus(transit.takes + slow);
        if transit.in_order {
            let last = net.last.entry((from, to)).or_default();
            at = at.max(*last);
            *last = at;
        }
        if let Some(again) = transit.again {
            let bytes = bytes.clone();
            let again = now.plus(again + slow);
            queue.put(again, Event::Quic(Due::Datagram { from, to, bytes }));
        }
        queue.put(at, Event::Quic(Due::Datagram { from, to, bytes }));
    }

    /// Lets an end do what it can, and does what follows.
    fn pump(&mut self, number: usize, id: u64) {
        let Some(now) = self.instant(number) else { return };
        let Some(host) = self.host(number) else { return };
        let Some((target, (peer, _))) = host.end(id).map(|end| (end.target.clone(), end.peer))
        else {
            return;
        };
        let Pumped { news, sent } = host.pump(id, now);
        for datagram in sent {
            self.emit(number, peer, datagram);
        }
        self.arm(number, id);
        for piece in news {
            match piece {
                News::Up => self.is_up_now(number, id, target.as_ref()),
                News::Came(frame) => self.came(number, id, frame),
                News::Lost { was_up: true } => {
                    self.with(number, |machine, cx| machine.disconnected(id, cx));
                }
                News::Lost { was_up: false } => self.came_to_nothing(number, target.clone(), peer),
            }
        }
    }

    /// Has an end woken when its next timer is due, by the node's own clock.
    fn arm(&mut self, number: usize, id: u64) {
        let Some(base) = self.quic.as_ref().map(|net| net.base) else { return };
        let wakes = self.host(number).and_then(|host| host.end(id)?.wakes());
        let (Some(wakes), Some(node)) = (wakes, self.nodes.get(number)) else { return };
        let after = wakes.saturating_duration_since(base) + Duration::from_nanos(999);
        let at = node.clocks.when(self.now, Time::since_start(after));
        let at = at.max(self.now.plus(Duration::from_micros(1)));
        let life = node.life;
        let Some(end) = self.host(number).and_then(|host| host.end(id)) else { return };
        if end.armed.is_none_or(|armed| at < armed) {
            end.armed = Some(at);
            self.queue.put(at, Event::Quic(Due::Timer { node: number, life, end: id, at }));
        }
    }

    fn is_up_now(&mut self, number: usize, id: u64, target: Option<&Target>) {
        let Some(end) = self.host(number).and_then(|host| host.end(id)) else { return };
        let peer = end.peer.1;
        let place = address(peer);
        self.with(number, |machine, cx| {
            machine.connected((id, peer), target.map(|target| (target, place.as_str())), cx);
        });
        let ping = u64::try_from(self.settings.timing.ping.as_micros()).unwrap_or(u64::MAX);
        let first = Duration::from_micros(self.rng.random_range(0..=ping));
        self.plan_ping(number, id, first);
    }

    fn plan_ping(&mut self, node: usize, end: u64, after: Duration) {
        let (at, life) = (self.now.plus(after), self.life_of(node));
        self.queue.put(at, Event::Quic(Due::Ping { node, life, end }));
    }

    /// Asks the other end, unless an answer is still to come.
    fn ping(&mut self, number: usize, id: u64) {
        let Some(local) = self.nodes.get(number).map(|node| node.clocks.local(self.now)) else {
            return;
        };
        let nonce = self.rng.next_u64();
        let Some(end) = self.host(number).and_then(|host| host.end(id)) else { return };
        if !end.is_up() {
            return;
        }
        if end.pinged.is_none() {
            end.pinged = Some((nonce, local));
            end.say(Lane::Control, &Frame::Ping(nonce));
            self.pump(number, id);
        } else {
            self.with(number, |machine, cx| machine.unanswered(id, cx));
        }
        self.plan_ping(number, id, self.settings.timing.ping);
    }

    /// Something came over a connection that is up.
    fn came(&mut self, number: usize, id: u64, frame: Frame) {
        let Some(local) = self.nodes.get(number).map(|node| node.clocks.local(self.now)) else {
            return;
        };
        let payload = match frame {
            Frame::Ping(nonce) => {
                if let Some(end) = self.host(number).and_then(|host| host.end(id)) {
                    end.say(Lane::Control, &Frame::Pong(nonce));
                    self.pump(number, id);
                }
                None
            }
            Frame::Pong(nonce) => {
                let end = self.host(number).and_then(|host| host.end(id));
                let asked = end.and_then(|end| end.pinged.take_if(|(asked, _)| *asked == nonce));
                if let Some((_, at)) = asked {
                    let took = local.since(at);
                    self.with(number, |machine, cx| machine.pinged(id, took, cx));
                }
                None
            }
            Frame::Control(bytes) => wire::decode(&bytes).ok().map(Payload::Control),
            Frame::Aside { key, .. } => {
                let kept = self.quic.as_mut().and_then(|net| net.aside.remove(&key));
                kept.map(|(_, payload)| payload)
            }
            Frame::Knock | Frame::Hello | Frame::Admitted => None,
        };
        if let Some(payload) = payload {
            self.trace.note_message(self.now, id, number, &[]);
            self.with(number, |machine, cx| machine.receive(id, payload, cx));
        }
    }
}
