//! Leaving: last words first, then the connections are closed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;
use wattle_contracts::control::Control;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;

use super::Driver;
use crate::core::time::Time;
use crate::net::statement::Topic;

/// How long the last words to the peers may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// How long to wait for a connection that has just come up, or is about to, to be one on which
/// goodbye can be said.
const OPENING: Duration = Duration::from_millis(500);

impl Driver {
    /// Tells every peer that this node leaves, those too that have only just connected.
    pub(super) async fn say_goodbye(&mut self) {
        let fact = match self.speaker.sign(Topic::Left, &()) {
            Ok(said) => said.fact,
            Err(size) => return tracing::error!(size, "a goodbye can't be that long"),
        };
        let mut told = BTreeSet::new();
        let until = Instant::now() + OPENING;
        loop {
            let mut all = true;
            for (id, queue) in self.connections.queues() {
                if told.contains(&id) {
                    continue;
                }
                match queue {
                    Some(queue) => {
                        let _ = queue.try_send(Control::Goodbye(Box::new(fact.clone())));
                        told.insert(id);
                    }
                    None => all = false,
                }
            }
            if all && self.swarm.network_info().connection_counters().num_pending() == 0 {
                return;
            }
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(end) = self.streams.join_next() => self.on_stream_end(end),
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// A node leaves, or a peer says that one did.
    pub(super) fn on_goodbye(&mut self, now: Time, from: NodeId, fact: Fact) {
        let node = fact.node;
        if fact.topic != Topic::Left.name() {
            return tracing::debug!(peer = %from, "a goodbye that is none");
        }
        if node != from && !(self.met.is_near(node) && self.met.is_near(from)) {
            return tracing::debug!(peer = %from, "a goodbye of another cell");
        }
        let news = self.census.fact(now, fact.clone());
        if node == from {
            tracing::info!(%node, "a node leaves");
            self.census.goodbye(now, from);
            self.close_soon(|_, node| node == from);
        }
        if news && self.met.is_near(node) {
            // Those whom it told itself need not be told again.
            for peer in self.census.not_linked_to(node) {
                if peer != from && self.met.is_near(peer) {
                    self.peers.tell(peer, Control::Goodbye(Box::new(fact.clone())));
                }
            }
        }
    }

    /// Says the last words, and closes.
    pub(super) async fn stop(&mut self) {
        // Without its queue, each control stream's writer sends what is left, and ends. The peers
        // then close, when they have every answer.
        self.peers.clear();
        self.connections.hush();
        if tokio::time::timeout(GOODBYE, self.until_closed()).await.is_err() {
            let ids: Vec<ConnectionId> = self.connections.ids().collect();
            for id in ids {
                self.swarm.close_connection(id);
            }
            let _ = tokio::time::timeout(GOODBYE, self.until_closed()).await;
        }
    }

    async fn until_closed(&mut self) {
        while self.swarm.network_info().connection_counters().num_established() > 0 {
            tokio::select! {
                _ = self.swarm.select_next_some() => {}
                Some(_) = self.streams.join_next() => {}
            }
        }
    }
}
