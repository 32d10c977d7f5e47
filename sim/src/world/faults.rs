//! What goes wrong, and what is put right again.

use std::collections::BTreeSet;

use wattle_mesh::core::records::Records;
use wattle_mesh::core::time::Time;

use super::World;
use crate::disk::Disk;
use crate::network::Links;

impl World {
    /// Kills a node: at once, or in the middle of what it does next, after so many outputs.
    pub fn kill(&mut self, number: usize, after: Option<usize>) {
        if let Some(node) = self.nodes.get_mut(number) {
            match after {
                Some(_) => node.doom = after,
                None => {
                    node.records = None;
                    node.life += 1;
                }
            }
        }
        self.notice_all(number);
    }

    /// Starts a node with what is on its disk. One that is up, and to be killed, is spared.
    pub fn start(&mut self, number: usize) {
        let Some(node) = self.nodes.get_mut(number) else {
            return;
        };
        node.doom = None;
        if node.records.is_some() {
            return;
        }
        node.life += 1;
        let mut out = Vec::new();
        node.records = Some(Records::load(node.id, self.limits, node.disk.read(), &mut out));
        node.tick = Time::NEVER;
        self.trace.note(format_args!("{:?} {number} starts", self.now), &[]);
        self.perform(number, out);
        self.notice_all(number);
    }

    /// Cuts these nodes off from the others.
    pub fn cut(&mut self, side: &BTreeSet<usize>) {
        self.network.cut(side);
        (0..self.nodes.len()).for_each(|number| self.notice_all(number));
    }

    /// Undoes every cut.
    pub fn heal(&mut self) {
        self.network.heal();
        (0..self.nodes.len()).for_each(|number| self.notice_all(number));
    }

    /// Changes the links from now on.
    pub fn set_links(&mut self, links: Links) {
        self.network.set_links(links);
    }

    /// Takes everything from a node that is down, its disk too, as if it were another machine.
    pub fn wipe(&mut self, number: usize) {
        if let Some(node) = self.nodes.get_mut(number).filter(|node| node.records.is_none()) {
            node.disk = Disk::default();
        }
    }

    /// Sets a node's wall clock so many milliseconds ahead of the right time, or behind it.
    pub fn set_skew(&mut self, number: usize, millis: i64) {
        if let Some(node) = self.nodes.get_mut(number) {
            node.skew = millis;
        }
    }
}
