use proptest::prelude::*;
use wattle_contracts::id::MeshId;

use super::*;

const START: UnixMillis = UnixMillis(1_800_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn delegation(renewer: NodeId, papers: Duration) -> DelegationBody {
    let mesh = MeshId::from_bytes([1; 32]);
    DelegationBody { mesh, renewer, papers, issued: START, expires: START.plus(1_000_000 * SECOND) }
}

fn at(second: u32) -> UnixMillis {
    START.plus(second * SECOND)
}

fn member(number: u8, from: u32, until: u32) -> Member {
    Member { node: node(number), term: Term { from: at(from), until: at(until) } }
}

#[test]
fn a_paper_is_renewed_when_a_third_of_its_time_is_left_and_once() {
    let mut renewals = Renewals::new(node(1));
    let (by, alone) = (delegation(node(1), 900 * SECOND), [node(1)].into());
    let mut due = |second, until| renewals.due(at(second), &by, &alone, [member(2, 0, until)]);
    assert!(due(599, 900).is_empty());
    assert_eq!(due(600, 900), [node(2)]);
    // Not again at once, but when nothing has come of it.
    assert!(due(601, 900).is_empty() && due(629, 900).is_empty());
    assert_eq!(due(660, 900), [node(2)]);
    // A long paper is renewed only when the new one is the longer one by far.
    assert!(due(8000, 9000).is_empty());
    assert_eq!(due(8700, 9000), [node(2)]);
}

#[test]
fn a_renewer_acts_within_its_own_time_and_not_on_what_ran_out_long_ago() {
    let mut renewals = Renewals::new(node(1));
    let alone = [node(1)].into();
    let mut by = delegation(node(1), 900 * SECOND);
    by.expires = at(650);
    assert_eq!(renewals.due(at(610), &by, &alone, [member(2, 0, 900)]), [node(2)]);
    assert!(renewals.due(at(700), &by, &alone, [member(2, 0, 900)]).is_empty());
    by.expires = at(10_000);
    assert_eq!(renewals.due(at(1700), &by, &alone, [member(3, 0, 900)]), [node(3)]);
    assert!(renewals.due(at(1900), &by, &alone, [member(4, 0, 900)]).is_empty());
}

#[test]
fn many_at_once_are_renewed_in_portions_and_the_most_urgent_first() {
    let mut renewals = Renewals::new(node(1));
    let (by, alone) = (delegation(node(1), 900 * SECOND), [node(1)].into());
    let all: Vec<Member> = (2..102).map(|n| member(n, 0, 1000 - u32::from(n))).collect();
    let mut seen = BTreeSet::new();
    for second in 0..7 {
        let due = renewals.due(at(900 + second), &by, &alone, all.iter().copied());
        assert!(due.len() <= MAX_AT_ONCE);
        assert!(second > 0 || due.contains(&node(101)));
        seen.extend(due);
    }
    assert_eq!(seen.len(), all.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A mesh in virtual time, cut into two again and again, with a renewer on both sides.
    #[test]
    fn no_paper_runs_out_where_a_renewer_is_and_each_is_renewed_about_once(
        papers in 60u32..600,
        renewers in 2u8..7,
        members in 1u8..12,
        first in prop::collection::vec(0.3f64..1.0, 20),
        cuts in prop::collection::vec(any::<u64>(), 8),
        down in any::<prop::sample::Index>(),
    ) {
        let count = renewers + members;
        let mut deciders: Vec<Renewals> = (0..renewers).map(|n| Renewals::new(node(n))).collect();
        // What each node knows of each other one's paper.
        let terms: Vec<Member> = (0..count)
            .zip(first.iter().cycle())
            .map(|(n, part)| member(n, 0, (f64::from(papers) * part) as u32 + 30))
            .collect();
        let mut known = vec![terms; usize::from(count)];
        let mut given = vec![0u32; usize::from(count)];
        let end = papers * 4;
        for second in 0..end {
            let cut = cuts[(second * 8 / end) as usize];
            // The first two renewers are on two sides, for ever; one of the others is down.
            let side = |n: u8| match n { 0 => 0, 1 => 1, _ => (cut >> n) & 1 };
            let is_down = |n: u8| n >= 2 && usize::from(n) == down.index(usize::from(renewers));
            for decider in (0..renewers).filter(|n| !is_down(*n)) {
                let near: Vec<u8> = (0..count).filter(|n| side(*n) == side(decider)).collect();
                let there = near.iter().filter(|n| **n < renewers && !is_down(**n));
                let there: BTreeSet<NodeId> = there.map(|n| node(*n)).collect();
                let here = known[usize::from(decider)].clone();
                let alive = near.iter().filter(|n| !is_down(**n)).map(|n| here[usize::from(*n)]);
                let by = delegation(node(decider), papers * SECOND);
                let due = deciders[usize::from(decider)].due(at(second), &by, &there, alive);
                for renewed in due {
                    let n = usize::from(renewed.as_bytes()[0]);
                    let left = here[n].term.left(at(second));
                    prop_assert!(left <= here[n].term.length() / LAST_PART, "too early: {left:?}");
                    given[n] += 1;
                    for other in &near {
                        known[usize::from(*other)][n].term = Term { from: at(second), until: at(second + papers) };
                    }
                }
            }
            // What is known on one side is known to all of it.
            for n in 0..count {
                for other in (0..count).filter(|other| side(*other) == side(n)) {
                    let theirs = known[usize::from(other)].clone();
                    for (mine, theirs) in known[usize::from(n)].iter_mut().zip(theirs) {
                        if theirs.term.until > mine.term.until {
                            *mine = theirs;
                        }
                    }
                }
            }
            for n in (0..count).filter(|n| !is_down(*n)) {
                let own = known[usize::from(n)][usize::from(n)].term;
                prop_assert!(own.until > at(second), "{n} ran out in second {second}");
            }
        }
        // In two thirds of the time of a paper at the earliest, and on two sides at the most twice.
        prop_assert!(given.iter().all(|given| *given <= 2 * (4 * 3 / 2 + 1)), "{given:?}");
    }
}
