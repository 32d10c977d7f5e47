//! What a node does with the frames of a peer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wattle_contracts::call::{
    CallError, CallHeader, CallRoute, Encoding, ErrorKind, Source, TraceContext,
};
use wattle_contracts::wire::{Frame, FrameDecoder, FrameEncoder, FrameHead, Side};
use wattle_mesh::core::mux::{Event, Limits, Mux, Sent, WINDOW};

const LIMITS: Limits = Limits { calls: 4, queued_bytes: 64 * 1024 };

/// What a driver would remember of the calls of one stream.
#[derive(Default)]
struct Ledger {
    /// Calls that this node made and that are not over.
    open: BTreeSet<u64>,
    /// Calls of the peer that were taken.
    taken: BTreeSet<u64>,
    /// Bytes of the peer's bodies that were taken in and not given back as credit.
    held: BTreeMap<u64, usize>,
}

/// Whatever frames a peer sends: each call of this node ends once at the most, each of the peer's is
/// taken once, nothing goes beyond its limit, and at the end nothing is left that nobody knows of.
pub fn holds(data: &[u8]) {
    let mut mux: Mux<u64, u64> = Mux::new(LIMITS);
    let mut ledger = Ledger::default();
    for number in 0..3u64 {
        let call = mux.open(header(), Bytes::from_static(b"args"), number == 1, number).unwrap();
        ledger.open.insert(call);
    }
    let mut part = Bytes::from(vec![0; 100]);
    assert_eq!(mux.send(2, Side::Caller, &mut part, false), Sent::All);
    let mut decoder = FrameDecoder::default();
    decoder.buffer().extend_from_slice(data);
    while let Ok(Some(frame)) = decoder.next_frame() {
        if ledger.receive(&mut mux, frame).is_err() {
            break;
        }
        let (ours, theirs) = mux.under_way();
        assert!(ours <= LIMITS.calls && theirs <= LIMITS.calls);
        assert_eq!(ours, ledger.open.len());
        // The writer keeps up, more or less.
        let mut due = Vec::new();
        mux.take(&mut due, 1000);
        let mut encoder = FrameEncoder::default();
        due.into_iter().for_each(|frame| encoder.encode(frame, &mut Vec::new()).unwrap());
    }
    let (ours, theirs) = mux.under_way();
    let closed = mux.close("the end");
    assert_eq!((closed.outgoing.len(), closed.incoming.len()), (ours, theirs));
    assert!(closed.outgoing.iter().all(|lost| ledger.open.contains(&lost.call)));
    assert!(mux.is_idle());
}

impl Ledger {
    fn receive(&mut self, mux: &mut Mux<u64, u64>, frame: Frame) -> Result<(), ()> {
        // What is done about it, once the event is let go.
        let mut answer = None;
        match mux.receive(frame, |call, _| call).map_err(drop)? {
            Event::Call { call, .. } => {
                assert!(self.taken.insert(call), "call {call} was taken twice");
                answer = Some((call, None));
            }
            Event::RequestData { call, handle, payload, .. } => {
                assert_eq!(*handle, call);
                let held = self.held.entry(call).or_default();
                *held += payload.len();
                assert!(*held <= WINDOW as usize, "{held} bytes of a body at once");
                answer = Some((call, Some(payload.len())));
            }
            Event::ReplyStarts { call, .. }
            | Event::ReplyData { call, .. }
            | Event::RequestRoom { call, .. } => {
                assert!(self.open.contains(&call), "call {call} is over");
            }
            Event::Reply { call, .. }
            | Event::ReplyEnds { call, .. }
            | Event::Failed { call, .. } => {
                assert!(self.open.remove(&call), "call {call} ended twice");
            }
            Event::Cancelled { call, handle } => {
                assert!(self.taken.contains(&call) && handle == call);
            }
            _ => {}
        }
        match answer {
            // Every third call is answered at once, every other third fails, the others wait.
            Some((call, None)) if call.is_multiple_of(3) => {
                let begun = mux.reply(call, Bytes::from_static(b"reply"), call.is_multiple_of(2));
                if matches!(begun, Ok(true)) {
                    let sent = mux.send(
                        call,
                        Side::Callee,
                        &mut Bytes::from_static(b"body"),
                        call % 4 == 0,
                    );
                    assert!(matches!(sent, Sent::All | Sent::Wait), "{sent:?}");
                }
            }
            Some((call, None)) if call % 3 == 1 => {
                mux.fail(call, CallError::new(ErrorKind::Trapped, "unreachable")).unwrap();
            }
            Some((call, Some(bytes))) if call.is_multiple_of(2) => {
                mux.consumed(call, Side::Callee, bytes);
                if let Some(held) = self.held.get_mut(&call) {
                    *held -= bytes;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

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

pub fn seeds() -> Vec<Vec<u8>> {
    let call = |call, streams| Frame {
        head: FrameHead::Call { call, header: header(), streams },
        payload: Bytes::from_static(b"args"),
    };
    let data = |call, from, last| Frame {
        head: FrameHead::Data { call, from, last },
        payload: Bytes::from_static(b"part"),
    };
    let reply = |call, streams| Frame {
        head: FrameHead::Reply { call, streams },
        payload: Bytes::from_static(b"ok"),
    };
    let (caller, callee) = (Side::Caller, Side::Callee);
    let bare = Frame::bare;
    let error = || CallError::new(ErrorKind::Deadline, "late");
    let streams = [
        vec![call(1, false), call(2, true), data(2, caller, false), data(2, caller, true)],
        vec![call(2, true), data(2, caller, false), bare(FrameHead::Cancel { call: 2 })],
        (1..8).map(|number| call(number, false)).collect(),
        vec![reply(1, false), reply(2, true), data(2, callee, false), data(2, callee, true)],
        vec![
            bare(FrameHead::Credit { call: 2, from: callee, bytes: 100 }),
            bare(FrameHead::StopData { call: 2, from: callee }),
            bare(FrameHead::Error { call: 2, error: error() }),
            bare(FrameHead::Error { call: 2, error: error() }),
        ],
        vec![
            call(6, false),
            bare(FrameHead::Credit { call: 6, from: caller, bytes: u32::MAX }),
            bare(FrameHead::StopData { call: 6, from: caller }),
        ],
        vec![bare(FrameHead::Drain), call(9, true), data(9, caller, true), data(9, caller, true)],
    ];
    let written = |frames: Vec<Frame>| {
        let (mut encoder, mut bytes) = (FrameEncoder::default(), Vec::new());
        frames.into_iter().for_each(|frame| encoder.encode(frame, &mut bytes).unwrap());
        bytes
    };
    streams.into_iter().map(written).collect()
}
