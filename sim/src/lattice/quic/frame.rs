//! What the ends of a connection say to each other on a stream: each with its length before it.

use std::collections::VecDeque;

/// The version and a token: what a real knock weighs, in bytes.
const KNOCK: usize = 36;
/// A paper and a cell: about what a real greeting weighs, in bytes.
const HELLO: usize = 300;
/// A ping of libp2p, in bytes.
const PING: usize = 32;
/// The longest frame, in bytes: what a call may carry, and more.
const MAX_FRAME: usize = 64 * 1024 * 1024;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// What a node says first at the door.
    Knock,
    /// What it shows there.
    Hello,
    /// The verdict on it.
    Admitted,
    Ping(u64),
    Pong(u64),
    /// A control message, as `wire` encodes it.
    Control(Vec<u8>),
    /// Something of so many bytes whose content is made up, and kept aside under this key.
    Aside {
        key: u64,
        bytes: usize,
    },
}

/// What came is no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl Frame {
    pub(super) fn write(&self, to: &mut VecDeque<u8>) {
        let number = |number: u64, length: usize| {
            let mut body = number.to_le_bytes().to_vec();
            body.resize(length.max(8), 0);
            body
        };
        let (kind, body) = match self {
            Frame::Knock => (6, vec![0; KNOCK]),
            Frame::Hello => (0, vec![0; HELLO]),
            Frame::Admitted => (1, vec![0; 1]),
            Frame::Ping(nonce) => (2, number(*nonce, PING)),
            Frame::Pong(nonce) => (3, number(*nonce, PING)),
            Frame::Control(bytes) => (4, bytes.clone()),
            Frame::Aside { key, bytes } => (5, number(*key, *bytes)),
        };
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        to.extend(length.to_le_bytes());
        to.push_back(kind);
        to.extend(body);
    }

    /// Takes the first frame out of what came, once all of it is there.
    pub(super) fn take(from: &mut VecDeque<u8>) -> Result<Option<Self>, Broken> {
        let mut head = [0; 5];
        if from.len() < head.len() {
            return Ok(None);
        }
        head.iter_mut().zip(from.iter()).for_each(|(to, from)| *to = *from);
        let [a, b, c, d, kind] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > MAX_FRAME {
            return Err(Broken);
        }
        if from.len() < head.len() + length {
            return Ok(None);
        }
        from.drain(..head.len());
        let body: Vec<u8> = from.drain(..length).collect();
        let number = || body.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or(Broken);
        Ok(Some(match kind {
            0 => Frame::Hello,
            1 => Frame::Admitted,
            2 => Frame::Ping(number()?),
            3 => Frame::Pong(number()?),
            4 => Frame::Control(body),
            6 => Frame::Knock,
            5 => Frame::Aside { key: number()?, bytes: body.len() },
            _ => return Err(Broken),
        }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame() -> impl Strategy<Value = Frame> {
        prop_oneof![
            Just(Frame::Knock),
            Just(Frame::Hello),
            Just(Frame::Admitted),
            any::<u64>().prop_map(Frame::Ping),
            any::<u64>().prop_map(Frame::Pong),
            prop::collection::vec(any::<u8>(), 0..50).prop_map(Frame::Control),
            (any::<u64>(), 8usize..100).prop_map(|(key, bytes)| Frame::Aside { key, bytes }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_in_whatever_pieces_it_comes(
            frames in prop::collection::vec(frame(), 0..8),
            piece in 1usize..40,
        ) {
            let mut bytes = VecDeque::new();
            frames.iter().for_each(|frame| frame.write(&mut bytes));
            let bytes: Vec<u8> = bytes.into();
            let (mut came, mut read) = (VecDeque::new(), Vec::new());
            for piece in bytes.chunks(piece) {
                came.extend(piece);
                while let Some(frame) = Frame::take(&mut came).unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = VecDeque::from(bytes);
            while let Ok(Some(_)) = Frame::take(&mut bytes) {}
        }
    }
}
