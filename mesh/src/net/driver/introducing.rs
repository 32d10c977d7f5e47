//! Reaching nodes behind NATs: both sides dial at the same moment, brought together by a neighbour.
//!
//! Both dial as ever, from the port on which they listen, and each one's handshake is the packet
//! that opens its NAT. So there is no second kind of connection: whichever stands is admitted as
//! all are, and of two the usual one stays.

use libp2p::Multiaddr;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use wattle_contracts::control::{Control, Introduce};
use wattle_contracts::id::NodeId;

use super::Driver;
use crate::core::introduce::{Action, Config, MAX_MEETING_ADDRESSES, Match, Matchmaker, Seeker};
use crate::core::time::Time;
use crate::net::discovery::{canonical, peer_id};

/// Whom this node wants to reach, and whom it brings together.
#[derive(Debug)]
pub(super) struct Introducing {
    seeker: Seeker,
    matchmaker: Matchmaker,
}

impl Default for Introducing {
    fn default() -> Self {
        let seeker = Seeker::new(Config::default());
        Self { seeker, matchmaker: Matchmaker::default() }
    }
}

impl Driver {
    /// Whether this node lets others be told where it is seen. One that advertises addresses is
    /// to be reached at those alone.
    fn may_meet(&self) -> bool {
        self.config.advertise.is_empty()
    }

    /// Asks neighbours to bring this node together with those that it doesn't reach by itself.
    pub(super) fn seek(&mut self, now: Time) {
        if !self.may_meet() {
            return;
        }
        let mut actions = Vec::new();
        let census = &self.census;
        let ways = |node| census.ways(node);
        self.introducing.seeker.tick(now, census.away(), ways, &mut self.rng, &mut actions);
        self.approach(actions);
    }

    /// A peer asks to be brought together with another, or does so.
    pub(super) fn on_introduce(&mut self, now: Time, from: NodeId, said: Introduce) {
        let (mut actions, may_meet) = (Vec::new(), self.may_meet());
        let Introducing { seeker, matchmaker } = &mut self.introducing;
        match said {
            Introduce::Ask { node } => {
                let reached = self.peers.link(node).is_some();
                match matchmaker.asked(now, from, node, reached) {
                    Some(Match::Tell { node, by }) => {
                        self.peers.tell(node, Control::Introduce(Introduce::Wanted { by }));
                    }
                    Some(Match::Both(one, other)) => self.bring_together(one, other),
                    None => {}
                }
            }
            _ if !may_meet => {}
            Introduce::Wanted { by } => {
                seeker.wanted(now, from, by, &mut self.rng, &mut actions);
            }
            Introduce::Meet { node, addresses } => {
                seeker.meet(now, from, node, addresses, &mut actions);
            }
        }
        self.approach(actions);
    }

    /// A neighbour says where it sees this node.
    pub(super) fn seen_at(&mut self, now: Time, by: NodeId, address: &Multiaddr) {
        if let Some(address) = canonical(address) {
            self.introducing.seeker.seen_at(now, by, address.to_string());
        }
    }

    /// This node has other addresses than before.
    pub(super) fn moved(&mut self) {
        let now = self.now();
        self.introducing.seeker.start_afresh(now);
    }

    fn bring_together(&self, one: NodeId, other: NodeId) {
        let meet = |node| {
            let addresses = self.connections.seen_at(node);
            let addresses = addresses.iter().take(MAX_MEETING_ADDRESSES);
            let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
            Control::Introduce(Introduce::Meet { node, addresses })
        };
        tracing::debug!(%one, %other, "two nodes are brought together");
        self.peers.tell(one, meet(other));
        self.peers.tell(other, meet(one));
    }

    fn approach(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Ask { neighbour, node } => {
                    tracing::debug!(%neighbour, %node, "asks to be brought together");
                    self.peers.tell(neighbour, Control::Introduce(Introduce::Ask { node }));
                }
                Action::Dial { node, addresses } => self.dial_together(node, &addresses),
            }
        }
    }

    fn dial_together(&mut self, node: NodeId, addresses: &[String]) {
        let addresses = addresses.iter().filter_map(|text| text.parse().ok());
        let addresses: Vec<Multiaddr> =
            addresses.filter_map(|address| canonical(&address)).collect();
        let Some(peer) = peer_id(node).filter(|_| !addresses.is_empty()) else { return };
        tracing::debug!(%node, ?addresses, "dials together with the other side");
        let options = DialOpts::peer_id(peer)
            // It may have come by itself; an ordinary attempt that is under way is no reason to wait.
            .condition(PeerCondition::Disconnected)
            .addresses(addresses)
            .build();
        match self.swarm.dial(options) {
            Ok(()) => self.metrics.dials_together.one(),
            Err(error) => tracing::debug!(%node, %error, "not dialled"),
        }
    }
}
