//! The frames that wait for the writer, in two lanes: heads and signals go before parts of
//! bodies, and bodies always get a share.
//!
//! No order that matters is lost. A part never overtakes a head that was queued before it, so
//! never the head of its own call. A head may overtake a part of its own call only if it is an
//! error, a cancel or a stop, which end the body anyway, or a credit, which has no order.

use std::collections::VecDeque;

use wattle_contracts::wire::{Frame, FrameHead, Side};

#[derive(Debug, Default)]
pub(super) struct Queue {
    heads: VecDeque<Frame>,
    /// Each with the number of heads that were queued before it.
    parts: VecDeque<(u64, Frame)>,
    heads_queued: u64,
    heads_taken: u64,
    head_bytes: usize,
    part_bytes: usize,
    ends: usize,
    last_call_sent: u64,
}

impl Queue {
    pub(super) fn push(&mut self, frame: Frame) {
        self.ends += usize::from(ends_call(&frame.head));
        match frame.head {
            FrameHead::Data { .. } => {
                self.part_bytes += frame.payload.len();
                self.parts.push_back((self.heads_queued, frame));
            }
            _ => {
                self.head_bytes += frame.payload.len();
                self.heads_queued += 1;
                self.heads.push_back(frame);
            }
        }
    }

    pub(super) fn take(&mut self, due: &mut Vec<Frame>, budget: usize) {
        // A quarter for the bodies, where there are any.
        let reserved = if self.parts.is_empty() { 0 } else { budget / 4 };
        let mut spent = 0;
        while spent == 0 || spent < budget - reserved {
            let Some(frame) = self.heads.pop_front() else { break };
            self.heads_taken += 1;
            self.head_bytes = self.head_bytes.saturating_sub(frame.payload.len());
            spent += self.hand_over(frame, due);
        }
        let heads = spent;
        while spent == heads || spent < budget {
            let taken = self.heads_taken;
            let Some((_, frame)) = self.parts.pop_front_if(|(after, _)| *after <= taken) else {
                break;
            };
            self.part_bytes = self.part_bytes.saturating_sub(frame.payload.len());
            spent += self.hand_over(frame, due);
        }
    }

    /// Gives the frame to the writer, and says what it costs.
    fn hand_over(&mut self, frame: Frame, due: &mut Vec<Frame>) -> usize {
        self.ends = self.ends.saturating_sub(usize::from(ends_call(&frame.head)));
        if let FrameHead::Call { call, .. } = frame.head {
            self.last_call_sent = call;
        }
        let cost = HEAD_COST + frame.payload.len();
        due.push(frame);
        cost
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.parts.is_empty()
    }

    /// How many heads and signals wait.
    pub(super) fn heads(&self) -> usize {
        self.heads.len()
    }

    /// The payload of calls and replies that waits, in bytes.
    pub(super) fn head_bytes(&self) -> usize {
        self.head_bytes
    }

    /// The parts of bodies that wait, in bytes.
    pub(super) fn part_bytes(&self) -> usize {
        self.part_bytes
    }

    /// How many of the waiting frames end a call of the peer.
    pub(super) fn ends(&self) -> usize {
        self.ends
    }

    /// The highest number of a call that was handed to the writer. Numbers grow, and calls leave
    /// in the order of their numbers.
    pub(super) fn last_call_sent(&self) -> u64 {
        self.last_call_sent
    }
}

/// What a frame costs besides its payload, roughly.
const HEAD_COST: usize = 32;

fn ends_call(head: &FrameHead) -> bool {
    matches!(
        head,
        FrameHead::Reply { streams: false, .. }
            | FrameHead::Error { .. }
            | FrameHead::Data { from: Side::Callee, last: true, .. }
    )
}
