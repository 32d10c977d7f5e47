//! What each node says of itself, carried by chitchat over the control streams.
//!
//! chitchat brings the statements everywhere in the node's cell and notices who has fallen silent. It is not
//! trusted: every statement is signed by the node that makes it, and what arrives is checked
//! before chitchat sees it, because an unknown id in a digest creates state there.
//!
//! What of it knows neither sockets nor tasks is public: the simulator runs chitchat with the
//! same settings, behind the same check, and reads it in the same way.

mod check;
mod news;
mod reader;
mod said;
mod transport;
mod words;

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chitchat::ChitchatHandle;
use futures::FutureExt as _;
use tokio::sync::mpsc;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;

use super::cells::Met;
use super::config::{MeshConfig, WallClock};
use super::error::MeshError;
use super::metrics::Metrics;
use super::peers::Peers;
use super::roster::Roster;
use super::statement::Topic;
use crate::core::membership::sequence::Sequence;
pub use check::Gate;
pub use reader::{News, Reader};
use said::SaidFile;
use transport::Carrier;
pub use words::{chitchat_config, is_urgent, node_of, parse, synthetic, text_of};

/// So many rounds a generation lasts at the least. A member that lies all the time makes no more of them than
/// others have places for.
const GENERATION: u32 = 30;

/// What a node wants to be known of itself.
#[derive(Debug)]
pub(super) enum Say {
    /// A statement.
    Fact(Said),
    /// A connection to this node stands: gossip with it at once.
    Greet(NodeId),
}

/// Signs a node's own facts.
#[derive(Debug)]
pub(super) struct Speaker {
    key: Arc<SigningKey>,
    clock: WallClock,
    sequence: std::sync::Mutex<Sequence>,
    /// Where it is written down how far that goes.
    file: Option<SaidFile>,
}

impl Speaker {
    pub(super) fn new(key: Arc<SigningKey>, clock: WallClock, data: Option<&Path>) -> Self {
        let file = data.map(SaidFile::new);
        let said = file.as_ref().map_or(0, SaidFile::read);
        Self { key, clock, sequence: std::sync::Mutex::new(Sequence::after(said)), file }
    }

    /// The node's key.
    pub(super) fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The signed statement, or how long its text would be.
    pub(super) fn sign<T: serde::Serialize>(
        &self,
        topic: Topic,
        statement: &T,
    ) -> Result<Said, usize> {
        let sequence = {
            let sequence = self.sequence.lock();
            let mut sequence = sequence.unwrap_or_else(std::sync::PoisonError::into_inner);
            let (number, reserved) = sequence.next(self.clock.now());
            if let (Some(file), Some(reserved)) = (&self.file, reserved)
                && let Err(error) = file.write(reserved)
            {
                tracing::warn!(
                    %error,
                    "how far this node's statements are numbered can't be written down: should its \
                     clock be set back before it starts again, others will not believe it for so long"
                );
            }
            number
        };
        let fact =
            Fact::sign(&self.key, topic.name(), sequence, statement).map_err(|_| usize::MAX)?;
        let text = text_of(&fact)?;
        Ok(Said { topic, fact, text })
    }
}

/// A statement of this node, signed.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) topic: Topic,
    pub(super) fact: Fact,
    pub(super) text: String,
}

/// What gossip tells the driver.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Nodes whose heartbeat moves.
    pub(super) live: BTreeSet<NodeId>,
    /// Nodes whose heartbeat has stopped.
    pub(super) dead: BTreeSet<NodeId>,
    /// What nodes said anew, not checked yet.
    pub(super) facts: Vec<Fact>,
}

/// Through which gossip hears and is heard here.
pub(super) struct Channels {
    /// Messages of peers.
    pub(super) inbox: mpsc::Receiver<(NodeId, Vec<u8>)>,
    /// What this node says.
    pub(super) says: mpsc::Receiver<Say>,
    /// What others say.
    pub(super) heard: mpsc::Sender<Heard>,
}

/// Everything that gossip needs.
pub(super) struct Gossip {
    node: NodeId,
    mesh: String,
    interval: Duration,
    clock: WallClock,
    carrier: Carrier,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    own: HashMap<Topic, String>,
    says: mpsc::Receiver<Say>,
    heard: mpsc::Sender<Heard>,
}

/// Why gossip has to begin anew, or not.
enum End {
    /// The mesh is gone.
    Over,
    /// chitchat has stopped.
    Stopped(Result<(), String>),
    /// Nobody would listen.
    LiedAbout,
}

impl Gossip {
    pub(super) fn new(
        config: &MeshConfig,
        met: Arc<Met>,
        roster: Arc<Roster>,
        peers: Arc<Peers>,
        metrics: Arc<Metrics>,
        channels: Channels,
    ) -> Self {
        let Channels { inbox, says, heard } = channels;
        let clock = config.clock;
        let gate = Gate::new(config.node(), config.limits.nodes);
        let gate = Arc::new(gate.among(move |node| roster.is_member(node, clock.now())));
        let round = config.timing.gossip;
        let carrier = Carrier::new(peers, met, gate.clone(), metrics.clone(), inbox, round);
        Self {
            node: config.node(),
            mesh: config.mesh().to_string(),
            interval: round,
            clock: config.clock,
            carrier,
            gate,
            metrics,
            own: HashMap::new(),
            says,
            heard,
        }
    }

    /// Starts chitchat.
    pub(super) async fn start(&self) -> Result<ChitchatHandle, MeshError> {
        let config = chitchat_config(self.node, &self.mesh, self.clock.now(), self.interval);
        let own = self.own.iter().map(|(topic, text)| (topic.name().to_owned(), text.clone()));
        chitchat::spawn_chitchat(config, own.collect(), &self.carrier)
            .await
            .map_err(|error| MeshError::Gossip(format!("{error:#}")))
    }

    /// Gossips for as long as the mesh lives. Should chitchat stop, or what drives it here, because a peer
    /// found a way to make it panic, it is started anew.
    pub(super) async fn run(mut self, mut chitchat: ChitchatHandle) {
        loop {
            let outcome = AssertUnwindSafe(self.round(&chitchat)).catch_unwind().await;
            match outcome {
                Ok(End::Over) => return chitchat.abort(),
                Ok(End::LiedAbout) => tracing::warn!(
                    "others were told more of this node than it has said, and would not listen to it: \
                     it goes on as one that was started anew"
                ),
                Ok(End::Stopped(outcome)) => {
                    tracing::warn!(?outcome, "gossip stopped, and is started anew");
                }
                Err(_) => tracing::error!("gossip has failed (a fault), and is started anew"),
            }
            self.metrics.gossip_restarts.one();
            chitchat.abort();
            // Not in a tight circle, should the reason persist.
            tokio::time::sleep(self.interval).await;
            match self.start().await {
                Ok(anew) => chitchat = anew,
                Err(error) => return tracing::error!(%error, "gossip is over"),
            }
            for peer in self.carrier.connected() {
                self.say(&chitchat, Say::Greet(peer)).await;
            }
        }
    }

    /// Gossips until something ends that.
    async fn round(&mut self, chitchat: &ChitchatHandle) -> End {
        let mut tick = tokio::time::interval(self.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut reader = Reader::default();
        let begun = Instant::now();
        loop {
            let ended = chitchat.termination_watcher();
            tokio::select! {
                say = self.says.recv() => match say {
                    Some(say) => self.say(chitchat, say).await,
                    None => return End::Over,
                },
                _ = tick.tick() => {
                    let state = chitchat.chitchat();
                    let news = reader.read(&*state.lock().await, &self.gate);
                    if self.pass_on(news).await.is_err() {
                        return End::Over;
                    }
                    if self.gate.take_lie() && begun.elapsed() >= self.interval * GENERATION {
                        return End::LiedAbout;
                    }
                }
                outcome = ended => return End::Stopped(outcome.map_err(|error| error.to_string())),
            }
        }
    }

    async fn say(&mut self, chitchat: &ChitchatHandle, say: Say) {
        match say {
            Say::Fact(Said { topic, text, .. }) => {
                let state = chitchat.chitchat();
                state.lock().await.self_node_state().set(topic.name(), &text);
                if is_urgent(topic.name()) {
                    self.carrier.news();
                }
                self.own.insert(topic, text);
            }
            Say::Greet(peer) => {
                self.carrier.greet(peer);
                let _ = chitchat.gossip(synthetic(peer));
            }
        }
    }

    /// Tells the driver what is new. An error when it is gone.
    async fn pass_on(&self, news: Option<News>) -> Result<(), ()> {
        let Some(News { live, dead, facts, refused }) = news else { return Ok(()) };
        for (node, topic) in refused {
            self.metrics.facts_refused.one();
            tracing::debug!(%node, topic, "a fact that can't be read");
        }
        self.heard.send(Heard { live, dead, facts }).await.map_err(|_| ())
    }
}
