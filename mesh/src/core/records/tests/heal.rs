//! What a node says of its own accord when peers come up, and when it has just heard something.

use super::*;

fn at(millis: u64) -> Time {
    Time::since_start(Duration::from_millis(millis))
}

/// A node with so many peers that came up at once, and what it said then.
fn with_peers(peers: u8) -> (Records, Vec<Output>) {
    let mut records = empty(Limits::default());
    let mut out = Vec::new();
    for peer in 1..=peers {
        records.peer_up(at(1), node(peer), &mut out);
    }
    (records, out)
}

/// What it says until a time, by itself.
fn said_until(records: &mut Records, end: Time) -> usize {
    let (mut rng, mut said) = (rng(), 0);
    while records.wake_at() <= end {
        let now = records.wake_at().max(at(1));
        let mut out = Vec::new();
        records.tick(now, WALL, &mut rng, &mut out);
        said += sent(&out).len();
    }
    said
}

#[test]
fn of_a_few_peers_the_first_is_greeted_at_once_and_of_many_none() {
    assert_eq!(sent(&with_peers(5).1).len(), 1);
    let (_, out) = with_peers(100);
    assert_eq!(sent(&out).len(), 1, "while it had few");
    let mut records = empty(Limits::default());
    records.peers.extend((101..=200).map(node));
    let mut out = Vec::new();
    (1..=100).for_each(|peer| records.peer_up(at(1), node(peer), &mut out));
    assert!(out.is_empty(), "{out:?}");
}

#[test]
fn however_much_comes_in_after_a_cut_a_node_says_little_by_itself() {
    let (mut records, _) = with_peers(100);
    let mut out = Vec::new();
    // From thirty peers, all within a second: each tells something else.
    for nth in 0..30u16 {
        let millis = 10 + u64::from(nth) * 30;
        let news = push(vec![record(1, nth, 0)]);
        let from = node(1 + nth as u8);
        records.handle(at(millis), WALL, from, news, &mut rng(), &mut out);
    }
    let at_once = sent(&out).len();
    let later = said_until(&mut records, at(1000));
    assert!(at_once + later <= 5, "{at_once} and {later}");
    // And still, everything is told to somebody.
    assert!(later > 0 && !records.rumours.are_told() || said_until(&mut records, at(3000)) > 0);
}

#[test]
fn who_knows_something_else_is_given_what_was_heard_lately() {
    let (mut records, _) = with_peers(9);
    records.fresh.clear();
    hear(&mut records, push(vec![record(1, 1, 0)]));
    let mut out = Vec::new();
    records.handle(at(5), WALL, node(8), RecordMessage::Root([7; 32]), &mut rng(), &mut out);
    let given = (node(8), &push(vec![record(1, 1, 0)]));
    assert!(sent(&out).contains(&given), "{out:?}");
    // Much later, it is compared and not guessed.
    let mut out = Vec::new();
    records.handle(at(20_000), WALL, node(8), RecordMessage::Root([7; 32]), &mut rng(), &mut out);
    assert!(!sent(&out).contains(&given), "{out:?}");
}

#[test]
fn what_is_little_is_sent_with_the_answer_to_tags() {
    let (mut here, mut there) = (holding(1, [record(1, 1, 0)]), holding(2, [record(1, 2, 0)]));
    let root = here.root();
    let mut out = Vec::new();
    there.handle(at(1), WALL, node(1), RecordMessage::Root(root), &mut rng(), &mut out);
    let [(_, tags)] = sent(&out)[..] else { panic!("{out:?}") };
    let mut answer = Vec::new();
    here.handle(at(2), WALL, node(2), tags.clone(), &mut rng(), &mut answer);
    let [(_, RecordMessage::Differ { lines, unknown, current, .. })] = sent(&answer)[..] else {
        panic!("one message for both: {answer:?}")
    };
    assert_eq!((lines.len(), unknown.len(), current.len()), (0, 1, 1), "{answer:?}");
    let ask = sent(&answer)[0].1.clone();
    let mut last = Vec::new();
    there.handle(at(3), WALL, node(1), ask, &mut rng(), &mut last);
    let theirs = sent(&last).into_iter().find(|(to, _)| *to == node(1)).unwrap().1.clone();
    here.handle(at(4), WALL, node(2), theirs, &mut rng(), &mut Vec::new());
    assert_eq!(here.root(), there.root());
}
