//! What the swarm does: libp2p's own protocols, limits, and our streams.

use std::sync::Arc;
use std::time::Duration;

use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{identify, mdns, ping};

use super::config::MeshConfig;
use super::doorman;
use super::metrics::Metrics;
use super::streams;

/// While two nodes dial each other, and one comes back under a living connection, there are more
/// than one. Above this, somebody is up to something.
const MAX_PER_PEER: u32 = 6;

/// Dials under way. More than `core::redial` begins at once, each to a few addresses.
const MAX_DIALS: u32 = 64;

/// Between two looks around by mDNS. Gossip finishes what it begins.
const MDNS_INTERVAL: Duration = Duration::from_secs(60);

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    // First: what it turns away costs nothing else.
    pub(super) doorman: doorman::Behaviour,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) streams: streams::Behaviour,
}

impl Behaviour {
    pub(super) fn new(keypair: &Keypair, config: &MeshConfig, metrics: &Arc<Metrics>) -> Self {
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(config.limits.pending))
            .with_max_pending_outgoing(Some(MAX_DIALS))
            .with_max_established(Some(config.limits.connections))
            .with_max_established_per_peer(Some(MAX_PER_PEER));
        let advertises = !config.advertise.is_empty();
        let identify = identify::Config::new("/wattle/1".into(), keypair.public())
            .with_agent_version(format!("wattle/{}", env!("CARGO_PKG_VERSION")))
            .with_hide_listen_addrs(advertises)
            .with_push_listen_addr_updates(!advertises)
            .with_cache_size(0);
        let ping = ping::Config::new().with_interval(config.timing.ping);
        Self {
            doorman: doorman::Behaviour::new(metrics.clone()),
            limits: connection_limits::Behaviour::new(limits),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            mdns: mdns(keypair, config).into(),
            streams: streams::Behaviour::default(),
        }
    }
}

/// mDNS answers with every address on which the node listens. A node that advertises others has
/// a reason, so then there is none.
fn mdns(keypair: &Keypair, config: &MeshConfig) -> Option<mdns::tokio::Behaviour> {
    if !config.mdns || !config.advertise.is_empty() {
        return None;
    }
    let settings = mdns::Config { query_interval: MDNS_INTERVAL, ..mdns::Config::default() };
    mdns::tokio::Behaviour::new(settings, keypair.public().to_peer_id())
        .inspect_err(|error| tracing::warn!(%error, "no multicast DNS here; going without"))
        .ok()
}
