//! One end of a real QUIC connection: its streams, and the door before them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Instant;

use quinn_proto::{
    Connection, ConnectionEvent, ConnectionHandle, Dir, Endpoint, Event, StreamEvent, StreamId,
    VarInt,
};
use rustls::pki_types::CertificateDer;
use wattle_contracts::id::NodeId;
use wattle_mesh::core::redial::Target;
use wattle_mesh::core::time::Time;

use super::frame::Frame;
use super::papers::bearer;

/// More bytes than this do not wait for a connection that is stuck.
const MAX_WAITING: usize = 8 * 1024 * 1024;

/// Which of its two streams an end says something on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Control,
    Calls,
}

/// What happened at an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Both have shown their papers.
    Up,
    /// Something came, in its order on its stream.
    Came(Frame),
    /// It is over; whether it had been up.
    Lost { was_up: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshake,
    Door,
    Up,
    Over,
}

/// One end of a connection.
pub(super) struct End {
    handle: ConnectionHandle,
    connection: Connection,
    /// The other node, by number and by id.
    pub(super) peer: (usize, NodeId),
    /// What was dialled, at the dialler's end.
    pub(super) target: Option<Target>,
    stage: Stage,
    /// By lane.
    out: [Outgoing; 2],
    came: BTreeMap<StreamId, VecDeque<u8>>,
    /// What came before the door was passed.
    early: Vec<Frame>,
    /// For when it is to be woken.
    pub(super) armed: Option<Time>,
    /// The ping that is not answered yet, and when it was sent.
    pub(super) pinged: Option<(u64, Time)>,
}

#[derive(Debug, Default)]
struct Outgoing {
    stream: Option<StreamId>,
    bytes: VecDeque<u8>,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl End {
    pub(super) fn new(
        (handle, connection): (ConnectionHandle, Connection),
        peer: (usize, NodeId),
        target: Option<Target>,
    ) -> Self {
        Self {
            handle,
            connection,
            peer,
            target,
            stage: Stage::Handshake,
            out: Default::default(),
            came: BTreeMap::new(),
            early: Vec::new(),
            armed: None,
            pinged: None,
        }
    }

    pub(super) fn handle(&self) -> ConnectionHandle {
        self.handle
    }

    pub(super) fn is_up(&self) -> bool {
        self.stage == Stage::Up
    }

    /// Whether the handshake is still under way; else, whether the door is.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.stage == Stage::Handshake
    }

    pub(super) fn is_at_the_door(&self) -> bool {
        self.stage == Stage::Door
    }

    /// Nothing is left of it.
    pub(super) fn is_drained(&self) -> bool {
        self.connection.is_drained()
    }

    pub(super) fn wakes(&mut self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// Something for it came out of a datagram.
    pub(super) fn take(&mut self, event: ConnectionEvent) {
        self.connection.handle_event(event);
    }

    /// Says something. Nothing if too much waits already.
    pub(super) fn say(&mut self, lane: Lane, frame: &Frame) {
        let [control, calls] = &mut self.out;
        let out = match lane {
            Lane::Control => control,
            Lane::Calls => calls,
        };
        if self.stage != Stage::Over && out.bytes.len() < MAX_WAITING {
            frame.write(&mut out.bytes);
        }
    }

    /// Ends it, and tells the other end.
    pub(super) fn close(&mut self, now: Instant) {
        self.stage = Stage::Over;
        self.connection.close(now, VarInt::from_u32(0), Default::default());
    }

    /// Does everything that can be done by now.
    pub(super) fn pump(
        &mut self,
        now: Instant,
        endpoint: &mut Endpoint,
        news: &mut Vec<News>,
        sent: &mut Vec<Vec<u8>>,
    ) {
        let mut is_busy = true;
        while std::mem::take(&mut is_busy) {
            if self.connection.poll_timeout().is_some_and(|at| at <= now) {
                self.connection.handle_timeout(now);
            }
            while let Some(event) = self.connection.poll() {
                is_busy = true;
                self.on_event(event, now, news);
            }
            self.flush();
            let mut datagram = Vec::new();
            while let Some(transmit) = self.connection.poll_transmit(now, 1, &mut datagram) {
                is_busy = true;
                datagram.truncate(transmit.size);
                sent.push(std::mem::take(&mut datagram));
            }
            while let Some(event) = self.connection.poll_endpoint_events() {
                is_busy = true;
                if let Some(event) = endpoint.handle_event(self.handle, event) {
                    self.connection.handle_event(event);
                }
            }
        }
    }

    fn on_event(&mut self, event: Event, now: Instant, news: &mut Vec<News>) {
        match event {
            Event::Connected if self.bearer() == Some(self.peer.1) => {
                self.stage = Stage::Door;
                if self.target.is_some() {
                    self.say(Lane::Control, &Frame::Knock);
                }
            }
            Event::Connected => self.give_up(now, news),
            Event::ConnectionLost { .. } if self.stage != Stage::Over => {
                let was_up = self.is_up();
                self.stage = Stage::Over;
                news.push(News::Lost { was_up });
            }
            Event::Stream(StreamEvent::Opened { dir }) => self.accept(dir, now, news),
            Event::Stream(StreamEvent::Readable { id }) => self.read(id, now, news),
            _ => {}
        }
    }

    fn give_up(&mut self, now: Instant, news: &mut Vec<News>) {
        news.push(News::Lost { was_up: self.is_up() });
        self.close(now);
    }

    /// The node whose certificate the other end has shown.
    fn bearer(&self) -> Option<NodeId> {
        let identity = self.connection.crypto_session().peer_identity()?;
        let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
        bearer(chain.first()?)
    }

    fn accept(&mut self, dir: Dir, now: Instant, news: &mut Vec<News>) {
        while let Some(id) = self.connection.streams().accept(dir) {
            self.read(id, now, news);
        }
    }

    fn read(&mut self, id: StreamId, now: Instant, news: &mut Vec<News>) {
        let came = self.came.entry(id).or_default();
        if let Ok(mut chunks) = self.connection.recv_stream(id).read(true) {
            while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
                came.extend(chunk.bytes.iter());
            }
            // What is to be sent for it, is sent with everything else.
            let _ = chunks.finalize();
        }
        loop {
            match self.came.get_mut(&id).map(Frame::take) {
                Some(Ok(Some(frame))) => self.on_frame(frame, news),
                Some(Err(_)) => return self.give_up(now, news),
                _ => return,
            }
        }
    }

    /// The door, as in `mesh::core::admission`: both knock, then both show their papers, the dialler
    /// first each time, and it says when that is all.
    fn on_frame(&mut self, frame: Frame, news: &mut Vec<News>) {
        let is_dialler = self.target.is_some();
        match (self.stage, frame) {
            (Stage::Up, frame) => news.push(News::Came(frame)),
            (Stage::Door, Frame::Knock) if is_dialler => self.say(Lane::Control, &Frame::Hello),
            (Stage::Door, Frame::Knock) => self.say(Lane::Control, &Frame::Knock),
            (Stage::Door, Frame::Hello) if is_dialler => {
                self.say(Lane::Control, &Frame::Admitted);
                self.opens(news);
            }
            (Stage::Door, Frame::Hello) => self.say(Lane::Control, &Frame::Hello),
            (Stage::Door, Frame::Admitted) if is_dialler => {}
            (Stage::Door, Frame::Admitted) => self.opens(news),
            (Stage::Door, frame) => self.early.push(frame),
            (Stage::Handshake | Stage::Over, _) => {}
        }
    }

    fn opens(&mut self, news: &mut Vec<News>) {
        self.stage = Stage::Up;
        news.push(News::Up);
        news.extend(std::mem::take(&mut self.early).into_iter().map(News::Came));
    }

    /// Hands QUIC as much as it takes now.
    fn flush(&mut self) {
        for out in &mut self.out {
            while !out.bytes.is_empty() {
                if out.stream.is_none() {
                    out.stream = self.connection.streams().open(Dir::Bi);
                }
                let Some(id) = out.stream else { break };
                let (first, _) = out.bytes.as_slices();
                match self.connection.send_stream(id).write(first) {
                    Ok(written) => drop(out.bytes.drain(..written)),
                    Err(_) => break,
                }
            }
        }
    }
}
