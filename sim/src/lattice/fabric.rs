//! The network between the nodes: how long a packet takes, whether it arrives, who is cut off.
//!
//! Connections are QUIC's: what is lost is sent again, in order, until the connection is given up.
//! So a loss shows as time. All arithmetic on times is in whole microseconds, and a random number
//! is a whole one: a run is the same on every machine.

use std::time::Duration;

use rand::Rng;
use wattle_mesh::core::time::Time;

use super::nodes::NodeSet;

/// How a link is. Shares are in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quality {
    /// The shortest time that a packet takes.
    pub latency: Duration,
    /// What most packets take longer, at most. One in a hundred takes up to five times as much.
    pub jitter: Duration,
    /// The share of packets that are lost.
    pub loss_ppm: u32,
    /// The share of control messages that arrive twice.
    pub duplicate_ppm: u32,
    /// The share of control messages that others overtake.
    pub reorder_ppm: u32,
    /// Bytes per second that all messages over this link share, in each direction.
    pub bandwidth: Option<u64>,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::from_millis(1),
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
            bandwidth: None,
        }
    }
}

/// The links between two sets of nodes, in both directions.
#[derive(Debug, Clone)]
pub struct Link {
    /// One side.
    pub one: NodeSet,
    /// The other.
    pub other: NodeSet,
    /// How it is.
    pub quality: Quality,
}

#[derive(Debug)]
struct Rule {
    id: u64,
    link: Link,
    /// Until when what was sent before keeps it busy, in each direction.
    busy: [Time; 2],
}

#[derive(Debug)]
struct Block {
    id: u64,
    from: NodeSet,
    to: NodeSet,
}

/// What became of a message that was put on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transit {
    /// How long it takes.
    pub takes: Duration,
    /// Whether later ones wait for it.
    pub in_order: bool,
    /// When it comes a second time, if it does.
    pub again: Option<Duration>,
}

/// The network.
#[derive(Debug)]
pub struct Fabric {
    usual: Quality,
    /// The last one that fits counts.
    rules: Vec<Rule>,
    blocks: Vec<Block>,
    /// Nodes that only nodes of the same set can begin a connection to.
    nats: Vec<NodeSet>,
    next: u64,
}

/// More than so many times in a row nothing is lost: the connection breaks first.
const MOST_LOSSES: u32 = 12;

/// Before a narrow link, datagrams wait so long at most; then they are dropped.
const MOST_WAITING: Duration = Duration::from_millis(500);

impl Fabric {
    /// A network in which all links are so.
    pub fn new(usual: Quality) -> Self {
        Self { usual, rules: Vec::new(), blocks: Vec::new(), nats: Vec::new(), next: 0 }
    }

    /// Makes the links between two sets of nodes so, whatever they were, until it is undone.
    pub fn set(&mut self, link: Link) -> u64 {
        self.next += 1;
        self.rules.push(Rule { id: self.next, link, busy: [Time::ZERO; 2] });
        self.next
    }

    /// Lets nothing pass in one direction, until it is undone.
    pub fn block(&mut self, from: NodeSet, to: NodeSet) -> u64 {
        self.next += 1;
        self.blocks.push(Block { id: self.next, from, to });
        self.next
    }

    /// Puts a translator of addresses in front of these nodes.
    pub fn hide(&mut self, inside: NodeSet) {
        self.nats.push(inside);
    }

    /// Undoes a [`Fabric::set`] or a [`Fabric::block`].
    pub fn undo(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
        self.blocks.retain(|block| block.id != id);
    }

    /// Whether packets pass from one node to another.
    pub fn passes(&self, from: usize, to: usize) -> bool {
        !self.blocks.iter().any(|block| block.from.has(from) && block.to.has(to))
    }

    /// Whether `from` can begin a connection to `to`, cuts aside.
    pub fn may_dial(&self, from: usize, to: usize) -> bool {
        self.nats.iter().all(|inside| !inside.has(to) || inside.has(from))
    }

    /// How the link between two nodes is.
    pub fn quality(&self, from: usize, to: usize) -> Quality {
        let rule = self.rules.iter().rev().find(|rule| rule.direction(from, to).is_some());
        rule.map_or(self.usual, |rule| rule.link.quality)
    }

    /// How long one packet takes, if it is not lost.
    pub fn packet(&self, from: usize, to: usize, rng: &mut impl Rng) -> Option<Duration> {
        let quality = self.quality(from, to);
        let lost = !self.passes(from, to) || draw(quality.loss_ppm, rng);
        (!lost).then(|| quality.delay(rng))
    }

    /// What becomes of a datagram of `bytes`; nothing if it is lost, or if too much waits before a
    /// narrow link.
    pub fn datagram(
        &mut self,
        now: Time,
        (from, to): (usize, usize),
        bytes: usize,
        rng: &mut impl Rng,
    ) -> Option<Transit> {
        if !self.passes(from, to) {
            return None;
        }
        let rule = self.rules.iter_mut().rev().find_map(|rule| {
            let direction = rule.direction(from, to)?;
            Some((rule, direction))
        });
        let (quality, queued) = match rule {
            Some((rule, direction)) if rule.waits(now, direction) > MOST_WAITING => {
                (rule.link.quality, None)
            }
            Some((rule, direction)) => (rule.link.quality, Some(rule.queue(now, direction, bytes))),
            None => (self.usual, Some(self.usual.serialize(bytes))),
        };
        let takes = quality.delay(rng).saturating_add(queued?);
        let is_lost = draw(quality.loss_ppm, rng);
        let in_order = !draw(quality.reorder_ppm, rng);
        let twice = draw(quality.duplicate_ppm, rng);
        let again = twice.then(|| takes.saturating_add(quality.delay(rng)));
        (!is_lost).then_some(Transit { takes, in_order, again })
    }

    /// How long a message of `bytes` takes, with what is lost of it sent again. Cuts aside.
    pub fn transit(
        &mut self,
        now: Time,
        (from, to): (usize, usize),
        bytes: usize,
        rng: &mut impl Rng,
    ) -> Transit {
        let rule = self.rules.iter_mut().rev().find_map(|rule| {
            let direction = rule.direction(from, to)?;
            Some((rule, direction))
        });
        let (quality, queued) = match rule {
            Some((rule, direction)) => (rule.link.quality, rule.queue(now, direction, bytes)),
            None => (self.usual, self.usual.serialize(bytes)),
        };
        let mut takes = quality.delay(rng).saturating_add(queued);
        // A probe time-out is about three times the way (RFC 9002, section 6.2), and doubles.
        let mut again = (quality.latency * 3).max(Duration::from_millis(30));
        for _ in 0..MOST_LOSSES {
            if !draw(quality.loss_ppm, rng) {
                break;
            }
            takes = takes.saturating_add(again);
            again = (again * 2).min(Duration::from_secs(3));
        }
        let in_order = !draw(quality.reorder_ppm, rng);
        let twice = draw(quality.duplicate_ppm, rng);
        Transit { takes, in_order, again: twice.then(|| takes.saturating_add(quality.delay(rng))) }
    }
}

impl Rule {
    /// How long something would wait before it is sent.
    fn waits(&self, now: Time, direction: usize) -> Duration {
        self.busy.get(direction).map_or(Duration::ZERO, |busy| busy.since(now))
    }

    fn direction(&self, from: usize, to: usize) -> Option<usize> {
        let Link { one, other, .. } = &self.link;
        match () {
            () if one.has(from) && other.has(to) => Some(0),
            () if other.has(from) && one.has(to) => Some(1),
            () => None,
        }
    }

    /// Waits in line behind what was sent before.
    fn queue(&mut self, now: Time, direction: usize, bytes: usize) -> Duration {
        let takes = self.link.quality.serialize(bytes);
        let Some(busy) = self.busy.get_mut(direction).filter(|_| !takes.is_zero()) else {
            return Duration::ZERO;
        };
        *busy = now.max(*busy).plus(takes);
        busy.since(now)
    }
}

impl Quality {
    fn delay(&self, rng: &mut impl Rng) -> Duration {
        let jitter = u64::try_from(self.jitter.as_micros()).unwrap_or(u64::MAX / 8);
        if jitter == 0 {
            return self.latency;
        }
        // The product of two: most are short.
        let (one, two) = (rng.random_range(0..=jitter), rng.random_range(0..=1024u64));
        let longer = if draw(10_000, rng) { 5 } else { 1 };
        self.latency.saturating_add(Duration::from_micros(one * two / 1024 * longer))
    }

    fn serialize(&self, bytes: usize) -> Duration {
        match self.bandwidth {
            Some(rate) => {
                Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate.max(1))
            }
            None => Duration::ZERO,
        }
    }
}

/// True in so many of a million cases.
pub(crate) fn draw(ppm: u32, rng: &mut impl Rng) -> bool {
    ppm > 0 && rng.random_range(0..1_000_000u32) < ppm
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Seeded;

    #[test]
    fn a_cut_is_undone_and_a_direction_is_one() {
        let mut fabric = Fabric::new(Quality::default());
        let cut = fabric.block(NodeSet::of([0, 1]), NodeSet::of([2]));
        assert!(!fabric.passes(1, 2) && fabric.passes(2, 1) && fabric.passes(0, 1));
        fabric.undo(cut);
        assert!(fabric.passes(1, 2));
    }

    #[test]
    fn nodes_behind_a_translator_are_reached_from_inside_only() {
        let mut fabric = Fabric::new(Quality::default());
        fabric.hide(NodeSet::of([2, 3]));
        assert!(fabric.may_dial(2, 0) && fabric.may_dial(3, 2) && !fabric.may_dial(0, 2));
    }

    #[test]
    fn messages_share_the_width_of_a_link() {
        let mut fabric = Fabric::new(Quality::default());
        let quality = Quality {
            latency: Duration::from_millis(10),
            jitter: Duration::ZERO,
            bandwidth: Some(1000),
            ..Quality::default()
        };
        fabric.set(Link { one: NodeSet::of([0]), other: NodeSet::of([1, 2]), quality });
        let mut rng = Seeded::new(1);
        let mut takes =
            |from, to| fabric.transit(Time::ZERO, (from, to), 500, &mut rng).takes.as_millis();
        assert_eq!([takes(0, 1), takes(0, 2), takes(1, 0)], [510, 1010, 510]);
    }

    #[test]
    fn loss_shows_as_time() {
        let quality = Quality { loss_ppm: 500_000, ..Quality::default() };
        let mut fabric = Fabric::new(quality);
        let mut rng = Seeded::new(7);
        let takes: Vec<Duration> =
            (0..1000).map(|_| fabric.transit(Time::ZERO, (0, 1), 100, &mut rng).takes).collect();
        let late = takes.iter().filter(|takes| **takes > Duration::from_millis(20)).count();
        assert!((450..550).contains(&late), "{late}");
    }
}
