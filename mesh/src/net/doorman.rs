//! Asks the [`Doorman`] about every connection that comes in, before anything is read from it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::metrics::Metrics;
use crate::core::doorman::{Config, Doorman, NOWHERE};
use crate::core::time::Time;

/// The part of the swarm that turns strangers away.
pub(super) struct Behaviour {
    doorman: Doorman,
    started: Instant,
    metrics: Arc<Metrics>,
    /// Who stands at the door.
    pending: BTreeMap<ConnectionId, IpAddr>,
}

impl Behaviour {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let doorman = Doorman::new(Config::default());
        Self { doorman, started: Instant::now(), metrics, pending: BTreeMap::new() }
    }

    fn done(&mut self, connection: ConnectionId) {
        if let Some(address) = self.pending.remove(&connection) {
            self.doorman.done(address);
        }
    }
}

fn ip(address: &Multiaddr) -> IpAddr {
    let ip = address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    });
    ip.unwrap_or(NOWHERE)
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let address = ip(remote);
        let now = Time::since_start(self.started.elapsed());
        match self.doorman.knock(now, address) {
            Ok(()) => {
                self.pending.insert(connection, address);
                Ok(())
            }
            Err(why) => {
                self.metrics.turned_away.one();
                Err(ConnectionDenied::new(why))
            }
        }
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.done(connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.done(failure.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
