//! The task that owns the swarm and the state machines of connections.

mod belonging;
mod cells;
mod census;
mod connections;
mod dialling;
mod events;
mod introducing;
mod probing;
mod renewing;
mod start;
mod stop;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt as _;
use libp2p::Multiaddr;
use libp2p::swarm::Swarm;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use wattle_contracts::control::{Control, PeerHint};
use wattle_contracts::id::NodeId;

use super::artifact::Onward;
use super::behaviour::Behaviour;
use super::calls::LinkConfig;
use super::cells::Met;
use super::config::MeshConfig;
use super::control::{self, Inbound};
use super::discovery::{Hint, canonical, for_others};
use super::gossip::{Heard, Said, Say, Speaker};
use super::metrics::Metrics;
use super::peers::Peers;
use super::roster::Roster;
use super::statement::{AboutFact, Topic};
use super::streams::Opened;
use super::view::View;
use crate::core::redial::{Accounts, MAX_HINTS, Source, Target, hints_for};
use crate::core::time::Time;
use belonging::Belonging;
use cells::Abroad;
use census::Census;
use connections::{Connections, StreamEnd};
use dialling::Dialling;
use introducing::Introducing;
use probing::Probing;
use renewing::Renewing;
pub(super) use start::start;

/// What the handle asks for.
#[derive(Debug)]
pub(super) enum Command {
    /// A stream for an artifact of that node.
    OpenArtifact { node: NodeId, answer: oneshot::Sender<Opened> },
    /// Pass on what this node says of itself.
    Say(Box<Said>),
    /// Close everything, and say when it is done.
    Stop(oneshot::Sender<()>),
}

/// Owns the swarm.
pub(super) struct Driver {
    config: MeshConfig,
    node: NodeId,
    swarm: Swarm<Behaviour>,
    started: Instant,
    rng: SmallRng,
    peers: Arc<Peers>,
    metrics: Arc<Metrics>,
    link_config: LinkConfig,
    onward: Onward,
    inbound: Inbound,
    connections: Connections,
    dialling: Dialling,
    census: Census,
    streams: JoinSet<StreamEnd>,
    says: mpsc::Sender<Say>,
    speaker: Arc<Speaker>,
    about: Arc<watch::Sender<AboutFact>>,
    listening: watch::Sender<Vec<Multiaddr>>,
    /// Where others are told to reach this node.
    reachable: watch::Sender<Vec<Multiaddr>>,
    view: watch::Sender<Arc<View>>,
    /// Whom to remember, for the task that writes it down.
    remember: watch::Sender<Vec<(NodeId, Vec<Multiaddr>)>>,
    /// When it last did what it does by the clock.
    ticked: Time,
    /// When the peers are told of each other.
    accounts: Accounts,
    probing: Probing,
    introducing: Introducing,
    met: Arc<Met>,
    abroad: Abroad,
    roster: Arc<Roster>,
    belonging: Belonging,
    renewing: Renewing,
}

/// What wakes the driver besides the swarm.
pub(super) struct Inputs {
    commands: mpsc::Receiver<Command>,
    said: mpsc::Receiver<(NodeId, control::Said)>,
    hints: mpsc::Receiver<Hint>,
    heard: mpsc::Receiver<Heard>,
    about: watch::Receiver<AboutFact>,
    _hints: mpsc::Sender<Hint>,
}

impl Driver {
    fn now(&self) -> Time {
        Time::since_start(self.started.elapsed())
    }

    async fn run(mut self, mut inputs: Inputs) {
        let mut tick = tokio::time::interval(self.config.timing.tick);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stopped = loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(end) = self.streams.join_next() => self.on_stream_end(end),
                Some(resolved) = self.dialling.resolved() => self.dial(resolved),
                Some((node, said)) = inputs.said.recv() => self.on_said(node, said),
                Some(hint) = inputs.hints.recv() => self.on_hint(hint),
                Some(heard) = inputs.heard.recv() => self.on_heard(heard),
                Ok(()) = inputs.about.changed() => {
                    inputs.about.mark_unchanged();
                    self.say_about();
                }
                _ = tick.tick() => self.on_tick(),
                command = inputs.commands.recv() => match command {
                    Some(Command::OpenArtifact { node, answer }) => self.open_artifact(node, answer),
                    Some(Command::Say(said)) => self.say(*said),
                    Some(Command::Stop(done)) => {
                        self.say_goodbye().await;
                        break Some(done);
                    }
                    None => break None,
                },
            }
        };
        self.stop().await;
        if let Some(done) = stopped {
            let _ = done.send(());
        }
    }

    fn on_tick(&mut self) {
        let now = self.now();
        let since = now.since(std::mem::replace(&mut self.ticked, now));
        self.dialling.late(since.saturating_sub(self.config.timing.tick));
        for connection in self.connections.due(now, self.config.timing.settle) {
            self.swarm.close_connection(connection);
        }
        self.prefer_settled(now);
        self.tend_roster();
        self.tend_papers(now);
        self.tend_cells(now);
        self.dial_due(now);
        self.tell_peers(now);
        self.census.tick(now);
        self.probe(now);
        self.seek(now);
        self.say_reach(now);
        self.publish();
    }

    /// Puts the best connection to each peer that has several in front.
    fn prefer_settled(&mut self, now: Time) {
        for node in self.connections.with_several() {
            let best = self.connections.best(node, now, self.config.timing.settle);
            self.peers.set(node, best);
        }
    }

    fn on_hint(&mut self, Hint { node, addresses, source }: Hint) {
        let now = self.now();
        self.dialling.hint(now, Target::Node(node), &addresses, source);
        self.dial_due(now);
    }

    fn on_said(&mut self, from: NodeId, said: control::Said) {
        let now = self.now();
        match said {
            control::Said::Goodbye(fact) => self.on_goodbye(now, from, *fact),
            control::Said::Probe(probe) => return self.on_probe(now, from, probe),
            control::Said::Introduce(said) => return self.on_introduce(now, from, said),
            // Of other cells there are summaries.
            control::Said::Peers(_) if !self.met.is_near(from) => return,
            control::Said::Peers(hints) => {
                for PeerHint { node, addresses } in hints.into_iter().take(MAX_HINTS) {
                    let addresses: Vec<Multiaddr> = addresses
                        .iter()
                        .filter_map(|address| address.parse().ok())
                        .filter_map(|address| canonical(&address))
                        .collect();
                    self.dialling.hint(now, Target::Node(node), &addresses, Source::Told);
                }
                self.dial_due(now);
            }
        }
        self.publish();
    }

    fn on_heard(&mut self, heard: Heard) {
        let now = self.now();
        let heard = self.without_revoked(heard);
        let nodes: BTreeSet<NodeId> = heard.facts.iter().map(|fact| fact.node).collect();
        self.census.heard(now, heard);
        // Where nodes say that they are reached is one more hint.
        for node in nodes {
            let addresses = self.census.says_reached_at(node);
            self.dialling.hint(now, Target::Node(node), &addresses, Source::Told);
        }
        self.dial_due(now);
        self.publish();
    }

    /// Tells the peers of this cell of the others, now and then.
    fn tell_peers(&mut self, now: Time) {
        let peers = self.peers.near();
        let Some(account) = self.accounts.due(now, peers.iter().copied()) else { return };
        let news = self.hints(self.dialling.learned(account.since));
        for peer in peers {
            match Some(peer) == account.whole {
                true => self.tell_peer(peer),
                false => self.tell_hints(peer, news.clone()),
            }
        }
    }

    /// Tells one peer of all others.
    fn tell_peer(&self, peer: NodeId) {
        self.tell_hints(peer, self.hints(self.dialling.to_remember()));
    }

    fn tell_hints(&self, peer: NodeId, known: Vec<PeerHint>) {
        let hints = hints_for(peer, known);
        if !hints.is_empty() {
            self.peers.tell(peer, Control::Peers(hints));
        }
    }

    /// What peers of this cell are told of these nodes.
    fn hints(&self, known: impl Iterator<Item = (NodeId, Vec<Multiaddr>)>) -> Vec<PeerHint> {
        let near = known.filter(|(node, _)| self.met.is_near(*node));
        near.map(|(node, addresses)| PeerHint {
            node,
            addresses: for_others(addresses).iter().map(ToString::to_string).collect(),
        })
        .collect()
    }

    /// The addresses at which others are told to reach this node.
    fn reachable_at(&self) -> Vec<Multiaddr> {
        match self.config.advertise.is_empty() {
            true => self.listening.borrow().iter().filter_map(canonical).collect(),
            false => self.config.advertise.clone(),
        }
    }

    fn say_about(&mut self) {
        let fact = self.about.borrow().clone();
        match self.speaker.sign(Topic::About, &fact) {
            Ok(said) => self.say(said),
            Err(size) => tracing::warn!(size, "what this node says of itself is too long"),
        }
    }

    fn say(&mut self, said: Said) {
        let now = self.now();
        self.census.fact(now, said.fact.clone());
        if self.says.try_send(Say::Fact(said)).is_err() {
            // It is said again with its next change.
            tracing::warn!("gossip is busy; others hear later what this node says of itself");
        }
        self.publish();
    }

    fn open_artifact(&mut self, node: NodeId, answer: oneshot::Sender<Opened>) {
        match self.connections.preferred(node) {
            Some((connection, peer)) => {
                self.swarm.behaviour_mut().streams.open_artifact(peer, connection, answer);
            }
            None => {
                let _ = answer.send(Err("there is no connection".into()));
            }
        }
    }

    fn publish(&mut self) {
        if self.dialling.take_news() {
            let remember: Vec<_> = self.dialling.to_remember().collect();
            self.remember.send_if_modified(|known| {
                let changed = *known != remember;
                if changed {
                    *known = remember;
                }
                changed
            });
        }
        let (peers, own) = (&self.peers, self.reachable_at());
        if self.census.has_changed() {
            let mut detours = self.census.detours();
            for (node, gate) in self.abroad.ways() {
                if peers.link(*node).is_none() {
                    detours.entry(*node).or_insert(*gate);
                }
            }
            peers.set_detours(detours);
        }
        let now = self.now();
        let view = self.census.view(now, &self.dialling, |node| peers.link(node).is_some(), &own);
        if let Some(mut view) = view {
            let (wall, met) = (self.config.clock.now(), self.met.all());
            self.abroad.widen(wall, &met, |node| self.dialling.addresses(node), &mut view);
            self.bind(&mut view);
            self.view.send_replace(Arc::new(view));
        }
    }
}
