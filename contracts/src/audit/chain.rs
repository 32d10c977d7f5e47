//! The chain. Each line of a log is `HASH JSON`, where HASH is the SHA-256 of the hash before it,
//! a space and the JSON, in hexadecimal digits, so that anybody can check it with tools of the
//! system: `printf '%s %s' PREVIOUS JSON | sha256sum`. (Haber and Stornetta, "How to Time-Stamp a
//! Digital Document", 1991.)

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Happening, Head};
use crate::id::{Digest, NodeId};
use crate::trust::UnixMillis;

/// The longest line of a log, in bytes.
pub const ENTRY_LIMIT: usize = 64 * 1024;

/// The longest text in an entry, in characters: most of them come from somebody else.
const TEXT_LIMIT: usize = 1000;

/// The longest reason why something is no entry, in characters.
const WHY_LIMIT: usize = 200;

/// One entry, as it stands in a log. What happened is kept as JSON: a log may hold more than this
/// version knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// From 1, without a gap.
    pub n: u64,
    /// When, by the node's clock, in milliseconds since the Unix epoch.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub happening: serde_json::Map<String, serde_json::Value>,
}

impl Entry {
    /// What happened, if this version knows it.
    pub fn happening(&self) -> Option<Happening> {
        serde_json::from_value(serde_json::Value::Object(self.happening.clone())).ok()
    }

    /// The name of what happened.
    pub fn what(&self) -> &str {
        self.happening.get("what").and_then(serde_json::Value::as_str).unwrap_or("")
    }
}

/// How an entry is written.
#[derive(Serialize)]
struct Written<'a> {
    n: u64,
    at: u64,
    #[serde(flatten)]
    happening: &'a Happening,
}

/// Where a chain stands: what the next entry is chained to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain {
    head: Head,
}

/// Why a line is not the next entry of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Broken {
    /// It is no entry at all.
    #[error("what should be entry {number} is no entry: {why}")]
    NoEntry {
        /// Which entry it should be.
        number: u64,
        /// Why it is none.
        why: String,
    },
    /// Its hash is not the one that follows from what it says and from the entry before it.
    #[error("entry {number} was changed, or the one before it was: its hash does not fit")]
    Changed {
        /// Which entry it should be.
        number: u64,
    },
    /// It has another number than the one after the entry before it.
    #[error("entry {expected} is missing: entry {found} stands in its place")]
    Missing {
        /// Which entry it should be.
        expected: u64,
        /// Which it says it is.
        found: u64,
    },
}

impl Chain {
    /// The chain of a log of `node` that has no entry yet.
    pub fn begin(node: NodeId) -> Self {
        let hash = Digest::of(&[b"wattle audit v1\0".as_slice(), node.as_bytes()].concat());
        Self { head: Head { number: 0, hash } }
    }

    /// The chain after the entry that `head` names.
    pub fn after(head: Head) -> Self {
        Self { head }
    }

    /// How far it reaches.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The next line, without its line feed.
    pub fn append(
        &mut self,
        at: UnixMillis,
        happening: &Happening,
    ) -> Result<String, serde_json::Error> {
        let n = self.head.number.saturating_add(1);
        let mut json = serde_json::to_string(&Written { n, at: at.0, happening })?;
        if json.len() > ENTRY_LIMIT - 128 {
            json = shortened(&json)?;
        }
        let hash = self.hash_with(&json);
        self.head = Head { number: n, hash };
        Ok(format!("{} {json}", hash.hex()))
    }

    /// Checks that `line` is the next entry, and goes on behind it.
    pub fn follow(&mut self, line: &str) -> Result<Entry, Broken> {
        let number = self.head.number.saturating_add(1);
        // What is not JSON of an entry may be anything, and an error goes to a terminal.
        let no_entry = |why: &str| {
            let why = why.chars().take(WHY_LIMIT).collect();
            Broken::NoEntry { number, why }
        };
        let (hash, json) = line.split_once(' ').ok_or_else(|| no_entry("it has no hash"))?;
        let entry: Entry =
            serde_json::from_str(json).map_err(|error| no_entry(&error.to_string()))?;
        if entry.n != number {
            return Err(Broken::Missing { expected: number, found: entry.n });
        }
        let expected = self.hash_with(json);
        if expected.hex() != hash {
            return Err(Broken::Changed { number });
        }
        self.head = Head { number, hash: expected };
        Ok(entry)
    }

    /// Goes on behind `line` whatever it says, as far as it says anything: what comes after a
    /// damaged entry can still be read. The number that it was taken for.
    pub fn skip(&mut self, line: &str) -> u64 {
        let said = line.split_once(' ').and_then(|(hash, json)| {
            let entry: Entry = serde_json::from_str(json).ok()?;
            let hash = format!("sha256:{hash}").parse().ok()?;
            Some(Head { number: entry.n, hash })
        });
        let next = self.head.number.saturating_add(1);
        self.head = said.unwrap_or(Head { number: next, ..self.head });
        self.head.number
    }

    fn hash_with(&self, json: &str) -> Digest {
        Digest::of(format!("{} {json}", self.head.hash.hex()).as_bytes())
    }
}

/// The entry with its texts cut.
fn shortened(json: &str) -> Result<String, serde_json::Error> {
    let mut entry: Entry = serde_json::from_str(json)?;
    for value in entry.happening.values_mut() {
        if let serde_json::Value::String(text) = value
            && text.chars().count() > TEXT_LIMIT
        {
            *text = text.chars().take(TEXT_LIMIT).chain("…".chars()).collect();
        }
    }
    serde_json::to_string(&entry)
}

/// The first line of a file of a log: whose it is, and what its first entry is chained to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The node whose log it is.
    pub node: NodeId,
    /// The entry before the first one of this file.
    pub after: Head,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Head { number, hash } = self.after;
        write!(f, "# wattle audit log v1, node {}, after entry {number} {}", self.node, hash.hex())
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let read = || {
            let rest = line.strip_prefix("# wattle audit log v1, node ")?;
            let (node, rest) = rest.split_once(", after entry ")?;
            let (number, hash) = rest.split_once(' ')?;
            let after =
                Head { number: number.parse().ok()?, hash: format!("sha256:{hash}").parse().ok()? };
            Some(Self { node: node.parse().ok()?, after })
        };
        read().ok_or_else(|| {
            "it does not begin as an audit log does (`# wattle audit log v1, node …`)".to_string()
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn node() -> NodeId {
        NodeId::from_bytes([3; 32])
    }

    fn refused(why: &str) -> Happening {
        Happening::Refused { peer: "p".into(), why: why.into() }
    }

    fn log(whys: &[String]) -> Vec<String> {
        let mut chain = Chain::begin(node());
        let line = |(at, why): (usize, &String)| {
            chain.append(UnixMillis(at as u64), &refused(why)).unwrap()
        };
        whys.iter().enumerate().map(line).collect()
    }

    fn check(lines: &[String]) -> Result<Head, Broken> {
        let mut chain = Chain::begin(node());
        lines.iter().try_for_each(|line| chain.follow(line).map(drop))?;
        Ok(chain.head())
    }

    #[test]
    fn a_line_can_be_checked_without_this_code() {
        let lines = log(&["a".into(), "b".into()]);
        let (first, _) = lines[0].split_once(' ').unwrap();
        let (second, json) = lines[1].split_once(' ').unwrap();
        assert_eq!(Digest::of(format!("{first} {json}").as_bytes()).hex(), second);
        assert_eq!(json, r#"{"n":2,"at":1,"what":"refused","peer":"p","why":"b"}"#);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut() {
        let lines = log(&["\u{1}".repeat(ENTRY_LIMIT)]);
        assert!(lines[0].len() < ENTRY_LIMIT);
        check(&lines).unwrap();
    }

    #[test]
    fn what_is_no_entry_is_refused_in_few_words() {
        let line = format!("aa {{\"n\":\"{}\",\"at\":1}}", "x".repeat(10_000));
        let refused = Chain::begin(node()).follow(&line).unwrap_err().to_string();
        assert!(refused.contains("no entry") && refused.len() < 400, "{} bytes", refused.len());
    }

    #[test]
    fn what_comes_after_damage_can_be_read() {
        let mut lines = log(&["a".into(), "b".into(), "c".into()]);
        lines[1] = lines[1].replace("\"b\"", "\"x\"");
        let mut chain = Chain::begin(node());
        chain.follow(&lines[0]).unwrap();
        assert_eq!(chain.follow(&lines[1]), Err(Broken::Changed { number: 2 }));
        assert_eq!(chain.skip(&lines[1]), 2);
        chain.follow(&lines[2]).unwrap();
    }

    #[test]
    fn a_header_survives_its_text() {
        let header = Header { node: node(), after: Chain::begin(node()).head() };
        assert_eq!(header.to_string().parse(), Ok(header));
        assert!("".parse::<Header>().is_err());
    }

    proptest! {
        #[test]
        fn any_change_of_a_log_shows(
            whys in prop::collection::vec(".{0,20}", 2..12),
            change in 0..5_usize,
            at in any::<prop::sample::Index>(),
            to in any::<prop::sample::Index>(),
            byte in any::<prop::sample::Index>(),
        ) {
            let good = log(&whys);
            prop_assert_eq!(check(&good).unwrap().number, good.len() as u64);
            let mut bad = good.clone();
            let (at, to) = (at.index(good.len()), to.index(good.len()));
            match change {
                // Entries taken out (but for the last, which only a witness can tell), doubled,
                // swapped, replaced, and one bit changed.
                0 => { bad.remove(at.min(good.len() - 2)); }
                1 => bad.insert(to, good[at].clone()),
                2 => bad.swap(at, to),
                3 => bad[at] = log(&["other".into()]).remove(0),
                _ => {
                    let mut bytes = bad[at].clone().into_bytes();
                    let byte = byte.index(bytes.len());
                    bytes[byte] ^= 1;
                    bad[at] = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
            if bad != good {
                prop_assert!(check(&bad).is_err());
            }
        }

        #[test]
        fn no_line_makes_following_panic(line in ".*") {
            let mut chain = Chain::begin(node());
            let _ = chain.follow(&line);
            let _ = chain.skip(&line);
            let _ = line.parse::<Header>();
        }
    }
}
