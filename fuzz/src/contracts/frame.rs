//! The frames of the call stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use wattle_contracts::call::{
    CallError, CallHeader, CallProof, CallRoute, Encoding, ErrorKind, Relay, Source, TraceContext,
};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire::{
    Frame, FrameDecoder, FrameEncoder, FrameHead, MAX_FRAME, Side, WireError,
};

/// The heads of frames of inputs up to this length, in bytes, fit into a frame however they came.
const SHORT: usize = 60_000;

/// A stream says the same however it is cut, never makes its reader hold more than a frame, and
/// what was read is written and read as the same.
pub fn holds(data: &[u8]) {
    let (frames, error) = read(data, std::iter::repeat(data.len().max(1)));
    let cuts = data.iter().map(|byte| usize::from(*byte % 61) + 1).chain(std::iter::repeat(1));
    assert_eq!(read(data, cuts), (frames.clone(), error));
    if data.len() > SHORT {
        return;
    }
    let (mut encoder, mut written) = (FrameEncoder::default(), Vec::new());
    for frame in &frames {
        encoder.encode(frame.clone(), &mut written).expect("what was read can be written");
    }
    assert_eq!(read(&written, std::iter::repeat(written.len().max(1))), (frames, None));
}

fn read(data: &[u8], cuts: impl Iterator<Item = usize>) -> (Vec<Frame>, Option<WireError>) {
    let (mut decoder, mut rest, mut frames) = (FrameDecoder::default(), data, Vec::new());
    for cut in cuts {
        if rest.is_empty() {
            break;
        }
        let (now, later) = rest.split_at(cut.min(rest.len()));
        decoder.buffer().extend_from_slice(now);
        rest = later;
        loop {
            assert!(decoder.buffer().capacity() <= 2 * (MAX_FRAME + 4) + data.len());
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    if let FrameHead::Call { header, .. } = &frame.head {
                        assert!(header.time_left <= CallHeader::MAX_TIME_LEFT);
                    }
                    frames.push(frame);
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn call(function: &str, relay: Option<Relay>) -> Frame {
    let route = CallRoute {
        source: Source::Component("shop/basket".parse().unwrap()),
        target: "shop/pricing".parse().unwrap(),
        contract: "example:shop/pricing@0.1.0".parse().unwrap(),
        function: function.into(),
        encoding: Encoding::Values,
    };
    let relay = relay.map(|relay| {
        let at = UnixMillis(5);
        let proof = CallProof::sign(&super::member(), 3, at, &relay, &route, b"args").unwrap();
        Box::new(Relay { proof: Some(Box::new(proof)), ..relay })
    });
    let header = CallHeader {
        time_left: Duration::from_millis(1500),
        trace: TraceContext { trace_id: 5, parent_span: 6 },
        route: Arc::new(route),
        hops: 1,
        relay,
    };
    let head = FrameHead::Call { call: 300, header: Box::new(header), streams: true };
    Frame { head, payload: Bytes::from_static(b"args") }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let relay = Relay { to: super::node(), call: 7, path: vec![super::node()], proof: None };
    let data = |last| FrameHead::Data { call: 300, from: Side::Caller, last };
    let body = |head| Frame { head, payload: Bytes::from_static(b"part") };
    let error = CallError::new(ErrorKind::Trapped, "unreachable");
    let streams = [
        vec![call("price", None), call("price", None), call("discount", None), call("price", None)],
        vec![call("price", Some(relay))],
        vec![call("price", None), body(data(false)), body(data(true))],
        vec![
            body(FrameHead::Reply { call: 7, streams: true }),
            Frame::bare(FrameHead::Credit { call: 7, from: Side::Callee, bytes: 70_000 }),
            Frame::bare(FrameHead::StopData { call: 7, from: Side::Callee }),
            Frame::bare(FrameHead::Cancel { call: 7 }),
            Frame::bare(FrameHead::Error { call: 8, error }),
            Frame::bare(FrameHead::Drain),
        ],
        // More routes than have a place.
        (0..260).map(|number| call(&format!("f{}", number % 258), None)).collect(),
    ];
    let written = |frames: Vec<Frame>| {
        let (mut encoder, mut bytes) = (FrameEncoder::default(), Vec::new());
        frames.into_iter().for_each(|frame| encoder.encode(frame, &mut bytes).unwrap());
        bytes
    };
    streams.into_iter().map(written).collect()
}
