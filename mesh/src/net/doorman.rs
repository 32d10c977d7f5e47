//! Asks the [`Doorman`] about every connection that comes in, before anything is read from it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
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
use crate::core::doorman::{Config, Doorman};
use crate::core::time::Time;

/// The part of the swarm that turns strangers away.
pub(super) struct Behaviour {
    doorman: Doorman<IpAddr>,
    started: Instant,
    metrics: Arc<Metrics>,
    /// Who stands at the door, by the neighbourhood.
    pending: BTreeMap<ConnectionId, IpAddr>,
}

impl Behaviour {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        let doorman = Doorman::new(Config::default());
        Self { doorman, started: Instant::now(), metrics, pending: BTreeMap::new() }
    }

    fn done(&mut self, connection: ConnectionId) {
        if let Some(address) = self.pending.remove(&connection) {
            self.doorman.done(&address);
        }
    }
}

/// An address that stands for those that are not IP addresses.
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Who may take the time of everybody else: whole networks count as one where an attacker has as
/// many addresses as it likes (IPv6: a /64, which is what one host is given, RFC 6177).
pub fn neighbourhood(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => {
                let mask = u128::MAX << 64;
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
        },
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
        let address = neighbourhood(ip(remote));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::core::doorman::TurnedAway;

    #[test]
    fn a_network_that_gives_addresses_away_counts_as_one() {
        let every = Duration::from_millis(100);
        let mut doorman = Doorman::new(Config { pending: 2, burst: 4, every, addresses: 8 });
        let mut knock =
            |address: &str| doorman.knock(Time::ZERO, neighbourhood(address.parse().unwrap()));
        for last in 0..2 {
            assert_eq!(knock(&format!("2001:db8::{last}")), Ok(()));
        }
        assert_eq!(knock("2001:db8::ffff"), Err(TurnedAway::Crowd));
        assert_eq!(knock("2001:db8:0:1::1"), Ok(()));
        // An IPv4 address is the same one however it is written.
        assert_eq!(knock("192.0.2.9"), Ok(()));
        assert_eq!(knock("::ffff:192.0.2.9"), Ok(()));
        assert_eq!(knock("192.0.2.9"), Err(TurnedAway::Crowd));
    }
}
