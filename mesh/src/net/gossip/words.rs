//! How chitchat is set up, and how a fact becomes a value that it carries.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chitchat::{ChitchatConfig, ChitchatId, FailureDetectorConfig};
use wattle_contracts::fact::Fact;
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::trust::UnixMillis;
use wattle_contracts::wire;

use crate::net::statement::Topic;

/// The longest fact, as text. chitchat's own limit for a value is 64 KiB, for a message too.
pub(super) const MAX_FACT: usize = 24 * 1024;

/// Samples of the failure detector per node. Its default of 1,000 costs 8 KB each.
const SAMPLES: usize = 50;

/// Silence of so many times the usual interval is taken for death.
const PHI: f64 = 8.0;

/// A dead node is kept in the digest for half of this. Our own memory of it is longer.
const DEAD_GRACE: Duration = Duration::from_secs(4 * 60);

/// How chitchat is set up for a node of a mesh that starts at `start` by its wall clock, and
/// gossips once in every `round`.
pub fn chitchat_config(
    node: NodeId,
    mesh: &str,
    start: UnixMillis,
    round: Duration,
) -> ChitchatConfig {
    let address = synthetic(node);
    ChitchatConfig {
        // A node that comes back is a new one for chitchat, and must say so.
        chitchat_id: ChitchatId::new(node.to_string(), start.0, address),
        cluster_id: mesh.to_owned(),
        gossip_interval: round,
        listen_addr: address,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig::new(
            PHI,
            SAMPLES,
            round * 20,
            round * 2,
            DEAD_GRACE,
        ),
        marked_for_deletion_grace_period: DEAD_GRACE,
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

/// Whether others are to know soon what is said on a topic, because calls and their ways depend on
/// it.
pub fn is_urgent(topic: &str) -> bool {
    [Topic::About, Topic::Runs, Topic::Reach].iter().any(|urgent| urgent.name() == topic)
}

/// The address under which chitchat knows a node: made from its id, in the range for local use
/// (RFC 4193), and never seen by a network.
pub fn synthetic(node: NodeId) -> SocketAddr {
    let hash = Digest::of(node.as_bytes());
    let mut bytes = hash.as_bytes().iter().copied();
    let mut octets = [0u8; 16];
    octets.iter_mut().zip(bytes.by_ref()).for_each(|(to, from)| *to = from);
    if let Some(first) = octets.first_mut() {
        *first = 0xfd;
    }
    let port = u16::from_le_bytes([bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)]);
    SocketAddr::new(Ipv6Addr::from(octets).into(), port.max(1))
}

/// The node behind chitchat's id of it, if the id can be right.
pub fn node_of(id: &ChitchatId) -> Option<NodeId> {
    let node = id.node_id.parse().ok()?;
    (id.gossip_advertise_addr == synthetic(node)).then_some(node)
}

/// A fact as the value that chitchat carries under the fact's topic. An error is the length, in
/// bytes, of one that is too long.
pub fn text_of(fact: &Fact) -> Result<String, usize> {
    let text = BASE64.encode(wire::encode(fact).map_err(|_| usize::MAX)?);
    if text.len() > MAX_FACT { Err(text.len()) } else { Ok(text) }
}

/// The fact in a value, if it is one of this node on this topic. Its signature is checked by
/// whoever keeps it.
pub fn parse(node: NodeId, topic: &str, text: &str) -> Option<Fact> {
    if text.len() > MAX_FACT {
        return None;
    }
    let fact: Fact = wire::decode(&BASE64.decode(text).ok()?).ok()?;
    (fact.node == node && fact.topic == topic).then_some(fact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_an_address_of_its_own_that_is_no_real_one() {
        let addresses: std::collections::BTreeSet<_> =
            (0..=255).map(|byte| synthetic(NodeId::from_bytes([byte; 32]))).collect();
        assert_eq!(addresses.len(), 256);
        assert!(addresses.iter().all(|address| address.to_string().starts_with("[fd")));
    }
}
