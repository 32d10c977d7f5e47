//! What the swarm reports, and what follows from it.

use std::sync::Arc;

use libp2p::core::ConnectedPoint;
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Stream, identify, mdns, ping};
use tokio::sync::{Semaphore, mpsc};
use wattle_contracts::audit::Happening;
use wattle_contracts::id::NodeId;

use super::Driver;
use super::connections::{Standing, StreamEnd};
use super::dialling::admitted;
use crate::core::redial::{Source, Target};
use crate::net::artifact;
use crate::net::behaviour::BehaviourEvent;
use crate::net::calls::Link;
use crate::net::control;
use crate::net::discovery::for_others;
use crate::net::gossip::Say;
use crate::net::streams::{self, Kind};

/// Addresses that are taken from one message of a peer about itself.
const MAX_IDENTIFIED: usize = 16;

/// Streams on which a peer is told that it fetches too much, at once.
const MAX_REFUSALS: usize = 32;

impl Driver {
    pub(super) fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                let cause = cause.map_or("closed".to_owned(), |cause| cause.to_string());
                self.on_disconnected(connection_id, &cause);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_failed(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                tracing::debug!(from = %send_back_addr, %error, "a connection was not taken");
                if let Some(node) = self.dialling.node_at(&send_back_addr) {
                    let now = self.now();
                    self.census.knocked(now, node);
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                tracing::info!(%address, "listening");
                self.listening.send_modify(|known| {
                    if !known.contains(&address) {
                        known.push(address);
                    }
                });
                self.on_addresses();
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                tracing::info!(%address, "no longer listening");
                self.listening.send_modify(|known| known.retain(|other| *other != address));
                self.on_addresses();
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listener closed");
                self.listening.send_modify(|known| known.retain(|one| !addresses.contains(one)));
                self.on_addresses();
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener met an error");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        let now = self.now();
        match event {
            BehaviourEvent::Streams(event) => self.on_stream(event),
            BehaviourEvent::Ping(ping::Event { peer, connection, result }) => {
                if let (Ok(time), Some(node)) = (result, admitted(&peer)) {
                    if let Some(connection) = self.connections.get_mut(connection) {
                        connection.heard = now;
                    }
                    self.census.round_trip(now, node, time);
                    self.on_sign_of_life(now, node);
                }
            }
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                if let Some(node) = admitted(&peer_id) {
                    self.seen_at(now, node, &info.observed_addr);
                    let addresses = info.listen_addrs.into_iter().take(MAX_IDENTIFIED);
                    let addresses = for_others(addresses.collect());
                    self.dialling.hint(now, Target::Node(node), &addresses, Source::Told);
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => {
                for (peer, address) in found {
                    if let Some(node) = admitted(&peer) {
                        let target = Target::Node(node);
                        self.dialling.hint(now, target, &[address], Source::Mdns);
                    }
                }
                self.dial_due(now);
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, id: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(node) = admitted(&peer) else { return };
        let now = self.now();
        let dialled = match endpoint {
            ConnectedPoint::Dialer { address, .. } => Some(address),
            ConnectedPoint::Listener { .. } => None,
        };
        let is_first = !self.connections.has(node);
        let connection = Standing {
            node,
            peer,
            near: self.met.is_near(node),
            dialler: if dialled.is_some() { self.node } else { node },
            remote: endpoint.get_remote_address().clone(),
            since: now,
            heard: now,
            control: None,
            closing: None,
            link: None,
            artifacts: Arc::new(Semaphore::new(self.config.limits.artifacts_out)),
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
        };
        self.connections.insert(id, connection);
        self.metrics.connections_opened.one();
        self.dialling.connected(now, id, node, dialled);
        if is_first {
            tracing::info!(%node, address = ?dialled.map(ToString::to_string), "connected");
            let address = endpoint.get_remote_address().to_string();
            self.config.audit.note(Happening::Admitted { node, address });
            self.census.connected(now, node);
        }
    }

    fn on_disconnected(&mut self, id: ConnectionId, cause: &str) {
        let Some(connection) = self.connections.remove(id) else { return };
        let (now, node) = (self.now(), connection.node);
        self.metrics.connections_closed.one();
        if let Some(link) = &connection.link {
            link.close(cause);
        }
        let best = self.connections.best(node, now, self.config.timing.settle);
        self.peers.set(node, best);
        if !self.connections.has(node) {
            tracing::info!(%node, cause, "disconnected");
            self.dialling.disconnected(now, node, &mut self.rng);
            self.census.disconnected(now, node);
        }
        self.publish();
    }

    fn on_stream(&mut self, event: streams::Event) {
        match event {
            streams::Event::Opened { connection, kind, stream } => {
                self.on_stream_opened(connection, kind, stream);
            }
            streams::Event::Failed { peer, connection, kind, why } => {
                tracing::warn!(%peer, ?kind, why, "a stream can't be opened; closing");
                self.swarm.close_connection(connection);
            }
        }
    }

    fn on_stream_opened(&mut self, id: ConnectionId, kind: Kind, stream: Stream) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let node = connection.node;
        match kind {
            Kind::Control if connection.control.is_none() => {
                let (queue, messages) = mpsc::channel(control::QUEUE);
                connection.control = Some(queue);
                let near = connection.near;
                let inbound = self.inbound.clone();
                self.streams.spawn(async move {
                    StreamEnd::Control(
                        id,
                        control::run(node, near, stream, messages, inbound).await,
                    )
                });
            }
            Kind::Calls if connection.link.is_none() => {
                let link = Link::new(node, stream, self.link_config.clone());
                connection.link = Some(link.clone());
                self.streams.spawn(async move { StreamEnd::Calls(id, link.run().await) });
            }
            Kind::Control | Kind::Calls => {
                self.metrics.malformed_streams.one();
                tracing::warn!(%node, ?kind, "a second stream where one belongs; closing");
                self.swarm.close_connection(id);
                return;
            }
            Kind::Artifact => return self.serve_artifact(id, node, stream),
        }
        self.on_usable(node);
    }

    /// A connection may have become usable.
    fn on_usable(&mut self, node: NodeId) {
        let (now, was_connected) = (self.now(), self.peers.link(node).is_some());
        let best = self.connections.best(node, now, self.config.timing.settle);
        let is_connected = best.is_some();
        if is_connected {
            self.peers.set(node, best);
            self.peers.set_dialling(node, false);
        }
        if is_connected && !was_connected {
            if self.met.is_near(node) {
                self.tell_peer(node);
                let _ = self.says.try_send(Say::Greet(node));
            }
            self.census.touch();
            self.publish();
        }
    }

    fn serve_artifact(&mut self, id: ConnectionId, node: NodeId, stream: Stream) {
        let Some(connection) = self.connections.get(id) else { return };
        let (service, onward) = (self.link_config.service.clone(), self.onward.clone());
        match connection.artifacts.clone().try_acquire_owned() {
            Ok(permit) => {
                self.streams.spawn(async move {
                    artifact::serve(node, stream, service, onward).await;
                    drop(permit);
                    StreamEnd::Artifact
                });
            }
            // One that is not even told so finds its stream reset.
            Err(_) => {
                if let Ok(permit) = connection.refusals.clone().try_acquire_owned() {
                    self.streams.spawn(async move {
                        artifact::serve_busy(stream).await;
                        drop(permit);
                        StreamEnd::Artifact
                    });
                }
            }
        }
    }

    pub(super) fn on_stream_end(&mut self, end: Result<StreamEnd, tokio::task::JoinError>) {
        if let Ok(StreamEnd::Control(id, control::Ended::Closed)) = end {
            // The peer leaves, or found this connection superfluous. What it has to say on the
            // other stream may still be on its way.
            return self.close_soon(|one, _| one == id);
        }
        let (id, kind, why, is_fault) = match end {
            Ok(StreamEnd::Artifact) => return,
            Ok(StreamEnd::Control(id, end)) => (id, "control", end.to_string(), end.is_fault()),
            Ok(StreamEnd::Calls(id, end)) => (id, "call", end.to_string(), end.is_fault()),
            Err(error) => {
                tracing::error!(%error, "the task of a stream failed");
                return;
            }
        };
        let Some(connection) = self.connections.get(id) else { return };
        let node = connection.node;
        if is_fault {
            self.metrics.malformed_streams.one();
            tracing::warn!(%node, kind, why, "closed a stream because of what came on it");
        } else {
            tracing::debug!(%node, kind, why, "a stream ended");
        }
        // One without the other is of no use. The redial loop makes a fresh start, with backoff.
        self.swarm.close_connection(id);
    }

    /// The peer is about to close these connections: this side does, once it has every answer.
    /// Closing is what discards answers, so who waits for them does it.
    pub(super) fn close_soon(&mut self, which: impl Fn(ConnectionId, NodeId) -> bool) {
        let now = self.now();
        self.connections.close_soon(now, which);
        for id in self.connections.due(now, self.config.timing.settle) {
            self.swarm.close_connection(id);
        }
    }

    fn on_addresses(&mut self) {
        let reachable: Vec<Multiaddr> = self.reachable_at();
        let texts = for_others(reachable.clone()).iter().map(ToString::to_string).collect();
        self.about.send_modify(|fact| fact.addresses = texts);
        self.moved();
        self.reachable.send_replace(reachable);
        self.census.touch();
        self.publish();
    }
}
