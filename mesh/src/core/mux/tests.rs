//! Two multiplexers face each other over a wire that delivers in order, as a QUIC stream does.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use wattle_contracts::call::{Encoding, Source, TraceContext};

use super::*;

fn header() -> Box<CallHeader> {
    Box::new(CallHeader {
        time_left: Duration::from_secs(1),
        trace: TraceContext::default(),
        route: Arc::new(CallRoute {
            source: Source::Operator,
            target: "shop/pricing".parse().unwrap(),
            contract: "example:shop/pricing".parse().unwrap(),
            function: "price".into(),
            encoding: Encoding::Values,
        }),
        hops: 0,
        relay: None,
    })
}

fn mux() -> Mux<u64, u64> {
    Mux::new(Limits { calls: 8, queued_bytes: 300_000 })
}

fn bytes(length: usize) -> Bytes {
    vec![0; length].into()
}

fn taken(mux: &mut Mux<u64, u64>) -> Vec<Frame> {
    let mut due = Vec::new();
    while mux.has_outgoing() {
        mux.take(&mut due, 1000);
    }
    due
}

/// Hands everything that `from` has to say to `to`.
fn deliver(from: &mut Mux<u64, u64>, to: &mut Mux<u64, u64>) {
    for frame in taken(from) {
        to.receive(frame, |call, _| call).unwrap();
    }
}

/// What one side remembers, to check the other by.
#[derive(Default)]
struct Ledger {
    /// Calls made, and how often each has ended.
    ends: BTreeMap<u64, usize>,
    /// Calls of the peer that are to be answered, and whether the reply has begun.
    to_answer: BTreeMap<u64, bool>,
    /// Calls made whose body is still to be sent.
    to_stream: Vec<u64>,
    /// Bytes of the replies' bodies sent and received, by call.
    sent: BTreeMap<u64, usize>,
    received: BTreeMap<u64, usize>,
    /// Calls whose reply's body came to its end.
    whole: Vec<u64>,
}

struct World {
    rng: SmallRng,
    sides: [(Mux<u64, u64>, Ledger); 2],
    wires: [VecDeque<Frame>; 2],
}

impl World {
    fn new(seed: u64) -> Self {
        let side = || (mux(), Ledger::default());
        let wires = [VecDeque::new(), VecDeque::new()];
        Self { rng: SmallRng::seed_from_u64(seed), sides: [side(), side()], wires }
    }

    fn act(&mut self, me: usize) {
        let rng = &mut self.rng;
        let (mux, ledger) = &mut self.sides[me];
        let size = |rng: &mut SmallRng| {
            let most = [10, 5_000, 100_000][rng.random_range(0..3)];
            rng.random_range(0..most)
        };
        match rng.random_range(0..9) {
            0 | 1 => {
                let streams = rng.random_bool(0.4);
                if let Ok(call) = mux.open(header(), bytes(size(rng)), streams, 7) {
                    ledger.ends.insert(call, 0);
                    ledger.to_stream.extend(streams.then_some(call));
                }
            }
            2 => {
                if let Some(call) = ledger.to_stream.pop() {
                    let (mut part, last) = (bytes(size(rng)), rng.random_bool(0.3));
                    let sent = mux.send(call, Side::Caller, &mut part, last);
                    if sent == Sent::Wait || sent == Sent::All && !last {
                        ledger.to_stream.insert(0, call);
                    }
                }
            }
            3 | 4 => self.answer(me),
            5 => {
                let calls: Vec<u64> = ledger.ends.keys().copied().collect();
                if let Some(call) = pick(rng, &calls)
                    && rng.random_bool(0.3)
                    && mux.cancel(call).is_some()
                {
                    *ledger.ends.get_mut(&call).unwrap() += 1;
                }
            }
            6 => {
                let calls: Vec<u64> = ledger.to_answer.keys().copied().collect();
                if let Some(call) = pick(rng, &calls) {
                    mux.consumed(call, Side::Callee, rng.random_range(0..100_000));
                    if rng.random_bool(0.2) {
                        mux.stop(call, Side::Callee);
                    }
                }
            }
            7 => {
                let calls: Vec<u64> = ledger.ends.keys().copied().collect();
                if let Some(call) = pick(rng, &calls) {
                    mux.consumed(call, Side::Caller, rng.random_range(0..100_000));
                    if rng.random_bool(0.1) && mux.stop(call, Side::Caller).is_some() {
                        *ledger.ends.get_mut(&call).unwrap() += 1;
                    }
                }
            }
            _ => {
                let mut due = Vec::new();
                mux.take(&mut due, rng.random_range(0..50_000));
                self.wires[me].extend(due);
            }
        }
    }

    fn answer(&mut self, me: usize) {
        let rng = &mut self.rng;
        let (mux, ledger) = &mut self.sides[me];
        let calls: Vec<u64> = ledger.to_answer.keys().copied().collect();
        let Some(call) = pick(rng, &calls) else { return };
        if rng.random_bool(0.1) {
            mux.fail(call, CallError::new(ErrorKind::Trapped, "no")).unwrap();
            ledger.to_answer.remove(&call);
            return;
        }
        if !ledger.to_answer[&call] {
            match mux.reply(call, bytes(rng.random_range(0..50)), rng.random_bool(0.5)) {
                Ok(true) => ledger.to_answer.insert(call, true),
                _ => ledger.to_answer.remove(&call),
            };
            return;
        }
        let (mut part, last) = (bytes(rng.random_range(0..80_000)), rng.random_bool(0.3));
        let before = part.len();
        let sent = mux.send(call, Side::Callee, &mut part, last);
        *ledger.sent.entry(call).or_default() += before - part.len();
        if sent == Sent::All && last {
            ledger.to_answer.remove(&call);
        }
    }

    /// Delivers one frame to `me`.
    fn hear(&mut self, me: usize) {
        let Some(frame) = self.wires[1 - me].pop_front() else { return };
        let (mux, ledger) = &mut self.sides[me];
        let ended = match mux.receive(frame, |call, _| call).unwrap() {
            Event::Call { call, .. } => {
                ledger.to_answer.insert(call, false);
                None
            }
            Event::Cancelled { call, handle } => {
                assert_eq!(call, handle);
                ledger.to_answer.remove(&call).unwrap();
                None
            }
            Event::ReplyData { call, payload, .. } => {
                *ledger.received.entry(call).or_default() += payload.len();
                None
            }
            Event::ReplyEnds { call, payload, .. } => {
                *ledger.received.entry(call).or_default() += payload.len();
                ledger.whole.push(call);
                Some(call)
            }
            Event::Reply { call, .. } | Event::Failed { call, .. } => Some(call),
            _ => None,
        };
        if let Some(call) = ended {
            *ledger.ends.get_mut(&call).unwrap() += 1;
        }
        let (mine, theirs) = mux.under_way();
        assert!(mine <= 8 && theirs <= 8);
    }

    fn step(&mut self) {
        let me = self.rng.random_range(0..2);
        if self.rng.random_bool(0.5) { self.act(me) } else { self.hear(me) }
    }

    /// Lets everything that is under way come to its end.
    fn settle(&mut self) {
        for _ in 0..200 {
            for me in [0, 1] {
                let (mux, ledger) = &mut self.sides[me];
                for call in std::mem::take(&mut ledger.to_answer).into_keys() {
                    mux.fail(call, CallError::new(ErrorKind::Cancelled, "end")).unwrap();
                }
                self.wires[me].extend(taken(mux));
            }
            while self.wires.iter().any(|wire| !wire.is_empty()) {
                self.hear(0);
                self.hear(1);
            }
        }
    }
}

fn pick(rng: &mut SmallRng, calls: &[u64]) -> Option<u64> {
    (!calls.is_empty()).then(|| calls[rng.random_range(0..calls.len())])
}

proptest! {
    #[test]
    fn honest_peers_never_violate_and_every_call_ends_once(seed: u64, steps in 0usize..1500) {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
        }
        world.settle();
        for me in [0, 1] {
            let (mux, ledger) = &world.sides[me];
            prop_assert!(mux.is_idle());
            for (call, ends) in &ledger.ends {
                prop_assert_eq!(*ends, 1, "call {} of side {}", call, me);
            }
            for call in &ledger.whole {
                let sent = world.sides[1 - me].1.sent.get(call).copied().unwrap_or(0);
                prop_assert_eq!(ledger.received[call], sent);
            }
        }
    }

    #[test]
    fn a_dead_stream_ends_every_call_once(seed: u64, steps in 0usize..400) {
        let mut world = World::new(seed);
        for _ in 0..steps {
            world.step();
        }
        for (mux, ledger) in &mut world.sides {
            let closed = mux.close("the link broke");
            for lost in &closed.outgoing {
                *ledger.ends.get_mut(&lost.call).unwrap() += 1;
                prop_assert_eq!(lost.error.kind, ErrorKind::Unreachable);
            }
            prop_assert!(closed.outgoing.is_sorted_by_key(|lost| lost.call));
            prop_assert!(ledger.ends.values().all(|ends| *ends == 1));
            let answering: Vec<u64> = closed.incoming.iter().map(|(call, _)| *call).collect();
            let expected: Vec<u64> = ledger.to_answer.keys().copied().collect();
            prop_assert_eq!(answering, expected);
            prop_assert_eq!(mux.open(header(), Bytes::new(), false, 0), Err(OpenError::Closed));
        }
    }

    #[test]
    fn no_frames_panic_or_grow_the_tables(
        frames in prop::collection::vec((0u8..8, 0u64..30, any::<bool>(), 0usize..70_000), 0..300),
    ) {
        let mut mux = mux();
        mux.open(header(), Bytes::new(), true, 0).unwrap();
        for (kind, call, flag, size) in frames {
            let from = if flag { Side::Caller } else { Side::Callee };
            let error = CallError::new(ErrorKind::Internal, "x");
            let head = match kind {
                0 => FrameHead::Call { call, header: header(), streams: flag },
                1 => FrameHead::Reply { call, streams: flag },
                2 => FrameHead::Error { call, error },
                3 => FrameHead::Data { call, from, last: size % 2 == 0 },
                4 => FrameHead::Credit { call, from, bytes: size as u32 },
                5 => FrameHead::Cancel { call },
                6 => FrameHead::StopData { call, from },
                _ => FrameHead::Drain,
            };
            let payload = if kind < 2 || kind == 3 { bytes(size) } else { Bytes::new() };
            let _ = mux.receive(Frame { head, payload }, |call, _| call);
            prop_assert!(mux.under_way().1 <= 8);
        }
    }
}

#[test]
fn too_many_calls_are_refused_at_once_on_both_sides() {
    let (mut here, mut there) = (mux(), mux());
    for _ in 0..8 {
        here.open(header(), Bytes::new(), false, 0).unwrap();
    }
    assert_eq!(here.open(header(), Bytes::new(), false, 0), Err(OpenError::Overloaded));
    deliver(&mut here, &mut there);
    // A peer that does not keep to the limit is answered, not obeyed.
    let frame = Frame::bare(FrameHead::Call { call: 99, header: header(), streams: false });
    assert!(matches!(there.receive(frame, |call, _| call), Ok(Event::Nothing)));
    assert_eq!((there.under_way().1, there.counters().refused), (8, 1));
    let refusal = taken(&mut there).pop().unwrap();
    assert!(
        matches!(refusal.head, FrameHead::Error { call: 99, error } if error.kind == ErrorKind::Overloaded)
    );
}

#[test]
fn a_peer_that_calls_and_never_reads_is_cut_off() {
    let mut mux = mux();
    let ended = (1..1000).find(|call| {
        let head = FrameHead::Call { call: *call, header: header(), streams: false };
        mux.receive(Frame::bare(head), |call, _| call).is_err()
    });
    assert!(ended.is_some_and(|calls| calls < 60), "{ended:?}");
}

#[test]
fn a_small_call_does_not_wait_behind_a_body() {
    let mut mux = mux();
    let streaming = mux.open(header(), Bytes::new(), true, 0).unwrap();
    let _ = taken(&mut mux);
    let mut body = bytes(200_000);
    assert_eq!(mux.send(streaming, Side::Caller, &mut body, true), Sent::All);
    let small = mux.open(header(), bytes(10), false, 0).unwrap();
    let first = taken(&mut mux).remove(0);
    assert!(matches!(first.head, FrameHead::Call { call, .. } if call == small));
}

#[test]
fn a_late_frame_is_counted_and_an_impossible_one_ends_the_stream() {
    let mut mux = mux();
    let call = mux.open(header(), Bytes::new(), false, 0).unwrap();
    assert_eq!(mux.cancel(call), Some(0));
    let reply = |call| Frame::bare(FrameHead::Reply { call, streams: false });
    assert!(matches!(mux.receive(reply(call), |call, _| call), Ok(Event::Nothing)));
    assert_eq!(mux.counters().late_frames, 1);
    assert!(mux.receive(reply(call + 1), |call, _| call).is_err());
}

#[test]
fn more_of_a_body_than_was_granted_ends_the_stream() {
    let mut mux = mux();
    let head = FrameHead::Call { call: 1, header: header(), streams: true };
    mux.receive(Frame::bare(head), |call, _| call).unwrap();
    let head = FrameHead::Data { call: 1, from: Side::Caller, last: false };
    let part = Frame { head, payload: bytes(WINDOW as usize) };
    mux.receive(part.clone(), |call, _| call).unwrap();
    assert!(mux.receive(part, |call, _| call).is_err());
}

#[test]
fn a_lost_call_says_whether_it_may_have_run() {
    let mut mux = mux();
    mux.open(header(), Bytes::new(), false, 1).unwrap();
    let _ = taken(&mut mux);
    mux.open(header(), Bytes::new(), false, 2).unwrap();
    let closed = mux.close("the link broke");
    let [first, second] = closed.outgoing.as_slice() else { panic!("{closed:?}") };
    assert!(first.may_have_run && first.error.message.contains("may have run"));
    assert!(!second.may_have_run && second.error.message.contains("not been sent"));
}

#[test]
fn a_draining_peer_gets_no_new_calls_and_finishes_the_old() {
    let (mut here, mut there) = (mux(), mux());
    let call = here.open(header(), Bytes::new(), false, 0).unwrap();
    deliver(&mut here, &mut there);
    there.drain();
    deliver(&mut there, &mut here);
    assert_eq!(here.open(header(), Bytes::new(), false, 0), Err(OpenError::Draining));
    assert!(!there.is_idle());
    there.reply(call, Bytes::new(), false).unwrap();
    deliver(&mut there, &mut here);
    assert!(there.is_idle() && here.is_idle());
}

#[test]
fn a_caller_that_wants_no_body_gets_the_reply_alone() {
    let (mut here, mut there) = (mux(), mux());
    let call = here.open(header(), Bytes::new(), false, 5).unwrap();
    assert_eq!(here.stop(call, Side::Caller), None);
    deliver(&mut here, &mut there);
    assert_eq!(there.reply(call, bytes(3), true), Ok(false));
    let reply = taken(&mut there).remove(0);
    let event = here.receive(reply, |call, _| call).unwrap();
    assert!(matches!(event, Event::Reply { handle: 5, .. }));
}
