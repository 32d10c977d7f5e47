//! The frames of the call stream: many calls, each with a payload and streamed bodies in both
//! directions, on one stream.

use bytes::{Buf, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::codec::{self, WireError};
use super::routes::{ReadRoutes, WireHeader, WrittenRoutes};
use crate::call::{CallError, CallHeader};

/// The longest frame, in bytes, without its four bytes of length. Bodies are cut into chunks far
/// below it, so that a small call never waits long behind a big one.
pub const MAX_FRAME: usize = 1024 * 1024;

/// Who sends a frame that both sides of a call may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// The one who opened the call.
    Caller,
    /// The one who answers it.
    Callee,
}

/// What a frame says; its payload, where it has one, follows it.
///
/// A call's number is chosen by its caller and is unique among the calls that this caller has
/// opened on this connection, for as long as the connection lives.
pub type FrameHead = Head<Box<CallHeader>>;

/// A [`FrameHead`]; `H` is the header of a call: whole, or as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Head<H> {
    /// Opens a call. The payload holds the arguments.
    Call {
        /// The number of the call.
        call: u64,
        /// Who calls what, until when.
        header: H,
        /// Whether [`FrameHead::Data`] from the caller follows.
        streams: bool,
    },
    /// The result of a call. The payload holds it.
    Reply {
        /// The number of the call.
        call: u64,
        /// Whether [`FrameHead::Data`] from the callee follows.
        streams: bool,
    },
    /// A call, or the stream that follows its reply, failed. Nothing more comes of it.
    Error {
        /// The number of the call.
        call: u64,
        /// Why.
        error: CallError,
    },
    /// The next part of a streamed body.
    Data {
        /// The number of the call.
        call: u64,
        /// Who sends it.
        from: Side,
        /// Whether it is the last part.
        last: bool,
    },
    /// The sender of this has taken in so many bytes of the other side's body: as many more may
    /// be sent.
    Credit {
        /// The number of the call.
        call: u64,
        /// Who sends it.
        from: Side,
        /// How many bytes more.
        bytes: u32,
    },
    /// The caller no longer wants the answer.
    Cancel {
        /// The number of the call.
        call: u64,
    },
    /// The callee no longer wants the caller's streamed body; the call itself goes on.
    StopData {
        /// The number of the call.
        call: u64,
        /// Who sends it.
        from: Side,
    },
    /// This node is shutting down: no new calls, please; those under way are finished.
    Drain,
}

/// A frame as it is sent and received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it says.
    pub head: FrameHead,
    /// The bytes it carries.
    pub payload: Bytes,
}

impl<H> Head<H> {
    /// The same, with another header.
    fn try_map<T, E>(self, header: impl FnOnce(H) -> Result<T, E>) -> Result<Head<T>, E> {
        Ok(match self {
            Self::Call { call, header: of, streams } => {
                Head::Call { call, header: header(of)?, streams }
            }
            Self::Reply { call, streams } => Head::Reply { call, streams },
            Self::Error { call, error } => Head::Error { call, error },
            Self::Data { call, from, last } => Head::Data { call, from, last },
            Self::Credit { call, from, bytes } => Head::Credit { call, from, bytes },
            Self::Cancel { call } => Head::Cancel { call },
            Self::StopData { call, from } => Head::StopData { call, from },
            Self::Drain => Head::Drain,
        })
    }
}

impl Frame {
    /// A frame without payload.
    pub fn bare(head: FrameHead) -> Self {
        Self { head, payload: Bytes::new() }
    }
}

/// Writes the frames of one stream, in the order in which they are sent.
#[derive(Debug, Default)]
pub struct FrameEncoder {
    routes: WrittenRoutes,
}

impl FrameEncoder {
    /// Appends the frame to `out`; if it can't be written, leaves `out` as it was, and the next
    /// frame may follow.
    pub fn encode(&mut self, frame: Frame, out: &mut Vec<u8>) -> Result<(), WireError> {
        let start = out.len();
        let Frame { head, payload } = frame;
        let mut route = None;
        let head = head.try_map(|header| {
            let (header, new) = self.routes.shorten(*header);
            route = new;
            Ok(header)
        })?;
        out.extend_from_slice(&[0; 6]);
        let written = write_after_lengths(&head, &payload, start, out);
        match (&written, route) {
            (Err(_), _) => out.truncate(start),
            (Ok(()), Some(route)) => self.routes.wrote(route),
            (Ok(()), None) => {}
        }
        written
    }
}

fn write_after_lengths(
    head: &Head<WireHeader>,
    payload: &[u8],
    start: usize,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    codec::encode_into(head, out)?;
    let head = out.len() - start - 6;
    let length = 2 + head + payload.len();
    if length > MAX_FRAME {
        return Err(WireError::TooLong { length, limit: MAX_FRAME });
    }
    let head = u16::try_from(head)
        .map_err(|_| WireError::TooLong { length: head, limit: u16::MAX.into() })?;
    let lengths = (length as u32).to_le_bytes().into_iter().chain(head.to_le_bytes());
    for (to, from) in out.iter_mut().skip(start).zip(lengths) {
        *to = from;
    }
    out.extend_from_slice(payload);
    Ok(())
}

/// Cuts a stream of bytes into frames. Payloads share the buffer: nothing is copied.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
    routes: ReadRoutes,
}

impl FrameDecoder {
    /// Where the next bytes of the stream go.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether the stream may end here: it may not in the middle of a frame.
    pub fn is_between_frames(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next whole frame, if there is one. After an error the stream can't be read on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let Some(length) = self.buffer.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(WireError::TooLong { length, limit: MAX_FRAME });
        }
        if self.buffer.len() < 4 + length {
            self.buffer.reserve(4 + length - self.buffer.len());
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut frame = self.buffer.split_to(length).freeze();
        let cut = || WireError::Malformed("a frame without room for its head".into());
        let head = u16::from_le_bytes(*frame.first_chunk::<2>().ok_or_else(cut)?) as usize;
        frame.advance(2);
        if frame.len() < head {
            return Err(cut());
        }
        let payload = frame.split_off(head);
        let head: Head<WireHeader> = codec::decode(&frame)?;
        let head = head.try_map(|header| self.routes.whole(header).map(Box::new))?;
        Ok(Some(Frame { head, payload }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::call::{CallRoute, Encoding, ErrorKind, Source, TraceContext};

    fn call(function: &str) -> Frame {
        Frame {
            head: FrameHead::Call {
                call: 300,
                header: Box::new(CallHeader {
                    time_left: Duration::from_millis(1500),
                    trace: TraceContext { trace_id: 5, parent_span: 6 },
                    route: Arc::new(CallRoute {
                        source: Source::Component("shop/basket".parse().unwrap()),
                        target: "shop/pricing".parse().unwrap(),
                        contract: "example:shop/pricing@0.1.0".parse().unwrap(),
                        function: function.into(),
                        encoding: Encoding::Values,
                    }),
                    hops: 1,
                    relay: None,
                }),
                streams: false,
            },
            payload: Bytes::from_static(b"args"),
        }
    }

    fn heads() -> impl Strategy<Value = FrameHead> {
        let side = prop_oneof![Just(Side::Caller), Just(Side::Callee)];
        prop_oneof![
            "[a-e]{1,2}".prop_map(|function| call(&function).head),
            (any::<u64>(), any::<bool>())
                .prop_map(|(call, streams)| FrameHead::Reply { call, streams }),
            (any::<u64>(), ".{0,40}").prop_map(|(call, message)| FrameHead::Error {
                call,
                error: CallError::new(ErrorKind::Trapped, message)
            }),
            (any::<u64>(), side.clone(), any::<bool>())
                .prop_map(|(call, from, last)| FrameHead::Data { call, from, last }),
            (any::<u64>(), side.clone(), any::<u32>())
                .prop_map(|(call, from, bytes)| FrameHead::Credit { call, from, bytes }),
            any::<u64>().prop_map(|call| FrameHead::Cancel { call }),
            (any::<u64>(), side).prop_map(|(call, from)| FrameHead::StopData { call, from }),
            Just(FrameHead::Drain),
        ]
    }

    /// The format on the wire: when this changes, `VERSION` must.
    #[test]
    fn the_bytes_are_those_of_version_2() {
        let mut bytes = Vec::new();
        let mut encoder = FrameEncoder::default();
        encoder.encode(call("price"), &mut bytes).unwrap();
        encoder.encode(call("price"), &mut bytes).unwrap();
        let reply = Frame {
            head: FrameHead::Reply { call: 7, streams: true },
            payload: Bytes::from_static(b"ok"),
        };
        encoder.encode(reply, &mut bytes).unwrap();
        assert_eq!(hex::encode(&bytes), GOLDEN);
    }
    const GOLDEN: &str = "520000004c0000fb2c0101fc0065cd1d050601000b73686f702f6261736b65740c73686f702f70726963696e\
        671a6578616d706c653a73686f702f70726963696e6740302e312e3005707269636500010000617267731700\
        0000110000fb2c0101fc0065cd1d05060000010000617267730700000003000107016f6b";

    proptest! {
        #[test]
        fn frames_survive_any_cutting_of_the_stream(
            frames in prop::collection::vec((heads(), prop::collection::vec(any::<u8>(), 0..200)), 1..8),
            cuts in prop::collection::vec(1usize..64, 1..64),
        ) {
            let frames: Vec<Frame> = frames
                .into_iter()
                .map(|(head, payload)| Frame { head, payload: payload.into() })
                .collect();
            let (mut encoder, mut bytes) = (FrameEncoder::default(), Vec::new());
            for frame in &frames {
                encoder.encode(frame.clone(), &mut bytes).unwrap();
            }
            let mut decoder = FrameDecoder::default();
            let mut read = Vec::new();
            let mut rest = bytes.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                decoder.buffer().extend_from_slice(now);
                rest = later;
                while let Some(frame) = decoder.next_frame().unwrap() {
                    read.push(frame);
                }
            }
            prop_assert!(decoder.is_between_frames());
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = FrameDecoder::default();
            decoder.buffer().extend_from_slice(&bytes);
            while let Ok(Some(_)) = decoder.next_frame() {}
        }
    }

    #[test]
    fn a_frame_that_claims_too_much_is_refused_before_it_is_buffered() {
        let mut decoder = FrameDecoder::default();
        decoder.buffer().extend_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(decoder.next_frame(), Err(WireError::TooLong { .. })));
        let mut out = vec![1, 2, 3];
        let big = Frame { head: FrameHead::Drain, payload: vec![0; MAX_FRAME].into() };
        assert!(FrameEncoder::default().encode(big, &mut out).is_err());
        assert_eq!(out, [1, 2, 3]);
    }
}
