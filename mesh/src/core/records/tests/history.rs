//! What becomes of changes that lost.

use super::*;

#[test]
fn a_change_that_lost_against_one_made_at_the_same_time_is_kept_and_one_that_was_replaced_is_not() {
    let first = record(1, 1, 0);
    let replaces = |writer, millis, previous: &Record| {
        let at = Hlc { millis: WALL.0 + millis, counter: 0 };
        let body = RecordBody::App(Box::new(App::new("app-1".parse().unwrap())));
        Record::sign_after(&key(writer), about(1), at, Some(previous), body).unwrap()
    };
    let (left, right) = (replaces(2, 10, &first), replaces(3, 20, &first));
    // Whatever comes first, and also where nobody has seen the first one.
    for order in [[&first, &left, &right], [&right, &left, &first], [&left, &right, &left]] {
        let mut records = empty(Limits::default());
        for record in order {
            hear(&mut records, push(vec![Record::clone(record)]));
        }
        assert_eq!(records.get(&about(1)).unwrap().version, right.version);
        assert_eq!(lost(&records, 1), [left.version]);
        // A later change that knew the winner leaves the loser in the history.
        let last = replaces(2, 30, &right);
        hear(&mut records, push(vec![last.clone(), first.clone()]));
        assert_eq!(records.get(&about(1)).unwrap().version, last.version);
        assert_eq!(lost(&records, 1), [left.version]);
        // Who never saw the two learns of both.
        let mut other = empty(Limits::default());
        assert!(exchange(&mut other, &mut records, Time::ZERO));
        assert_eq!((lost(&other, 1), other.root()), (vec![left.version], records.root()));
    }
}

#[test]
fn the_history_is_bounded_and_the_same_in_whatever_order_it_came() {
    let limits = Limits { history: 10, history_per_key: 3, ..Limits::default() };
    let mut list: Vec<Record> =
        (0..60).map(|n| record(n as u8 + 1, n % 6, 4 * u64::from(n))).collect();
    let mut end = |turn: usize| {
        list.rotate_left(turn);
        let mut records = empty(limits);
        for record in &list {
            hear(&mut records, push(vec![record.clone()]));
        }
        let kept: Vec<usize> = (0..6).map(|app| lost(&records, app).len()).collect();
        assert!(kept.iter().all(|kept| *kept <= 3) && kept.iter().sum::<usize>() == 10, "{kept:?}");
        records.root()
    };
    let first = end(0);
    for turn in [1, 7, 22, 13] {
        assert_eq!(end(turn), first);
    }
}
