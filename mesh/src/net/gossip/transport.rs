//! chitchat's transport: its datagrams travel as control messages between connected peers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable as _, Serializable as _};
use tokio::sync::{Mutex, mpsc};
use wattle_contracts::control::Control;
use wattle_contracts::id::NodeId;

use super::check::Gate;
use super::words::synthetic;
use crate::core::gossip::{Config, Pace};
use crate::core::time::Time;
use crate::net::cells::Met;
use crate::net::metrics::Metrics;
use crate::net::peers::Peers;

/// Messages from peers, each with who sent it.
type Inbox = mpsc::Receiver<(NodeId, Vec<u8>)>;

/// Carries chitchat's messages. Outlives a chitchat that has to be started anew.
#[derive(Clone)]
pub(super) struct Carrier {
    peers: Arc<Peers>,
    met: Arc<Met>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    inbox: Arc<Mutex<Inbox>>,
    turn: Arc<AtomicUsize>,
    started: Instant,
    beginning: Arc<std::sync::Mutex<Beginning>>,
}

/// When this node begins an exchange itself.
struct Beginning {
    pace: Pace,
    /// Peers that are to be greeted in any case, because their connection has just come up.
    /// chitchat greets each of them next, so there are at most as many as there are connections.
    greet: BTreeSet<SocketAddr>,
}

impl Carrier {
    pub(super) fn new(
        peers: Arc<Peers>,
        met: Arc<Met>,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
        inbox: Inbox,
        round: Duration,
    ) -> Self {
        let (inbox, turn) = (Arc::new(Mutex::new(inbox)), Arc::default());
        let pace = Pace::new(Config::with_rounds_of(round), Time::ZERO);
        let beginning = Beginning { pace, greet: BTreeSet::new() };
        let beginning = Arc::new(std::sync::Mutex::new(beginning));
        Self { peers, met, gate, metrics, inbox, turn, started: Instant::now(), beginning }
    }

    /// This node has news to tell.
    pub(super) fn news(&self) {
        self.beginning().pace.news(self.now());
    }

    /// The next greeting to this peer goes out, whatever it costs.
    pub(super) fn greet(&self, peer: NodeId) {
        self.beginning().greet.insert(synthetic(peer));
    }

    fn may_begin(&self, to: SocketAddr, bytes: usize) -> bool {
        let mut beginning = self.beginning();
        beginning.greet.remove(&to) || beginning.pace.begin(self.now(), bytes)
    }

    fn beginning(&self) -> std::sync::MutexGuard<'_, Beginning> {
        self.beginning.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        Time::since_start(self.started.elapsed())
    }

    pub(super) fn connected(&self) -> Vec<NodeId> {
        self.peers.near()
    }

    /// Who gets a message for `to`. chitchat also picks nodes that this one has no connection
    /// to; a greeting, which says the same to everybody, then goes to one that it has.
    fn receiver(&self, to: SocketAddr, message: &ChitchatMessage) -> Option<NodeId> {
        let exact = self.peers.by_gossip_address(to);
        match message {
            ChitchatMessage::Syn { .. } => exact.or_else(|| self.next_in_turn()),
            _ => exact,
        }
    }

    fn next_in_turn(&self) -> Option<NodeId> {
        let connected = self.peers.near();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        connected.get(turn.checked_rem(connected.len())?).copied()
    }
}

#[async_trait]
impl Transport for Carrier {
    async fn open(&self, _: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Socket for Carrier {
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        let bytes = message.serialize_to_vec();
        if matches!(message, ChitchatMessage::Syn { .. }) && !self.may_begin(to, bytes.len()) {
            self.metrics.gossip_spared.one();
            return Ok(());
        }
        // Dropping is part of chitchat's life: it was made for UDP.
        let receiver = self.receiver(to, &message);
        let sent = receiver.is_some_and(|peer| self.peers.tell(peer, Control::Gossip(bytes)));
        match sent {
            true => self.metrics.gossip_sent.one(),
            false => self.metrics.gossip_dropped.one(),
        }
        Ok(())
    }

    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        let mut inbox = self.inbox.lock().await;
        loop {
            let Some((from, bytes)) = inbox.recv().await else {
                // The mesh is going; chitchat is stopped by whoever started it.
                return std::future::pending().await;
            };
            let near =
                self.met.is_near(from).then_some(()).ok_or("it is of another cell".to_owned());
            let message = near.and_then(|()| self.gate.pass(&bytes)).and_then(|bytes| {
                ChitchatMessage::deserialize(&mut &*bytes).map_err(|error| format!("{error:#}"))
            });
            match message {
                Ok(message) => return Ok((synthetic(from), message)),
                Err(why) => {
                    self.metrics.gossip_refused.one();
                    tracing::debug!(peer = %from, %why, "a message of gossip was refused");
                }
            }
        }
    }
}
