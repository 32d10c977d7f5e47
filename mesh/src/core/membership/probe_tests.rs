//! Probers on a network that exists in memory only: some ways pass, some don't, messages are lost,
//! repeated and late.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;

const STEP: Duration = Duration::from_millis(50);

fn id(number: usize) -> NodeId {
    NodeId::from_bytes([number as u8; 32])
}

fn number(id: NodeId) -> usize {
    id.as_bytes()[0].into()
}

/// What the network does to messages.
#[derive(Debug, Clone, Copy)]
struct Weather {
    lost: f64,
    repeated: f64,
}

const FAIR: Weather = Weather { lost: 0.0, repeated: 0.0 };

struct World {
    now: Time,
    probers: Vec<Prober>,
    /// Whether what the first sends arrives at the second.
    passes: Vec<Vec<bool>>,
    /// Whether the two have a connection, as far as both know.
    linked: Vec<Vec<bool>>,
    on_the_way: Vec<(Time, usize, usize, Probe)>,
    found: BTreeMap<(usize, usize), Probed>,
    sent: usize,
    rng: SmallRng,
}

impl World {
    fn new(nodes: usize, seed: u64) -> Self {
        Self {
            now: Time::ZERO,
            probers: (0..nodes).map(|_| Prober::new(Config::default())).collect(),
            passes: vec![vec![true; nodes]; nodes],
            linked: vec![vec![true; nodes]; nodes],
            on_the_way: Vec::new(),
            found: BTreeMap::new(),
            sent: 0,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    fn run(&mut self, time: Duration, weather: Weather) {
        let until = self.now.plus(time);
        while self.now < until {
            self.now = self.now.plus(STEP);
            self.deliver();
            for node in 0..self.probers.len() {
                self.step(node, weather);
            }
        }
    }

    /// Both sides notice that nothing comes any more, or that it does again.
    fn notice(&mut self) {
        for a in 0..self.probers.len() {
            for b in 0..self.probers.len() {
                self.linked[a][b] = self.both_ways(a, b);
            }
        }
    }

    fn both_ways(&self, a: usize, b: usize) -> bool {
        self.passes[a][b] && self.passes[b][a]
    }

    fn step(&mut self, node: usize, weather: Weather) {
        let others = (0..self.probers.len()).filter(|other| *other != node);
        let members: Vec<Member> =
            others.map(|o| Member { node: id(o), linked: self.linked[node][o] }).collect();
        let mut out = Vec::new();
        // The transport's own pings.
        if self.now.elapsed().as_millis().is_multiple_of(2000) {
            for member in &members {
                if member.linked && self.both_ways(node, number(member.node)) {
                    self.probers[node].heard(self.now, member.node, &mut out);
                }
            }
        }
        self.probers[node].tick(self.now, &members, &mut self.rng, &mut out);
        self.act(node, out, weather);
    }

    fn act(&mut self, node: usize, actions: Vec<Action>, weather: Weather) {
        for action in actions {
            match action {
                Action::Found(other, how) => {
                    self.found.insert((node, number(other)), how);
                }
                Action::Send(to, probe) => {
                    self.sent += 1;
                    let to = number(to);
                    let copies = 1 + usize::from(self.rng.random_bool(weather.repeated));
                    for _ in 0..copies {
                        let passes = self.passes[node][to] && self.linked[node][to];
                        if passes && !self.rng.random_bool(weather.lost) {
                            let late = Duration::from_millis(self.rng.random_range(1..150));
                            self.on_the_way.push((self.now.plus(late), node, to, probe));
                        }
                    }
                }
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let due: Vec<_> = self.on_the_way.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, from, to, probe) in due {
            let mut out = Vec::new();
            self.probers[to].receive(now, id(from), probe, &mut self.rng, &mut out);
            self.act(to, out, FAIR);
        }
    }

    fn found(&self, node: usize, other: usize) -> Probed {
        self.found.get(&(node, other)).copied().unwrap_or(Probed::Direct)
    }

    /// What `node` should have found of `other`.
    fn is_right(&self, node: usize, other: usize) -> bool {
        let through = |c: &usize| {
            ![node, other].contains(c) && self.both_ways(node, *c) && self.both_ways(*c, other)
        };
        match self.found(node, other) {
            Probed::Direct => self.both_ways(node, other),
            Probed::Via(c) => !self.both_ways(node, other) && through(&number(c)),
            Probed::Silent => {
                !self.both_ways(node, other) && !(0..self.probers.len()).any(|c| through(&c))
            }
        }
    }
}

proptest! {
    #[test]
    fn every_cut_is_told_for_what_it_is_and_forgotten_when_it_heals(
        nodes in 2usize..6,
        cuts in prop::collection::vec((0usize..6, 0usize..6), 0..8),
        lost in 0.0..0.4,
        repeated in 0.0..0.4,
        notice in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut world = World::new(nodes, seed);
        world.run(Duration::from_secs(5), FAIR);
        for (from, to) in cuts {
            world.passes[from % nodes][to % nodes] = false;
        }
        world.run(Duration::from_secs(10), Weather { lost, repeated });
        if notice {
            world.notice();
        }
        // Longer than the slowest question about a node that nobody reached takes to come again.
        world.run(Duration::from_secs(25), FAIR);
        for node in 0..nodes {
            for other in (0..nodes).filter(|other| *other != node) {
                prop_assert!(
                    world.is_right(node, other),
                    "{node} found {other} {:?}", world.found(node, other)
                );
            }
        }
        world.passes = vec![vec![true; nodes]; nodes];
        world.notice();
        world.run(Duration::from_secs(5), FAIR);
        for ((node, other), found) in &world.found {
            let is_back = *found == Probed::Direct || world.probers[*node]
                .watched[&id(*other)].found == Probed::Direct;
            prop_assert!(is_back, "{node} still finds {other} {found:?}");
        }
        for prober in &world.probers {
            prop_assert!(prober.asked.is_empty() && prober.relayed.is_empty());
        }
    }
}

#[test]
fn a_partial_cut_is_found_within_three_seconds_of_the_last_sign_of_life() {
    let mut world = World::new(3, 1);
    world.run(Duration::from_secs(10), FAIR);
    assert_eq!(world.sent, 0, "who is heard is not asked");
    (world.passes[0][1], world.passes[1][0]) = (false, false);
    world.run(Duration::from_millis(3500), FAIR);
    assert_eq!(world.found(0, 1), Probed::Via(id(2)));
    assert_eq!(world.found(1, 0), Probed::Via(id(2)));
    assert_eq!((world.found(0, 2), world.found(2, 0)), (Probed::Direct, Probed::Direct));
}

#[test]
fn after_a_cut_in_the_middle_there_is_no_storm() {
    let nodes = 40;
    let mut world = World::new(nodes, 1);
    world.run(Duration::from_secs(4), FAIR);
    for a in 0..nodes {
        for b in 0..nodes {
            world.passes[a][b] = (a < nodes / 2) == (b < nodes / 2);
        }
    }
    world.run(Duration::from_secs(5), FAIR);
    world.notice();
    world.run(Duration::from_secs(60), FAIR);
    world.sent = 0;
    world.run(Duration::from_secs(60), FAIR);
    // 20 nodes that nobody reaches, three others asked about each every 15 s.
    let each = world.sent as f64 / nodes as f64 / 60.0;
    assert!(each < 6.0, "{each} messages per node and second");
    world.passes = vec![vec![true; nodes]; nodes];
    world.notice();
    world.sent = 0;
    world.run(Duration::from_secs(10), FAIR);
    let each = world.sent as f64 / nodes as f64 / 10.0;
    assert!(each < 6.0, "{each} messages per node and second");
    assert!((0..nodes).all(|a| {
        (0..nodes).all(|b| a == b || world.probers[a].watched[&id(b)].found == Probed::Direct)
    }));
}

#[test]
fn nobody_answers_for_another() {
    let mut prober = Prober::new(Config::default());
    let mut rng = SmallRng::seed_from_u64(1);
    let (mut out, members) = (Vec::new(), [1, 2, 3].map(|n| Member { node: id(n), linked: n > 1 }));
    prober.tick(Time::ZERO, &members, &mut rng, &mut out);
    let Some(Action::Send(_, Probe::PingFor { nonce, target })) = out.first().cloned() else {
        panic!("{out:?}")
    };
    assert_eq!(target, id(1));
    out.clear();
    prober.receive(Time::ZERO, id(9), Probe::Ack { nonce }, &mut rng, &mut out);
    assert!(out.is_empty());
    prober.receive(Time::ZERO, id(3), Probe::Ack { nonce }, &mut rng, &mut out);
    assert_eq!(out, [Action::Found(id(1), Probed::Via(id(3)))]);
}

/// A question about a node without a connection, and its answer through another: `early` comes
/// before the prober has heard of the connection that has just come up, the rest after.
#[test]
fn an_answer_from_before_the_connection_does_not_outlive_it() {
    for early in [true, false] {
        let (near, far) = (id(1), id(2));
        let mut prober = Prober::new(Config::default());
        let mut rng = SmallRng::seed_from_u64(1);
        let members = |linked| [Member { node: near, linked: true }, Member { node: far, linked }];
        let mut at = |millis, linked, answer: Option<u64>| {
            let now = Time::since_start(Duration::from_millis(millis));
            let mut out = Vec::new();
            if let Some(nonce) = answer.filter(|_| early) {
                prober.receive(now, near, Probe::Ack { nonce }, &mut rng, &mut out);
            }
            prober.tick(now, &members(linked), &mut rng, &mut out);
            if let Some(nonce) = answer.filter(|_| !early) {
                prober.receive(now, near, Probe::Ack { nonce }, &mut rng, &mut out);
            }
            out
        };
        let asked = at(100, false, None).into_iter().find_map(|action| match action {
            Action::Send(to, Probe::PingFor { nonce, target }) => {
                Some(nonce).filter(|_| (to, target) == (near, far))
            }
            _ => None,
        });
        let out = at(300, true, Some(asked.unwrap()));
        let found = out.iter().rev().find_map(|action| match action {
            Action::Found(node, found) if *node == far => Some(*found),
            _ => None,
        });
        assert!(matches!(found, None | Some(Probed::Direct)), "{early}: {out:?}");
        assert_eq!(found.is_some(), early);
    }
}
