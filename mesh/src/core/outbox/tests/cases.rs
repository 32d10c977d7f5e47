//! One thing at a time.

use std::collections::BTreeSet;

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use wattle_contracts::message::DeliveryStop;

use super::*;

fn rng() -> SmallRng {
    SmallRng::seed_from_u64(1)
}

fn published(outbox: &mut Outbox, subject: &str) -> u64 {
    let groups = [group()].into();
    let subject = subject.parse().unwrap();
    let sequence = outbox.publish(OutboxTime(0), &subject, 10, &groups).unwrap();
    outbox.written(sequence, true);
    sequence
}

fn roads(connected: &[NodeId], serving: &[NodeId]) -> Roads {
    Roads { connected: connected.iter().copied().collect(), serving: serving.to_vec() }
}

fn stepped(outbox: &mut Outbox, now: u64, roads: &Roads) -> Vec<Action> {
    let mut actions = Vec::new();
    outbox.step(at(now), OutboxTime(now), roads, &mut actions);
    actions
}

fn sending(actions: &[Action]) -> &Sending {
    let sent = actions.iter().find_map(|action| match action {
        Action::Deliver(sending) => Some(sending),
        _ => None,
    });
    sent.unwrap_or_else(|| panic!("nothing is sent: {actions:?}"))
}

fn answered(outbox: &mut Outbox, now: u64, sent: &Sending, reply: DeliveryReply) -> Vec<Action> {
    let mut actions = Vec::new();
    outbox.outcome(at(now), sent, Outcome::Answered(reply), &mut rng(), &mut actions);
    actions
}

#[test]
fn a_full_outbox_says_so_and_keeps_nothing_of_the_message() {
    let config = Config { max_messages: 2, ..Config::default() };
    let mut outbox = Outbox::new(config, 1, [], []);
    published(&mut outbox, "a");
    published(&mut outbox, "a");
    let groups = [group()].into();
    let subject = "a".parse().unwrap();
    let full = outbox.publish(OutboxTime(0), &subject, 10, &groups).unwrap_err();
    assert_eq!(full.most, Some((group(), 2)));
    assert!(full.to_string().contains("shop/ledger"), "{full}");
    // A message that nobody subscribes to takes no room.
    outbox.publish(OutboxTime(0), &subject, 10, &BTreeSet::new()).unwrap();
    let bytes = Config { max_bytes: 1000, ..Config::default() };
    let mut outbox = Outbox::new(bytes, 1, [], []);
    assert!(outbox.publish(OutboxTime(0), &subject, 2000, &groups).is_err());
}

#[test]
fn a_message_that_fails_too_often_is_parked_and_the_next_one_goes() {
    let mut outbox = Outbox::new(Config { tries: 2, ..Config::default() }, 1, [], []);
    let (first, second) = (published(&mut outbox, "a"), published(&mut outbox, "a"));
    let roads = roads(&RECEIVERS[..1], &RECEIVERS[..1]);
    let failed = || DeliveryReply { handled: 0, stopped: Some(DeliveryStop::Failed("no".into())) };
    let actions = stepped(&mut outbox, 0, &roads);
    assert_eq!(sending(&actions).sequences, [first, second]);
    assert!(answered(&mut outbox, 1, sending(&actions), failed()).is_empty());
    assert!(stepped(&mut outbox, 2, &roads).is_empty(), "it waits before the second try");
    let wake = outbox.wake_at(at(2)).elapsed().as_millis() as u64 + 1;
    let actions = stepped(&mut outbox, wake, &roads);
    let parked = answered(&mut outbox, wake, sending(&actions), failed());
    let how = Settled::Parked("no".into());
    assert_eq!(parked, [Action::Settle { group: group(), sequence: first, how: how.clone() }]);
    // The floor stays until that is on disk.
    assert_eq!(sending(&stepped(&mut outbox, wake, &roads)).floor, first);
    outbox.settled(&group(), first, how);
    let status = &outbox.status(OutboxTime(5))[0];
    assert_eq!((status.waiting, status.parked), (1, 1));
    assert_eq!(outbox.parked(OutboxTime(5))[0].why, "no");

    let moved = outbox.unpark(OutboxTime(5), &group());
    assert_eq!(moved, [(first, second + 1)]);
    outbox.unparked(&group(), &moved, true);
    let status = &outbox.status(OutboxTime(5))[0];
    assert_eq!((status.waiting, status.parked), (2, 0));
}

#[test]
fn what_is_too_old_is_given_up_and_counted() {
    let config = Config { max_age: Duration::from_secs(10), ..Config::default() };
    let mut outbox = Outbox::new(config, 1, [], []);
    let sequence = published(&mut outbox, "a");
    let nobody = Roads::default();
    assert!(stepped(&mut outbox, 10_000, &nobody).is_empty());
    let how = Settled::Expired;
    let expected = Action::Settle { group: group(), sequence, how: how.clone() };
    assert_eq!(stepped(&mut outbox, 10_001, &nobody), [expected]);
    outbox.settled(&group(), sequence, how);
    assert_eq!(outbox.status(OutboxTime(0))[0].expired, 1);
    assert!(outbox.is_empty());
}

#[test]
fn messages_stay_with_their_node_and_move_at_once_only_when_nothing_is_in_doubt() {
    let [one, two] = RECEIVERS;
    let mut outbox = Outbox::new(Config::default(), 1, [], []);
    let both = roads(&RECEIVERS, &RECEIVERS);
    published(&mut outbox, "a");
    let actions = stepped(&mut outbox, 0, &both);
    let sent = sending(&actions).clone();
    assert_eq!(sent.node, one);
    answered(&mut outbox, 1, &sent, DeliveryReply { handled: 1, stopped: None });
    outbox.settled(&group(), 1, Settled::Handled);

    // Nothing is in doubt: it follows the component.
    published(&mut outbox, "a");
    let moved = roads(&RECEIVERS, &[two]);
    let actions = stepped(&mut outbox, 2, &moved);
    let sent = sending(&actions).clone();
    assert_eq!(sent.node, two);

    // No answer: nobody else gets it until the node was away for long.
    let lost = Outcome::Lost("cut".into());
    outbox.outcome(at(3), &sent, lost, &mut rng(), &mut Vec::new());
    let only_one = roads(&[one], &[one]);
    assert!(stepped(&mut outbox, 10_000, &only_one).is_empty());
    assert!(stepped(&mut outbox, 39_000, &only_one).is_empty());
    assert_eq!(sending(&stepped(&mut outbox, 40_001, &only_one)).node, one);
}

/// What is stored for the group, of these subjects in turn, and the node to which it went.
fn restarted(count: u64, subjects: u64, config: Config) -> Outbox {
    let stored = (1..=count).map(|sequence| StoredMessage {
        sequence,
        subject: format!("s{}", sequence % subjects).parse().unwrap(),
        size: 10,
        taken: OutboxTime(0),
        groups: vec![(group(), None)],
    });
    let known = StoredGroup { node: Some(RECEIVERS[0]), expired: 0 };
    Outbox::new(config, count + 1, stored, [(group(), known)])
}

#[test]
fn a_long_queue_in_doubt_leaves_a_node_that_keeps_saying_the_component_is_not_there() {
    // Of one subject, more than go at once: the last ones stay in doubt. Of many, it is asked for
    // all, and nothing stays in doubt.
    for (count, subjects, earliest) in [(70, 1, 30_000), (300, 1, 30_000), (300, 100, 0)] {
        let [one, two] = RECEIVERS;
        let mut outbox = restarted(count, subjects, Config::default());
        let roads = roads(&[one, two], &[two]);
        let (mut arrived, mut first_moved) = (Vec::new(), None);
        let mut under_way: Vec<Sending> = Vec::new();
        // Answers come a step later than what they answer.
        for now in (0..60_000).step_by(50) {
            for sent in std::mem::take(&mut under_way) {
                if sent.node == one {
                    let stopped = Some(DeliveryStop::NotHere);
                    answered(&mut outbox, now, &sent, DeliveryReply { handled: 0, stopped });
                    continue;
                }
                let handled = sent.sequences.len() as u32;
                answered(&mut outbox, now, &sent, DeliveryReply { handled, stopped: None });
                first_moved.get_or_insert(now);
                for sequence in sent.sequences {
                    outbox.settled(&group(), sequence, Settled::Handled);
                    arrived.push(sequence);
                }
            }
            for action in stepped(&mut outbox, now, &roads) {
                if let Action::Deliver(sending) = action {
                    under_way.push(sending);
                }
            }
        }
        arrived.sort_unstable();
        assert_eq!(arrived, (1..=count).collect::<Vec<_>>(), "{count} of {subjects}");
        let moved = first_moved.unwrap();
        assert!(outbox.is_empty() && (earliest..45_000).contains(&moved), "it moved at {moved}");
    }
}

#[test]
fn what_is_in_doubt_does_not_move_while_its_node_still_handles_some() {
    let [one, two] = RECEIVERS;
    let mut outbox = restarted(300, 1, Config::default());
    let roads = roads(&[one, two], &[two]);
    let mut floor = 0;
    for now in (0..60_000).step_by(10_000) {
        let actions = stepped(&mut outbox, now, &roads);
        let sent = sending(&actions).clone();
        assert_eq!(sent.node, one);
        // It knows one more message each time: whatever it says besides, it handles them.
        let stopped = (now % 20_000 == 0).then_some(DeliveryStop::NotHere);
        answered(&mut outbox, now, &sent, DeliveryReply { handled: 1, stopped });
        floor += 1;
        outbox.settled(&group(), floor, Settled::Handled);
    }
}

#[test]
fn what_is_parked_is_taken_up_once() {
    let mut outbox = Outbox::new(Config { tries: 1, ..Config::default() }, 1, [], []);
    let first = published(&mut outbox, "a");
    let roads = roads(&RECEIVERS[..1], &RECEIVERS[..1]);
    let actions = stepped(&mut outbox, 0, &roads);
    let stopped = Some(DeliveryStop::Failed("no".into()));
    answered(&mut outbox, 1, sending(&actions), DeliveryReply { handled: 0, stopped });
    outbox.settled(&group(), first, Settled::Parked("no".into()));

    let moved = outbox.unpark(OutboxTime(5), &group());
    assert_eq!(moved, [(first, first + 1)]);
    // While that is being written, nobody else finds it: not to retry, to drop or to give up.
    assert_eq!(outbox.unpark(OutboxTime(5), &group()), []);
    assert_eq!(outbox.take_parked(&group()), [] as [u64; 0]);
    let old = Config::default().max_age.as_millis() as u64;
    assert_eq!(stepped(&mut outbox, old * 2, &roads), []);
    // The disk refused: it is parked as before.
    outbox.unparked(&group(), &moved, false);
    let status = &outbox.status(OutboxTime(5))[0];
    assert_eq!((status.waiting, status.parked), (0, 1));
    assert_eq!(outbox.parked(OutboxTime(5))[0].why, "no");

    let taken = outbox.take_parked(&group());
    assert_eq!((taken.as_slice(), outbox.unpark(OutboxTime(5), &group())), (&[first][..], vec![]));
    outbox.dropped(&group(), &taken, false);
    let moved = outbox.unpark(OutboxTime(5), &group());
    assert_eq!(moved, [(first, first + 2)]);
    outbox.unparked(&group(), &moved, true);
    let status = &outbox.status(OutboxTime(5))[0];
    assert_eq!((status.waiting, status.parked), (1, 0));
    let actions = stepped(&mut outbox, 10, &roads);
    assert_eq!(sending(&actions).sequences, [first + 2]);
    answered(&mut outbox, 11, sending(&actions), DeliveryReply { handled: 1, stopped: None });
    outbox.settled(&group(), first + 2, Settled::Handled);
    assert!(outbox.is_empty() && outbox.bytes == 0);
}

#[test]
fn a_long_queue_becomes_too_old_in_parts() {
    let config = Config { max_age: Duration::from_secs(10), ..Config::default() };
    let mut outbox = restarted(2500, 3, config);
    let mut parts = Vec::new();
    loop {
        let actions = stepped(&mut outbox, 10_001, &Roads::default());
        if actions.is_empty() {
            break;
        }
        parts.push(actions.len());
        for action in actions {
            if let Action::Settle { group, sequence, how } = action {
                outbox.settled(&group, sequence, how);
            }
        }
    }
    assert_eq!(parts, [1024, 1024, 452]);
    assert!(outbox.is_empty());
}

#[test]
fn a_subject_whose_handler_fails_does_not_hold_up_another() {
    let mut outbox = Outbox::new(config(), 1, [], []);
    let bad = published(&mut outbox, "bad");
    let roads = roads(&RECEIVERS[..1], &RECEIVERS[..1]);
    let actions = stepped(&mut outbox, 0, &roads);
    let stopped = Some(DeliveryStop::Failed("no".into()));
    answered(&mut outbox, 1, sending(&actions), DeliveryReply { handled: 0, stopped });
    // As far as the window reaches: so much the receiver must remember.
    let mut went = 0;
    loop {
        published(&mut outbox, "good");
        let actions = stepped(&mut outbox, 1, &roads);
        if actions.is_empty() {
            break;
        }
        let sent = sending(&actions).clone();
        assert_eq!(sent.floor, bad);
        let handled = sent.sequences.len() as u32;
        answered(&mut outbox, 1, &sent, DeliveryReply { handled, stopped: None });
        for sequence in sent.sequences {
            outbox.settled(&group(), sequence, Settled::Handled);
            went += 1;
        }
    }
    assert_eq!(went, config().window);
}

#[test]
fn nothing_becomes_old_when_the_wall_clock_is_put_right_or_while_the_machine_is_off() {
    let machine = |boot: &str, seconds: u64| BootTime {
        boot: Some(boot.into()),
        elapsed: Duration::from_secs(seconds),
    };
    let config = Config { max_age: Duration::from_secs(100), ..Config::default() };
    let message = |taken| StoredMessage {
        sequence: 1,
        subject: "a".parse().unwrap(),
        size: 10,
        taken,
        groups: vec![(group(), None)],
    };
    let expires = |outbox: &mut Outbox, time| {
        let mut actions = Vec::new();
        outbox.expire(time, &mut actions);
        !actions.is_empty()
    };
    // A machine starts in 1970, takes a message after 30 s, and notes its clock after 60.
    let clock = AgeClock::resume(None, OutboxTime::default(), machine("one", 0));
    let mut outbox = Outbox::new(config.clone(), 1, [message(clock.time(secs(30)))], []);
    // By its wall clock it is 2026 now. Only what has passed counts.
    assert!(!expires(&mut outbox, clock.time(secs(130))));
    assert!(expires(&mut outbox, clock.time(secs(131))));
    // It is off for whatever time, and started again: the message has its 70 s left.
    let noted = clock.note(secs(60));
    let clock = AgeClock::resume(Some(&noted), OutboxTime(30_000), machine("two", 20));
    let mut outbox = Outbox::new(config, 2, [message(OutboxTime(30_000))], []);
    assert!(!expires(&mut outbox, clock.time(secs(90))));
    assert!(expires(&mut outbox, clock.time(secs(91))));
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
