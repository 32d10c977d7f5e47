//! Attempts to connect: whom and when is decided by [`Redial`], how is done here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId};
use rand::rngs::SmallRng;
use tokio::task::JoinSet;
use wattle_contracts::id::NodeId;

use super::Driver;
use crate::core::redial::{Config, Dial, Redial, Source, Target};
use crate::core::time::Time;
use crate::net::discovery::{JoinTarget, canonical, node_of, peer_id};
use crate::net::view::FoundBy;

/// More addresses behind one name are not dialled.
const MAX_RESOLVED: usize = 4;

/// Addresses behind a target.
#[derive(Debug)]
pub(super) struct Resolved {
    target: Target,
    addresses: Vec<Multiaddr>,
    /// Who must answer, where the target says so.
    node: Option<NodeId>,
}

/// The attempts under way.
#[derive(Debug)]
pub(super) struct Dialling {
    redial: Redial,
    attempts: BTreeMap<ConnectionId, Target>,
    resolving: JoinSet<Resolved>,
    /// Whether there may be something new to remember.
    news: bool,
}

impl Dialling {
    pub(super) fn new(me: NodeId) -> Self {
        // Slower than this, a network that is whole again would have to wait for us.
        let config = Config { slowest: Duration::from_secs(15), ..Config::default() };
        let redial = Redial::new(me, config);
        Self { redial, attempts: BTreeMap::new(), resolving: JoinSet::new(), news: false }
    }

    pub(super) fn hint(
        &mut self,
        now: Time,
        target: Target,
        addresses: &[Multiaddr],
        source: Source,
    ) {
        let addresses = addresses.iter().filter_map(canonical).map(|address| address.to_string());
        self.news |= self.redial.hint(now, target, addresses, source);
    }

    /// Leaves exactly these nodes alone.
    pub(super) fn rest(&mut self, nodes: BTreeSet<NodeId>) {
        self.redial.rest(nodes.into());
    }

    /// How late this node is.
    pub(super) fn late(&mut self, by: Duration) {
        self.redial.late(by);
    }

    /// A connection to `node` is needed now.
    pub(super) fn need(&mut self, now: Time, node: NodeId) {
        self.redial.need(now, node);
    }

    /// Begins to look up the addresses of what is due. Gives back the nodes that will be dialled.
    pub(super) fn begin(&mut self, now: Time, rng: &mut SmallRng) -> Vec<NodeId> {
        let mut nodes = Vec::new();
        for Dial { target, addresses } in self.redial.due(now, rng) {
            if let Target::Node(node) = target {
                nodes.push(node);
            }
            self.resolving.spawn(resolve(target, addresses));
        }
        nodes
    }

    /// The next target whose addresses are known.
    pub(super) async fn resolved(&mut self) -> Option<Resolved> {
        loop {
            match self.resolving.join_next().await? {
                Ok(resolved) => return Some(resolved),
                // Its attempt times out in the redial loop.
                Err(error) => tracing::warn!(%error, "looking up addresses failed"),
            }
        }
    }

    /// A connection to `node` stands.
    pub(super) fn connected(
        &mut self,
        now: Time,
        connection: ConnectionId,
        node: NodeId,
        address: Option<&Multiaddr>,
    ) {
        if let Some(Target::Address(text)) = self.attempts.remove(&connection) {
            self.redial.answered(now, &text, node);
        }
        let address = address.and_then(canonical).map(|address| address.to_string());
        self.news = true;
        self.redial.connected(now, node, address);
    }

    pub(super) fn disconnected(&mut self, now: Time, node: NodeId, rng: &mut SmallRng) {
        self.redial.disconnected(now, node, rng);
    }

    /// An attempt came to nothing. Gives back the node, if no other attempt on it is under way.
    pub(super) fn failed(
        &mut self,
        now: Time,
        connection: ConnectionId,
        is_self: bool,
        me: NodeId,
        rng: &mut SmallRng,
    ) -> Option<NodeId> {
        let target = self.attempts.remove(&connection)?;
        if let (true, Target::Address(text)) = (is_self, &target) {
            self.redial.answered(now, text, me);
        } else if !self.attempts.values().any(|other| *other == target) {
            self.redial.failed(now, &target, rng);
            return match target {
                Target::Node(node) => Some(node),
                Target::Address(_) => None,
            };
        }
        None
    }

    /// Whether [`Dialling::to_remember`] may have changed since this was last asked.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// The nodes that were ever admitted, and where they may be reached.
    pub(super) fn to_remember(&self) -> impl Iterator<Item = (NodeId, Vec<Multiaddr>)> + '_ {
        self.redial.to_remember().map(|(node, addresses)| (node, parse(&addresses)))
    }

    pub(super) fn addresses(&self, node: NodeId) -> Vec<Multiaddr> {
        parse(&self.redial.addresses(node))
    }

    /// Those of which something was learned at `since` or later.
    pub(super) fn learned(
        &self,
        since: Time,
    ) -> impl Iterator<Item = (NodeId, Vec<Multiaddr>)> + '_ {
        self.redial.learned(since).map(|(node, addresses)| (node, parse(&addresses)))
    }

    /// The node that is reached at `address`, as far as that is known.
    pub(super) fn node_at(&self, address: &Multiaddr) -> Option<NodeId> {
        self.redial.node_at(&canonical(address)?.to_string())
    }

    pub(super) fn found_by(&self, node: NodeId) -> FoundBy {
        match self.redial.found_by(&Target::Node(node)) {
            Some(Source::Flag) => FoundBy::Join,
            Some(Source::HostDirectory) => FoundBy::HostDirectory,
            Some(Source::Mdns) => FoundBy::Mdns,
            Some(Source::Knocked) => FoundBy::Knocked,
            Some(Source::Remembered) => FoundBy::Remembered,
            Some(Source::Told) | None => FoundBy::Peer,
            #[allow(unreachable_patterns, reason = "the enum is open for sources to come")]
            Some(_) => FoundBy::Peer,
        }
    }

    fn give_up(&mut self, now: Time, target: &Target, rng: &mut SmallRng) {
        self.redial.failed(now, target, rng);
    }
}

impl Driver {
    /// Begins the attempts that are due.
    pub(super) fn dial_due(&mut self, now: Time) {
        for node in self.dialling.begin(now, &mut self.rng) {
            self.peers.set_dialling(node, true);
        }
    }

    /// Dials what was looked up.
    pub(super) fn dial(&mut self, resolved: Resolved) {
        let Resolved { target, mut addresses, node } = resolved;
        let now = self.now();
        if node.is_some() {
            // Behind two NATs, both may have the same address: dialled, it is this node itself.
            let own = self.listening.borrow();
            addresses.retain(|address| !own.contains(address));
        }
        let dials = match node.map(peer_id) {
            _ if addresses.is_empty() => Vec::new(),
            Some(Some(peer)) => vec![to_node(peer, addresses)],
            Some(None) => Vec::new(),
            None => {
                let addresses = addresses.into_iter().take(MAX_RESOLVED);
                addresses.map(|a| DialOpts::unknown_peer_id().address(a).build()).collect()
            }
        };
        let mut under_way = false;
        for options in dials {
            let connection = options.connection_id();
            match self.swarm.dial(options) {
                Ok(()) => {
                    under_way = true;
                    self.metrics.dials.one();
                    self.dialling.attempts.insert(connection, target.clone());
                }
                Err(error) => tracing::debug!(?target, %error, "not dialled"),
            }
        }
        if !under_way {
            self.dialling.give_up(now, &target, &mut self.rng);
            if let Target::Node(node) = target {
                self.peers.set_dialling(node, false);
            }
        }
    }

    /// An attempt came to nothing.
    pub(super) fn on_dial_failed(&mut self, connection: ConnectionId, error: &DialError) {
        let now = self.now();
        let is_self = matches!(error, DialError::LocalPeerId { .. });
        let rng = &mut self.rng;
        if !is_self {
            self.metrics.dials_failed.one();
            tracing::debug!(%error, "a dial failed");
        }
        if let Some(node) = self.dialling.failed(now, connection, is_self, self.node, rng) {
            self.peers.set_dialling(node, false);
        }
    }
}

fn to_node(peer: PeerId, addresses: Vec<Multiaddr>) -> DialOpts {
    DialOpts::peer_id(peer)
        // It may have connected by itself while its address was looked up.
        .condition(PeerCondition::Disconnected)
        .addresses(addresses)
        .build()
}

async fn resolve(target: Target, texts: Vec<String>) -> Resolved {
    let mut node = match &target {
        Target::Node(node) => Some(*node),
        Target::Address(_) => None,
    };
    let mut addresses = Vec::new();
    for text in texts {
        let found = match text.parse::<JoinTarget>() {
            Ok(join) => {
                node = node.or(join.node());
                join.resolve().await
            }
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(found) => addresses.extend(found),
            Err(why) => tracing::info!(address = %text, %why, "an address can't be resolved"),
        }
    }
    Resolved { target, addresses, node }
}

fn parse(addresses: &[String]) -> Vec<Multiaddr> {
    let addresses = addresses.iter().filter_map(|text| text.parse::<Multiaddr>().ok());
    addresses.filter_map(|address| canonical(&address)).collect()
}

/// The node behind a connection. The door lets in Ed25519 keys only.
pub(super) fn admitted(peer: &PeerId) -> Option<NodeId> {
    node_of(peer)
}
