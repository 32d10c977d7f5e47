//! The news in a message of gossip, before chitchat takes them in.
//!
//! chitchat believes its peers. Versions near the end of their range end it with the next word that is said, a
//! version that goes down does at once, and of what was collected or deleted by somebody's word nothing is
//! told any more. None of that comes from an honest node of a mesh, which only ever sets some
//! values of its own anew: about nobody is anything else let in, and about this node itself nothing at all.

use chitchat::{ChitchatId, Deserializable as _, Serializable as _, Version};
use wattle_contracts::id::NodeId;

use super::words::MAX_FACT;
use crate::net::statement::Topic;

/// How many blocks the news in a message may be cut into. chitchat cuts them every 16 KiB and
/// compresses each (zstd); a block that says nothing is some twenty bytes long, and may become 64 KiB.
/// So a message of this many is 4 MiB at the most, and an honest one has what fits into a datagram
/// when compressed to a sixteenth.
const MAX_BLOCKS: usize = 64;

/// The most that one block becomes (chitchat 0.11, `serialize.rs`).
const MAX_BLOCK: usize = u16::MAX as usize;

/// As long as chitchat's own blocks are.
const BLOCK: usize = 16_384;

/// More often than this nobody says anything: every millisecond for 34 years.
pub(super) const MAX_VERSION: Version = 1 << 40;

/// How a block begins (chitchat 0.11, `serialize.rs`).
const NO_MORE_BLOCKS: u8 = 0;
const COMPRESSED: u8 = 1;
const UNCOMPRESSED: u8 = 2;

/// What comes in the blocks (chitchat 0.11, `delta.rs`).
const NODE: u8 = 0;
const KEY_VALUE: u8 = 1;
const SET_MAX_VERSION: u8 = 2;

/// A value that is there (chitchat 0.11, `types.rs`); others are about to be deleted.
const SET: u8 = 0;

/// The news without what no honest peer says, for the node `own`; `None` where nothing is to be left
/// out. An error where they can't be read, or would become too large.
pub(super) fn believable(bytes: &[u8], own: NodeId) -> Result<Option<Vec<u8>>, String> {
    let (news, rest) = inflated(bytes)?;
    let parts = parts(&news, &own.to_string())?;
    if parts.iter().all(|part| part.is_believable) {
        return Ok(None);
    }
    let believed = parts.iter().filter(|part| part.is_believable);
    let news: Vec<u8> = believed.flat_map(|part| part.bytes).copied().collect();
    let mut bytes = Vec::with_capacity(news.len() + rest.len() + 64);
    for block in news.chunks(BLOCK) {
        bytes.push(UNCOMPRESSED);
        u16::try_from(block.len()).unwrap_or(u16::MAX).serialize(&mut bytes);
        bytes.extend_from_slice(block);
    }
    bytes.push(NO_MORE_BLOCKS);
    bytes.extend_from_slice(rest);
    Ok(Some(bytes))
}

/// The blocks, put together, and what stands after them.
fn inflated(mut bytes: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut news = Vec::new();
    let mut buffer = Vec::new();
    for _ in 0..=MAX_BLOCKS {
        let (kind, rest) = bytes.split_first().ok_or("news that are cut short")?;
        bytes = rest;
        if *kind == NO_MORE_BLOCKS {
            return Ok((news, bytes));
        }
        let length = u16::deserialize(&mut bytes).map_err(|error| error.to_string())?;
        let (block, rest) =
            bytes.split_at_checked(usize::from(length)).ok_or("a block that is cut short")?;
        bytes = rest;
        match *kind {
            UNCOMPRESSED => news.extend_from_slice(block),
            COMPRESSED => {
                buffer.resize(MAX_BLOCK, 0);
                let length = zstd::bulk::decompress_to_buffer(block, &mut buffer)
                    .map_err(|error| format!("a block that can't be decompressed: {error}"))?;
                news.extend_from_slice(buffer.get(..length).unwrap_or_default());
            }
            _ => return Err("news in an unknown form".into()),
        }
    }
    Err(format!("news in more than {MAX_BLOCKS} blocks"))
}

/// What is told of one id.
struct Part<'a> {
    bytes: &'a [u8],
    is_believable: bool,
    latest: Version,
}

fn parts<'a>(news: &'a [u8], own: &str) -> Result<Vec<Part<'a>>, String> {
    let mut parts: Vec<Part<'a>> = Vec::new();
    let mut rest = news;
    while let Some((kind, mut after)) = rest.split_first() {
        let read = match *kind {
            NODE => node(&mut after, own).map(|is_believable| {
                parts.push(Part { bytes: &[], is_believable, latest: 0 });
            }),
            KEY_VALUE => key_value(&mut after).and_then(|said| {
                let part = parts.last_mut().ok_or_else(|| anyhow::anyhow!("news of nobody"))?;
                let follows = said.is_some_and(|version| version > part.latest);
                part.is_believable &= follows;
                part.latest = said.unwrap_or(part.latest);
                Ok(())
            }),
            SET_MAX_VERSION => Version::deserialize(&mut after).and_then(|_| {
                // Said only where values are gone, and they never go.
                let part = parts.last_mut().ok_or_else(|| anyhow::anyhow!("news of nobody"))?;
                part.is_believable = false;
                Ok(())
            }),
            _ => return Err("news of an unknown kind".into()),
        };
        read.map_err(|error| error.to_string())?;
        // Each is as long as what belongs to it.
        let length = rest.len() - after.len();
        if let Some(part) = parts.last_mut() {
            let begin = news.len() - rest.len() - part.bytes.len();
            part.bytes = news.get(begin..begin + part.bytes.len() + length).unwrap_or_default();
        }
        rest = after;
    }
    Ok(parts)
}

/// Whether news of this id, from this version on, may be believed.
fn node(bytes: &mut &[u8], own: &str) -> anyhow::Result<bool> {
    let id = ChitchatId::deserialize(bytes)?;
    let collected = Version::deserialize(bytes)?;
    let from = Version::deserialize(bytes)?;
    Ok(&*id.node_id != own && collected == 0 && from <= MAX_VERSION)
}

/// The version of a value that may be believed, if it may.
fn key_value(bytes: &mut &[u8]) -> anyhow::Result<Option<Version>> {
    let key = String::deserialize(bytes)?;
    let value = String::deserialize(bytes)?;
    let version = Version::deserialize(bytes)?;
    let status = u8::deserialize(bytes)?;
    let is_topic = Topic::GOSSIPED.iter().any(|topic| topic.name() == key);
    let may = is_topic && value.len() <= MAX_FACT && version <= MAX_VERSION && status == SET;
    Ok(may.then_some(version))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::net::gossip::synthetic;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    /// What is told of a node, the way in which chitchat writes it.
    #[derive(Debug, Clone)]
    enum Told {
        Of(u8, Version, Version),
        Value(String, String, Version, u8),
        Max(Version),
    }

    fn value(key: &str, version: Version) -> Told {
        Told::Value(key.into(), "AAAA".into(), version, SET)
    }

    fn write(told: &[Told]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for one in told {
            match one {
                Told::Of(byte, collected, from) => {
                    bytes.push(NODE);
                    let id = ChitchatId::new(node(*byte).to_string(), 1, synthetic(node(*byte)));
                    id.serialize(&mut bytes);
                    [*collected, *from].iter().for_each(|number| number.serialize(&mut bytes));
                }
                Told::Value(key, value, version, status) => {
                    bytes.push(KEY_VALUE);
                    key.serialize(&mut bytes);
                    value.serialize(&mut bytes);
                    version.serialize(&mut bytes);
                    status.serialize(&mut bytes);
                }
                Told::Max(version) => {
                    bytes.push(SET_MAX_VERSION);
                    version.serialize(&mut bytes);
                }
            }
        }
        bytes
    }

    fn plain(news: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for block in news.chunks(1_000) {
            bytes.push(UNCOMPRESSED);
            (block.len() as u16).serialize(&mut bytes);
            bytes.extend_from_slice(block);
        }
        [&bytes[..], &[NO_MORE_BLOCKS]].concat()
    }

    /// What node 0 believes of it.
    fn believed(told: &[Told]) -> Vec<u8> {
        let bytes = plain(&write(told));
        let left = believable(&bytes, node(0)).unwrap().unwrap_or(bytes);
        assert_eq!(believable(&left, node(0)).unwrap(), None, "twice is the same as once");
        inflated(&left).unwrap().0
    }

    #[test]
    fn honest_news_are_left_as_they_are() {
        let told = [Told::Of(1, 0, 3), value("about", 4), value("load", 9), Told::Of(2, 0, 0)];
        let news = write(&told);
        assert_eq!(believable(&plain(&news), node(0)), Ok(None));
        let block = zstd::bulk::compress(&news, 0).unwrap();
        let length = (block.len() as u16).to_le_bytes();
        let packed = [&[COMPRESSED], length.as_slice(), &block, &[NO_MORE_BLOCKS]].concat();
        assert_eq!(believable(&packed, node(0)), Ok(None));
    }

    #[test]
    fn what_no_honest_peer_says_is_left_out_and_the_rest_stays() {
        let (before, after) =
            ([Told::Of(1, 0, 0), value("about", 1)], [Told::Of(3, 0, 7), value("runs", 8)]);
        let long = Told::Value("load".into(), "A".repeat(MAX_FACT + 1), 5, SET);
        let lies: &[&[Told]] = &[
            // Of this node itself.
            &[Told::Of(0, 0, 0), value("about", 1)],
            &[Told::Of(0, 0, 0), Told::Max(u64::MAX)],
            // Versions: beyond any, set without a value, going down.
            &[Told::Of(2, 0, 0), Told::Max(u64::MAX)],
            &[Told::Of(2, 0, 0), value("about", u64::MAX)],
            &[Told::Of(2, 0, 0), value("about", 5), Told::Max(3)],
            &[Told::Of(2, 0, 0), value("about", 5), value("load", 5)],
            &[Told::Of(2, 0, 0), value("about", 0)],
            &[Told::Of(2, 0, u64::MAX), value("about", 5)],
            // Collected, deleted.
            &[Told::Of(2, 1, 0), value("about", 5)],
            &[Told::Of(2, 0, 0), Told::Value("load".into(), String::new(), 5, 1)],
            &[Told::Of(2, 0, 0), Told::Value("load".into(), "AAAA".into(), 5, 2)],
            // Of what nobody says anything, and too much of it.
            &[Told::Of(2, 0, 0), value("about", 4), value("fresh key", 5)],
            &[Told::Of(2, 0, 0), long],
        ];
        let left = write(&[before.to_vec(), after.to_vec()].concat());
        for lie in lies {
            let told = [before.to_vec(), lie.to_vec(), after.to_vec()].concat();
            assert!(believed(&told) == left, "{lie:?}");
        }
    }

    #[test]
    fn news_of_nobody_and_in_no_form_are_refused() {
        for told in [&[value("about", 1)][..], &[Told::Max(1)]] {
            believable(&plain(&write(told)), node(0)).unwrap_err();
        }
        believable(&plain(&[9]), node(0)).unwrap_err();
        let cut = write(&[Told::Of(1, 0, 0), value("about", 1)]);
        believable(&plain(&cut[..cut.len() - 1]), node(0)).unwrap_err();
    }

    fn told() -> impl Strategy<Value = Told> {
        let version = prop_oneof![0u64..20, Just(u64::MAX), Just(MAX_VERSION)];
        prop_oneof![
            (0u8..4, prop_oneof![4 => Just(0u64), 1 => any::<u64>()], 0u64..9)
                .prop_map(|(byte, collected, from)| Told::Of(byte, collected, from)),
            ("(about|load|runs|other)", "[A-Z]{0,9}", version, 0u8..3)
                .prop_map(|(key, value, version, status)| Told::Value(key, value, version, status)),
            any::<u64>().prop_map(Told::Max),
        ]
    }

    proptest! {
        /// Whatever is told, what is left is about others, in order, and only values that are set.
        #[test]
        fn what_is_left_is_what_an_honest_peer_could_say(told in prop::collection::vec(told(), 0..30)) {
            let bytes = plain(&write(&told));
            let Ok(outcome) = believable(&bytes, node(0)) else { return Ok(()) };
            let left = outcome.unwrap_or(bytes);
            prop_assert_eq!(believable(&left, node(0)), Ok(None));
            let news = inflated(&left).unwrap().0;
            for part in parts(&news, &node(0).to_string()).unwrap() {
                prop_assert!(part.is_believable && part.latest <= MAX_VERSION);
            }
        }
    }
}
