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

proptest! {
    #[test]
    fn no_evidence_removes_a_node_that_was_admitted(
        steps in prop::collection::vec((0u8..6, 0u8..30, 0u64..30), 0..200),
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
