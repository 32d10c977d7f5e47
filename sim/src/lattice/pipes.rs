//! The connections between nodes: how they come up, what they carry, and how each side finds out
//! that one is gone. QUIC's behaviour with the timing of a real node, packet by packet only where
//! that shows.

use std::collections::VecDeque;
use std::time::Duration;

use rand::Rng as _;
use wattle_contracts::call::CallHeader;
use wattle_contracts::id::NodeId;
use wattle_contracts::wire;
use wattle_mesh::core::redial::Target;
use wattle_mesh::core::time::Time;

use super::{Event, ForNode, Lattice, address};
use crate::machine::{Frame, GossipMessage, Payload};

/// A handshake that gets no answer is given up after so long.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// What each side sends for a handshake, about: QUIC's two flights, the papers, and their
/// confirmation; one that gets no answer sends its first packet as often until it is given up.
const HANDSHAKE_PACKETS: u64 = 4;
/// More messages than this do not wait for a connection that is stuck.
const STALLED: usize = 4096;
/// A sender that heard nothing tries again at least so often.
const PROBE: Duration = Duration::from_secs(1);
/// So many packets go each way between two pings.
const PACKETS: usize = 3;

/// One of the two ends of a connection: the one that dialled it, or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Dialler,
    Dialled,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Side::Dialler => Side::Dialled,
            Side::Dialled => Side::Dialler,
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Pipe {
    dialler: End,
    dialled: End,
}

#[derive(Debug)]
struct End {
    node: usize,
    is_open: bool,
    /// When a packet last came.
    heard: Time,
    /// When the last message from this end arrives.
    last: Time,
    /// What this end has sent, and a cut holds up.
    stalled: VecDeque<Payload>,
    /// Whether it is about to be sent again.
    resumes: bool,
}

impl End {
    fn new(node: usize, now: Time) -> Self {
        let stalled = VecDeque::new();
        Self { node, is_open: true, heard: now, last: now, stalled, resumes: false }
    }
}

impl Pipe {
    fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialler => &self.dialler,
            Side::Dialled => &self.dialled,
        }
    }

    fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Dialled => &mut self.dialled,
        }
    }

    fn side_of(&self, node: usize) -> Option<Side> {
        match () {
            () if self.dialler.node == node => Some(Side::Dialler),
            () if self.dialled.node == node => Some(Side::Dialled),
            () => None,
        }
    }

    /// From whom to whom messages of this end go.
    fn way(&self, side: Side) -> (usize, usize) {
        (self.end(side).node, self.end(side.other()).node)
    }
}

impl Lattice {
    pub(super) fn dial(&mut self, from: usize, target: Target, addresses: &[String]) {
        self.traffic.dials += HANDSHAKE_PACKETS;
        if self.quic.is_some() {
            return self.quic_dial(from, target, addresses);
        }
        let number = match &target {
            Target::Node(node) => self.number_of(*node),
            Target::Address(text) => self.by_address.get(text).copied(),
        };
        let known = addresses.iter().any(|text| self.by_address.get(text).copied() == number);
        let fails = self.now.plus(HANDSHAKE);
        let Some(to) = number.filter(|to| *to != from && known) else {
            return self.plan(fails, from, ForNode::DialFailed(target));
        };
        let is_open = self.fabric.may_dial(from, to) || self.was_knocked_at(from, to);
        let is_there = self.is_up(to) && is_open;
        let there = self.fabric.packet(from, to, &mut self.rng);
        let back = self.fabric.packet(to, from, &mut self.rng);
        match (is_there, there, back) {
            (true, Some(there), Some(back)) => {
                // A round trip for QUIC, and one for the papers.
                let at = self.now.plus((there + back) * 2);
                let life = |number: usize| self.nodes.get(number).map_or(0, |node| node.life);
                let (from, to) = ((from, life(from)), (to, life(to)));
                self.queue.put(at, Event::Established { from, to, target });
            }
            (true, Some(_), None) => {
                if let Some(by) = self.nodes.get(from).map(|node| node.id) {
                    self.plan(fails, to, ForNode::Knocked(by));
                }
                self.plan(fails, from, ForNode::DialFailed(target));
            }
            _ => self.plan(fails, from, ForNode::DialFailed(target)),
        }
    }

    /// Dials a node that dials this one at the same moment: the packets of each open its own NAT for
    /// the other's. The second of the two gets through.
    pub(super) fn dial_together(&mut self, from: usize, node: NodeId) {
        let Some(to) = self.number_of(node) else { return };
        self.knocks.insert((from, to), self.now);
        self.dial(from, Target::Node(node), &[address(node)]);
    }

    /// Whether the NAT in front of `to` lets in what comes from `from`.
    fn was_knocked_at(&self, from: usize, to: usize) -> bool {
        let lately = |at: &Time| self.now.since(*at) < HANDSHAKE;
        let both = [(from, to), (to, from)];
        both.iter().all(|way| self.knocks.get(way).is_some_and(lately))
    }

    pub(super) fn established(
        &mut self,
        (from, from_life): (usize, u64),
        (to, to_life): (usize, u64),
        target: &Target,
    ) {
        let life = |number: usize| self.nodes.get(number).map(|node| node.life);
        if life(from) != Some(from_life) {
            return;
        }
        let passes = self.fabric.passes(from, to) && self.fabric.passes(to, from);
        if !passes || life(to) != Some(to_life) || !self.is_up(to) {
            let fails = self.now.plus(HANDSHAKE);
            return self.plan(fails, from, ForNode::DialFailed(target.clone()));
        }
        let ids = (self.id_of(from), self.id_of(to));
        let (Some(from_id), Some(to_id)) = ids else { return };
        self.traffic.dials += HANDSHAKE_PACKETS;
        let cells = (self.cell_of(from), self.cell_of(to));
        let (Some(from_cell), Some(to_cell)) = cells else { return };
        self.next_pipe += 1;
        let (id, now) = (self.next_pipe, self.now);
        let pipe = Pipe { dialler: End::new(from, now), dialled: End::new(to, now) };
        self.pipes.insert(id, pipe);
        self.with(to, |machine, cx| {
            machine.meet(from_id, &from_cell);
            machine.connected((id, from_id), None, cx);
        });
        let place = address(to_id);
        self.with(from, |machine, cx| {
            machine.meet(to_id, &to_cell);
            machine.connected((id, to_id), Some((target, &place)), cx);
        });
        let ping = self.settings.timing.ping;
        let first = Duration::from_micros(self.rng.random_range(0..=micros(ping)));
        self.queue.put(now.plus(first), Event::Beat { pipe: id });
    }

    /// Puts a message on its way.
    pub(super) fn send(&mut self, number: usize, id: u64, payload: Payload) {
        if self.quic.is_some() {
            return self.quic_send(number, id, payload);
        }
        let bytes = self.account(number, id, &payload);
        let Self { pipes, fabric, rng, now, queue, nodes, .. } = self;
        let Some(pipe) = pipes.get_mut(&id) else { return };
        let Some(side) = pipe.side_of(number) else { return };
        let (from, to) = pipe.way(side);
        let end = pipe.end_mut(side);
        if !end.is_open {
            return;
        }
        if !fabric.passes(from, to) || !end.stalled.is_empty() {
            if end.stalled.len() < STALLED {
                end.stalled.push_back(payload);
            }
            return;
        }
        let transit = fabric.transit(*now, (from, to), bytes, rng);
        let slow = nodes.get(to).map_or(Duration::ZERO, |node| node.slow);
        let mut at = now.plus(transit.takes + slow);
        // Calls are never doubled or overtaken: QUIC sees to that. Of control messages, both are
        // more than it lets happen, and the state machines must bear it.
        let is_control = !matches!(payload, Payload::Call(_));
        if transit.in_order || !is_control {
            at = at.max(end.last);
            end.last = at;
        }
        if let Some(again) = transit.again.filter(|_| is_control) {
            let payload = payload.clone();
            queue.put(now.plus(again + slow), Event::Arrive { pipe: id, side, payload });
        }
        queue.put(at, Event::Arrive { pipe: id, side, payload });
    }

    /// A message of that side arrives.
    pub(super) fn arrive(&mut self, id: u64, side: Side, payload: Payload) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let (from, to) = pipe.way(side);
        if !pipe.end(side.other()).is_open {
            return;
        }
        // What a cut catches under way is sent again when it is over.
        if !self.fabric.passes(from, to) {
            let end = pipe.end_mut(side);
            if end.is_open && end.stalled.len() < STALLED {
                end.stalled.push_back(payload);
            }
            return;
        }
        pipe.end_mut(side.other()).heard = self.now;
        self.trace.note_message(self.now, id, to, &[]);
        self.with(to, |machine, cx| machine.receive(id, payload, cx));
    }

    /// A cut may be over: whoever waits tries again.
    pub(super) fn links_changed(&mut self) {
        let Self { pipes, fabric, rng, now, queue, .. } = self;
        for (id, pipe) in pipes.iter_mut() {
            for side in [Side::Dialler, Side::Dialled] {
                let (from, to) = pipe.way(side);
                let end = pipe.end_mut(side);
                if !end.stalled.is_empty() && !end.resumes && fabric.passes(from, to) {
                    end.resumes = true;
                    let wait = Duration::from_micros(rng.random_range(0..=micros(PROBE)));
                    queue.put(now.plus(wait), Event::Resume { pipe: id, side });
                }
            }
        }
    }

    /// What was held up is sent again, in its order.
    pub(super) fn resume(&mut self, id: u64, side: Side) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let (from, to) = pipe.way(side);
        let end = pipe.end_mut(side);
        end.resumes = false;
        if !end.is_open || !self.fabric.passes(from, to) {
            return;
        }
        let stalled = std::mem::take(&mut end.stalled);
        for payload in stalled {
            self.arrive(id, side, payload);
        }
    }

    /// Between two pings: whether packets still pass, in each direction.
    pub(super) fn beat(&mut self, id: u64) {
        let idle = self.settings.timing.idle_timeout;
        let Some(pipe) = self.pipes.get(&id) else { return };
        let mut passed = [None, None];
        for (slot, side) in passed.iter_mut().zip([Side::Dialler, Side::Dialled]) {
            let (from, to) = pipe.way(side);
            if pipe.end(side).is_open {
                let mut packets = (0..PACKETS).map(|_| self.fabric.packet(from, to, &mut self.rng));
                *slot = packets.find_map(|packet| packet);
            }
        }
        let mut idles = Vec::new();
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        for (packet, side) in passed.iter().zip([Side::Dialler, Side::Dialled]) {
            let end = pipe.end_mut(side.other());
            match packet {
                Some(_) => end.heard = self.now,
                None if end.is_open => idles.push((side.other(), end.heard.plus(idle))),
                None => {}
            }
        }
        let nodes = [pipe.dialler.node, pipe.dialled.node];
        if !pipe.dialler.is_open && !pipe.dialled.is_open {
            self.pipes.remove(&id);
            return;
        }
        // Both ask; who hears that, answers.
        let asked = [pipe.dialler.is_open, pipe.dialled.is_open].map(u64::from);
        let answered = passed.map(|packet| u64::from(packet.is_some()));
        self.traffic.pings += asked.iter().sum::<u64>() + answered.iter().sum::<u64>();
        for (side, at) in idles {
            self.queue.put(at.max(self.now), Event::Idle { pipe: id, side });
        }
        match passed {
            [Some(there), Some(back)] => {
                for number in nodes {
                    self.with(number, |machine, cx| machine.pinged(id, there + back, cx));
                }
            }
            _ => {
                for number in nodes {
                    self.with(number, |machine, cx| machine.unanswered(id, cx));
                }
            }
        }
        let ping = self.settings.timing.ping;
        self.queue.put(self.now.plus(ping), Event::Beat { pipe: id });
    }

    /// Nothing came for so long that the connection is given up, unless something passes by now.
    pub(super) fn idle(&mut self, id: u64, side: Side) {
        let idle = self.settings.timing.idle_timeout;
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let end = pipe.end(side);
        if !end.is_open || self.now.since(end.heard) < idle {
            return;
        }
        let (from, to) = pipe.way(side.other());
        let passes = pipe.end(side.other()).is_open && self.fabric.passes(from, to);
        if passes && self.fabric.packet(from, to, &mut self.rng).is_some() {
            pipe.end_mut(side).heard = self.now;
            return;
        }
        self.close_side(id, side);
    }

    /// A node closes a connection, and says so to the other side.
    pub(super) fn close(&mut self, number: usize, id: u64) {
        if self.quic.is_some() {
            return self.quic_close(number, id);
        }
        let Some(pipe) = self.pipes.get(&id) else { return };
        let Some(side) = pipe.side_of(number) else { return };
        let (from, to) = pipe.way(side);
        // After what was sent before.
        let last = pipe.end(side).last.max(self.now);
        if let Some(takes) = self.fabric.packet(from, to, &mut self.rng) {
            let at = last.max(self.now.plus(takes));
            self.queue.put(at, Event::Closed { pipe: id, side: side.other() });
        }
        self.close_side(id, side);
    }

    pub(super) fn close_side(&mut self, id: u64, side: Side) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        let end = pipe.end_mut(side);
        if !std::mem::take(&mut end.is_open) {
            return;
        }
        end.stalled.clear();
        let number = end.node;
        self.with(number, |machine, cx| machine.disconnected(id, cx));
    }

    /// The connections of a node that is down, or goes down.
    pub(super) fn pipes_of(&self, number: usize) -> Vec<u64> {
        if self.quic.is_some() {
            return self.quic_up(number);
        }
        let of = |pipe: &Pipe| pipe.side_of(number).is_some_and(|side| pipe.end(side).is_open);
        self.pipes.iter().filter(|(_, pipe)| of(pipe)).map(|(id, _)| id).collect()
    }

    /// A node is gone from one moment to the next: nobody is told.
    pub(super) fn drop_pipes(&mut self, number: usize) {
        for (_, pipe) in self.pipes.iter_mut() {
            if let Some(side) = pipe.side_of(number) {
                let end = pipe.end_mut(side);
                end.is_open = false;
                end.stalled.clear();
            }
        }
    }

    /// Counts and traces what is sent.
    pub(super) fn account(&mut self, number: usize, pipe: u64, payload: &Payload) -> usize {
        use wattle_contracts::control::Control;
        let encoded = payload.bytes();
        self.trace.note_message(self.now, pipe, number, &encoded);
        let bytes = encoded.len() + payload.inside();
        let traffic = &mut self.traffic;
        traffic.messages += 1;
        let is_record = matches!(payload, Payload::Control(Control::Records(_)));
        traffic.record_messages += u64::from(is_record);
        let kind = match payload {
            Payload::Control(Control::Records(_)) => &mut traffic.records,
            Payload::Gossip(_) | Payload::Control(Control::Gossip(_)) => &mut traffic.gossip,
            Payload::Call(_) => &mut traffic.calls,
            Payload::Control(_) => &mut traffic.other,
        };
        *kind += bytes as u64;
        if let Some(node) = self.nodes.get_mut(number) {
            node.bytes += bytes as u64;
        }
        bytes
    }
}

impl Payload {
    /// How it travels. Of calls without what is in them, which is made up.
    fn bytes(&self) -> Vec<u8> {
        let bytes = match self {
            Payload::Control(control) => wire::encode(control),
            Payload::Gossip(message) => wire::encode::<GossipMessage>(message),
            Payload::Call(frame) => match &**frame {
                Frame::Request { id, header, body } => {
                    let CallHeader { time_left, trace, route, hops, relay } = header;
                    wire::encode(&(id, (time_left, trace, &**route, hops, relay), body.summary()))
                }
                Frame::Response { id, result } => {
                    let result = result.as_ref().map(crate::machine::answer_size);
                    wire::encode(&(id, result.map_err(|kind| *kind)))
                }
            },
        };
        bytes.unwrap_or_default()
    }

    fn inside(&self) -> usize {
        match self {
            Payload::Call(frame) => frame.payload_size(),
            _ => 0,
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
