//! What must hold, whatever goes wrong. Each oracle sees everything that happens, looks at the mesh
//! now and then and in the end, and names what it found broken. One file each.

mod both_sides;
mod bounds;
mod calls_once;
mod converge;
mod deadlines;
mod deletes_stay;
mod messages_kept;
mod messages_once;
mod no_false_death;
mod placement;
mod records_kept;

use std::time::Duration;

use serde::Serialize;
use wattle_mesh::core::time::Time;

use crate::lattice::Lattice;
use crate::lattice::happening::Happened;
use crate::scenario::Scenario;

/// The names of all oracles.
pub const NAMES: [&str; 11] = [
    "converge",
    "records-kept",
    "deletes-stay",
    "messages-kept",
    "messages-once",
    "calls-once",
    "deadlines",
    "both-sides",
    "placement",
    "no-false-death",
    "bounds",
];

/// At most so many breaches of one oracle are told.
const MOST: usize = 20;

/// What an oracle is handed besides what happened.
pub struct Scene<'a> {
    /// The mesh.
    pub lattice: &'a mut Lattice,
    /// What it is put through.
    pub scenario: &'a Scenario,
    /// Since when no fault is there that delays anything; `None` while there is one.
    pub calm: Option<Time>,
    /// Since when no fault is there because of which nodes may be taken for dead.
    pub whole: Option<Time>,
    /// Since when each node is up.
    pub up: &'a [Option<Time>],
}

impl Scene<'_> {
    /// Whether it was calm for so long.
    fn is_calm_for(&self, time: Duration) -> bool {
        self.calm.is_some_and(|since| self.lattice.now() >= since.plus(time))
    }

    /// The nodes that are up for so long, and honest.
    fn steady(&self, time: Duration) -> Vec<usize> {
        let now = self.lattice.now();
        let is_steady = |since: &Option<Time>| since.is_some_and(|since| now >= since.plus(time));
        let steady = self.up.iter().enumerate().filter(|(_, since)| is_steady(since));
        let steady = steady.map(|(number, _)| number);
        steady.filter(|number| !self.lattice.is_hostile(*number)).collect()
    }
}

/// Something that should not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Breach {
    /// The oracle that found it.
    pub oracle: &'static str,
    /// When, in virtual microseconds since the run began.
    pub at_micros: u64,
    /// On which node.
    pub node: usize,
    /// Another node that it is about.
    pub other: Option<usize>,
    /// What.
    pub text: String,
}

/// What an oracle found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// How often the rule was put to the test.
    checked: u64,
    breaches: Vec<(Time, usize, Option<usize>, String)>,
}

impl Findings {
    fn checked(&mut self) {
        self.checked += 1;
    }

    fn breach(&mut self, at: Time, node: usize, other: Option<usize>, text: String) {
        let is_known = self.breaches.iter().any(|(_, n, _, known)| *n == node && *known == text);
        if self.breaches.len() < MOST && !is_known {
            self.breaches.push((at, node, other, text));
        }
    }
}

/// One rule.
pub(crate) trait Oracle {
    /// One of [`NAMES`].
    fn name(&self) -> &'static str;

    /// What it stands for, in a sentence.
    fn promise(&self, scenario: &Scenario) -> String;

    /// Something happened.
    fn see(&mut self, _event: &Happened, _scene: &mut Scene<'_>) {}

    /// Some time has passed.
    fn look(&mut self, _scene: &mut Scene<'_>) {}

    /// The run is over.
    fn end(&mut self, _scene: &mut Scene<'_>) {}

    fn findings(&self) -> &Findings;
}

/// What became of one rule.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// The oracle.
    pub oracle: &'static str,
    /// What it stands for.
    pub promise: String,
    /// How often that was put to the test.
    pub checked: u64,
    /// What it found broken.
    pub breaches: Vec<Breach>,
}

/// The oracles of one run.
pub(crate) struct Jury(Vec<Box<dyn Oracle>>);

impl Jury {
    /// All but those that the scenario does not ask.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let all: Vec<Box<dyn Oracle>> = vec![
            Box::<converge::Converge>::default(),
            Box::<records_kept::RecordsKept>::default(),
            Box::<deletes_stay::DeletesStay>::default(),
            Box::<messages_kept::MessagesKept>::default(),
            Box::<messages_once::MessagesOnce>::default(),
            Box::<calls_once::CallsOnce>::default(),
            Box::<deadlines::Deadlines>::default(),
            Box::<both_sides::BothSides>::default(),
            Box::<placement::Placement>::default(),
            Box::<no_false_death::NoFalseDeath>::default(),
            Box::<bounds::Bounds>::default(),
        ];
        let is_asked =
            |oracle: &dyn Oracle| !scenario.expect.off.iter().any(|o| o == oracle.name());
        Self(all.into_iter().filter(|oracle| is_asked(&**oracle)).collect())
    }

    pub(crate) fn see(&mut self, event: &Happened, scene: &mut Scene<'_>) {
        self.0.iter_mut().for_each(|oracle| oracle.see(event, scene));
    }

    pub(crate) fn look(&mut self, scene: &mut Scene<'_>) {
        self.0.iter_mut().for_each(|oracle| oracle.look(scene));
    }

    pub(crate) fn end(&mut self, scene: &mut Scene<'_>) {
        self.0.iter_mut().for_each(|oracle| oracle.end(scene));
    }

    /// How many breaches were found so far.
    pub(crate) fn breaches(&self) -> usize {
        self.0.iter().map(|oracle| oracle.findings().breaches.len()).sum()
    }

    pub(crate) fn verdicts(&self, scenario: &Scenario) -> Vec<Verdict> {
        let verdict = |oracle: &dyn Oracle| {
            let breach = |(at, node, other, text): &(Time, usize, Option<usize>, String)| Breach {
                oracle: oracle.name(),
                at_micros: u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX),
                node: *node,
                other: *other,
                text: text.clone(),
            };
            let findings = oracle.findings();
            Verdict {
                oracle: oracle.name(),
                promise: oracle.promise(scenario),
                checked: findings.checked,
                breaches: findings.breaches.iter().map(breach).collect(),
            }
        };
        self.0.iter().map(|oracle| verdict(&**oracle)).collect()
    }
}
