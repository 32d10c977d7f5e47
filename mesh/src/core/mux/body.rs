//! One streamed body: what its sender may still send, and what its receiver has taken in.

use bytes::Bytes;

use super::{CHUNK, WINDOW};

/// A receiver may grant more than [`WINDOW`] by and by, but never more than this at once.
const MAX_CREDIT: u32 = 16 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// There is none, or not yet.
    None,
    Open,
    Ended,
    /// Its receiver has said that it wants no more.
    Unwanted,
}

/// A body that this node sends.
#[derive(Debug)]
pub(super) struct Outflow {
    state: State,
    credit: u32,
}

/// A body that the peer sends.
#[derive(Debug)]
pub(super) struct Inflow {
    state: State,
    /// How many bytes the peer may still send.
    granted: u32,
    /// How many bytes were taken in, and not yet granted anew.
    owed: u32,
}

/// What to do with a part that came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Wanted,
    Late,
}

impl Outflow {
    pub(super) fn none() -> Self {
        Self { state: State::None, credit: WINDOW }
    }

    pub(super) fn open() -> Self {
        Self { state: State::Open, credit: WINDOW }
    }

    /// Begins a body; false if it is not wanted.
    pub(super) fn begin(&mut self) -> bool {
        if self.state == State::None {
            self.state = State::Open;
        }
        self.state == State::Open
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn is_unwanted(&self) -> bool {
        self.state == State::Unwanted
    }

    /// The next chunk that may be sent of `part`, if any.
    pub(super) fn cut(&mut self, part: &mut Bytes, last: bool) -> Option<Bytes> {
        if self.state != State::Open || (part.is_empty() && !last) {
            return None;
        }
        let length = part.len().min(CHUNK).min(self.credit as usize);
        if length == 0 && !part.is_empty() {
            return None;
        }
        self.credit = self.credit.saturating_sub(length as u32);
        let chunk = part.split_to(length);
        if last && part.is_empty() {
            self.state = State::Ended;
        }
        Some(chunk)
    }

    /// Takes credit in. True if the body goes on with it.
    pub(super) fn credit(&mut self, bytes: u32) -> Result<bool, &'static str> {
        match self.state {
            State::None => Err("credit for a body that does not exist"),
            State::Ended | State::Unwanted => Ok(false),
            State::Open => {
                let credit = self.credit.checked_add(bytes).filter(|credit| *credit <= MAX_CREDIT);
                self.credit = credit.ok_or("more credit than any body may have")?;
                Ok(true)
            }
        }
    }

    /// The receiver wants no more. True if that makes a difference.
    pub(super) fn refused(&mut self) -> bool {
        let goes_on = matches!(self.state, State::None | State::Open);
        if goes_on {
            self.state = State::Unwanted;
        }
        goes_on
    }
}

impl Inflow {
    pub(super) fn none() -> Self {
        Self { state: State::None, granted: WINDOW, owed: 0 }
    }

    pub(super) fn open() -> Self {
        Self { state: State::Open, granted: WINDOW, owed: 0 }
    }

    /// The peer says that a body follows. False if it is not wanted.
    pub(super) fn begin(&mut self) -> Result<bool, &'static str> {
        match self.state {
            State::None => {
                self.state = State::Open;
                Ok(true)
            }
            State::Unwanted => Ok(false),
            State::Open | State::Ended => Err("a second reply"),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// A part of the body came in.
    pub(super) fn arrived(&mut self, bytes: usize, last: bool) -> Result<Arrived, &'static str> {
        match self.state {
            State::Unwanted => return Ok(Arrived::Late),
            State::None => return Err("a part of a body that was not announced"),
            State::Ended => return Err("a part of a body after its last"),
            State::Open => {}
        }
        if bytes == 0 && !last {
            return Err("an empty part of a body");
        }
        let left = u32::try_from(bytes).ok().and_then(|bytes| self.granted.checked_sub(bytes));
        self.granted = left.ok_or("more of a body than was granted")?;
        if last {
            self.state = State::Ended;
        }
        Ok(Arrived::Wanted)
    }

    /// So many bytes are taken in. Gives the credit to send: not each time, but whenever half a
    /// window is owed.
    pub(super) fn consumed(&mut self, bytes: usize) -> Option<u32> {
        let under_way = WINDOW.saturating_sub(self.granted).saturating_sub(self.owed);
        self.owed += u32::try_from(bytes).unwrap_or(u32::MAX).min(under_way);
        if self.state != State::Open || self.owed < WINDOW / 2 {
            return None;
        }
        let credit = std::mem::take(&mut self.owed);
        self.granted += credit;
        Some(credit)
    }

    /// This node wants no more. True if the peer has to be told.
    pub(super) fn refuse(&mut self) -> bool {
        let tell = matches!(self.state, State::None | State::Open);
        if tell {
            self.state = State::Unwanted;
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_sender_never_exceeds_what_its_receiver_granted_and_never_starves(
            parts in prop::collection::vec(0usize..400_000, 1..20),
            taken in prop::collection::vec(1usize..100_000, 1..50),
        ) {
            let (mut sender, mut receiver) = (Outflow::open(), Inflow::open());
            let total: usize = parts.iter().sum();
            let (mut under_way, mut arrived) = (0, 0);
            let mut takes = taken.iter().cycle();
            for (nth, part) in parts.iter().enumerate() {
                let last = nth + 1 == parts.len();
                let mut part = Bytes::from(vec![0; *part]);
                let mut ended = false;
                while !ended && (last || !part.is_empty()) {
                    while let Some(chunk) = sender.cut(&mut part, last) {
                        ended = last && part.is_empty();
                        prop_assert!(chunk.len() <= CHUNK);
                        prop_assert_eq!(receiver.arrived(chunk.len(), ended), Ok(Arrived::Wanted));
                        under_way += chunk.len();
                        arrived += chunk.len();
                    }
                    prop_assert!(under_way <= WINDOW as usize);
                    let take = (*takes.next().unwrap()).min(under_way);
                    under_way -= take;
                    if let Some(credit) = receiver.consumed(take) {
                        prop_assert_eq!(sender.credit(credit), Ok(true));
                    }
                }
            }
            prop_assert_eq!(arrived, total);
        }
    }

    #[test]
    fn what_was_never_received_earns_no_credit() {
        let mut body = Inflow::open();
        assert_eq!(body.consumed(10 * WINDOW as usize), None);
        assert_eq!(body.granted, WINDOW);
    }
}
