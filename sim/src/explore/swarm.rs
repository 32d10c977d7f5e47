//! Random faults. Each seed takes only some kinds of them, drawn anew: a run with all kinds at once
//! hides what shows only without one of them (Groce, Zhang, Eide, Chen, Regehr, "Swarm Testing",
//! 2012).

use std::time::Duration;

use rand::Rng as _;
use rand::seq::SliceRandom as _;

use crate::lattice::fabric::Quality;
use crate::lattice::nodes::NodeSet;
use crate::rng::Seeded;
use crate::scenario::{Fault, FaultKind, Scenario};

/// The most faults on top of a scenario's own.
const MOST: usize = 10;
/// Faults begin so long after the start.
const FROM: Duration = Duration::from_secs(30);
const KINDS: u8 = 9;

/// The random faults of a seed: all over before what must hold in the end is looked at.
pub fn swarm(scenario: &Scenario, seed: u64) -> Vec<Fault> {
    // Another stream than that of the run itself.
    let mut rng = Seeded::new(seed ^ 0x5EED_5EED_5EED_5EED);
    let expect = &scenario.expect;
    let quiet = expect.converge.max(expect.deliver).max(expect.place) + Duration::from_secs(10);
    let until = scenario.run.saturating_sub(quiet);
    let Some(room) = until.checked_sub(FROM).filter(|room| room.as_secs() >= 5) else {
        return Vec::new();
    };
    let mut kinds: Vec<u8> = (0..KINDS).filter(|_| rng.random_bool(0.5)).collect();
    if kinds.is_empty() {
        kinds.push(rng.random_range(0..KINDS));
    }
    let count = rng.random_range(1..=MOST);
    let mut faults: Vec<Fault> = (0..count)
        .filter_map(|_| {
            let kind = kinds.get(rng.random_range(0..kinds.len())).copied()?;
            Some(draw(scenario, kind, room, &mut rng))
        })
        .collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn draw(scenario: &Scenario, kind: u8, room: Duration, rng: &mut Seeded) -> Fault {
    // Short ones as often as long ones: from a second to a third of the time that there is.
    let longest = (room.as_millis() as u64 / 3).max(1000);
    let doublings = (longest / 1000).ilog2();
    let step = 1000u64 << rng.random_range(0..=doublings);
    let lasts = Duration::from_millis(rng.random_range(step..=step * 2).min(longest));
    let latest = room.saturating_sub(lasts).as_millis() as u64;
    let at = FROM + Duration::from_millis(rng.random_range(0..=latest));
    let (on, name) = some_nodes(scenario, rng);
    let all = 0..scenario.nodes.len();
    let others = NodeSet::of(all.filter(|number| !on.has(*number)));
    let millis =
        |rng: &mut Seeded, from: u64, to: u64| Duration::from_millis(rng.random_range(from..=to));
    let (what, word) = match kind {
        0 => (FaultKind::Cut { others, out: true, inward: true, flap: None }, "cut"),
        1 => {
            let out = rng.random_bool(0.5);
            let word = if out { "cut what is sent by" } else { "cut what is sent to" };
            (FaultKind::Cut { others, out, inward: !out, flap: None }, word)
        }
        2 => {
            let flap = Some((millis(rng, 500, 20_000), millis(rng, 500, 20_000)));
            (FaultKind::Cut { others, out: true, inward: true, flap }, "flap")
        }
        3 => {
            let quality = Quality {
                latency: millis(rng, 1, 400),
                jitter: millis(rng, 0, 400),
                loss_ppm: rng.random_range(0..300_000),
                duplicate_ppm: rng.random_range(0..50_000),
                reorder_ppm: rng.random_range(0..100_000),
                bandwidth: None,
            };
            (FaultKind::Degrade { others, quality }, "degrade")
        }
        4 => (FaultKind::Crash { each: Duration::ZERO, wipe: false }, "crash"),
        5 => (FaultKind::Leave { each: Duration::ZERO }, "leave"),
        6 => (FaultKind::Slow(millis(rng, 20, 1500)), "slow"),
        7 => match rng.random_bool(0.7) {
            true => (FaultKind::SlowDisk(millis(rng, 20, 2000)), "slow disk of"),
            false => (FaultKind::FullDisk, "full disk of"),
        },
        _ => {
            let offset_millis = rng.random_range(-40_000..=40_000);
            let drift_ppm = rng.random_range(-500..=500);
            (FaultKind::Clock { offset_millis, drift_ppm }, "wrong clock of")
        }
    };
    let text = format!("{word} {name} (random)");
    Fault { at, lasts: Some(lasts), on, what, text }
}

/// One node, a group, or about half of all.
fn some_nodes(scenario: &Scenario, rng: &mut Seeded) -> (NodeSet, String) {
    let count = scenario.nodes.len();
    let name = |number: usize| scenario.nodes.get(number).map_or("", |plan| &plan.name);
    match rng.random_range(0..3) {
        0 => {
            let number = rng.random_range(0..count);
            (NodeSet::of([number]), name(number).into())
        }
        1 => {
            let groups: Vec<_> = scenario.groups.iter().collect();
            let drawn = groups.get(rng.random_range(0..groups.len().max(1)));
            drawn
                .map_or_else(Default::default, |(name, set)| (NodeSet::clone(set), (*name).clone()))
        }
        _ => {
            let mut all: Vec<usize> = (0..count).collect();
            all.shuffle(rng);
            all.truncate(count.div_ceil(2));
            all.sort_unstable();
            let names: Vec<&str> = all.iter().map(|number| name(*number)).take(8).collect();
            let more = if all.len() > 8 { ", ..." } else { "" };
            (NodeSet::of(all), format!("{}{more}", names.join(", ")))
        }
    }
}
