//! Looks into a message of gossip before chitchat does, which was made for peers that mean well.
//!
//! Every id in a digest creates state there, for a long time: only ids that can be right are let in, of
//! nodes that belong, and only so many. What is too much is left out, and the rest of the message counts: an honest
//! peer passes on what somebody made up, as far as it has room for it.
//!
//! Of the news, what no honest peer says is left out too ([`news`](super::news)). What can't be told from the
//! truth here is a larger version or heartbeat of somebody than that one has had: chitchat takes
//! nothing older any more. The one it is about sees it, as others name it in their digests, and goes on under another
//! generation ([`Gate::take_lie`]).
//!
//! And it spares what would be said in vain. chitchat stops naming a node that has been dead for
//! some minutes, and answers whoever does not name one with all that it knows of it. Nodes find out
//! at different times who is dead, a node that has just started last of all: until it stops too, it
//! tells all of each dead node to everybody in every exchange, and nobody listens. In a cell whose
//! nodes are restarted one after another, that was most of what gossip cost.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chitchat::{ChitchatId, Deserializable as _, Serializable as _, Version};
use wattle_contracts::id::NodeId;

use super::news;
use super::words::synthetic;

/// The longest message, in bytes: chitchat's own limit is that of a UDP datagram.
const MAX_MESSAGE: usize = 65_507;

/// Magic number and version (chitchat 0.11, `message.rs`).
const PROLOGUE: [u8; 3] = [0x53, 0xb0, 0];

const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;
const BAD_CLUSTER: u8 = 3;

/// Generations of one node that may be known at once: a node that crashes in a circle makes many
const GENERATIONS: usize = 64;

/// How far the largest digest may grow: chitchat panics where none fits into a message.
const MAX_IDS: usize = 600;

/// Decides which messages chitchat gets to see, and what of them.
#[derive(Debug)]
pub struct Gate {
    own: NodeId,
    limit: usize,
    belongs: Belongs,
    state: Mutex<State>,
}

/// Whether a node belongs to the mesh.
struct Belongs(Box<dyn Fn(NodeId) -> bool + Send + Sync>);

impl fmt::Debug for Belongs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Belongs")
    }
}

/// What chitchat knows. Refreshed from chitchat itself.
#[derive(Debug, Default)]
struct State {
    known: BTreeSet<ChitchatId>,
    /// Who is dead, and up to which version it is known.
    dead: BTreeMap<ChitchatId, Version>,
    own: Option<ChitchatId>,
    /// The largest heartbeat and version that somebody has said this node to have.
    said: (u64, Version),
    /// That was more than it has had.
    is_lied_about: bool,
}

/// What a digest says of one id.
struct Named {
    id: ChitchatId,
    heartbeat: u64,
    collected: Version,
    version: Version,
}

impl Named {
    fn read(bytes: &mut &[u8]) -> Result<Self, String> {
        let id = ChitchatId::deserialize(bytes).map_err(|error| error.to_string())?;
        let mut number = || u64::deserialize(bytes).map_err(|_| "a digest that is cut short");
        Ok(Self { id, heartbeat: number()?, collected: number()?, version: number()? })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        self.id.serialize(bytes);
        [self.heartbeat, self.collected, self.version].iter().for_each(|n| n.serialize(bytes));
    }
}

impl Gate {
    /// A gate of the node `own`, which lets in at most `limit` ids, of whatever nodes.
    pub fn new(own: NodeId, limit: usize) -> Self {
        let belongs = Belongs(Box::new(|_| true));
        Self { own, limit: limit.min(MAX_IDS), belongs, state: Mutex::default() }
    }

    /// The same gate, for ids of nodes that belong.
    pub fn among(self, belongs: impl Fn(NodeId) -> bool + Send + Sync + 'static) -> Self {
        Self { belongs: Belongs(Box::new(belongs)), ..self }
    }

    /// What chitchat knows by now, who of them is dead and known up to which version, and how far
    /// the heartbeat and the versions of this node have come.
    pub fn refresh(
        &self,
        known: impl Iterator<Item = ChitchatId>,
        dead: impl Iterator<Item = (ChitchatId, Version)>,
        own: Option<(&ChitchatId, u64, Version)>,
    ) {
        let mut state = self.state();
        state.known = known.collect();
        state.dead = dead.collect();
        // Nobody can know more than there has been: what was said came before this moment.
        let (heartbeat, version) = state.said;
        state.is_lied_about |=
            own.is_some_and(|(_, beats, latest)| heartbeat > beats || version > latest);
        state.said = (0, 0);
        state.own = own.map(|(id, _, _)| id.clone());
    }

    /// Whether others hold more of this node for true than it has said, so that they listen to nothing
    /// that it says. Said once.
    pub fn take_lie(&self) -> bool {
        std::mem::take(&mut self.state().is_lied_about)
    }

    /// The message as chitchat may see it; or why it may not.
    pub fn pass<'a>(&self, message: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        if message.len() > MAX_MESSAGE {
            return Err(format!("{} bytes are more than a message has", message.len()));
        }
        let body = message.strip_prefix(PROLOGUE.as_slice()).ok_or("not a message of gossip")?;
        let Some((kind, body)) = body.split_first() else {
            return Err("a message without a kind".into());
        };
        let (digest, rest) = match *kind {
            SYN | SYN_ACK => self.digest(body)?,
            ACK => (None, body),
            BAD_CLUSTER => return Ok(Cow::Borrowed(message)),
            _ => return Err("a message of an unknown kind".into()),
        };
        let news = match *kind {
            SYN => None,
            _ => news::believable(rest, self.own)?,
        };
        if digest.is_none() && news.is_none() {
            return Ok(Cow::Borrowed(message));
        }
        let said = body.len() - rest.len();
        let mut bytes = [PROLOGUE.as_slice(), &[*kind]].concat();
        bytes.extend_from_slice(digest.as_deref().or(body.get(..said)).unwrap_or_default());
        bytes.extend_from_slice(news.as_deref().unwrap_or(rest));
        Ok(Cow::Owned(bytes))
    }

    /// A digest without those for whom there is no place, and as if it named the dead whom it does
    /// not name, so that the answer leaves them out: who wants to know of one names it, as it was
    /// named to him. `None` where that is what it was. With what stands after it.
    fn digest<'a>(&self, bytes: &'a [u8]) -> Result<(Option<Vec<u8>>, &'a [u8]), String> {
        let mut rest = bytes;
        let count = u16::deserialize(&mut rest).map_err(|error| error.to_string())?;
        let mut state = self.state();
        let mut missing = state.dead.clone();
        let (mut named, mut is_same) = (Vec::new(), true);
        for _ in 0..count {
            let one = Named::read(&mut rest)?;
            missing.remove(&one.id);
            if self.has_room(&mut state, &one)? {
                named.push(one);
            } else {
                is_same = false;
            }
        }
        let dead = missing.into_iter().map(|(id, version)| Named {
            id,
            heartbeat: 0,
            collected: 0,
            version,
        });
        named.extend(dead);
        if is_same && named.len() == usize::from(count) {
            return Ok((None, rest));
        }
        let count = u16::try_from(named.len()).map_err(|_| "a digest of too many")?;
        let mut bytes = Vec::new();
        count.serialize(&mut bytes);
        named.iter().for_each(|one| one.write(&mut bytes));
        Ok((Some(bytes), rest))
    }

    /// Whether chitchat may know of this one; an error where nobody honest names it.
    fn has_room(&self, state: &mut State, one: &Named) -> Result<bool, String> {
        let id = &one.id;
        if state.own.as_ref() == Some(id) {
            let (heartbeat, version) = state.said;
            state.said = (heartbeat.max(one.heartbeat), version.max(one.version));
        }
        // Nothing is ever deleted here, so that nothing was collected.
        if one.collected > 0 || one.version > news::MAX_VERSION {
            return Ok(false);
        }
        if state.known.contains(id) {
            return Ok(true);
        }
        let node: NodeId = id.node_id.parse().map_err(|_| "a digest with a wrong node id")?;
        if id.gossip_advertise_addr != synthetic(node) {
            return Err("a digest with an address that is not the node's".into());
        }
        if !(self.belongs.0)(node) {
            return Ok(false);
        }
        let same = state.known.iter().filter(|other| other.node_id == id.node_id).count();
        // A node's first generation finds a place where others have many.
        let limit = if same == 0 { self.limit } else { self.limit.div_ceil(2) };
        if state.known.len() >= limit || (same >= GENERATIONS && node != self.own) {
            return Ok(false);
        }
        state.known.insert(id.clone());
        Ok(true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
