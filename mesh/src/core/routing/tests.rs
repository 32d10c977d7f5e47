use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

const START: Time = Time::ZERO;
const MILLISECOND: Duration = Duration::from_millis(1);

fn node(number: u16) -> NodeId {
    let [high, low] = number.to_be_bytes();
    let mut bytes = [0; 32];
    (bytes[0], bytes[1]) = (high, low);
    NodeId::from_bytes(bytes)
}

fn candidate(number: u16) -> Candidate {
    Candidate { node: node(number), rtt: Some(MILLISECOND), detour: false, busy: 0 }
}

fn at(number: u16, rtt_micros: u64) -> Candidate {
    Candidate { rtt: Some(Duration::from_micros(rtt_micros)), ..candidate(number) }
}

fn random(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

fn call(router: &mut Router, now: Time, number: u16, outcome: Result<(), ErrorKind>) {
    router.began(node(number));
    router.ended(now, node(number), outcome);
}

fn break_node(router: &mut Router, now: Time, number: u16) {
    for _ in 0..FAULTS_TO_OPEN {
        call(router, now, number, Err(ErrorKind::Unreachable));
    }
}

/// The nodes that could be picked now, over many seeds.
fn picked(router: &Router, now: Time, candidates: &[Candidate]) -> Vec<u16> {
    let pick = |seed| router.clone().pick(now, candidates, &mut random(seed));
    let can_be = |number: &u16| (0..64).any(|seed| pick(seed) == Some(node(*number)));
    (0..16).filter(can_be).collect()
}

#[derive(Debug, Clone)]
enum Step {
    Wait(Duration),
    Begin(u16),
    End(u16, Result<(), ErrorKind>),
    Reconnect(u16),
    Forget(u16),
}

fn an_outcome() -> impl Strategy<Value = Result<(), ErrorKind>> {
    prop_oneof![
        1 => Just(Ok(())),
        4 => Just(Err(ErrorKind::Unreachable)),
        2 => proptest::sample::select(&ErrorKind::ALL[..]).prop_map(Err),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0..20_000u64).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        6 => (0..5u16).prop_map(Step::Begin),
        6 => (0..5u16, an_outcome()).prop_map(|(number, outcome)| Step::End(number, outcome)),
        1 => (0..5u16).prop_map(Step::Reconnect),
        1 => (0..5u16).prop_map(Step::Forget),
    ]
}

fn a_candidate() -> impl Strategy<Value = Candidate> {
    let rtt = proptest::option::of((0..5000u64).prop_map(Duration::from_micros));
    (0..5u16, rtt, any::<bool>(), 0..5u32).prop_map(|(number, rtt, detour, busy)| Candidate {
        node: node(number),
        rtt,
        detour,
        busy,
    })
}

/// A router with a past, and the moment at which that ends.
fn a_past() -> impl Strategy<Value = (Router, Time)> {
    proptest::collection::vec(a_step(), 0..80).prop_map(|steps| {
        let (mut router, mut now) = (Router::new(), START);
        for step in steps {
            match step {
                Step::Wait(duration) => now = now.plus(duration),
                Step::Begin(number) => router.began(node(number)),
                Step::End(number, outcome) => router.ended(now, node(number), outcome),
                Step::Reconnect(number) => router.reconnected(node(number)),
                Step::Forget(number) => router.forget(node(number)),
            }
        }
        (router, now)
    })
}

proptest! {
    #[test]
    fn an_open_breaker_is_never_picked_while_another_is_not_open(
        (mut router, now) in a_past(),
        candidates in proptest::collection::vec(a_candidate(), 0..8),
        seed in any::<u64>(),
    ) {
        let before = router.clone();
        let picked = router.pick(now, &candidates, &mut random(seed));
        prop_assert_eq!(picked, before.clone().pick(now, &candidates, &mut random(seed)));
        let Some(picked) = picked else {
            prop_assert!(candidates.is_empty());
            return Ok(());
        };
        prop_assert!(candidates.iter().any(|candidate| candidate.node == picked));
        let is_open = |node| matches!(before.breaker(now, node), BreakerState::Open { .. });
        let all_open = candidates.iter().all(|candidate| is_open(candidate.node));
        prop_assert_eq!(is_open(picked), all_open);
    }

    #[test]
    fn a_broken_node_is_probed_within_the_longest_backoff(
        (mut router, now) in a_past(),
        seed in any::<u64>(),
    ) {
        let nodes: Vec<Candidate> = (0..5).map(candidate).collect();
        let mut random = random(seed);
        let mut broken: Vec<NodeId> = nodes
            .iter()
            .map(|candidate| candidate.node)
            .filter(|node| router.breaker(now, *node) != BreakerState::Closed)
            .collect();
        for id in &broken {
            if let BreakerState::Open { until } = router.breaker(now, *id) {
                prop_assert!(until.since(now) <= MAX_BACKOFF);
            }
        }
        // From then on, each call probes one of them, until all are.
        let later = now.plus(MAX_BACKOFF);
        while !broken.is_empty() {
            let probed = router.pick(later, &nodes, &mut random).unwrap();
            prop_assert!(broken.contains(&probed));
            router.began(probed);
            prop_assert_ne!(router.breaker(later, probed), BreakerState::HalfOpen);
            router.ended(later, probed, Ok(()));
            prop_assert_eq!(router.breaker(later, probed), BreakerState::Closed);
            broken.retain(|id| *id != probed);
        }
    }

    #[test]
    fn only_the_nearest_are_picked_while_all_is_well(
        candidates in proptest::collection::vec(a_candidate(), 1..8),
        seed in any::<u64>(),
    ) {
        let far = |c: &Candidate| Some(c.rtt? + if c.detour { DETOUR } else { Duration::ZERO });
        let nearest = candidates.iter().filter_map(far).min();
        let picked = Router::new().pick(START, &candidates, &mut random(seed)).unwrap();
        let is_near = |candidate: &Candidate| match (far(candidate), nearest) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(rtt), Some(nearest)) => rtt <= (nearest * 3 / 2).max(nearest + NEAR),
        };
        prop_assert!(candidates.iter().any(|c| c.node == picked && is_near(c)));
    }
}

#[test]
fn a_local_network_is_all_equally_near_and_a_far_site_is_not() {
    let mut router = Router::new();
    let unknown = Candidate { rtt: None, ..candidate(4) };
    let lan = [at(0, 200), at(1, 900), at(2, 1200), at(3, 1300), unknown];
    assert_eq!(picked(&router, START, &lan), [0, 1, 2]);
    let wan = [at(0, 20_000), at(1, 30_000), at(2, 31_000), unknown];
    assert_eq!(picked(&router, START, &wan), [0, 1]);
    assert_eq!(picked(&router, START, &[unknown]), [4]);
    assert_eq!(router.pick(START, &[], &mut random(0)), None);
}

#[test]
fn load_evens_out() {
    for seed in 0..16 {
        let (mut router, mut random) = (Router::new(), random(seed));
        let nodes: Vec<Candidate> = (0..10).map(candidate).collect();
        for _ in 0..5000 {
            let picked = router.pick(START, &nodes, &mut random).unwrap();
            router.began(picked);
        }
        let loads: Vec<u32> = nodes.iter().map(|c| router.under_way(c.node)).collect();
        assert!(loads.iter().all(|load| (490..=510).contains(load)), "{loads:?}");
    }
}

#[test]
fn the_node_that_reports_more_work_gets_less_until_this_one_has_made_up_for_it() {
    let mut router = Router::new();
    let nodes = [Candidate { busy: 10, ..candidate(0) }, candidate(1)];
    let mut random = random(1);
    for _ in 0..10 {
        assert_eq!(router.pick(START, &nodes, &mut random), Some(node(1)));
        router.began(node(1));
    }
    assert_eq!(picked(&router, START, &nodes), [0, 1]);
}

#[test]
fn only_faults_of_the_node_open_its_breaker_and_only_in_a_row() {
    use ErrorKind::*;
    for kind in ErrorKind::ALL {
        let mut router = Router::new();
        for _ in 0..FAULTS_TO_OPEN {
            assert_eq!(router.breaker(START, node(1)), BreakerState::Closed);
            call(&mut router, START, 1, Err(kind));
        }
        let opened = router.breaker(START, node(1)) != BreakerState::Closed;
        let counts = matches!(kind, Unreachable | Overloaded | Deadline | Internal);
        assert_eq!(opened, counts, "{kind}");
        assert_eq!(router.peers.is_empty(), !counts, "{kind}");
    }
    let mut router = Router::new();
    for outcome in [Err(Deadline), Err(Deadline), Ok(()), Err(Deadline), Err(Trapped)] {
        call(&mut router, START, 1, outcome);
    }
    call(&mut router, START, 1, Err(Deadline));
    call(&mut router, START, 1, Err(Cancelled));
    call(&mut router, START, 1, Err(Deadline));
    assert_eq!(router.breaker(START, node(1)), BreakerState::Closed);
    call(&mut router, START, 1, Err(Deadline));
    assert_ne!(router.breaker(START, node(1)), BreakerState::Closed);
}

#[test]
fn each_failed_probe_doubles_the_backoff_up_to_its_limit() {
    let mut router = Router::new();
    let mut now = START;
    break_node(&mut router, now, 1);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let BreakerState::Open { until } = router.breaker(now, node(1)) else {
            panic!("closed");
        };
        waits.push(until.since(now).as_millis());
        now = until;
        assert_eq!(router.breaker(now, node(1)), BreakerState::HalfOpen);
        assert_eq!(router.pick(now, &[candidate(1)], &mut random(0)), Some(node(1)));
        call(&mut router, now, 1, Err(ErrorKind::Unreachable));
    }
    assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
    router.reconnected(node(1));
    assert_eq!(router.breaker(now, node(1)), BreakerState::Closed);
    break_node(&mut router, now, 1);
    let until = now.plus(FIRST_BACKOFF);
    assert_eq!(router.breaker(now, node(1)), BreakerState::Open { until });
}

#[test]
fn one_probe_at_a_time_and_a_lost_one_does_not_block_for_ever() {
    let mut router = Router::new();
    let nodes = [candidate(1), candidate(2)];
    break_node(&mut router, START, 1);
    assert_eq!(picked(&router, START, &nodes), [2]);
    let due = START.plus(FIRST_BACKOFF);
    assert_eq!(router.pick(due, &nodes, &mut random(0)), Some(node(1)));
    assert_eq!(picked(&router, due, &nodes), [2]);
    assert_eq!(picked(&router, due.plus(FIRST_BACKOFF), &nodes), [1]);
}

#[test]
fn only_the_probe_lengthens_the_backoff() {
    let mut router = Router::new();
    for _ in 0..100 {
        router.began(node(1));
    }
    let fail = |router: &mut Router, now, calls| {
        for _ in 0..calls {
            router.ended(now, node(1), Err(ErrorKind::Deadline));
        }
    };
    fail(&mut router, START, 50);
    let due = START.plus(FIRST_BACKOFF);
    assert_eq!(router.breaker(START, node(1)), BreakerState::Open { until: due });
    assert_eq!(router.pick(due, &[candidate(1)], &mut random(0)), Some(node(1)));
    fail(&mut router, due, 50);
    let until = due.plus(2 * FIRST_BACKOFF);
    assert_eq!(router.breaker(due, node(1)), BreakerState::Open { until });
}

#[test]
fn when_all_are_broken_the_one_due_first_is_asked_and_may_come_back() {
    let mut router = Router::new();
    let nodes = [candidate(1), candidate(2)];
    break_node(&mut router, START.plus(MILLISECOND), 1);
    break_node(&mut router, START, 2);
    let now = START.plus(2 * MILLISECOND);
    assert_eq!(picked(&router, now, &nodes), [2]);
    call(&mut router, now, 2, Ok(()));
    assert_eq!(router.breaker(now, node(2)), BreakerState::Closed);
    assert_eq!(router.under_way(node(2)), 0);
}

#[test]
fn a_node_that_others_outpace_again_and_again_is_asked_later() {
    let mut router = Router::new();
    let nodes = [at(1, 100), at(2, 900)];
    for _ in 1..FAULTS_TO_OPEN {
        router.outpaced(START, node(1));
    }
    call(&mut router, START, 1, Ok(()));
    for _ in 0..FAULTS_TO_OPEN {
        assert_eq!(router.breaker(START, node(1)), BreakerState::Closed);
        router.outpaced(START, node(1));
    }
    assert_eq!(picked(&router, START, &nodes), [2]);
}

#[test]
fn who_is_reached_directly_is_preferred_to_who_is_not() {
    let router = Router::new();
    let through = Candidate { detour: true, ..at(1, 200) };
    assert_eq!(picked(&router, START, &[through, at(2, 900)]), [2]);
    assert_eq!(picked(&router, START, &[through]), [1]);
    // But not at any price.
    assert_eq!(picked(&router, START, &[through, at(2, 150_000)]), [1]);
}

#[test]
fn no_more_nodes_are_remembered_than_the_bound() {
    let mut router = Router::new();
    let last = u16::try_from(MAX_PEERS).unwrap();
    for number in 0..=last {
        router.began(node(number));
    }
    assert_eq!(router.peers.len(), MAX_PEERS);
    assert_eq!(router.under_way(node(last)), 0);
    router.ended(START, node(last), Err(ErrorKind::Unreachable));
    router.forget(node(0));
    router.ended(START, node(0), Ok(()));
    assert_eq!(router.peers.len(), MAX_PEERS - 1);
    for number in 1..last {
        router.ended(START, node(number), Ok(()));
    }
    assert!(router.peers.is_empty());
}
