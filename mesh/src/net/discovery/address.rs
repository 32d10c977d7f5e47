//! Addresses: what a person writes, and what libp2p dials.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use wattle_contracts::id::NodeId;

/// Resolving a name takes at most so long.
const RESOLVE: Duration = Duration::from_secs(5);

/// More addresses of one name are not tried.
const MAX_RESOLVED: usize = 16;

/// A node to begin with: a multiaddress (`/ip4/192.0.2.1/udp/4433/quic-v1`, also with `/dns/…` in
/// front and `/p2p/…` behind), or `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinTarget {
    host: Host,
    port: u16,
    node: Option<NodeId>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    /// Resolved anew for each attempt: names move.
    Name(String),
}

/// Why a text is not an address to join at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no address to join at ({why}); expected HOST:PORT or a multiaddress such as \
     /ip4/192.0.2.1/udp/4433/quic-v1"
)]
pub struct AddressError {
    text: String,
    why: String,
}

impl JoinTarget {
    /// The node that must answer there, where the address says so.
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// The addresses behind it now.
    pub(in crate::net) async fn resolve(&self) -> Result<Vec<Multiaddr>, String> {
        let found = match &self.host {
            Host::Ip(ip) => vec![SocketAddr::new(*ip, self.port)],
            Host::Name(name) => {
                let lookup = tokio::net::lookup_host((name.as_str(), self.port));
                let found = tokio::time::timeout(RESOLVE, lookup)
                    .await
                    .map_err(|_| format!("no answer within {RESOLVE:?}"))?
                    .map_err(|error| error.to_string())?;
                found.take(MAX_RESOLVED).collect()
            }
        };
        Ok(found.into_iter().map(quic).collect())
    }
}

impl FromStr for JoinTarget {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = |why: &str| AddressError {
            text: text.chars().take(120).collect(),
            why: why.to_owned(),
        };
        let (host, port, node) = match text.starts_with('/') {
            true => from_multiaddr(text).map_err(|why| error(&why))?,
            false => from_host_port(text).map_err(error)?,
        };
        if port == 0 {
            return Err(error("its port is 0"));
        }
        Ok(Self { host, port, node, text: text.to_owned() })
    }
}

impl fmt::Display for JoinTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn from_host_port(text: &str) -> Result<(Host, u16, Option<NodeId>), &'static str> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok((Host::Ip(socket.ip()), socket.port(), None));
    }
    let (name, port) = text.rsplit_once(':').ok_or("there is no `:` before a port")?;
    let port = port.parse().map_err(|_| "its port is not a number up to 65535")?;
    let named = !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    match named {
        true => Ok((Host::Name(name.to_owned()), port, None)),
        false => Err("its host is neither a name nor an IP address (IPv6 stands in brackets)"),
    }
}

fn from_multiaddr(text: &str) -> Result<(Host, u16, Option<NodeId>), String> {
    let address: Multiaddr = text.parse().map_err(|error| format!("{error}"))?;
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => Host::Ip(ip.into()),
        Some(Protocol::Ip6(ip)) => Host::Ip(ip.into()),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            Host::Name(name.into_owned())
        }
        _ => return Err("it does not start with /ip4, /ip6 or /dns".into()),
    };
    let Some(Protocol::Udp(port)) = parts.next() else {
        return Err("no /udp/PORT follows the host".into());
    };
    if parts.next() != Some(Protocol::QuicV1) {
        return Err("no /quic-v1 follows the port".into());
    }
    let node = match parts.next() {
        None => None,
        Some(Protocol::P2p(peer)) => {
            Some(node_of(&peer).ok_or("its /p2p part is not that of an Ed25519 key")?)
        }
        Some(other) => return Err(format!("`{other}` is not expected in it")),
    };
    match parts.next() {
        None => Ok((host, port, node)),
        Some(other) => Err(format!("`{other}` is not expected in it")),
    }
}

fn quic(socket: SocketAddr) -> Multiaddr {
    // A resolver may answer with an IPv4 address dressed as IPv6; the IPv6 socket can't send there.
    let ip = socket.ip().to_canonical();
    Multiaddr::from(ip).with(Protocol::Udp(socket.port())).with(Protocol::QuicV1)
}

/// libp2p's name of a node.
pub(in crate::net) fn peer_id(node: NodeId) -> Option<PeerId> {
    PeerId::from_bytes(&node.to_peer_id_bytes()).ok()
}

/// The node behind libp2p's name.
pub(in crate::net) fn node_of(peer: &PeerId) -> Option<NodeId> {
    NodeId::from_peer_id_bytes(&peer.to_bytes())
}

/// The address without the peer at its end.
pub(in crate::net) fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

/// Whether this is a QUIC address that can be dialled: of an IP address and a port.
pub(in crate::net) fn is_dialable(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => !ip.is_unspecified() && !ip.is_multicast(),
        // A link-local address means nothing without its interface, which no address carries.
        Some(Protocol::Ip6(ip)) => {
            !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local()
        }
        _ => false,
    };
    let port = matches!(parts.next(), Some(Protocol::Udp(port)) if port != 0);
    host && port && parts.next() == Some(Protocol::QuicV1)
}

/// The address as hints carry it, if it is one that can be dialled.
pub(in crate::net) fn canonical(address: &Multiaddr) -> Option<Multiaddr> {
    let address = without_peer(address);
    is_dialable(&address).then_some(address)
}

/// Without those of the loopback interface, if there are others: on another machine they lead to
/// another node.
pub(in crate::net) fn for_others(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    if addresses.iter().any(|address| !is_loopback(address)) {
        addresses.retain(|address| !is_loopback(address));
    }
    addresses
}

fn is_loopback(address: &Multiaddr) -> bool {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_target_is_a_multiaddress_or_a_host_and_port() {
        let id = NodeId::from_bytes([0; 32]);
        for good in [
            "127.0.0.1:4433".to_owned(),
            "[::1]:4433".to_owned(),
            "node-1.example.com:4433".to_owned(),
            "/ip4/192.0.2.1/udp/4433/quic-v1".to_owned(),
            "/dns/node.example/udp/4433/quic-v1".to_owned(),
            format!("/ip6/::1/udp/4433/quic-v1/p2p/{id}"),
        ] {
            let target: JoinTarget = good.parse().unwrap();
            assert_eq!(target.to_string(), good);
            assert_eq!(target.node(), good.contains("/p2p/").then_some(id));
        }
        for bad in ["", "host", ":1", "host:0", "host:70000", "::1:4433", "/ip4/1.2.3.4/tcp/1"] {
            let error = bad.parse::<JoinTarget>().unwrap_err().to_string();
            assert!(error.contains("HOST:PORT"), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_when_it_is_used() {
        let target: JoinTarget = "localhost:4433".parse().unwrap();
        let found = target.resolve().await.unwrap();
        assert!(found.iter().all(is_dialable), "{found:?}");
        assert!(!found.is_empty());
    }

    #[test]
    fn loopback_is_for_nodes_that_have_nothing_else() {
        let address =
            |ip: &str| -> Multiaddr { format!("/ip4/{ip}/udp/1/quic-v1").parse().unwrap() };
        let (here, there) = (address("127.0.0.1"), address("10.0.0.1"));
        assert_eq!(for_others(vec![here.clone()]), std::slice::from_ref(&here));
        assert_eq!(for_others(vec![here, there.clone()]), [there]);
    }

    #[test]
    fn only_quic_over_ip_with_a_port_is_dialled() {
        let dialable = |text: &str| is_dialable(&text.parse().unwrap());
        assert!(dialable("/ip4/10.0.0.1/udp/1/quic-v1"));
        assert!(!dialable("/ip4/0.0.0.0/udp/1/quic-v1"));
        assert!(!dialable("/ip4/10.0.0.1/udp/0/quic-v1"));
        assert!(!dialable("/ip6/fe80::1/udp/1/quic-v1"));
        assert!(!dialable("/ip4/10.0.0.1/tcp/1"));
        assert!(!dialable("/dns/example.com/udp/1/quic-v1"));
    }
}
