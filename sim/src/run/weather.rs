//! The faults that are there, and since when there are none.

use std::collections::BTreeMap;

use wattle_mesh::core::time::Time;

use super::NEW_DISK;
use crate::lattice::Lattice;
use crate::lattice::fabric::Link;
use crate::scenario::{Fault, FaultKind};

#[derive(Debug)]
pub(super) struct Weather {
    /// What is to be undone of each fault that is there.
    active: BTreeMap<usize, Vec<u64>>,
    /// For each fault, whether it delays anything, and whether nodes may be taken for dead.
    kinds: Vec<(bool, bool)>,
    pub(super) calm: Option<Time>,
    pub(super) whole: Option<Time>,
}

impl Weather {
    pub(super) fn new(faults: &[Fault], loss_ppm: u32) -> Self {
        let kind = |fault: &Fault| (fault.what.delays(), fault.what.is_hard(loss_ppm));
        let (calm, whole) = (Some(Time::ZERO), Some(Time::ZERO));
        let kinds = faults.iter().map(kind).collect();
        Self { active: BTreeMap::new(), kinds, calm, whole }
    }

    pub(super) fn begins(&mut self, lattice: &mut Lattice, index: usize, fault: &Fault) {
        let first = fault.on.iter().next().unwrap_or(0);
        lattice.note_fault(first, fault.text.clone(), true);
        let undo = match &fault.what {
            FaultKind::Cut { .. } => close(lattice, fault),
            FaultKind::Degrade { others, quality } => {
                let (one, other) = (fault.on.clone(), others.clone());
                // Links among the nodes themselves are as they were, unless nobody else is there.
                let other = if other.is_empty() { one.clone() } else { other };
                vec![lattice.set_links(Link { one, other, quality: *quality })]
            }
            _ => {
                fault.on.iter().for_each(|number| set(lattice, number, &fault.what, true));
                Vec::new()
            }
        };
        self.active.insert(index, undo);
        self.look(lattice.now());
    }

    pub(super) fn ends(&mut self, lattice: &mut Lattice, index: usize, fault: &Fault) {
        let Some(undo) = self.active.remove(&index) else { return };
        let first = fault.on.iter().next().unwrap_or(0);
        lattice.note_fault(first, fault.text.clone(), false);
        undo.into_iter().for_each(|id| lattice.undo(id));
        fault.on.iter().for_each(|number| set(lattice, number, &fault.what, false));
        self.look(lattice.now());
    }

    /// A cut that comes and goes does so.
    pub(super) fn flaps(
        &mut self,
        lattice: &mut Lattice,
        index: usize,
        fault: &Fault,
        closes: bool,
    ) {
        let Some(undo) = self.active.get_mut(&index) else { return };
        if closes {
            *undo = close(lattice, fault);
        } else {
            std::mem::take(undo).into_iter().for_each(|id| lattice.undo(id));
        }
    }

    /// A node goes down by a fault.
    pub(super) fn takes_down(&self, lattice: &mut Lattice, fault: &Fault, number: usize) {
        match fault.what {
            FaultKind::Crash { wipe, .. } => {
                lattice.kill(number);
                if wipe {
                    lattice.wipe(number);
                    lattice.note_fault(number, NEW_DISK.into(), false);
                }
            }
            FaultKind::Leave { .. } => lattice.leave(number),
            _ => {}
        }
    }

    fn look(&mut self, now: Time) {
        let kinds = || self.active.keys().filter_map(|index| self.kinds.get(*index));
        let (delays, hard) = (kinds().any(|kind| kind.0), kinds().any(|kind| kind.1));
        self.calm = if delays { None } else { Some(self.calm.unwrap_or(now)) };
        self.whole = if hard { None } else { Some(self.whole.unwrap_or(now)) };
    }
}

fn close(lattice: &mut Lattice, fault: &Fault) -> Vec<u64> {
    let FaultKind::Cut { others, out, inward, .. } = &fault.what else { return Vec::new() };
    let mut undo = Vec::new();
    if *out {
        undo.push(lattice.block(fault.on.clone(), others.clone()));
    }
    if *inward {
        undo.push(lattice.block(others.clone(), fault.on.clone()));
    }
    undo
}

fn set(lattice: &mut Lattice, number: usize, what: &FaultKind, begins: bool) {
    use std::time::Duration;
    match what {
        FaultKind::Slow(by) => {
            lattice.set_slow(number, if begins { *by } else { Duration::ZERO });
        }
        FaultKind::SlowDisk(by) => {
            lattice.set_disk_time(number, if begins { *by } else { Duration::from_millis(2) });
        }
        FaultKind::FullDisk => lattice.set_disk_full(number, begins),
        FaultKind::Clock { offset_millis, drift_ppm } => match begins {
            true => lattice.set_clock(number, *offset_millis, *drift_ppm),
            false => lattice.set_clock(number, 0, 0),
        },
        FaultKind::Hostile => lattice.set_hostile(number, begins),
        FaultKind::Cut { .. }
        | FaultKind::Degrade { .. }
        | FaultKind::Crash { .. }
        | FaultKind::Leave { .. } => {}
    }
}
