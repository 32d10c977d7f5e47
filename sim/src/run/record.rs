//! What is kept of a run, for the report and for whoever looks for a cause.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;
use wattle_mesh::core::time::Time;

use super::Counts;
use crate::lattice::Lattice;
use crate::lattice::happening::{Happened, Happening};

/// So much is remembered for the case that something is found broken.
const REMEMBERED: usize = 4000;
/// So many lines are told of it.
const TOLD: usize = 60;
/// So many changes of mind are kept.
const THOUGHTS: usize = 20_000;

/// A line of what happened.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// When, in virtual microseconds since the run began.
    pub at_micros: u64,
    /// On which node.
    pub node: usize,
    /// What.
    pub text: String,
    /// Whether it begins, where it is something that lasts.
    pub begins: Option<bool>,
}

/// How the mesh was at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct Sample {
    /// When, in virtual seconds since the run began.
    pub at_seconds: u64,
    /// How many nodes are up.
    pub up: usize,
    /// How many of these hold the very same records as most do.
    pub agree: usize,
    /// How many messages were published so far, counted for each group.
    pub published: u64,
    /// How many of them were handled.
    pub handled: u64,
    /// How many calls were made so far.
    pub calls: u64,
    /// How many of them were answered.
    pub answered: u64,
    /// What all nodes had sent so far, in bytes.
    pub bytes: u64,
}

/// A node changed its mind about another.
#[derive(Debug, Clone, Serialize)]
pub struct Thought {
    /// When, in virtual microseconds since the run began.
    pub at_micros: u64,
    /// Who.
    pub by: usize,
    /// About whom.
    pub of: usize,
    /// What it thinks since then.
    pub stands: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    last: VecDeque<Happened>,
    pub(super) counts: Counts,
    /// By status.
    pub(super) responses: BTreeMap<u16, u64>,
    wanted: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) thoughts: Vec<Thought>,
    pub(super) faults: Vec<Line>,
    pub(super) around: Vec<Line>,
    pub(super) views: Vec<String>,
}

impl Recorder {
    pub(super) fn see(&mut self, event: Happened, lattice: &Lattice) {
        let counts = &mut self.counts;
        match &event.what {
            Happening::Acknowledged { .. } => counts.edits += 1,
            Happening::EditRefused { .. } => counts.edits_refused += 1,
            Happening::Published { groups, .. } => {
                counts.published += 1;
                self.wanted += groups.len() as u64;
            }
            Happening::Handled { .. } => counts.handled += 1,
            Happening::CallBegan { .. } => counts.calls += 1,
            Happening::CallEnded { outcome: Ok(()), .. } => counts.answered += 1,
            Happening::Ran { .. } => counts.executed += 1,
            Happening::Responded { status, .. } => *self.responses.entry(*status).or_default() += 1,
            Happening::Fault(_) => counts.refused += 1,
            Happening::Stands { of, to } => {
                if let Some(of) = lattice.number_of(*of).filter(|_| self.thoughts.len() < THOUGHTS)
                {
                    let (at_micros, by, stands) = (micros(event.at), event.node, to.name());
                    self.thoughts.push(Thought { at_micros, by, of, stands });
                }
            }
            Happening::Begins(text) => self.fault(&event, text, true),
            Happening::Ends(text) => self.fault(&event, text, false),
            _ => {}
        }
        if self.last.len() >= REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(event);
    }

    fn fault(&mut self, event: &Happened, text: &str, begins: bool) {
        let (at_micros, node) = (micros(event.at), event.node);
        self.faults.push(Line { at_micros, node, text: text.into(), begins: Some(begins) });
    }

    pub(super) fn sample(&mut self, lattice: &mut Lattice) {
        let mut roots = BTreeMap::<[u8; 32], usize>::new();
        let mut up = 0;
        for number in 0..lattice.len() {
            up += usize::from(lattice.is_up(number));
            if let Some(root) = lattice.root_of(number) {
                *roots.entry(root).or_default() += 1;
            }
        }
        let traffic = lattice.traffic();
        let at_seconds = lattice.now().elapsed().as_secs();
        // The last look and the end may fall together.
        self.samples.pop_if(|last| last.at_seconds == at_seconds);
        self.samples.push(Sample {
            at_seconds,
            up,
            agree: roots.values().max().copied().unwrap_or(0),
            published: self.wanted,
            handled: self.counts.handled,
            calls: self.counts.calls,
            answered: self.counts.answered,
            bytes: traffic.records + traffic.gossip + traffic.calls + traffic.other,
        });
    }

    /// Keeps the last of what happened on these nodes, and what they hold now.
    pub(super) fn keep_around(&mut self, node: usize, other: Option<usize>, lattice: &mut Lattice) {
        let is_theirs = |event: &&Happened| {
            let is_fault = matches!(event.what, Happening::Begins(_) | Happening::Ends(_));
            is_fault || event.node == node || Some(event.node) == other
        };
        let lines = self.last.iter().rev().filter(is_theirs).take(TOLD);
        let line = |event: &Happened| Line {
            at_micros: micros(event.at),
            node: event.node,
            text: event.what.to_string(),
            begins: None,
        };
        self.around = lines.map(line).collect();
        self.around.reverse();
        self.views = [Some(node), other].into_iter().flatten().map(|n| view(lattice, n)).collect();
    }
}

/// What a node holds and thinks, in words.
fn view(lattice: &mut Lattice, number: usize) -> String {
    let name = lattice.name_of(number).to_string();
    let id = lattice.id_of(number).map(|id| id.short()).unwrap_or_default();
    if !lattice.is_up(number) {
        return format!("{name} ({id}) is down");
    }
    let (known, alive) = lattice.census(number);
    let (records, bytes) = lattice.records_size(number);
    let waiting = lattice.waiting_messages(number);
    let root = lattice
        .root_of(number)
        .map(|root| root.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>());
    let away: Vec<String> = (0..lattice.len())
        .filter_map(|other| {
            let stands = lattice.standing(number, other)?;
            let is_away = stands != wattle_mesh::core::membership::Standing::Alive;
            is_away.then(|| format!("{} {}", lattice.name_of(other), stands.name()))
        })
        .take(20)
        .collect();
    let runs: Vec<String> = lattice.running(number).iter().map(ToString::to_string).collect();
    format!(
        "{name} ({id}) knows {known} nodes, {alive} of them alive{}; holds {records} records of \
         {bytes} bytes with hash {}; runs {}; {waiting} messages wait",
        if away.is_empty() { String::new() } else { format!(" ({})", away.join(", ")) },
        root.unwrap_or_else(|| "none, as its disk has failed".into()),
        if runs.is_empty() { "nothing".into() } else { runs.join(", ") },
    )
}

fn micros(at: Time) -> u64 {
    u64::try_from(at.elapsed().as_micros()).unwrap_or(u64::MAX)
}
