//! What goes wrong, and what is put right again.

use std::sync::Arc;
use std::time::Duration;

use super::fabric::Link;
use super::happening::Happening;
use super::nodes::NodeSet;
use super::{ForNode, Lattice};
use crate::machine::{Cx, Machine};

/// How long a node that leaves waits for its last words to go out.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Lattice {
    /// Starts a node with what is on its disk, if it is down.
    pub fn start(&mut self, number: usize) {
        // All that it has written, it checks again.
        self.remembering(|lattice| lattice.start_now(number));
    }

    fn start_now(&mut self, number: usize) {
        let (now, settings) = (self.now, Arc::clone(&self.settings));
        let Self { nodes, rng, .. } = self;
        let Some(node) = nodes.get_mut(number).filter(|node| node.machine.is_none()) else {
            return;
        };
        node.life += 1;
        node.flush = (now, now);
        node.clocks.restart(now);
        let mut out = Vec::new();
        let (local, wall) = (node.clocks.local(now), node.clocks.wall(now));
        let mut cx = Cx { now: local, wall, age: node.clocks.age(now), rng, out: &mut out };
        let (identity, kept) = (Self::identity(node), node.disk.kept());
        let machine = Machine::start(identity, settings, kept, &node.hints, &mut cx);
        node.machine = Some(Box::new(machine));
        let is_hostile = node.is_hostile;
        self.note(number, Happening::Started);
        self.perform(number, &mut out);
        if is_hostile {
            self.plan(now.plus(Duration::from_secs(1)), number, ForNode::Hostile);
        }
    }

    /// Lets a node hear by multicast where another is.
    pub fn introduce(&mut self, number: usize, other: usize) {
        let Some(other) = self.id_of(other) else { return };
        self.with(number, |machine, cx| machine.introduced(other, &super::address(other), cx));
    }

    /// Kills a node: what is not on its disk is lost.
    pub fn kill(&mut self, number: usize) {
        let Self { nodes, rng, .. } = self;
        let Some(node) = nodes.get_mut(number).filter(|node| node.machine.is_some()) else {
            return;
        };
        node.machine = None;
        node.life += 1;
        node.disk.crash(rng);
        self.drop_pipes(number);
        self.note(number, Happening::Stopped { killed: true });
    }

    /// Lets a node leave in good order.
    pub fn leave(&mut self, number: usize) {
        if self.with(number, Machine::leave) {
            self.plan(self.now.plus(LAST_WORDS), number, ForNode::Stop);
        }
    }

    pub(super) fn stop_now(&mut self, number: usize) {
        if !self.is_up(number) {
            return;
        }
        for pipe in self.pipes_of(number) {
            self.close(number, pipe);
        }
        if let Some(node) = self.nodes.get_mut(number) {
            node.machine = None;
            node.life += 1;
            node.disk.sync();
        }
        self.note(number, Happening::Stopped { killed: false });
    }

    /// Takes a node that is down its disk away.
    pub fn wipe(&mut self, number: usize) {
        if let Some(node) = self.nodes.get_mut(number).filter(|node| node.machine.is_none()) {
            node.disk.wipe();
        }
    }

    /// Lets nothing pass from some nodes to others.
    pub fn block(&mut self, from: NodeSet, to: NodeSet) -> u64 {
        self.fabric.block(from, to)
    }

    /// Makes links so, until that is undone.
    pub fn set_links(&mut self, link: Link) -> u64 {
        self.fabric.set(link)
    }

    /// Undoes a change of the links.
    pub fn undo(&mut self, id: u64) {
        self.fabric.undo(id);
        self.links_changed();
    }

    /// Puts a translator of addresses in front of these nodes.
    pub fn hide(&mut self, inside: NodeSet) {
        self.fabric.hide(inside);
    }

    /// Sets a node's clocks wrong: the wall clock, and how fast both run.
    pub fn set_clock(&mut self, number: usize, offset_millis: i64, drift_ppm: i64) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(number) {
            node.clocks.set(now, offset_millis, drift_ppm);
        }
    }

    /// Makes everything reach a node so much later.
    pub fn set_slow(&mut self, number: usize, by: Duration) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.slow = by;
        }
    }

    /// Makes each write of a node take so long.
    pub fn set_disk_time(&mut self, number: usize, takes: Duration) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.disk_takes = takes;
        }
    }

    /// Fills a node's disk, or makes room on it.
    pub fn set_disk_full(&mut self, number: usize, is_full: bool) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.disk.set_full(is_full);
        }
    }

    /// Makes a node, which is a member, send what no honest one sends.
    pub fn set_hostile(&mut self, number: usize, is_hostile: bool) {
        let Some(node) = self.nodes.get_mut(number) else { return };
        let begins = is_hostile && !node.is_hostile && node.machine.is_some();
        node.is_hostile = is_hostile;
        if begins {
            self.plan(self.now.plus(Duration::from_secs(1)), number, ForNode::Hostile);
        }
    }

    /// Notes that a fault begins, or is over.
    pub fn note_fault(&mut self, node: usize, what: String, begins: bool) {
        let what = if begins { Happening::Begins(what) } else { Happening::Ends(what) };
        self.note(node, what);
    }
}
