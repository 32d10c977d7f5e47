//! One connection's share: asks for the streams and passes them on.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::SubstreamProtocol;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, DialUpgradeError,
    FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::{Stream, StreamProtocol};
use tokio::sync::oneshot;

use super::{Kind, Opened};

/// Streams that are asked for at once. More artifacts than that wait in the caller.
const MAX_ORDERS: usize = 32;

/// Open a stream for an artifact, and send it there.
#[derive(Debug)]
pub(in crate::net) struct Order(pub(super) oneshot::Sender<Opened>);

/// What the handler tells the behaviour.
#[derive(Debug)]
pub(in crate::net) enum Out {
    Opened(Kind, Stream),
    Failed(Kind, String),
}

/// What an outbound stream is for.
#[derive(Debug)]
pub(in crate::net) enum Wanted {
    Standing(Kind),
    Artifact(oneshot::Sender<Opened>),
}

impl Wanted {
    fn kind(&self) -> Kind {
        match self {
            Wanted::Standing(kind) => *kind,
            Wanted::Artifact(_) => Kind::Artifact,
        }
    }
}

/// Accepts any stream of ours, or asks for one.
#[derive(Debug, Clone)]
pub(in crate::net) struct Protocols(Vec<Kind>);

impl UpgradeInfo for Protocols {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.iter().map(|kind| kind.protocol()).collect::<Vec<_>>().into_iter()
    }
}

impl InboundUpgrade<Stream> for Protocols {
    type Output = (Option<Kind>, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        let kind = self.0.into_iter().find(|kind| kind.protocol() == protocol);
        ready(Ok((kind, stream)))
    }
}

impl OutboundUpgrade<Stream> for Protocols {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

/// Handles one connection.
#[derive(Debug)]
pub(in crate::net) struct Handler {
    wanted: VecDeque<Wanted>,
    out: VecDeque<Out>,
}

impl Handler {
    pub(super) fn dialler() -> Self {
        let standing = [Wanted::Standing(Kind::Control), Wanted::Standing(Kind::Calls)];
        Self { wanted: standing.into(), out: VecDeque::new() }
    }

    pub(super) fn listener() -> Self {
        Self { wanted: VecDeque::new(), out: VecDeque::new() }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Order;
    type ToBehaviour = Out;
    type InboundProtocol = Protocols;
    type OutboundProtocol = Protocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Wanted;

    fn listen_protocol(&self) -> SubstreamProtocol<Protocols, ()> {
        SubstreamProtocol::new(Protocols(Kind::ALL.to_vec()), ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Protocols, Wanted, Out>> {
        // No waker is kept: both queues are only filled by calls after which the swarm polls.
        if let Some(event) = self.out.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        match self.wanted.pop_front() {
            Some(wanted) => {
                let protocol = SubstreamProtocol::new(Protocols(vec![wanted.kind()]), wanted);
                Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol })
            }
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, Order(answer): Order) {
        match self.wanted.len() < MAX_ORDERS {
            true => self.wanted.push_back(Wanted::Artifact(answer)),
            false => {
                let _ = answer.send(Err("too many streams are asked for at once".into()));
            }
        }
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Protocols, Protocols, (), Wanted>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (kind, stream),
                ..
            }) => self.out.extend(kind.map(|kind| Out::Opened(kind, stream))),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info,
            }) => match info {
                Wanted::Standing(kind) => self.out.push_back(Out::Opened(kind, stream)),
                Wanted::Artifact(answer) => {
                    let _ = answer.send(Ok(stream));
                }
            },
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => match info {
                Wanted::Standing(kind) => self.out.push_back(Out::Failed(kind, error.to_string())),
                Wanted::Artifact(answer) => {
                    let _ = answer.send(Err(error.to_string()));
                }
            },
            _ => {}
        }
    }
}
