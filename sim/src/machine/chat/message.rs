//! What of chitchat's randomness shows in its messages, taken out of them.
//!
//! Where several nodes are as far behind, chitchat draws in which order their values go into a
//! message; and where not all fit, so which do. Its generator can't be handed in. So the order in
//! an answer is put straight ([`straighten`]); and of a question whose answer would not hold
//! everything, only so much is asked as fits, drawn from the run's own seed ([`fit`]).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use chitchat::{Chitchat, ChitchatId, Deserializable, NodeState, Serializable as _};
use rand::Rng;

/// The longest message, magic number and version, the kinds of messages, and how long a block is
/// before it is compressed (chitchat 0.11: `lib.rs`, `message.rs`, `delta.rs`).
const MAX_MESSAGE: usize = 65_507;
const PROLOGUE: usize = 3;
const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const ACK: u8 = 2;
const BLOCK: usize = 16_384;

/// Kinds of blocks (`serialize.rs`).
const NO_MORE: u8 = 0;
const COMPRESSED: u8 = 1;
const PLAIN: u8 = 2;

/// Kinds of operations in a delta (`delta.rs`).
const NODE: u8 = 0;
const VALUE: u8 = 1;
const MAX_VERSION: u8 = 2;

/// What chitchat may reckon for blocks and their ends.
const BLOCKS: usize = 64;
/// What an operation weighs beside the texts in it: its kind, lengths, a version, a state.
const OPERATION: usize = 16;

/// A node in a digest: heartbeat, garbage collected version, highest version.
type Entry = [u64; 3];
type Digest = BTreeMap<ChitchatId, Entry>;

/// The question that chitchat is asked in the place of `message`: as it came, if the answer holds
/// everything that is newer here; else so that it holds as much as fits of what is most urgent.
pub(super) fn fit(
    message: Vec<u8>,
    chitchat: &Chitchat,
    rng: &mut impl Rng,
) -> anyhow::Result<Vec<u8>> {
    let Some(kind @ (SYN | SYN_ACK)) = message.get(PROLOGUE).copied() else { return Ok(message) };
    let mut rest = message.get(PROLOGUE + 1..).unwrap_or_default();
    let digest = read_digest(&mut rest)?;
    let room = room(kind, chitchat, &digest);
    let going: BTreeSet<&ChitchatId> = chitchat.scheduled_for_deletion_nodes().collect();
    let mut stale: Vec<Stale<'_>> = chitchat
        .node_states()
        .iter()
        .filter(|(id, _)| !going.contains(id))
        .filter_map(|(id, state)| Stale::new(id, state, digest.get(id)))
        .collect();
    let total: usize = stale.iter().map(|one| one.bytes).sum();
    if total <= room {
        return Ok(message);
    }
    // As chitchat orders them; only the draw among equals is our own.
    let mut drawn: Vec<(Urgency, u64, Stale<'_>)> =
        stale.drain(..).map(|one| (one.urgency, rng.next_u64(), one)).collect();
    drawn.sort_by(|one, other| (one.0, one.1, one.2.id).cmp(&(other.0, other.1, other.2.id)));
    let mut left = room;
    let mut is_full = false;
    let mut asked = digest;
    for (place, (_, _, one)) in drawn.iter().enumerate() {
        is_full |= one.bytes > left && place > 0;
        left = left.saturating_sub(one.bytes);
        if is_full {
            // As if it were known already.
            let [_, _, version] = asked.entry(one.id.clone()).or_default();
            *version = one.state.max_version();
        }
    }
    let mut bytes = message.get(..=PROLOGUE).unwrap_or_default().to_vec();
    u16::try_from(asked.len())?.serialize(&mut bytes);
    for (id, entry) in &asked {
        id.serialize(&mut bytes);
        entry.iter().for_each(|number| number.serialize(&mut bytes));
    }
    bytes.extend_from_slice(rest);
    Ok(bytes)
}

/// How many bytes of values chitchat can answer with.
fn room(kind: u8, chitchat: &Chitchat, digest: &Digest) -> usize {
    let room = MAX_MESSAGE - 1 - BLOCKS;
    if kind == SYN_ACK {
        return room;
    }
    // Its own digest goes before: of all that it knows, whom it now hears of included.
    let known = chitchat.node_states();
    let new = digest.keys().filter(|id| !known.contains_key(id));
    let own: usize = known.keys().chain(new).map(|id| id.serialized_len() + 24).sum();
    room.saturating_sub(own + 2)
}

/// What chitchat sends first: of nodes that the other does not know, those with the lowest
/// version; then those of which most is new.
type Urgency = (bool, u64);

struct Stale<'a> {
    id: &'a ChitchatId,
    state: &'a NodeState,
    urgency: Urgency,
    /// What all of it weighs before it is compressed, at most.
    bytes: usize,
}

impl<'a> Stale<'a> {
    /// What is newer here of a node, if anything is.
    fn new(id: &'a ChitchatId, state: &'a NodeState, theirs: Option<&Entry>) -> Option<Self> {
        let floor = theirs.map_or(0, |[_, _, version]| *version);
        if state.max_version() <= floor {
            return None;
        }
        let mut bytes = 2 * OPERATION + id.serialized_len() + 16;
        let mut count = 0u64;
        let values = state.key_values_including_deleted();
        for (key, value) in values.filter(|(_, value)| value.version > floor) {
            bytes += OPERATION + key.len() + value.value.len();
            count += 1;
        }
        let is_known = floor > 0;
        let urgency = (is_known, if is_known { u64::MAX - count } else { state.max_version() });
        Some(Self { id, state, urgency, bytes })
    }
}

/// The same message with the nodes in its delta in the order of their ids.
pub(super) fn straighten(message: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let mut rest = message.get(PROLOGUE + 1..).unwrap_or_default();
    match message.get(PROLOGUE) {
        Some(&SYN_ACK) => drop(read_digest(&mut rest)?),
        Some(&ACK) => {}
        _ => return Ok(message),
    }
    let before = message.len() - rest.len();
    let operations = unpack(rest)?;
    let mut by_node = by_node(&operations)?;
    if by_node.is_sorted_by(|one, other| one.0 <= other.0) {
        return Ok(message);
    }
    by_node.sort_by(|one, other| one.0.cmp(&other.0));
    let mut bytes = message.get(..before).unwrap_or_default().to_vec();
    let operations: Vec<u8> = by_node.iter().flat_map(|(_, part)| part.iter().copied()).collect();
    for block in operations.chunks(BLOCK) {
        pack(block, &mut bytes)?;
    }
    bytes.push(NO_MORE);
    Ok(bytes)
}

/// The operations of a delta: each node, and what follows on it.
fn by_node(operations: &[u8]) -> anyhow::Result<Vec<(ChitchatId, &[u8])>> {
    let mut found: Vec<(ChitchatId, usize)> = Vec::new();
    let mut rest = operations;
    while !rest.is_empty() {
        let at = operations.len() - rest.len();
        match u8::deserialize(&mut rest)? {
            NODE => {
                found.push((ChitchatId::deserialize(&mut rest)?, at));
                <[u64; 2]>::read(&mut rest)?;
            }
            VALUE => {
                String::deserialize(&mut rest)?;
                String::deserialize(&mut rest)?;
                u64::deserialize(&mut rest)?;
                u8::deserialize(&mut rest)?;
            }
            MAX_VERSION => drop(u64::deserialize(&mut rest)?),
            kind => bail!("an operation of kind {kind} in a delta"),
        }
    }
    let ends = found.iter().skip(1).map(|(_, at)| *at).chain([operations.len()]);
    let ends: Vec<usize> = ends.collect();
    let part = |((id, at), end): ((ChitchatId, usize), usize)| {
        (id, operations.get(at..end).unwrap_or_default())
    };
    Ok(found.into_iter().zip(ends).map(part).collect())
}

fn unpack(mut rest: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        let kind = u8::deserialize(&mut rest)?;
        if kind == NO_MORE {
            return Ok(bytes);
        }
        let length = usize::from(u16::deserialize(&mut rest)?);
        let block = rest.get(..length).context("a block that is cut short")?;
        rest = rest.get(length..).unwrap_or_default();
        match kind {
            COMPRESSED => bytes.extend(zstd::bulk::decompress(block, usize::from(u16::MAX))?),
            PLAIN => bytes.extend_from_slice(block),
            kind => bail!("a block of kind {kind}"),
        }
    }
}

/// As chitchat packs a block: what would be longer compressed stays as it is.
fn pack(block: &[u8], to: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut room = vec![0; block.len()];
    let (kind, packed) = match zstd::bulk::compress_to_buffer(block, &mut room, 0) {
        Ok(length) => (COMPRESSED, room.get(..length).unwrap_or_default()),
        Err(_) => (PLAIN, block),
    };
    to.push(kind);
    u16::try_from(packed.len())?.serialize(to);
    to.extend_from_slice(packed);
    Ok(())
}

fn read_digest(bytes: &mut &[u8]) -> anyhow::Result<Digest> {
    let count = u16::deserialize(bytes)?;
    let mut digest = Digest::new();
    for _ in 0..count {
        let id = ChitchatId::deserialize(bytes)?;
        digest.insert(id, Entry::read(bytes)?);
    }
    Ok(digest)
}

trait Numbers: Sized {
    fn read(bytes: &mut &[u8]) -> anyhow::Result<Self>;
}

impl<const N: usize> Numbers for [u64; N] {
    fn read(bytes: &mut &[u8]) -> anyhow::Result<Self> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            *number = u64::deserialize(bytes)?;
        }
        Ok(numbers)
    }
}

#[cfg(test)]
mod tests;
