//! Every acknowledged record is on every node within a stated time of the last fault.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use wattle_contracts::record::{RecordKey, Version};
use wattle_mesh::core::clock::MAX_AHEAD;
use wattle_mesh::core::time::Time;

use super::{Findings, Oracle, Scene};
use crate::lattice::clock::BEGINNING;
use crate::lattice::happening::{Happened, Happening};
use crate::scenario::Scenario;

/// An acknowledged change: which, when, and at which node.
type Change = (Version, Time, usize);

#[derive(Default)]
pub(super) struct Converge {
    findings: Findings,
    /// Those that may still be on their way, of each key.
    young: BTreeMap<RecordKey, VecDeque<Change>>,
    /// The latest that must be everywhere by now.
    due: BTreeMap<RecordKey, Change>,
    /// When these were last found everywhere, and since when it was calm then.
    found: BTreeMap<RecordKey, (Version, Time)>,
}

impl Oracle for Converge {
    fn name(&self) -> &'static str {
        "converge"
    }

    fn promise(&self, scenario: &Scenario) -> String {
        let within = scenario.expect.converge;
        format!("every acknowledged record is on every node {within:?} after the last fault")
    }

    fn see(&mut self, event: &Happened, _scene: &mut Scene<'_>) {
        if let Happening::Acknowledged { key, version, .. } = &event.what {
            let change = (*version, event.at, event.node);
            self.young.entry(key.clone()).or_default().push_back(change);
        }
    }

    fn look(&mut self, scene: &mut Scene<'_>) {
        let within = scene.scenario.expect.converge;
        let (now, Some(calm)) = (scene.lattice.now(), scene.calm) else { return };
        self.grow_up(now, calm, within);
        let nodes = scene.steady(within);
        for (key, (version, at, by)) in &self.due {
            if self.found.get(key) == Some(&(*version, calm)) {
                continue;
            }
            let holds = |number: &usize| {
                !scene.lattice.has_records(*number)
                    || scene.lattice.record(*number, key).is_some_and(|r| r.version >= *version)
            };
            self.findings.checked();
            match nodes.iter().find(|number| !holds(number)) {
                None => _ = self.found.insert(key.clone(), (*version, calm)),
                Some(lacks) => {
                    let name = scene.lattice.name_of(*lacks);
                    let writer = scene.lattice.name_of(*by);
                    let text = format!(
                        "{name} does not hold {key} as {writer} wrote it at {:?}, {within:?} after \
                         all was well",
                        at.elapsed()
                    );
                    self.findings.breach(now, *lacks, Some(*by), text);
                }
            }
        }
    }

    fn end(&mut self, scene: &mut Scene<'_>) {
        self.look(scene);
        let within = scene.scenario.expect.converge;
        let now = scene.lattice.now();
        let is_settled = self.young.values().all(VecDeque::is_empty);
        if !scene.is_calm_for(within) || !is_settled {
            return;
        }
        let nodes = scene.steady(within);
        let mut first = None;
        for number in nodes {
            let Some(root) = scene.lattice.root_of(number) else { continue };
            let (other, known) = *first.get_or_insert((number, root));
            self.findings.checked();
            if root != known {
                let text = format!(
                    "{} and {} do not hold the same in the end",
                    scene.lattice.name_of(number),
                    scene.lattice.name_of(other)
                );
                self.findings.breach(now, number, Some(other), text);
            }
        }
    }

    fn findings(&self) -> &Findings {
        &self.findings
    }
}

impl Converge {
    /// Of what may have been on its way, some must have come by now.
    fn grow_up(&mut self, now: Time, calm: Time, within: Duration) {
        for (key, young) in &mut self.young {
            while let Some((version, at, by)) = young.front().copied() {
                // A record from the future is held back until clocks are there.
                let ahead = Duration::from_millis(version.at.millis.saturating_sub(BEGINNING.0));
                let taken = Time::since_start(ahead.saturating_sub(MAX_AHEAD));
                if now < calm.max(at).max(taken).plus(within) {
                    break;
                }
                young.pop_front();
                let due = self.due.entry(key.clone()).or_insert((version, at, by));
                if due.0 < version {
                    *due = (version, at, by);
                }
            }
        }
    }
}
