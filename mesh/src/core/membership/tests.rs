use proptest::prelude::*;
use wattle_contracts::key::SigningKey;

use super::*;

const ME: NodeId = NodeId::from_bytes([5; 32]);

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}

fn at(seconds: u64) -> Time {
    Time::since_start(Duration::from_secs(seconds))
}

fn live(byte: u8) -> Evidence {
    Evidence::Gossip { live: [node(byte)].into(), dead: BTreeSet::new() }
}

fn dead(byte: u8) -> Evidence {
    Evidence::Gossip { live: BTreeSet::new(), dead: [node(byte)].into() }
}

/// How node 9 stands after each of these.
fn story(steps: &[(u64, Evidence)]) -> Vec<Standing> {
    let mut members = Membership::new(ME, Config::default(), at(0), []);
    let mut seen = Vec::new();
    for (second, evidence) in steps {
        members.tick(at(*second), &mut Vec::new());
        members.handle(at(*second), evidence.clone(), &mut Vec::new());
        seen.push(members.node(node(9)).unwrap().standing());
    }
    seen
}

use Evidence::{Goodbye, Linked, Unlinked};
use Standing::{Alive, Left, Suspect, Unreachable};

#[test]
fn a_cut_makes_suspect_then_unreachable_and_a_heal_alive() {
    let seen = story(&[
        (1, Linked(node(9))),
        (2, Unlinked(node(9))),
        (3, live(9)),
        (8, dead(9)),
        (99, Linked(node(9))),
    ]);
    assert_eq!(seen, [Alive, Suspect, Suspect, Unreachable, Alive]);
}

#[test]
fn without_gossip_time_decides() {
    let mut members = Membership::new(ME, Config::default(), at(0), []);
    let mut out = Vec::new();
    members.handle(at(1), Linked(node(9)), &mut out);
    members.handle(at(2), Unlinked(node(9)), &mut out);
    assert_eq!(members.wake_at(), at(12));
    members.tick(at(11), &mut out);
    assert_eq!(members.node(node(9)).unwrap().standing(), Suspect);
    members.tick(members.wake_at(), &mut out);
    assert_eq!(members.wake_at(), Time::NEVER);
    let changes: Vec<_> = out
        .iter()
        .map(|change| match change {
            Change::Standing { from, to, .. } => (*from, *to),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [(None, Alive), (Some(Alive), Suspect), (Some(Suspect), Unreachable)];
    assert_eq!(changes, expected);
}

#[test]
fn a_node_that_others_still_hear_is_alive_though_not_linked() {
    let seen = story(&[(1, Linked(node(9))), (2, Unlinked(node(9))), (10, live(9)), (40, live(9))]);
    assert_eq!(seen, [Alive, Suspect, Suspect, Alive]);
}

#[test]
fn who_left_is_not_raised_by_stale_gossip_but_by_coming_back() {
    let seen =
        story(&[(1, Linked(node(9))), (2, Goodbye(node(9))), (3, live(9)), (4, Unlinked(node(9)))]);
    assert_eq!(seen, [Alive, Left, Left, Left]);
    let seen = story(&[(1, Goodbye(node(9))), (3, live(9)), (4, dead(9)), (9, live(9))]);
    assert_eq!(seen, [Left, Left, Left, Alive]);
    let seen = story(&[(1, Linked(node(9))), (2, Goodbye(node(9))), (3, Linked(node(9)))]);
    assert_eq!(seen, [Alive, Left, Alive]);
}

#[test]
fn a_connection_without_a_heartbeat_is_suspect() {
    let seen = story(&[(1, Linked(node(9))), (2, live(9)), (25, dead(9)), (30, live(9))]);
    assert_eq!(seen, [Alive, Alive, Suspect, Alive]);
}

/// Gossip's failure detector calls a newcomer dead until it has heard a few heartbeats. A node
/// that was suspect for that would lose its share of the components just after it came.
#[test]
fn a_newcomer_is_not_suspect_for_a_heart_that_has_only_begun_to_beat() {
    let seen = story(&[(1, Linked(node(9))), (2, dead(9)), (3, live(9)), (4, dead(9))]);
    assert_eq!(seen, [Alive, Alive, Alive, Alive]);
    let seen = story(&[(1, Linked(node(9))), (2, dead(9)), (25, dead(9))]);
    assert_eq!(seen, [Alive, Alive, Suspect]);
}

#[test]
fn this_node_is_always_alive_to_itself() {
    let mut members = Membership::new(ME, Config::default(), at(0), [node(9)]);
    let mut out = Vec::new();
    for evidence in [Unlinked(ME), Goodbye(ME), dead(5)] {
        members.handle(at(1), evidence, &mut out);
    }
    members.tick(at(100), &mut out);
    assert_eq!(members.node(ME).unwrap().standing(), Alive);
    assert_eq!(members.node(node(9)).unwrap().standing(), Unreachable);
    assert!(out.is_empty());
}

#[test]
fn only_newer_genuine_facts_are_taken() {
    let key = SigningKey::from_seed([2; 32]).unwrap();
    let id = NodeId::from_bytes(key.public());
    let fact = |sequence, text: &str| Fact::sign(&key, "about", sequence, &text).unwrap();
    let mut members = Membership::new(ME, Config::default(), at(0), []);
    let mut out = Vec::new();
    let mut take = |fact: Fact| members.handle(at(1), Evidence::Fact(Box::new(fact)), &mut out);
    take(fact(2, "new"));
    take(fact(1, "old"));
    let mut forged = fact(3, "forged");
    forged.body.push(0);
    take(forged);
    assert_eq!(members.node(id).unwrap().statement::<String>("about").as_deref(), Some("new"));
    assert_eq!(members.node(id).unwrap().standing(), Unreachable);
    let taken = out.iter().filter(|change| matches!(change, Change::Fact { .. })).count();
    let refused = out.iter().filter(|change| matches!(change, Change::FactRefused { .. })).count();
    assert_eq!((taken, refused), (1, 1));
}

#[test]
fn a_round_trip_is_smoothed() {
    let mut members = Membership::new(ME, Config::default(), at(0), [node(9)]);
    let mut out = Vec::new();
    for millis in [8, 16] {
        let trip = Evidence::RoundTrip(node(9), Duration::from_millis(millis));
        members.handle(at(1), trip, &mut out);
    }
    assert_eq!(members.node(node(9)).unwrap().round_trip(), Some(Duration::from_millis(9)));
}

fn live_one(node: NodeId) -> Evidence {
    Evidence::Gossip { live: [node].into(), dead: BTreeSet::new() }
}

fn dead_one(node: NodeId) -> Evidence {
    Evidence::Gossip { live: BTreeSet::new(), dead: [node].into() }
}

fn found(byte: u8, found: Probed) -> Evidence {
    Evidence::Probed(node(byte), found)
}

#[test]
fn a_node_that_answers_through_another_is_alive_until_it_does_not() {
    let via = Probed::Via(node(8));
    let seen = story(&[
        (1, Linked(node(9))),
        (2, found(9, Probed::Silent)),
        (3, found(9, via)),
        (4, Unlinked(node(9))),
        (60, found(9, via)),
        (61, found(9, Probed::Silent)),
        (70, Linked(node(9))),
    ]);
    assert_eq!(seen, [Alive, Suspect, Alive, Alive, Alive, Unreachable, Alive]);
}

#[test]
fn nobody_is_made_known_by_a_question_about_them() {
    let mut members = Membership::new(ME, Config::default(), at(0), []);
    let mut out = Vec::new();
    members.handle(at(1), found(9, Probed::Silent), &mut out);
    members.handle(at(1), Evidence::Knocked(node(9)), &mut out);
    assert!(members.node(node(9)).is_none() && out.is_empty());
}

/// A node with a key, so that it can say something.
fn speaker(seed: u8) -> (SigningKey, NodeId) {
    let key = SigningKey::from_seed([seed; 32]).unwrap();
    let id = NodeId::from_bytes(key.public());
    (key, id)
}

fn says<T: serde::Serialize>(key: &SigningKey, topic: &str, sequence: u64, it: &T) -> Evidence {
    Evidence::Fact(Box::new(Fact::sign(key, topic, sequence, it).unwrap()))
}

#[test]
fn a_detour_leads_over_who_just_asked_else_over_the_nearest_who_reports_a_connection() {
    let (near, near_id) = speaker(1);
    let (far, far_id) = speaker(2);
    let mut members = Membership::new(ME, Config::default(), at(0), [node(9), node(7)]);
    let mut out = Vec::new();
    let mut take = |members: &mut Membership, evidence| members.handle(at(1), evidence, &mut out);
    for id in [near_id, far_id, node(9)] {
        take(&mut members, Linked(id));
        take(&mut members, Evidence::RoundTrip(id, Duration::from_millis(1)));
    }
    assert!(members.detours().is_empty());
    let report = |rtt_millis| Report::new([(node(9), reach::Seen::Direct { rtt_millis })]);
    take(&mut members, says(&near, reach::TOPIC, 1, &report(5)));
    take(&mut members, says(&far, reach::TOPIC, 1, &report(50)));
    assert!(members.detours().is_empty(), "who is linked is not gone around");
    // It falls silent, and nobody else has heard it: the connection is as good a guess as any.
    take(&mut members, found(9, Probed::Silent));
    assert!(members.detours().is_empty());
    take(&mut members, found(9, Probed::Via(far_id)));
    assert_eq!(members.detours(), [(node(9), far_id)].into());
    take(&mut members, Unlinked(node(9)));
    take(&mut members, found(9, Probed::Silent));
    assert_eq!(members.detours(), [(node(9), near_id)].into());
    let through = members.round_trip_through(near_id, node(9));
    assert_eq!(through, Some(Duration::from_millis(6)));
    // Node 7 is reported by nobody; and a neighbour that is gone is no way.
    take(&mut members, Unlinked(near_id));
    assert_eq!(members.detours(), [(node(9), far_id)].into());
    take(&mut members, Linked(node(9)));
    assert_eq!(members.detours(), BTreeMap::new());
    let seen = members.report(at(1), |_| true);
    assert!(seen.direct(node(9)).is_some());
    assert_eq!(seen.of(node(7)), Some(reach::Seen::Unreachable));
}

#[test]
fn a_one_way_cut_is_known_by_handshakes_that_never_end() {
    let mut members = Membership::new(ME, Config::default(), at(0), [node(9)]);
    members.handle(at(1), Evidence::Knocked(node(9)), &mut Vec::new());
    assert!(members.is_one_way(at(2), node(9)));
    assert_eq!(members.report(at(2), |_| true).of(node(9)), Some(reach::Seen::OneWay));
    assert!(!members.is_one_way(at(99), node(9)));
    members.handle(at(100), Evidence::Knocked(node(9)), &mut Vec::new());
    members.handle(at(101), Linked(node(9)), &mut Vec::new());
    members.handle(at(102), Unlinked(node(9)), &mut Vec::new());
    assert!(!members.is_one_way(at(102), node(9)));
}

#[test]
fn a_goodbye_that_others_pass_on_holds_until_the_node_says_anything_later() {
    let (key, id) = speaker(3);
    let mut members = Membership::new(ME, Config::default(), at(0), []);
    let mut take = |evidence| {
        members.handle(at(1), evidence, &mut Vec::new());
        members.node(id).unwrap().standing()
    };
    take(says(&key, "about", 5, &"here"));
    assert_eq!(take(says(&key, LEFT, 6, &())), Left);
    assert_eq!(take(says(&key, "about", 5, &"stale")), Left);
    assert_eq!((take(dead_one(id)), take(live_one(id))), (Left, Left));
    // It came back, and is heard through others only.
    assert_eq!(take(says(&key, "about", 9, &"back")), Alive);
    assert_eq!(take(says(&key, LEFT, 6, &())), Alive);
    take(Linked(id));
    // While there is a connection, only what comes over it counts.
    assert_eq!(take(says(&key, LEFT, 10, &())), Alive);
    assert_eq!(take(Goodbye(id)), Left);
}

#[test]
fn a_report_that_is_none_is_refused() {
    let (key, id) = speaker(4);
    let mut members = Membership::new(ME, Config::default(), at(0), [id]);
    let mut out = Vec::new();
    members.handle(at(1), says(&key, reach::TOPIC, 1, &"nonsense"), &mut out);
    assert!(matches!(out.as_slice(), [Change::FactRefused { .. }]));
    assert!(members.node(id).unwrap().report().is_none());
}

proptest! {
    #[test]
    fn no_evidence_removes_a_node_that_was_admitted(
        steps in prop::collection::vec((0u8..10, 0u8..30, 0u64..30), 0..200),
    ) {
        let mut members = Membership::new(ME, Config::default(), at(0), []);
        let (mut second, mut admitted) = (0, BTreeSet::new());
        let mut standing: BTreeMap<NodeId, Standing> = BTreeMap::new();
        for (what, id, later) in steps {
            second += later;
            let mut out = Vec::new();
            let evidence = match what {
                0 => {
                    admitted.insert(node(id));
                    Linked(node(id))
                }
                1 => Unlinked(node(id)),
                2 => live(id),
                3 => dead(id),
                4 => Goodbye(node(id)),
                5 => found(id, Probed::Silent),
                6 => found(id, Probed::Direct),
                7 => found(id, Probed::Via(node(later as u8))),
                8 => Evidence::Knocked(node(id)),
                _ => Evidence::RoundTrip(node(id), Duration::from_millis(later)),
            };
            members.tick(at(second), &mut out);
            members.handle(at(second), evidence, &mut out);
            for change in out {
                if let Change::Standing { node, from, to } = change {
                    prop_assert_eq!(standing.insert(node, to), from, "changes make a chain");
                }
            }
        }
        for id in admitted {
            prop_assert!(members.node(id).is_some());
        }
        for member in members.nodes().filter(|member| member.id() != ME) {
            prop_assert_eq!(standing.get(&member.id()), Some(&member.standing()));
        }
    }
}

#[test]
fn hearsay_is_bounded() {
    let mut members = Membership::new(ME, Config::default(), at(0), [node(9)]);
    for nth in 0..3000u32 {
        let mut bytes = [1; 32];
        bytes[..4].copy_from_slice(&nth.to_be_bytes());
        let live = [NodeId::from_bytes(bytes)].into();
        let evidence = Evidence::Gossip { live, dead: BTreeSet::new() };
        members.handle(at(1), evidence, &mut Vec::new());
    }
    assert!(members.nodes().count() <= MAX_HINTED + 2);
    assert!(members.node(node(9)).is_some());
}
