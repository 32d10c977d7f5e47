//! One run of a scenario: sets the mesh up, does what the scenario says when it says so, and asks
//! the oracles.

mod record;
mod timeline;
mod weather;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use wattle_mesh::core::time::Time;

use self::record::Recorder;
pub use self::record::{Line, Sample, Thought};
use self::timeline::{Act, Timeline};
use self::weather::Weather;
use crate::lattice::Lattice;
use crate::lattice::happening::Happening;
use crate::machine::{Fidelity, Settings};
use crate::mutant::Mutant;
use crate::oracle::{Jury, Scene, Verdict};
use crate::scenario::{Fault, Scenario};
use crate::wasm::Code;

/// What is noted when a node gets another disk.
pub(crate) const NEW_DISK: &str = "its disk is another one";

/// How a scenario is run.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The seed; the scenario's own if none is given.
    pub seed: Option<u64>,
    /// Faults beside those of the scenario.
    pub faults: Vec<Fault>,
    /// The real components of the scenario's apps, where they are to be run.
    pub code: Option<Code>,
    /// A rule that is broken on purpose.
    pub broken: Option<Mutant>,
    /// What the connections between nodes are.
    pub fidelity: Fidelity,
    /// Whether to end with the first breach.
    pub stop_early: bool,
}

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The hash of everything that happened: the same for the same scenario and seed.
    pub trace: String,
    /// How many things happened.
    pub events: u64,
    /// How long the run was, in virtual seconds.
    pub virtual_seconds: u64,
    /// What each oracle found.
    pub verdicts: Vec<Verdict>,
    /// The names of the nodes.
    pub nodes: Vec<String>,
    /// What was sent by all nodes, in bytes.
    pub bytes: Bytes,
    /// What each node has sent, in bytes.
    pub node_bytes: Vec<u64>,
    /// How things went.
    pub counts: Counts,
    /// How many requests from outside had which status, where real components run.
    pub responses: BTreeMap<u16, u64>,
    /// How the mesh was, from time to time.
    pub samples: Vec<Sample>,
    /// What nodes thought of each other, when that changed.
    pub thoughts: Vec<Thought>,
    /// When faults began and ended.
    pub faults: Vec<Line>,
    /// What happened before the first breach, on the nodes that it is about.
    pub around: Vec<Line>,
    /// What these nodes held and thought then.
    pub views: Vec<String>,
}

/// What was sent, in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Bytes {
    /// Records.
    pub records: u64,
    /// Gossip.
    pub gossip: u64,
    /// Calls and messages for components.
    pub calls: u64,
    /// Everything else.
    pub other: u64,
}

/// How many of what there was.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Counts {
    /// Changes that were acknowledged.
    pub edits: u64,
    /// Changes that were refused.
    pub edits_refused: u64,
    /// Messages that were taken from publishers.
    pub published: u64,
    /// Messages that were handled, counted for each group.
    pub handled: u64,
    /// Calls that were made.
    pub calls: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that real components executed.
    pub executed: u64,
    /// What was refused because no honest node sends it.
    pub refused: u64,
}

impl Outcome {
    /// Whether every rule held.
    pub fn is_good(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.breaches.is_empty())
    }

    /// The first breach.
    pub fn first_breach(&self) -> Option<&crate::oracle::Breach> {
        let breaches = self.verdicts.iter().flat_map(|verdict| &verdict.breaches);
        breaches.min_by_key(|breach| breach.at_micros)
    }
}

/// Runs a scenario. `progress` is told the virtual time from time to time.
pub fn run(scenario: &Scenario, options: &Options, mut progress: impl FnMut(Duration)) -> Outcome {
    let seed = options.seed.unwrap_or(scenario.seed);
    let mut run = Run::new(scenario, seed, options);
    while let Some((at, act)) = run.timeline.next() {
        if at.elapsed() > scenario.run {
            break;
        }
        run.until(at);
        if matches!(act, Act::Look) {
            progress(at.elapsed());
            run.look();
            if options.stop_early && run.jury.breaches() > 0 {
                break;
            }
        } else {
            run.act(act);
        }
    }
    let is_over = !options.stop_early || run.jury.breaches() == 0;
    if is_over {
        run.until(Time::since_start(scenario.run));
        run.end();
    }
    run.outcome(seed)
}

struct Run<'a> {
    scenario: &'a Scenario,
    faults: Vec<Fault>,
    lattice: Lattice,
    timeline: Timeline,
    weather: Weather,
    jury: Jury,
    recorder: Recorder,
    up: Vec<Option<Time>>,
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, seed: u64, options: &Options) -> Self {
        let mut settings = Settings {
            gossip: scenario.gossip,
            gossip_by: scenario.gossip_by,
            fidelity: options.fidelity,
            behaviours: scenario.behaviours.clone(),
            outside: scenario.outside.clone(),
            code: options.code.clone(),
            broken: options.broken,
            ..Settings::default()
        };
        let timing = &mut settings.timing;
        for interval in [
            &mut timing.gossip,
            &mut timing.tick,
            &mut timing.ping,
            &mut timing.peers,
            &mut timing.idle_timeout,
            &mut timing.keep_alive,
            &mut timing.settle,
        ] {
            *interval *= scenario.pace;
        }
        let mut lattice = Lattice::new(seed, &scenario.nodes, scenario.usual, settings);
        for link in &scenario.links {
            lattice.set_links(link.clone());
        }
        scenario.nats.iter().for_each(|inside| lattice.hide(inside.clone()));
        let faults: Vec<Fault> = scenario.faults.iter().chain(&options.faults).cloned().collect();
        let timeline = Timeline::new(scenario, &faults, lattice.rng());
        Self {
            scenario,
            weather: Weather::new(&faults, scenario.expect.loss_ppm),
            faults,
            up: vec![None; lattice.len()],
            lattice,
            timeline,
            jury: Jury::new(scenario),
            recorder: Recorder::default(),
        }
    }

    /// Lets time pass, and shows the oracles what happened.
    fn until(&mut self, at: Time) {
        self.lattice.run_until(at);
        self.drain();
    }

    fn drain(&mut self) {
        for event in self.lattice.take_seen() {
            match &event.what {
                Happening::Started => self.set_up(event.node, Some(event.at)),
                Happening::Stopped { .. } => self.set_up(event.node, None),
                _ => {}
            }
            let is_first = self.ask(|jury, scene| jury.see(&event, scene));
            self.recorder.see(event, &self.lattice);
            if is_first {
                self.first_breach();
            }
        }
    }

    fn set_up(&mut self, number: usize, since: Option<Time>) {
        if let Some(slot) = self.up.get_mut(number) {
            *slot = since;
        }
    }

    fn look(&mut self) {
        if self.ask(Jury::look) {
            self.first_breach();
        }
        self.recorder.sample(&mut self.lattice);
    }

    fn end(&mut self) {
        if self.ask(Jury::end) {
            self.first_breach();
        }
        self.recorder.sample(&mut self.lattice);
    }

    /// Asks the oracles. True if they have found the first breach now.
    fn ask(&mut self, ask: impl FnOnce(&mut Jury, &mut Scene<'_>)) -> bool {
        let before = self.jury.breaches();
        let mut scene = Scene {
            lattice: &mut self.lattice,
            scenario: self.scenario,
            calm: self.weather.calm,
            whole: self.weather.whole,
            up: &self.up,
        };
        ask(&mut self.jury, &mut scene);
        before == 0 && self.jury.breaches() > 0
    }

    /// Keeps what happened before the first breach, and what both nodes held.
    fn first_breach(&mut self) {
        let verdicts = self.jury.verdicts(self.scenario);
        let breaches = verdicts.iter().flat_map(|verdict| &verdict.breaches);
        if let Some(breach) = breaches.min_by_key(|breach| breach.at_micros) {
            self.recorder.keep_around(breach.node, breach.other, &mut self.lattice);
        }
    }

    fn act(&mut self, act: Act) {
        let lattice = &mut self.lattice;
        match act {
            Act::Start(number) => lattice.start(number),
            Act::Declare(index) => self.declare(index),
            Act::Load(index) => self.load(index),
            Act::Begin(index) => {
                if let Some(fault) = self.faults.get(index) {
                    self.weather.begins(lattice, index, fault);
                }
            }
            Act::End(index) => {
                if let Some(fault) = self.faults.get(index) {
                    self.weather.ends(lattice, index, fault);
                }
            }
            Act::Flap { index, closes } => {
                if let Some(fault) = self.faults.get(index) {
                    self.weather.flaps(lattice, index, fault, closes);
                }
            }
            Act::Down { index, number } => {
                if let Some(fault) = self.faults.get(index) {
                    self.weather.takes_down(lattice, fault, number);
                }
            }
            Act::Up { number } => lattice.start(number),
            Act::Look => {}
        }
        self.drain();
    }

    fn declare(&mut self, index: usize) {
        let Some(declared) = self.scenario.apps.get(index) else { return };
        let on = declared.on.iter().find(|number| self.lattice.is_up(*number));
        match on {
            Some(number) => timeline::declare(&mut self.lattice, number, &declared.app),
            // Nobody is there to take it: again in a moment.
            None => {
                let later = self.lattice.now().plus(Duration::from_secs(1));
                self.timeline.put(later, Act::Declare(index));
            }
        }
    }

    fn load(&mut self, index: usize) {
        let Some(load) = self.scenario.load.get(index) else { return };
        timeline::do_load(&mut self.lattice, load);
        let now = self.lattice.now();
        let next = timeline::next_load(now, load, self.lattice.rng());
        if next.elapsed() < load.until {
            self.timeline.put(next, Act::Load(index));
        }
    }

    fn outcome(self, seed: u64) -> Outcome {
        let traffic = self.lattice.traffic();
        let nodes = (0..self.lattice.len()).map(|n| self.lattice.name_of(n).to_string());
        let bytes = Bytes {
            records: traffic.records,
            gossip: traffic.gossip,
            calls: traffic.calls,
            other: traffic.other,
        };
        Outcome {
            scenario: self.scenario.name.clone(),
            seed,
            trace: self.lattice.trace().to_string(),
            events: self.lattice.events(),
            virtual_seconds: self.lattice.now().elapsed().as_secs(),
            verdicts: self.jury.verdicts(self.scenario),
            nodes: nodes.collect(),
            bytes,
            node_bytes: (0..self.lattice.len()).map(|n| self.lattice.bytes_of(n)).collect(),
            counts: self.recorder.counts,
            responses: self.recorder.responses,
            samples: self.recorder.samples,
            thoughts: self.recorder.thoughts,
            faults: self.recorder.faults,
            around: self.recorder.around,
            views: self.recorder.views,
        }
    }
}
