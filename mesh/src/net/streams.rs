//! The streams of a connection: negotiated by the swarm, then handed to tasks of their own.
//!
//! The side that dialled opens one control stream and one call stream as soon as the connection
//! stands; either side opens a stream per artifact that it fetches. Once negotiated, no byte of
//! them passes through the swarm again.

mod handler;

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use tokio::sync::oneshot;

use handler::{Handler, Order};

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Control,
    Calls,
    Artifact,
}

impl Kind {
    pub(super) const ALL: [Kind; 3] = [Kind::Control, Kind::Calls, Kind::Artifact];

    pub(super) fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Kind::Control => "/wattle/control/1",
            Kind::Calls => "/wattle/call/1",
            Kind::Artifact => "/wattle/artifact/1",
        })
    }
}

/// What happened to the streams of a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// A control or call stream stands, or the peer wants an artifact on this one.
    Opened { connection: ConnectionId, kind: Kind, stream: Stream },
    /// The control or call stream could not be opened.
    Failed { peer: PeerId, connection: ConnectionId, kind: Kind, why: String },
}

/// Why no stream could be opened on demand.
pub(super) type Opened = Result<Stream, String>;

/// Opens and accepts the streams of every connection.
#[derive(Debug, Default)]
pub(super) struct Behaviour {
    actions: VecDeque<ToSwarm<Event, Order>>,
    waker: Option<Waker>,
}

impl Behaviour {
    /// Opens a stream for an artifact on this connection.
    pub(super) fn open_artifact(
        &mut self,
        peer_id: PeerId,
        connection: ConnectionId,
        answer: oneshot::Sender<Opened>,
    ) {
        let handler = NotifyHandler::One(connection);
        self.actions.push_back(ToSwarm::NotifyHandler { peer_id, handler, event: Order(answer) });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::listener())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::dialler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let event = match event {
            handler::Out::Opened(kind, stream) => Event::Opened { connection, kind, stream },
            handler::Out::Failed(kind, why) => Event::Failed { peer, connection, kind, why },
        };
        self.actions.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        match self.actions.pop_front() {
            Some(action) => Poll::Ready(action),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
