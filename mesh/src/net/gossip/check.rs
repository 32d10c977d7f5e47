//! Looks into a message of gossip before chitchat does. Every id in a digest creates state
//! there, for a long time: only ids that can be right are let in, and only so many.
//!
//! And it spares what would be said in vain. chitchat stops naming a node that has been dead for
//! some minutes, and answers whoever does not name one with all that it knows of it. Nodes find out
//! at different times who is dead, a node that has just started last of all: until it stops too, it
//! tells all of each dead node to everybody in every exchange, and nobody listens. In a cell whose
//! nodes are restarted one after another, that was most of what gossip cost.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chitchat::{ChitchatId, Deserializable as _, Serializable as _, Version};
use wattle_contracts::id::NodeId;

use super::words::synthetic;

/// The longest message, in bytes: chitchat's own limit is that of a UDP datagram.
const MAX_MESSAGE: usize = 65_507;

/// Magic number and version (chitchat 0.11, `message.rs`).
const PROLOGUE: [u8; 3] = [0x53, 0xb0, 0];

const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;
const BAD_CLUSTER: u8 = 3;

/// Heartbeat, garbage collected version and highest version of a node in a digest.
const NODE_DIGEST: usize = 24;

/// Generations of one node that may be known at once: a node that crashes in a circle makes many
const GENERATIONS: usize = 64;

/// How far the largest digest may grow: chitchat panics where none fits into a message.
const MAX_IDS: usize = 600;

/// How many blocks the news in a message may be cut into. chitchat cuts them every 16 KiB and
/// compresses each (zstd); a block that says nothing is some twenty bytes long, and may become 64 KiB.
/// So a message of this many is 4 MiB at the most, and an honest one has what fits into a datagram
/// when compressed to a sixteenth.
const MAX_BLOCKS: usize = 64;

/// How a block begins (chitchat 0.11, `serialize.rs`).
const NO_MORE_BLOCKS: u8 = 0;
const COMPRESSED: u8 = 1;
const UNCOMPRESSED: u8 = 2;

/// Decides which messages chitchat gets to see.
#[derive(Debug)]
pub struct Gate {
    own: NodeId,
    limit: usize,
    state: Mutex<State>,
}

/// What chitchat knows. Refreshed from chitchat itself.
#[derive(Debug, Default)]
struct State {
    known: BTreeSet<ChitchatId>,
    /// Who is dead, and up to which version it is known.
    dead: BTreeMap<ChitchatId, Version>,
}

impl Gate {
    /// A gate of the node `own`, which lets in at most `limit` ids.
    pub fn new(own: NodeId, limit: usize) -> Self {
        Self { own, limit: limit.min(MAX_IDS), state: Mutex::default() }
    }

    /// What chitchat knows by now, and who of them is dead and known up to which version.
    pub fn refresh(
        &self,
        known: impl Iterator<Item = ChitchatId>,
        dead: impl Iterator<Item = (ChitchatId, Version)>,
    ) {
        *self.state() = State { known: known.collect(), dead: dead.collect() };
    }

    /// The message as chitchat may see it; or why it may not.
    pub fn pass<'a>(&self, message: &'a [u8]) -> Result<Cow<'a, [u8]>, String> {
        self.check(message)?;
        Ok(self.sparing(message).map_or(Cow::Borrowed(message), Cow::Owned))
    }

    /// A question as if it named the dead whom it does not name, so that the answer leaves them
    /// out. Who wants to know of one names it, as it was named to him. `None` where there are none.
    fn sparing(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (head, digest) = message.split_at_checked(PROLOGUE.len() + 1)?;
        let state = self.state();
        if state.dead.is_empty() || !matches!(head.last(), Some(&(SYN | SYN_ACK))) {
            return None;
        }
        let mut rest = digest;
        let count = u16::deserialize(&mut rest).ok()?;
        let mut missing = state.dead.clone();
        for _ in 0..count {
            missing.remove(&ChitchatId::deserialize(&mut rest).ok()?);
            rest = rest.get(NODE_DIGEST..)?;
        }
        let count = count.checked_add(u16::try_from(missing.len()).ok()?)?;
        if missing.is_empty() {
            return None;
        }
        let entries = digest.get(2..digest.len() - rest.len())?;
        let mut bytes = head.to_vec();
        count.serialize(&mut bytes);
        bytes.extend_from_slice(entries);
        for (id, version) in &missing {
            id.serialize(&mut bytes);
            [0, 0, *version].iter().for_each(|number: &u64| number.serialize(&mut bytes));
        }
        bytes.extend_from_slice(rest);
        Some(bytes)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether chitchat may see this message; else, why not.
    pub fn check(&self, message: &[u8]) -> Result<(), String> {
        if message.len() > MAX_MESSAGE {
            return Err(format!("{} bytes are more than a message has", message.len()));
        }
        let body = message.strip_prefix(PROLOGUE.as_slice()).ok_or("not a message of gossip")?;
        match body.split_first() {
            Some((&SYN, digest)) => self.check_digest(digest).map(drop),
            Some((&SYN_ACK, digest)) => check_blocks(self.check_digest(digest)?),
            // A delta only changes what is known already.
            Some((&ACK, delta)) => check_blocks(delta),
            Some((&BAD_CLUSTER, _)) => Ok(()),
            _ => Err("a message of an unknown kind".into()),
        }
    }

    /// Checks a digest, and gives back what stands after it.
    fn check_digest<'a>(&self, mut bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let count = u16::deserialize(&mut bytes).map_err(|error| error.to_string())?;
        let mut state = self.state();
        let known = &mut state.known;
        let mut new = BTreeSet::new();
        for _ in 0..count {
            let id = ChitchatId::deserialize(&mut bytes).map_err(|error| error.to_string())?;
            bytes = bytes.get(NODE_DIGEST..).ok_or("a digest that is cut short")?;
            if known.contains(&id) || new.contains(&id) {
                continue;
            }
            let node: NodeId = id.node_id.parse().map_err(|_| "a digest with a wrong node id")?;
            if id.gossip_advertise_addr != synthetic(node) {
                return Err("a digest with an address that is not the node's".into());
            }
            let same_node = known.iter().chain(&new).filter(|other| other.node_id == id.node_id);
            if same_node.count() >= GENERATIONS && node != self.own {
                return Err(format!("too many generations of {node}"));
            }
            if known.len() + new.len() >= self.limit {
                return Err(format!("more than {} nodes", self.limit));
            }
            new.insert(id);
        }
        known.extend(new);
        Ok(bytes)
    }
}

/// Checks how much the news in a message may become when they are decompressed.
fn check_blocks(mut bytes: &[u8]) -> Result<(), String> {
    for _ in 0..=MAX_BLOCKS {
        match bytes.split_first() {
            Some((&NO_MORE_BLOCKS, _)) => return Ok(()),
            Some((&(COMPRESSED | UNCOMPRESSED), rest)) => {
                bytes = rest;
                let length = u16::deserialize(&mut bytes).map_err(|error| error.to_string())?;
                bytes = bytes.get(usize::from(length)..).ok_or("a block that is cut short")?;
            }
            _ => return Err("news that are cut short, or in an unknown form".into()),
        }
    }
    Err(format!("news in more than {MAX_BLOCKS} blocks"))
}

#[cfg(test)]
mod tests {
    use chitchat::Serializable as _;

    use super::*;

    fn syn(ids: &[ChitchatId]) -> Vec<u8> {
        let mut bytes = [PROLOGUE.as_slice(), &[SYN]].concat();
        (ids.len() as u16).serialize(&mut bytes);
        for id in ids {
            id.serialize(&mut bytes);
            bytes.extend_from_slice(&[0; NODE_DIGEST]);
        }
        "mesh".serialize(&mut bytes);
        bytes
    }

    fn id(node: u8, generation: u64) -> ChitchatId {
        let node = NodeId::from_bytes([node; 32]);
        ChitchatId::new(node.to_string(), generation, synthetic(node))
    }

    fn gate() -> Gate {
        Gate::new(NodeId::from_bytes([0; 32]), 100)
    }

    /// Three thousand blocks of nothing, each of which would become 64 KiB.
    #[test]
    fn a_decompression_bomb_does_not_reach_chitchat() {
        let block = [&[COMPRESSED, 18, 0][..], &[0; 18]].concat();
        let ack = |count: usize| {
            let blocks = block.repeat(count);
            [PROLOGUE.as_slice(), &[ACK], &blocks, &[NO_MORE_BLOCKS]].concat()
        };
        gate().check(&ack(MAX_BLOCKS)).unwrap();
        let why = gate().check(&ack(MAX_BLOCKS + 1)).unwrap_err();
        assert!(why.contains("64 blocks"), "{why}");
        gate().check(&ack(3_000)).unwrap_err();
        let mut syn_ack = syn(&[]);
        syn_ack[PROLOGUE.len()] = SYN_ACK;
        syn_ack.truncate(PROLOGUE.len() + 1 + 2);
        gate().check(&[&syn_ack[..], &[NO_MORE_BLOCKS]].concat()).unwrap();
        let bomb = [&syn_ack[..], &block.repeat(3_000), &[NO_MORE_BLOCKS]].concat();
        gate().check(&bomb).unwrap_err();
        for cut in [&[][..], &[COMPRESSED], &[COMPRESSED, 9, 0], &[7]] {
            gate().check(&[PROLOGUE.as_slice(), &[ACK], cut].concat()).unwrap_err();
        }
    }

    #[test]
    fn an_honest_message_passes_and_is_one_that_chitchat_reads() {
        use chitchat::{ChitchatMessage, Deserializable as _};
        let message = syn(&[id(1, 1), id(2, 1)]);
        gate().check(&message).unwrap();
        let read = ChitchatMessage::deserialize(&mut message.as_slice()).unwrap();
        assert!(matches!(read, ChitchatMessage::Syn { cluster_id, .. } if cluster_id == "mesh"));
    }

    #[test]
    fn ids_that_can_not_be_right_are_refused() {
        let mut elsewhere = id(1, 1);
        elsewhere.gossip_advertise_addr = "10.0.0.1:80".parse().unwrap();
        assert!(gate().check(&syn(&[elsewhere])).is_err());
        let nobody = ChitchatId::new("nobody", 1, "10.0.0.1:80".parse().unwrap());
        assert!(gate().check(&syn(&[nobody])).is_err());
    }

    #[test]
    fn the_table_is_bounded() {
        let gate = gate();
        for node in 0..100 {
            gate.check(&syn(&[id(node, 1)])).unwrap();
        }
        assert!(gate.check(&syn(&[id(100, 1)])).is_err());
        gate.check(&syn(&[id(99, 1)])).unwrap();
        gate.refresh(std::iter::empty(), std::iter::empty());
        let generation = |generation| gate.check(&syn(&[id(1, generation)]));
        assert!((0..64).all(|number| generation(number).is_ok()));
        assert!(generation(64).is_err());
    }

    /// The ids that a question names, each with its version.
    fn named(message: &[u8]) -> BTreeMap<ChitchatId, u64> {
        let mut bytes = &message[PROLOGUE.len() + 1..];
        let count = u16::deserialize(&mut bytes).unwrap();
        let named = (0..count).map(|_| {
            let id = ChitchatId::deserialize(&mut bytes).unwrap();
            let numbers = [(); 3].map(|()| u64::deserialize(&mut bytes).unwrap());
            (id, numbers[2])
        });
        let named = named.collect();
        assert_eq!(String::deserialize(&mut bytes).unwrap(), "mesh", "the rest is as it was");
        named
    }

    #[test]
    fn who_does_not_name_the_dead_is_not_told_of_them() {
        let gate = gate();
        let question = syn(&[id(1, 1), id(2, 1)]);
        assert!(matches!(gate.pass(&question).unwrap(), Cow::Borrowed(_)), "nobody is dead");
        let known = [id(1, 1), id(2, 1), id(3, 1), id(4, 1)];
        gate.refresh(known.into_iter(), [(id(2, 1), 8), (id(3, 1), 9)].into_iter());
        let seen = gate.pass(&question).unwrap();
        // Two is dead as well, and asked for: of its version, all that is newer is told.
        assert_eq!(named(&seen), [(id(1, 1), 0), (id(2, 1), 0), (id(3, 1), 9)].into());
        let all = syn(&[id(2, 1), id(3, 1)]);
        assert!(matches!(gate.pass(&all).unwrap(), Cow::Borrowed(_)), "both are named");
        let ack = [PROLOGUE.as_slice(), &[ACK, NO_MORE_BLOCKS]].concat();
        assert_eq!(gate.pass(&ack).unwrap(), ack);
    }

    #[test]
    fn no_bytes_make_the_check_panic() {
        let message = syn(&[id(1, 1), id(2, 1)]);
        let gate = gate();
        gate.refresh([id(3, 1)].into_iter(), [(id(3, 1), 1)].into_iter());
        for end in 0..message.len() {
            let _ = gate.pass(&message[..end]);
            let _ = gate.sparing(&message[..end]);
        }
        assert!(gate.pass(&[0; 70_000]).is_err());
    }
}
