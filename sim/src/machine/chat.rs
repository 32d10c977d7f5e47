//! Gossip by chitchat's own code, in the node's virtual time. As in `mesh::net::gossip`.
//!
//! Its randomness is not its own here. With whom it gossips in a round, it may draw as it likes:
//! its messages of a round say the same to everybody, and go to peers that the run's own source
//! draws, by the same rule. What else is random in it shows in the order and choice of what is in
//! a message: see [`message`].

mod message;
mod server;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chitchat::{ChitchatId, ChitchatMessage, Deserializable as _};
use rand::Rng as _;
use wattle_contracts::control::Control;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;
use wattle_mesh::core::membership::Evidence;
use wattle_mesh::core::redial::{Source, Target};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::gossip::{Gate, News, Reader, chitchat_config, synthetic, text_of};

use super::{Cx, Machine, Wake, spread};
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;
use crate::rng::Seeded;
use server::{Server, Stopped};

/// With how many live peers chitchat gossips in a round (`server.rs`).
const PEERS: usize = 3;

/// The name of the mesh.
const MESH: &str = "sim";

/// One node's gossip.
#[derive(Debug)]
pub(super) struct Chat {
    server: Option<Server>,
    gate: Gate,
    reader: Reader,
    /// What the node says of itself, by topic.
    own: BTreeMap<String, String>,
    /// When chitchat was started, by the node's clock, and what its own clock showed then: so that
    /// not all nodes have their rounds at once.
    began: Time,
    ahead: Duration,
}

impl Chat {
    pub(super) fn new(me: NodeId) -> Self {
        Self {
            server: None,
            gate: Gate::new(me, wattle_mesh::net::Limits::default().nodes),
            reader: Reader::default(),
            own: BTreeMap::new(),
            began: Time::ZERO,
            ahead: Duration::ZERO,
        }
    }

    /// What chitchat's clock shows now.
    fn clock(&self, now: Time) -> Duration {
        now.since(self.began) + self.ahead
    }

    /// When the node's clock shows the time of the next round.
    fn next_round(&self) -> Option<Time> {
        let next = self.server.as_ref()?.next_round();
        Some(self.began.plus(next.saturating_sub(self.ahead)))
    }

    /// Whom a round's messages go to: drawn as chitchat draws, but from the run's own source.
    fn draw(&self, rng: &mut Seeded) -> Vec<NodeId> {
        let nodes = |server: &Server| {
            server.with(|chitchat| {
                let own = chitchat.self_chitchat_id();
                let others = |ids: &mut dyn Iterator<Item = &ChitchatId>| -> BTreeSet<NodeId> {
                    ids.filter(|id| *id != own).filter_map(|id| self.reader.node(id)).collect()
                };
                let live = others(&mut chitchat.live_nodes());
                let dead = others(&mut chitchat.dead_nodes());
                let from =
                    if live.is_empty() { others(&mut chitchat.node_states().keys()) } else { live };
                (from, dead)
            })
        };
        let Some((from, dead)) = self.server.as_ref().and_then(nodes) else { return Vec::new() };
        let mut drawn = choose(&from, PEERS, rng);
        // How many are live; none where chitchat takes whom it has only heard of.
        if !dead.is_empty() && rng.random_range(0..=from.len()) < dead.len() {
            drawn.extend(choose(&dead, 1, rng));
        }
        drawn
    }
}

fn choose(from: &BTreeSet<NodeId>, count: usize, rng: &mut Seeded) -> Vec<NodeId> {
    let drawn = rand::seq::index::sample(rng, from.len(), count.min(from.len()));
    drawn.into_iter().filter_map(|at| from.iter().nth(at).copied()).collect()
}

impl Machine {
    /// With whom this node can gossip, in order.
    fn chat_peers(&self) -> Vec<NodeId> {
        self.links.near().collect()
    }

    /// Starts chitchat with what the node has said of itself so far.
    pub(super) fn chat_begins(&mut self, cx: &mut Cx<'_>) {
        let round = self.settings.timing.gossip;
        let config = chitchat_config(self.me, MESH, cx.wall, round);
        let ahead = spread(round, cx.rng).min(round.saturating_sub(Duration::from_micros(1)));
        let Some(chat) = &mut self.chat else { return };
        let own = chat.own.iter().map(|(topic, text)| (topic.clone(), text.clone())).collect();
        chat.reader = Reader::default();
        (chat.began, chat.ahead) = (cx.now, ahead);
        match Server::start(config, own, ahead) {
            Ok(server) => {
                chat.server = Some(server);
                for peer in self.chat_peers() {
                    self.chat_greet(peer, cx);
                }
            }
            Err(why) => cx.happens(Happening::Fault(format!("chitchat does not start: {why}"))),
        }
        self.chat_next(cx);
    }

    /// Something that this node says of itself.
    pub(super) fn chat_fact(&mut self, fact: &Fact) {
        let Some(chat) = &mut self.chat else { return };
        // A report on hundreds of nodes may be too long for chitchat: then it is not told.
        let Ok(text) = text_of(fact) else { return };
        if let Some(server) = &chat.server {
            server.with(|chitchat| chitchat.self_node_state().set(&fact.topic, &text));
        }
        chat.own.insert(fact.topic.clone(), text);
    }

    /// A round may be due.
    pub(super) fn chat_due(&mut self, cx: &mut Cx<'_>) {
        if self.chat.as_ref().is_some_and(|chat| chat.server.is_none()) {
            return self.chat_begins(cx);
        }
        self.chat_rounds(cx);
        self.chat_next(cx);
    }

    fn chat_next(&self, cx: &mut Cx<'_>) {
        let next = self.chat.as_ref().and_then(Chat::next_round);
        cx.wake(next.unwrap_or(cx.now.plus(self.settings.timing.gossip)), Wake::Gossip);
    }

    /// Does the rounds that are due.
    fn chat_rounds(&mut self, cx: &mut Cx<'_>) {
        while let Some(chat) = &mut self.chat
            && chat.next_round().is_some_and(|next| next <= cx.now)
        {
            let drawn = chat.draw(cx.rng);
            let Some(server) = &mut chat.server else { return };
            let sent = server.round();
            let news = server.with(|chitchat| chat.reader.read(chitchat, &chat.gate)).flatten();
            let Some(sent) = self.chat_sent(sent, cx) else { return };
            // Whatever chitchat has drawn, it says the same to all of them.
            if let Some(syn) = sent.into_iter().next() {
                for node in drawn {
                    if self.gossip.pace.begin(cx.now, syn.len()) {
                        self.chat_tell_any(node, syn.clone(), cx);
                    }
                }
            }
            if let Some(news) = news {
                self.chat_heard(news, cx);
            }
        }
    }

    /// A connection to this peer stands: gossip with it at once.
    pub(super) fn chat_greet(&mut self, peer: NodeId, cx: &mut Cx<'_>) {
        self.chat_rounds(cx);
        let Some(chat) = &mut self.chat else { return };
        let now = chat.clock(cx.now);
        let Some(server) = &mut chat.server else { return };
        let sent = server.greet(now, synthetic(peer));
        for message in self.chat_sent(sent, cx).unwrap_or_default() {
            self.tell(peer, Control::Gossip(message), cx);
        }
    }

    /// A message of another node's chitchat.
    pub(super) fn on_chat(&mut self, from: NodeId, message: Vec<u8>, cx: &mut Cx<'_>) {
        self.chat_rounds(cx);
        let Some(chat) = &mut self.chat else { return };
        let now = chat.clock(cx.now);
        let Some(server) = &mut chat.server else { return };
        let read = chat.gate.pass(&message).and_then(|message| {
            let message = message.into_owned();
            let fit = server.with(|chitchat| message::fit(message, chitchat, cx.rng));
            let fit = fit.unwrap_or_else(|| Err(anyhow::anyhow!("chitchat is busy")));
            fit.and_then(|bytes| ChitchatMessage::deserialize(&mut bytes.as_slice()))
                .map_err(|error| format!("{error:#}"))
        });
        let read = match read {
            Ok(read) => read,
            Err(why) => {
                let why = format!("gossip of {} was refused: {why}", from.short());
                return cx.happens(Happening::Fault(why));
            }
        };
        let is_question = matches!(read, ChitchatMessage::Syn { .. });
        let sent = server.receive(now, synthetic(from), read);
        for answer in self.chat_sent(sent, cx).unwrap_or_default() {
            if is_question && self.is_broken(Mutant::Chatter) {
                let all = self.chat_peers();
                for peer in all.iter().cycle().take(all.len() * 5) {
                    self.tell(*peer, Control::Gossip(answer.clone()), cx);
                }
            }
            self.tell(from, Control::Gossip(answer), cx);
        }
    }

    /// What chitchat has sent, put straight. Nothing if it has stopped: then it is started anew
    /// when its next round would be due.
    fn chat_sent(
        &mut self,
        sent: Result<Vec<Vec<u8>>, Stopped>,
        cx: &mut Cx<'_>,
    ) -> Option<Vec<Vec<u8>>> {
        let sent = sent.map_err(|Stopped| "it has stopped".to_owned()).and_then(|sent| {
            let straight = sent.into_iter().map(message::straighten);
            straight.collect::<anyhow::Result<_>>().map_err(|error| format!("{error:#}"))
        });
        match sent {
            Ok(sent) => Some(sent),
            Err(why) => {
                cx.happens(Happening::Fault(format!("chitchat: {why}")));
                if let Some(chat) = &mut self.chat {
                    chat.server = None;
                }
                None
            }
        }
    }

    /// Sends a greeting, which says the same to everybody, to this node, or to another if there is
    /// no connection to it.
    fn chat_tell_any(&mut self, node: NodeId, message: Vec<u8>, cx: &mut Cx<'_>) {
        let peers = self.chat_peers();
        let mut any = || peers.get(cx.rng.random_range(0..peers.len().max(1))).copied();
        let to = if peers.binary_search(&node).is_ok() { Some(node) } else { any() };
        if let Some(to) = to {
            self.tell(to, Control::Gossip(message), cx);
        }
    }

    fn chat_heard(&mut self, news: News, cx: &mut Cx<'_>) {
        let News { live, dead, facts, refused } = news;
        for (node, topic) in refused {
            let why = format!("what {} says on `{topic}` can't be read", node.short());
            cx.happens(Happening::Fault(why));
        }
        self.evidence(Evidence::Gossip { live, dead }, cx);
        for fact in facts {
            let node = fact.node;
            if self.take_fact(fact, cx) && !self.links.is_linked(node) {
                // Where nodes say that they are reached is one more hint.
                self.hint(Target::Node(node), &[crate::lattice::address(node)], Source::Told, cx);
            }
        }
    }
}
