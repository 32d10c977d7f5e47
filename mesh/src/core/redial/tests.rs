use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

const ME: NodeId = NodeId::from_bytes([5; 32]);

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

fn redial() -> Redial {
    Redial::new(ME, Config::default())
}

fn addresses(text: &str) -> [String; 1] {
    [text.to_string()]
}

/// When the next attempts come, if each fails at once.
fn attempts(redial: &mut Redial, from: Time, count: usize) -> Vec<Time> {
    let mut times = Vec::new();
    let mut now = from;
    while times.len() < count {
        now = now.max(redial.wake_at());
        for dial in redial.due(now, &mut rng()) {
            times.push(now);
            redial.failed(now, &dial.target, &mut rng());
        }
    }
    times
}

#[test]
fn the_dead_are_tried_for_ever_but_slowly() {
    let mut redial = redial();
    redial.hint(at(0), Target::Node(node(9)), addresses("a"), Source::Flag);
    let times = attempts(&mut redial, at(0), 200);
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(gaps[0] <= Duration::from_millis(500));
    let last = gaps.last().copied().unwrap();
    assert!(last >= Duration::from_secs(30) && last <= Duration::from_secs(60), "{last:?}");
}

#[test]
fn news_starts_the_attempts_afresh_but_not_more_often_than_allowed() {
    let mut redial = redial();
    let target = Target::Node(node(9));
    redial.hint(at(0), target.clone(), addresses("a"), Source::Mdns);
    let failed_until = *attempts(&mut redial, at(0), 12).last().unwrap();
    redial.hint(failed_until, target.clone(), addresses("a"), Source::Told);
    assert!(redial.due(failed_until, &mut rng()).is_empty(), "hearsay is no news");
    redial.hint(failed_until, target.clone(), addresses("a"), Source::Mdns);
    assert_eq!(redial.due(failed_until, &mut rng()).len(), 1);
    redial.failed(failed_until, &target, &mut rng());
    redial.hint(failed_until, target, addresses("a"), Source::Mdns);
    assert!(redial.due(failed_until, &mut rng()).is_empty(), "a second alarm at once");
}

#[test]
fn the_higher_of_two_nodes_lets_the_other_dial_first() {
    let mut redial = redial();
    redial.hint(at(0), Target::Node(node(9)), addresses("a"), Source::Mdns);
    redial.hint(at(0), Target::Node(node(1)), addresses("b"), Source::Mdns);
    let dials = redial.due(at(0), &mut rng());
    assert_eq!(dials.len(), 1);
    assert_eq!(dials[0].target, Target::Node(node(9)));
    redial.connected(at(100), node(1), None);
    assert!(redial.due(at(5000), &mut rng()).is_empty());
}

#[test]
fn a_lost_connection_is_dialled_again_and_a_held_one_is_not() {
    let mut redial = redial();
    redial.connected(at(0), node(9), Some("a".into()));
    assert_eq!(redial.wake_at(), Time::NEVER);
    redial.disconnected(at(1000), node(9), &mut rng());
    let dials = redial.due(redial.wake_at(), &mut rng());
    assert_eq!(dials, [Dial { target: Target::Node(node(9)), addresses: addresses("a").into() }]);
}

/// Nodes that were connected and lost, and tried in vain until the next attempt is far. When that is.
fn cut_off(redial: &mut Redial, ids: &[u8], lost: u64, far: u64) -> u64 {
    for id in ids {
        redial.connected(at(0), node(*id), Some(format!("node-{id}")));
    }
    for id in ids {
        redial.disconnected(at(lost), node(*id), &mut rng());
    }
    let mut now = lost;
    while redial.wake_at() < at(now + far) {
        now += 1_000;
        for dial in redial.due(at(now), &mut rng()) {
            redial.failed(at(now + 900), &dial.target, &mut rng());
        }
    }
    now + 1_000
}

/// Who is dialled within so long, and when.
fn dialled(redial: &mut Redial, from: u64, millis: u64) -> BTreeMap<Target, u64> {
    let steps = (from..from + millis).step_by(100);
    let dials = steps.flat_map(|now| {
        let dials = redial.due(at(now), &mut rng());
        dials.into_iter().map(move |dial| (dial.target, now))
    });
    dials.collect()
}

#[test]
fn a_node_that_is_late_begins_fewer_and_then_more_again() {
    let mut redial = Redial::new(node(50), Config::default());
    let mut rng = SmallRng::seed_from_u64(1);
    for other in 0..40 {
        redial.hint(at(0), Target::Node(node(other)), ["a".to_string()], Source::HostDirectory);
    }
    let (busy, in_time) = (Duration::from_millis(300), Duration::from_millis(10));
    redial.late(busy);
    redial.late(busy);
    let begun = redial.due(at(1000), &mut rng);
    assert_eq!(begun.len(), 4, "of sixteen");
    (0..10).for_each(|_| redial.late(busy));
    let dial = begun.first().unwrap();
    redial.failed(at(1100), &dial.target, &mut rng);
    assert!(redial.due(at(1100), &mut rng).is_empty(), "more are under way than it may begin");
    (0..20).for_each(|_| redial.late(in_time));
    assert_eq!(redial.due(at(1200), &mut rng).len(), 13);
}

#[test]
fn when_one_is_back_those_that_were_lost_with_it_are_tried_soon_and_not_at_once() {
    let mut redial = Redial::new(node(50), Config { at_once: 100, ..Config::default() });
    let ids: Vec<u8> = (10..90).filter(|id| *id != 50).collect();
    let now = cut_off(&mut redial, &ids, 1_000, 20_000);
    redial.connected(at(now), node(10), None);
    assert_eq!(redial.wake_at(), Time::ZERO);
    let dialled = dialled(&mut redial, now, 4_200);
    assert_eq!(dialled.len(), 78, "all but the one that is back");
    let at_once = |then: &u64| dialled.values().filter(|other| *other == then).count();
    assert!(dialled.values().all(|then| at_once(then) <= 10), "{dialled:?}");
    // The other side of those with a lower id dials them, if it can.
    let mut lower = dialled.iter().filter(|(target, _)| **target < Target::Node(node(50)));
    assert!(lower.all(|(_, then)| *then >= now + 2_000), "{dialled:?}");
}

#[test]
fn who_was_lost_at_another_time_is_not_tried_for_it() {
    let slowest = Duration::from_secs(600);
    let mut redial = Redial::new(node(1), Config { at_once: 100, slowest, ..Config::default() });
    let earlier = cut_off(&mut redial, &[10, 11, 12], 1_000, 200_000);
    let now = cut_off(&mut redial, &[20, 21, 22], earlier, 20_000);
    redial.connected(at(now), node(20), None);
    let dialled = dialled(&mut redial, now, 4_200);
    let with_it = [21, 22].map(|id| Target::Node(node(id)));
    assert!(dialled.keys().eq(&with_it), "{dialled:?}");
}

#[test]
fn an_address_without_a_name_is_tried_until_a_node_answers_and_again_when_that_one_goes() {
    let mut redial = redial();
    let target = Target::Address("10.0.0.1:7000".into());
    redial.hint(at(0), target.clone(), [], Source::Flag);
    assert_eq!(redial.due(at(0), &mut rng())[0].target, target);
    redial.failed(at(10), &target, &mut rng());
    let again = redial.wake_at();
    assert_eq!(redial.due(again, &mut rng())[0].target, target);
    redial.answered(again, "10.0.0.1:7000", node(9));
    redial.connected(again, node(9), Some("10.0.0.1:7000".into()));
    assert!(redial.due(at(100_000), &mut rng()).is_empty());
    redial.disconnected(at(200_000), node(9), &mut rng());
    let targets: Vec<Target> =
        redial.due(at(300_000), &mut rng()).into_iter().map(|dial| dial.target).collect();
    assert!(targets.contains(&target) && targets.contains(&Target::Node(node(9))));
}

#[test]
fn a_node_does_not_dial_itself_again_and_again() {
    let mut redial = redial();
    redial.hint(at(0), Target::Node(ME), addresses("a"), Source::Told);
    redial.hint(at(0), Target::Address("me:1".into()), [], Source::Flag);
    assert_eq!(redial.due(at(0), &mut rng()).len(), 1);
    redial.answered(at(5), "me:1", ME);
    assert_eq!(redial.wake_at(), Time::NEVER);
    assert!(redial.due(at(500_000), &mut rng()).is_empty());
}

#[test]
fn an_attempt_that_is_never_reported_ends() {
    let mut redial = redial();
    redial.hint(at(0), Target::Node(node(9)), addresses("a"), Source::Flag);
    assert_eq!(redial.due(at(0), &mut rng()).len(), 1);
    let woken = redial.wake_at();
    assert_eq!(woken, at(15_000));
    redial.due(woken, &mut rng());
    assert_eq!(attempts(&mut redial, woken, 1).len(), 1);
}

#[test]
fn a_node_remembered_from_an_earlier_run_is_remembered_again() {
    let mut redial = redial();
    redial.hint(at(0), Target::Node(node(9)), addresses("a"), Source::Remembered);
    let remembered: Vec<_> = redial.to_remember().collect();
    assert_eq!(remembered, [(node(9), vec!["a".to_string()])]);
}

#[test]
fn a_flood_of_hearsay_does_not_drive_out_what_a_person_said() {
    let mut redial = redial();
    redial.hint(at(0), Target::Address("given".into()), [], Source::Flag);
    for nth in 0..2 * MAX_HINTED {
        redial.hint(at(1), Target::Address(format!("told-{nth}")), [], Source::Told);
        assert!(redial.counts().0 <= MAX_HINTED);
    }
    assert!(redial.found_by(&Target::Address("given".into())).is_some());
    let last = format!("told-{}", 2 * MAX_HINTED - 1);
    assert!(redial.found_by(&Target::Address(last)).is_some());
}

/// What is dialled of these, of which none is ever heard again, in so many seconds.
fn tried(redial: &mut Redial, seconds: u64) -> BTreeMap<Target, u64> {
    let mut tried = BTreeMap::new();
    for now in 10..10 + seconds {
        for dial in redial.due(at(now * 1000), &mut rng()) {
            tried.entry(dial.target).or_insert(now);
        }
        assert!(redial.counts().1 <= 16);
    }
    tried
}

#[test]
fn false_hints_do_not_keep_it_from_those_that_it_knows() {
    let mut redial = redial();
    for nth in 0..1000 {
        let source = if nth % 2 == 0 { Source::Told } else { Source::Mdns };
        redial.hint(at(0), Target::Address(format!("false-{nth}")), [], source);
    }
    // They have all that hints may have, and each is waited for.
    assert_eq!(redial.due(at(5_000), &mut rng()).len(), 8);
    assert_eq!(redial.wake_at(), at(20_000), "it does not spin for those that have no place");
    // Later than all of them, and due after them.
    redial.hint(at(9_000), Target::Address("given".into()), [], Source::Flag);
    redial.hint(at(9_000), Target::Node(node(7)), addresses("a"), Source::Remembered);
    redial.connected(at(8_000), node(9), Some("b".into()));
    redial.disconnected(at(9_000), node(9), &mut rng());
    assert!(redial.wake_at() <= at(9_500));
    let tried = tried(&mut redial, 1);
    let sure = [Target::Node(node(7)), Target::Node(node(9)), Target::Address("given".into())];
    assert_eq!(tried.into_keys().collect::<Vec<_>>(), sure);
}

#[test]
fn those_that_are_gone_for_good_do_not_keep_it_from_who_is_new() {
    let mut redial = Redial::new(node(0), Config::default());
    for id in 1..200 {
        redial.hint(at(0), Target::Node(node(id)), addresses("gone"), Source::Remembered);
    }
    redial.hint(at(9_000), Target::Node(node(250)), addresses("new"), Source::Told);
    let tried = tried(&mut redial, 60);
    assert!(tried.get(&Target::Node(node(250))).is_some_and(|at| *at <= 40), "{tried:?}");
    assert!(tried.len() > 40, "{tried:?}");
}

#[test]
fn who_is_left_alone_is_remembered_and_not_dialled_until_it_is_needed() {
    let mut redial = redial();
    redial.hint(at(0), Target::Address("door".into()), [], Source::Flag);
    assert_eq!(redial.due(at(0), &mut rng()).len(), 1);
    // The address leads to the same node.
    redial.answered(at(1), "door", node(9));
    redial.connected(at(1), node(9), Some("door".into()));
    redial.rest(BTreeSet::from([node(9)]).into());
    redial.disconnected(at(2), node(9), &mut rng());
    assert!(redial.due(at(60_000), &mut rng()).is_empty());
    assert_eq!(redial.wake_at(), Time::NEVER);
    assert_eq!(redial.to_remember().count(), 1);
    redial.rest(Default::default());
    redial.need(at(60_000), node(9));
    let dialled: Vec<Target> =
        redial.due(at(60_000), &mut rng()).into_iter().map(|dial| dial.target).collect();
    assert!(dialled.contains(&Target::Node(node(9))));
    // What has just failed waits, however much it is needed.
    redial.failed(at(60_001), &Target::Node(node(9)), &mut rng());
    redial.need(at(60_002), node(9));
    let again = redial.due(at(60_002), &mut rng());
    assert!(!again.iter().any(|dial| dial.target == Target::Node(node(9))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn hints_are_bounded_and_the_admitted_stay(
        admitted in prop::collection::btree_set(6u8..200, 1..20),
        flood in MAX_HINTED..MAX_HINTED + 1000,
    ) {
        let mut redial = redial();
        for id in &admitted {
            redial.connected(at(0), node(*id), Some(format!("node-{id}")));
            redial.disconnected(at(1), node(*id), &mut rng());
        }
        for nth in 0..flood {
            let name = format!("flood-{nth}");
            redial.hint(at(2), Target::Address(name), [], Source::Told);
        }
        prop_assert!(redial.counts().0 <= MAX_HINTED + admitted.len());
        let remembered: Vec<NodeId> = redial.to_remember().map(|(node, _)| node).collect();
        let expected: Vec<NodeId> = admitted.iter().map(|id| node(*id)).collect();
        prop_assert_eq!(remembered, expected);
    }
}

proptest! {
    #[test]
    fn never_more_attempts_than_allowed_and_none_at_whom_is_linked(
        steps in prop::collection::vec((0u8..5, 0u8..40, 0u64..2000), 1..200),
    ) {
        let mut redial = redial();
        let (mut now, mut under_way, mut linked) = (at(0), BTreeSet::new(), BTreeSet::new());
        let mut rng = rng();
        for (what, id, later) in steps {
            now = now.plus(Duration::from_millis(later));
            let target = Target::Node(node(id));
            match what {
                0 | 1 => {
                    redial.hint(now, target, [format!("{later}")], Source::Told);
                }
                2 => {
                    redial.connected(now, node(id), None);
                    under_way.remove(&target);
                    linked.insert(target);
                }
                3 => {
                    redial.disconnected(now, node(id), &mut rng);
                    linked.remove(&target);
                }
                _ => {
                    redial.failed(now, &target, &mut rng);
                    under_way.remove(&target);
                }
            }
            for dial in redial.due(now, &mut rng) {
                prop_assert!(!linked.contains(&dial.target));
                prop_assert!(dial.target != Target::Node(ME));
                under_way.insert(dial.target);
            }
            prop_assert!(redial.counts().1 <= Config::default().at_once);
        }
    }
}

#[test]
fn a_thousand_addresses_that_somebody_made_up_keep_nobody_from_true_ones() {
    let mut redial = redial();
    for number in 0..1000u16 {
        let target = Target::Address(format!("192.0.2.1:{number}"));
        redial.hint(at(0), target, addresses("x"), Source::Told);
    }
    // It is due last.
    let named = Target::Address("true.example:4747".into());
    redial.hint(at(5), named.clone(), addresses("x"), Source::Flag);
    let dials = redial.due(at(10_000), &mut rng());
    assert!(dials.len() > 1, "the others are tried as well");
    assert!(dials.iter().any(|dial| dial.target == named), "{dials:?}");
}
