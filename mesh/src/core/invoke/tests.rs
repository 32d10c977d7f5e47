use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

use super::*;

const MILLI: Duration = Duration::from_millis(1);

fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

fn began(step: Step) -> bool {
    matches!(step, Step::Begin { .. })
}

#[test]
fn who_answers_is_asked_once() {
    for outcome in [Ok(()), Err(ErrorKind::Trapped), Err(ErrorKind::NotAllowed)] {
        let (mut call, mut budget) = (Call::new(at(0), at(1000), None), Budget::default());
        assert_eq!(call.next(at(0), &mut budget), Step::Begin { attempt: 0, hedge: false });
        assert_eq!(call.next(at(0), &mut budget), Step::Wait(at(1000)));
        assert_eq!(call.ended(at(5), outcome, &mut rng()), Verdict::Over);
    }
}

#[test]
fn who_can_not_be_reached_is_asked_again_after_a_wait_that_grows() {
    let (mut call, mut budget) = (Call::new(at(0), at(60_000), None), Budget::default());
    let mut now = at(0);
    for attempt in 0..MAX_ATTEMPTS {
        assert_eq!(call.next(now, &mut budget), Step::Begin { attempt, hedge: false });
        let verdict = call.ended(now, Err(ErrorKind::Unreachable), &mut rng());
        assert_eq!(verdict, Verdict::GoesOn);
        if let Step::Wait(until) = call.next(now, &mut budget) {
            assert!(until.since(now) <= FIRST_BACKOFF * (1 << attempt));
            now = until;
        }
    }
    assert_eq!(call.next(now, &mut budget), Step::GiveUp);
}

#[test]
fn a_slow_answer_is_hedged_and_the_first_one_counts() {
    let mut budget = Budget::default();
    let mut call = Call::new(at(0), at(1000), Some(50 * MILLI));
    assert!(began(call.next(at(0), &mut budget)));
    assert_eq!(call.next(at(49), &mut budget), Step::Wait(at(50)));
    assert_eq!(call.next(at(50), &mut budget), Step::Begin { attempt: 1, hedge: true });
    // One of two failed: the other may still answer.
    assert_eq!(call.ended(at(60), Err(ErrorKind::Unreachable), &mut rng()), Verdict::GoesOn);
    assert_eq!(call.next(at(60), &mut budget), Step::Wait(at(100)));
    assert_eq!(call.ended(at(61), Ok(()), &mut rng()), Verdict::Over);
}

#[test]
fn where_there_is_one_node_only_nothing_is_hedged_nor_paid() {
    let mut budget = Budget::default();
    let mut call = Call::new(at(0), at(1000), Some(50 * MILLI));
    call.next(at(0), &mut budget);
    let before = budget.clone();
    assert!(began(call.next(at(50), &mut budget)));
    assert_ne!(budget, before);
    call.skipped(&mut budget);
    assert_eq!(budget, before);
    assert_eq!(call.next(at(500), &mut budget), Step::Wait(at(1000)));
    assert_eq!(call.next(at(1000), &mut budget), Step::GiveUp);
}

#[test]
fn targets_have_budgets_of_their_own_as_far_as_there_is_room() {
    let mut budgets = Budgets::default();
    let target = |number: usize| format!("app/c{number}").parse().unwrap();
    for number in 0..MAX_BUDGETS {
        assert!(budgets.of(&target(number)).spend());
    }
    assert!(!budgets.of(&target(MAX_BUDGETS)).spend());
    // One that nobody has drawn on lately makes room.
    for _ in 0..10 {
        budgets.of(&target(0)).earn();
    }
    assert!(budgets.of(&target(MAX_BUDGETS)).spend());
}

proptest! {
    /// Many calls, each of whose attempts ends in any way after any time, or not at all.
    #[test]
    fn every_call_ends_by_its_deadline_and_all_together_stay_within_the_budget(
        calls in prop::collection::vec(
            (
                1u64..3000,
                prop::option::of(1u64..500),
                prop::collection::vec((0u64..4000, 0usize..12), 8),
            ),
            1..60,
        ),
        seed in any::<u64>(),
    ) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut budget = Budget::default();
        let (made, mut attempts) = (calls.len(), 0);
        for (time, hedge, answers) in calls {
            let deadline = at(time);
            let mut call = Call::new(at(0), deadline, hedge.map(Duration::from_millis));
            let mut under_way: Vec<(Time, Result<(), ErrorKind>)> = Vec::new();
            let (mut now, mut own) = (at(0), 0);
            loop {
                match call.next(now, &mut budget) {
                    Step::Begin { attempt, hedge } => {
                        prop_assert!(now < deadline);
                        prop_assert_eq!(attempt, own);
                        prop_assert_eq!(hedge, !under_way.is_empty());
                        own += 1;
                        let (after, how) = answers[attempt as usize];
                        let outcome = ErrorKind::ALL.get(how).map_or(Ok(()), |kind| Err(*kind));
                        under_way.push((now.plus(Duration::from_millis(after)), outcome));
                    }
                    Step::Wait(until) => {
                        prop_assert!(until > now && until <= deadline);
                        under_way.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
                        let answered = under_way.pop_if(|(at, _)| *at <= until);
                        now = now.max(answered.map_or(until, |(at, _)| at));
                        let Some((_, outcome)) = answered else { continue };
                        let verdict = call.ended(now, outcome, &mut rng);
                        if verdict == Verdict::Over {
                            break;
                        }
                        prop_assert!(outcome.is_err(), "an answer is an answer");
                    }
                    Step::GiveUp => {
                        prop_assert!(now >= deadline || under_way.is_empty());
                        break;
                    }
                }
            }
            prop_assert!(now <= deadline);
            prop_assert!(own <= MAX_ATTEMPTS);
            attempts += own as usize;
        }
        prop_assert!(attempts <= made + 10 + made / 10);
    }
}

#[test]
fn an_attempt_at_a_node_that_falls_silent_is_joined_by_one_elsewhere_at_once() {
    let mut budget = Budget::default();
    let mut call = Call::new(at(0), at(10_000), None);
    assert!(began(call.next(at(0), &mut budget)));
    assert_eq!(call.next(at(1), &mut budget), Step::Wait(at(10_000)));
    call.unheard(at(3000));
    assert_eq!(call.next(at(3000), &mut budget), Step::Begin { attempt: 1, hedge: true });
    assert_eq!(call.next(at(3000), &mut budget), Step::Wait(at(10_000)));
    // The first is still awaited: it may only have been slow to arrive.
    assert_eq!(call.ended(at(3001), Err(ErrorKind::Unreachable), &mut rng()), Verdict::GoesOn);
    assert_eq!(call.next(at(3001), &mut budget), Step::Wait(at(10_000)));
    assert_eq!(call.ended(at(3002), Ok(()), &mut rng()), Verdict::Over);

    // Where there is nobody else, nothing is begun, and nothing is asked again and again.
    let mut call = Call::new(at(0), at(10_000), None);
    assert!(began(call.next(at(0), &mut budget)));
    call.unheard(at(3000));
    assert!(began(call.next(at(3000), &mut budget)));
    call.skipped(&mut budget);
    assert_eq!(call.next(at(3000), &mut budget), Step::Wait(at(10_000)));
    // Before it is begun, there is nobody to be silent.
    let mut call = Call::new(at(0), at(10_000), None);
    call.unheard(at(0));
    assert_eq!(call.next(at(0), &mut budget), Step::Begin { attempt: 0, hedge: false });
}
