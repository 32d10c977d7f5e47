use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use wattle_contracts::control::Introduce;
use wattle_contracts::id::NodeId;

use super::*;
use crate::core::time::Time;

/// The one in between.
const P: u8 = 9;

/// Between two ticks.
const TICK: u64 = 200;

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

/// Nodes 1 and 2, which only reach the node between, each with the millisecond at which it did
/// something.
struct World {
    seekers: BTreeMap<u8, Seeker>,
    between: Matchmaker,
    under_way: Vec<(u64, u8, u8, Introduce)>,
    rng: SmallRng,
    asks: Vec<(u64, u8)>,
    dials: Vec<(u64, u8)>,
    /// Whether node 2 answers at all.
    willing: bool,
}

impl World {
    fn new() -> Self {
        let seekers = [1, 2].map(|byte| (byte, Seeker::new(Config::default()))).into();
        Self {
            seekers,
            between: Matchmaker::default(),
            under_way: Vec::new(),
            rng: SmallRng::seed_from_u64(1),
            asks: Vec::new(),
            dials: Vec::new(),
            willing: true,
        }
    }

    /// `delay` says how long a message takes, in milliseconds; `None` that it is lost.
    fn run(&mut self, from: u64, to: u64, mut delay: impl FnMut() -> Option<u64>) {
        for now in from..to {
            let mut due: Vec<_> = self.under_way.extract_if(.., |one| one.0 <= now).collect();
            due.sort_by_key(|(at, sender, receiver, _)| (*at, *sender, *receiver));
            for (_, sender, receiver, message) in due {
                self.deliver(now, sender, receiver, message, &mut delay);
            }
            for byte in [1u8, 2] {
                if now % TICK == u64::from(byte) && (byte == 1 || self.willing) {
                    let mut out = Vec::new();
                    let ways = |_| vec![node(P)];
                    let seeker = self.seekers.get_mut(&byte).unwrap();
                    seeker.tick(at(now), [node(3 - byte)], ways, &mut self.rng, &mut out);
                    self.act(now, byte, out, &mut delay);
                }
            }
        }
    }

    fn send(
        &mut self,
        now: u64,
        (from, to): (u8, u8),
        message: Introduce,
        delay: &mut impl FnMut() -> Option<u64>,
    ) {
        if let Some(delay) = delay() {
            self.under_way.push((now + delay, from, to, message));
        }
    }

    fn deliver(
        &mut self,
        now: u64,
        from: u8,
        to: u8,
        message: Introduce,
        delay: &mut impl FnMut() -> Option<u64>,
    ) {
        let mut out = Vec::new();
        match (message, self.seekers.get_mut(&to)) {
            (Introduce::Ask { node: other }, _) => {
                match self.between.asked(at(now), node(from), other, true) {
                    Some(Match::Tell { node, by }) => {
                        let to = node.as_bytes()[0];
                        self.send(now, (P, to), Introduce::Wanted { by }, delay);
                    }
                    Some(Match::Both(one, other)) => {
                        for (to, of) in [(one, other), (other, one)] {
                            let addresses = vec![format!("of {}", of.as_bytes()[0])];
                            let meet = Introduce::Meet { node: of, addresses };
                            self.send(now, (P, to.as_bytes()[0]), meet, delay);
                        }
                    }
                    None => {}
                }
            }
            (Introduce::Wanted { by }, Some(seeker)) if to == 1 || self.willing => {
                seeker.wanted(at(now), node(from), by, &mut self.rng, &mut out);
            }
            (Introduce::Meet { node: other, addresses }, Some(seeker)) => {
                seeker.meet(at(now), node(from), other, addresses, &mut out);
            }
            _ => {}
        }
        self.act(now, to, out, delay);
    }

    fn act(
        &mut self,
        now: u64,
        who: u8,
        out: Vec<Action>,
        delay: &mut impl FnMut() -> Option<u64>,
    ) {
        for action in out {
            match action {
                Action::Ask { neighbour, node } => {
                    assert_eq!(neighbour.as_bytes()[0], P);
                    self.asks.push((now, who));
                    self.send(now, (who, P), Introduce::Ask { node }, delay);
                }
                Action::Dial { node, addresses } => {
                    let of = node.as_bytes()[0];
                    assert_eq!(addresses, [format!("of {of}")]);
                    assert_eq!(of, 3 - who);
                    self.dials.push((now, who));
                }
            }
        }
    }

    fn count(list: &[(u64, u8)], who: u8) -> usize {
        list.iter().filter(|(_, byte)| *byte == who).count()
    }
}

#[test]
fn both_dial_at_the_same_moment_a_few_times_and_then_rest() {
    let mut world = World::new();
    world.run(0, 3_000, || Some(20));
    let [first, second] = world.dials[..] else { panic!("{:?}", world.dials) };
    assert_eq!(first.0, second.0);
    assert_ne!(first.1, second.1);
    world.run(3_000, 400_000, || Some(20));
    for who in [1, 2] {
        let (asks, dials) = (World::count(&world.asks, who), World::count(&world.dials, who));
        assert_eq!(asks, dials);
        // Each may begin five, and follow five of the other's.
        assert!((5..=10).contains(&dials), "{:?}", world.dials);
    }
    let last = world.dials.last().unwrap().0;
    assert!(last < 120_000, "{last}");
    // It never ends, as nothing does that might bring a mesh together.
    world.run(400_000, 1_300_000, || Some(20));
    assert!(world.dials.last().unwrap().0 > 400_000, "{:?}", world.dials);
}

#[test]
fn another_address_of_this_node_is_worth_another_attempt() {
    let mut world = World::new();
    world.run(0, 300_000, || Some(20));
    let before = world.dials.len();
    let seeker = world.seekers.get_mut(&1).unwrap();
    seeker.seen_at(at(300_000), node(P), "here".into());
    seeker.seen_at(at(300_000), node(P), "here".into());
    // Another neighbour sees it elsewhere: that is how some NATs are.
    seeker.seen_at(at(300_000), node(8), "there".into());
    world.run(300_000, 304_000, || Some(20));
    assert_eq!(world.dials.len(), before);
    world.seekers.get_mut(&1).unwrap().seen_at(at(304_000), node(P), "there".into());
    world.run(304_000, 308_000, || Some(20));
    // The other has given up, and does it for the asking.
    assert_eq!(world.dials.len(), before + 2, "{:?}", world.dials);
}

#[test]
fn nobody_is_told_of_a_node_that_does_not_ask() {
    let mut world = World::new();
    world.willing = false;
    world.run(0, 300_000, || Some(20));
    assert_eq!(World::count(&world.asks, 1), 5);
    assert!(world.dials.is_empty());
}

#[test]
fn who_was_not_asked_for_is_not_dialled() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut seeker = Seeker::new(Config::default());
    let mut out = Vec::new();
    let addresses = || vec!["x".to_owned()];
    seeker.meet(at(0), node(P), node(2), addresses(), &mut out);
    seeker.wanted(at(0), node(P), node(2), &mut rng, &mut out);
    seeker.tick(at(0), [node(2)], |_| vec![node(P)], &mut rng, &mut out);
    seeker.meet(at(1), node(P), node(2), addresses(), &mut out);
    assert_eq!(out, []);
    seeker.tick(at(2_000), [node(2)], |_| vec![node(P)], &mut rng, &mut out);
    assert_eq!(out, [Action::Ask { neighbour: node(P), node: node(2) }]);
    out.clear();
    // By another one, or too late, or twice.
    seeker.meet(at(2_001), node(8), node(2), addresses(), &mut out);
    seeker.meet(at(13_000), node(P), node(2), addresses(), &mut out);
    assert_eq!(out, []);
    seeker.meet(at(2_100), node(P), node(2), addresses(), &mut out);
    seeker.meet(at(2_200), node(P), node(2), addresses(), &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn neighbours_are_asked_in_turn() {
    let mut rng = SmallRng::seed_from_u64(1);
    let mut seeker = Seeker::new(Config::default());
    let mut out = Vec::new();
    for now in (0..120_000).step_by(200) {
        let ways = |_| vec![node(7), node(8)];
        seeker.tick(at(now), [node(2)], ways, &mut rng, &mut out);
    }
    let asked = |action: &Action| match action {
        Action::Ask { neighbour, .. } => neighbour.as_bytes()[0],
        Action::Dial { .. } => panic!("nobody has answered"),
    };
    assert_eq!(out.iter().map(asked).collect::<Vec<_>>(), [7, 8, 7, 8, 7]);
}

#[test]
fn what_a_matchmaker_keeps_is_bounded() {
    let mut between = Matchmaker::default();
    let many = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        NodeId::from_bytes(bytes)
    };
    for number in 0..MAX_ASKS {
        assert!(between.asked(at(0), node(1), many(number), true).is_some());
    }
    assert_eq!(between.asked(at(1), node(1), node(2), true), None);
    assert!(between.asked(at(6_000), node(1), node(2), true).is_some());
    assert_eq!(between.asked(at(6_000), node(1), node(3), false), None);
    assert_eq!(between.asked(at(6_000), node(1), node(1), true), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is lost, late or out of order: who dials has asked before, once for each time, and
    /// nobody asks often.
    #[test]
    fn every_dial_was_asked_for(
        delays in prop::collection::vec(prop::option::weighted(0.7, 0u64..8_000), 1..50),
    ) {
        let mut world = World::new();
        let mut next = 0;
        world.run(0, 120_000, || {
            next += 1;
            delays[next % delays.len()]
        });
        for who in [1, 2] {
            let (asks, dials) = (World::count(&world.asks, who), World::count(&world.dials, who));
            prop_assert!(dials <= asks);
            // Five of its own, and what it does for the other's asking.
            prop_assert!((4..=18).contains(&asks), "{:?}", world.asks);
            let mine: Vec<u64> =
                world.asks.iter().filter(|ask| ask.1 == who).map(|ask| ask.0).collect();
            prop_assert!(mine.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{mine:?}");
        }
    }

    /// Where messages arrive, both dial within the difference of their delays.
    #[test]
    fn both_dial_together(one in 1u64..400, other in 1u64..400) {
        let mut world = World::new();
        let mut turn = false;
        world.run(0, 5_000, || {
            turn = !turn;
            Some(if turn { one } else { other })
        });
        prop_assert!(world.dials.len() >= 2, "{:?}", world.dials);
        prop_assert!(world.dials[1].0 - world.dials[0].0 <= one.abs_diff(other));
    }
}
