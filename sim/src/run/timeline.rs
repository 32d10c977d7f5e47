//! What is done when, from outside of the mesh.

use std::time::Duration;

use rand::Rng as _;
use wattle_contracts::record::{App, Config, RecordBody, RecordKey};
use wattle_mesh::core::time::Time;

use crate::lattice::Lattice;
use crate::queue::Queue;
use crate::rng::Seeded;
use crate::scenario::{Fault, FaultKind, Load, LoadKind, Scenario};

/// The oracles look at the mesh so often, and in a long run at least so many times.
const LOOK: Duration = Duration::from_secs(1);
const LOOKS: u32 = 2000;

/// Something to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    Start(usize),
    Declare(usize),
    Load(usize),
    Begin(usize),
    End(usize),
    Flap { index: usize, closes: bool },
    Down { index: usize, number: usize },
    Up { number: usize },
    Look,
}

#[derive(Debug)]
pub(super) struct Timeline {
    queue: Queue<Act>,
    look: Duration,
    end: Time,
}

impl Timeline {
    pub(super) fn new(scenario: &Scenario, faults: &[Fault], rng: &mut Seeded) -> Self {
        let end = Time::since_start(scenario.run);
        let look = LOOK.max(scenario.run / LOOKS);
        let mut timeline = Self { queue: Queue::default(), look, end };
        for (number, start) in scenario.starts.iter().enumerate() {
            timeline.put(Time::since_start(*start), Act::Start(number));
        }
        for (index, declared) in scenario.apps.iter().enumerate() {
            timeline.put(Time::since_start(declared.at), Act::Declare(index));
        }
        for (index, load) in scenario.load.iter().enumerate() {
            let first = next_load(Time::since_start(load.start), load, rng);
            if first.elapsed() < load.until {
                timeline.put(first, Act::Load(index));
            }
        }
        for (index, fault) in faults.iter().enumerate() {
            timeline.fault(index, fault, scenario.run);
        }
        timeline.put(Time::since_start(look), Act::Look);
        timeline
    }

    fn fault(&mut self, index: usize, fault: &Fault, run: Duration) {
        let at = Time::since_start;
        self.put(at(fault.at), Act::Begin(index));
        if let Some(ends) = fault.ends() {
            self.put(at(ends), Act::End(index));
        }
        match fault.what {
            FaultKind::Crash { each, .. } | FaultKind::Leave { each } => {
                let mut begins = fault.at;
                for number in fault.on.iter() {
                    self.put(at(begins), Act::Down { index, number });
                    if let Some(lasts) = fault.lasts {
                        self.put(at(begins + lasts), Act::Up { number });
                    }
                    begins += each;
                }
            }
            FaultKind::Cut { flap: Some((closed, open)), .. } => {
                let ends = fault.ends().unwrap_or(run);
                let mut next = fault.at + closed;
                while next < ends {
                    self.put(at(next), Act::Flap { index, closes: false });
                    next += open;
                    if next < ends {
                        self.put(at(next), Act::Flap { index, closes: true });
                    }
                    next += closed;
                }
            }
            _ => {}
        }
    }

    pub(super) fn put(&mut self, at: Time, act: Act) {
        self.queue.put(at, act);
    }

    pub(super) fn next(&mut self) -> Option<(Time, Act)> {
        let (at, act) = self.queue.take(self.end)?;
        if matches!(act, Act::Look) {
            self.put(at.plus(self.look), Act::Look);
        }
        Some((at, act))
    }
}

/// When a load is due next: between half and one and a half of what is usual.
pub(super) fn next_load(now: Time, load: &Load, rng: &mut Seeded) -> Time {
    let micros = u64::try_from(load.every.as_micros()).unwrap_or(u64::MAX / 4).max(2);
    now.plus(Duration::from_micros(rng.random_range(micros / 2..=micros + micros / 2)))
}

/// Does one thing of a load, on one of its nodes that is up.
pub(super) fn do_load(lattice: &mut Lattice, load: &Load) {
    let fits = |lattice: &Lattice, number: &usize| match &load.what {
        LoadKind::Call(plan) => match &plan.from {
            Some(from) => lattice.running(*number).contains(from),
            None => lattice.is_up(*number),
        },
        _ => lattice.is_up(*number),
    };
    let honest = load.on.iter().filter(|number| !lattice.is_hostile(*number));
    let nodes: Vec<usize> = honest.filter(|number| fits(lattice, number)).collect();
    if nodes.is_empty() {
        return;
    }
    let chosen = lattice.rng().random_range(0..nodes.len());
    let Some(number) = nodes.get(chosen).copied() else { return };
    match &load.what {
        LoadKind::Call(plan) => _ = lattice.call(number, plan),
        LoadKind::Request(plan) => _ = lattice.request(number, plan),
        LoadKind::Publish { subject, text: Some(text), .. } => {
            _ = lattice.publish_body(number, subject, text.as_bytes().into());
        }
        LoadKind::Publish { subject, size, .. } => _ = lattice.publish(number, subject, *size),
        LoadKind::Edit { keys, deletes_ppm } => {
            let key = lattice.rng().random_range(0..*keys);
            let deletes = lattice.rng().random_range(0..1_000_000u32) < *deletes_ppm;
            let value = format!("{}", lattice.rng().random::<u64>());
            let Ok(config) = format!("rehearsal/load/k{key}").parse() else { return };
            let body = match deletes {
                true => RecordBody::Tombstone,
                false => RecordBody::Config(Config { value }),
            };
            lattice.edit(number, RecordKey::Config(config), body);
        }
    }
}

pub(super) fn declare(lattice: &mut Lattice, number: usize, app: &App) {
    let key = RecordKey::App(app.name.clone());
    lattice.edit(number, key, RecordBody::App(Box::new(app.clone())));
}
