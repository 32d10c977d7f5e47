//! What each frame from the peer does.

use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::wire::{Frame, FrameHead, Side};

use bytes::Bytes;

use super::body::{Arrived, Inflow, Outflow};
use super::{Event, Incoming, Mux, Violation};

/// A peer that goes on calling while this many answers, as a multiple of [`super::Limits::calls`],
/// wait for it to read them does not read at all.
const UNREAD_ANSWERS: usize = 4;

impl<O, I> Mux<O, I> {
    /// Takes in a frame. `accept` makes what the driver keeps of a call of the peer; it is asked
    /// only for a call that is taken.
    pub fn receive(
        &mut self,
        frame: Frame,
        accept: impl FnOnce(u64, &CallHeader) -> I,
    ) -> Result<Event<'_, O, I>, Violation> {
        let Frame { head, payload } = frame;
        match head {
            FrameHead::Call { call, header, streams } => {
                self.called(call, header, payload, streams, accept)
            }
            FrameHead::Reply { call, streams } => self.replied(call, payload, streams),
            FrameHead::Data { call, from: Side::Callee, last } => {
                self.reply_data(call, payload, last)
            }
            FrameHead::Data { call, from: Side::Caller, last } => {
                self.request_data(call, payload, last)
            }
            FrameHead::Error { call, .. }
            | FrameHead::Credit { call, .. }
            | FrameHead::Cancel { call }
            | FrameHead::StopData { call, .. }
                if !payload.is_empty() =>
            {
                violation(call, "a payload where none belongs")
            }
            FrameHead::Error { call, error } => match self.outgoing.remove(&call) {
                Some(entry) => Ok(Event::Failed { call, handle: entry.handle, error }),
                None => self.late_for_caller(call),
            },
            FrameHead::Credit { call, from, bytes } => self.credited(call, from, bytes),
            FrameHead::Cancel { call } => match self.incoming.remove(&call) {
                Some(entry) => Ok(Event::Cancelled { call, handle: entry.handle }),
                None => self.late_for_callee(call),
            },
            FrameHead::StopData { call, from: Side::Callee } => self.request_unwanted(call),
            FrameHead::StopData { call, from: Side::Caller } => self.reply_unwanted(call),
            FrameHead::Drain => {
                self.peer_drains = true;
                Ok(Event::Draining)
            }
        }
    }

    fn called(
        &mut self,
        call: u64,
        header: Box<CallHeader>,
        payload: Bytes,
        streams: bool,
        accept: impl FnOnce(u64, &CallHeader) -> I,
    ) -> Result<Event<'_, O, I>, Violation> {
        if call <= self.seen {
            return violation(call, "a number that was used before");
        }
        self.seen = call;
        let answers = self.queue.ends();
        if answers > UNREAD_ANSWERS * self.limits.calls {
            return violation(call, "calls by a peer that reads no answers");
        }
        // Answers that wait count: else a peer that calls and never reads fills this node.
        if self.incoming.len() + answers >= self.limits.calls || !self.heads_have_room() {
            let text = "too many calls from that node are under way; the call was not begun";
            let error = CallError::new(ErrorKind::Overloaded, text);
            self.queue.push(Frame::bare(FrameHead::Error { call, error }));
            self.counters.refused += 1;
            return Ok(Event::Nothing);
        }
        let request = if streams { Inflow::open() } else { Inflow::none() };
        let handle = accept(call, &header);
        self.incoming.insert(call, Incoming { handle, request, reply: Outflow::none() });
        self.counters.accepted += 1;
        Ok(Event::Call { call, header, payload, streams })
    }

    fn replied(
        &mut self,
        call: u64,
        payload: Bytes,
        streams: bool,
    ) -> Result<Event<'_, O, I>, Violation> {
        let Some(entry) = self.outgoing.get_mut(&call) else {
            return self.late_for_caller(call);
        };
        match entry.reply.begin() {
            Err(why) => violation(call, why),
            Ok(true) if streams => {
                self.with_outgoing(call, |handle| Event::ReplyStarts { call, handle, payload })
            }
            Ok(_) => self.over(call, |handle| Event::Reply { call, handle, payload }),
        }
    }

    fn reply_data(
        &mut self,
        call: u64,
        payload: Bytes,
        last: bool,
    ) -> Result<Event<'_, O, I>, Violation> {
        let Some(entry) = self.outgoing.get_mut(&call) else {
            return self.late_for_caller(call);
        };
        match entry.reply.arrived(payload.len(), last) {
            Err(why) => violation(call, why),
            Ok(Arrived::Late) => self.late(),
            Ok(Arrived::Wanted) if last => {
                self.over(call, |handle| Event::ReplyEnds { call, handle, payload })
            }
            Ok(Arrived::Wanted) => {
                self.with_outgoing(call, |handle| Event::ReplyData { call, handle, payload })
            }
        }
    }

    fn request_data(
        &mut self,
        call: u64,
        payload: Bytes,
        last: bool,
    ) -> Result<Event<'_, O, I>, Violation> {
        let Some(entry) = self.incoming.get_mut(&call) else {
            return self.late_for_callee(call);
        };
        match entry.request.arrived(payload.len(), last) {
            Err(why) => violation(call, why),
            Ok(Arrived::Late) => self.late(),
            Ok(Arrived::Wanted) => self.with_incoming(call, |handle| Event::RequestData {
                call,
                handle,
                payload,
                last,
            }),
        }
    }

    fn credited(
        &mut self,
        call: u64,
        from: Side,
        bytes: u32,
    ) -> Result<Event<'_, O, I>, Violation> {
        // The caller credits the body of the reply, the callee that of the request.
        let body = match from {
            Side::Callee => self.outgoing.get_mut(&call).map(|entry| &mut entry.request),
            Side::Caller => self.incoming.get_mut(&call).map(|entry| &mut entry.reply),
        };
        match (body.map(|body| body.credit(bytes)), from) {
            (Some(Err(why)), _) => violation(call, why),
            (Some(Ok(false)), _) => self.late(),
            (Some(Ok(true)), Side::Callee) => {
                self.with_outgoing(call, |handle| Event::RequestRoom { call, handle })
            }
            (Some(Ok(true)), Side::Caller) => {
                self.with_incoming(call, |handle| Event::ReplyRoom { call, handle })
            }
            (None, Side::Callee) => self.late_for_caller(call),
            (None, Side::Caller) => self.late_for_callee(call),
        }
    }

    fn request_unwanted(&mut self, call: u64) -> Result<Event<'_, O, I>, Violation> {
        match self.outgoing.get_mut(&call).map(|entry| entry.request.refused()) {
            Some(true) => {
                self.with_outgoing(call, |handle| Event::RequestUnwanted { call, handle })
            }
            Some(false) => self.late(),
            None => self.late_for_caller(call),
        }
    }

    fn reply_unwanted(&mut self, call: u64) -> Result<Event<'_, O, I>, Violation> {
        let Some(entry) = self.incoming.get_mut(&call) else {
            return self.late_for_callee(call);
        };
        let begun = entry.reply.is_open();
        entry.reply.refused();
        match begun.then(|| self.incoming.remove(&call)).flatten() {
            Some(entry) => Ok(Event::Cancelled { call, handle: entry.handle }),
            None => Ok(Event::Nothing),
        }
    }

    fn over<'a>(
        &'a mut self,
        call: u64,
        event: impl FnOnce(O) -> Event<'a, O, I>,
    ) -> Result<Event<'a, O, I>, Violation> {
        Ok(self.outgoing.remove(&call).map_or(Event::Nothing, |entry| event(entry.handle)))
    }

    fn with_outgoing<'a>(
        &'a mut self,
        call: u64,
        event: impl FnOnce(&'a mut O) -> Event<'a, O, I>,
    ) -> Result<Event<'a, O, I>, Violation> {
        let entry = self.outgoing.get_mut(&call);
        Ok(entry.map_or(Event::Nothing, |entry| event(&mut entry.handle)))
    }

    fn with_incoming<'a>(
        &'a mut self,
        call: u64,
        event: impl FnOnce(&'a mut I) -> Event<'a, O, I>,
    ) -> Result<Event<'a, O, I>, Violation> {
        let entry = self.incoming.get_mut(&call);
        Ok(entry.map_or(Event::Nothing, |entry| event(&mut entry.handle)))
    }

    /// For a call of this node that it does not know: late, or never made.
    fn late_for_caller(&mut self, call: u64) -> Result<Event<'_, O, I>, Violation> {
        match call < self.next && call > 0 {
            true => self.late(),
            false => violation(call, "an answer to a call that was never made"),
        }
    }

    /// For a call of the peer that this node does not know: late, or never made.
    fn late_for_callee(&mut self, call: u64) -> Result<Event<'_, O, I>, Violation> {
        match call <= self.seen && call > 0 {
            true => self.late(),
            false => violation(call, "a frame of a call that was never made"),
        }
    }

    fn late(&mut self) -> Result<Event<'_, O, I>, Violation> {
        self.counters.late_frames += 1;
        Ok(Event::Nothing)
    }
}

fn violation<T>(call: u64, why: &'static str) -> Result<T, Violation> {
    Err(Violation { call, why })
}
