//! A mesh whose authority has another key: the old key and the new one sign together that the one
//! takes over from the other. The mesh keeps its name, which is the first key.
//!
//! Whatever a later key signs carries the chain that leads to it, so that whoever is shown it can
//! check it without having heard of the change.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::{UnixMillis, kept_digest};
use crate::id::{AuthorityKey, Digest, MeshId};
use crate::key::{Purpose, Signature, SigningKey};
use crate::record::Print;
use crate::wire::{self, WireError};

/// What a handover states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandoverBody {
    /// The key that was the authority's.
    pub former: AuthorityKey,
    /// The key that is the authority's from now on.
    pub successor: AuthorityKey,
    /// When it was made.
    pub issued: UnixMillis,
    /// Until when papers, invitations and rights to renew are taken that the old key signed.
    pub until: UnixMillis,
    /// Of which list: the records by the old key that stay ([`kept_digest`]).
    pub kept: Digest,
}

/// That the authority of a mesh has another key. It proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// What it states.
    pub body: HandoverBody,
    by_former: Signature,
    by_successor: Signature,
}

/// Why a key is not that of a mesh's authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandoverError {
    /// One of the two did not sign it, or not for this mesh.
    #[error("{0} did not sign, for this mesh, that {1} takes over from {2}")]
    BadSignature(AuthorityKey, AuthorityKey, AuthorityKey),
    /// A handover does not begin where the one before ended.
    #[error("{named} takes over from {former}, which is not the authority's key at that point")]
    Broken {
        /// The key that is said to be the old one.
        former: AuthorityKey,
        /// The new one.
        named: AuthorityKey,
    },
    /// There are too many.
    #[error("the key of a mesh's authority changes at most {max} times", max = Handovers::MAX)]
    TooMany,
    /// The key is not the one to which they lead.
    #[error("this is not the key {0} to which the mesh's authority was handed over")]
    OtherKey(AuthorityKey),
    /// It can't be written down or read.
    #[error("the handovers of the mesh's key can't be read: {0}")]
    Malformed(String),
}

impl From<WireError> for HandoverError {
    fn from(error: WireError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Handover {
    fn verify(&self, mesh: MeshId) -> Result<(), HandoverError> {
        let HandoverBody { former, successor, .. } = self.body;
        let bytes = signed_bytes(mesh, &self.body)?;
        for (who, signature) in [(former, &self.by_former), (successor, &self.by_successor)] {
            if !signature.verifies(who.as_bytes(), Purpose::Handover, &bytes) {
                return Err(HandoverError::BadSignature(who, successor, former));
            }
        }
        Ok(())
    }
}

/// How the authority of a mesh came to a key: each handover after the one before. Nearly always
/// none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handovers(Vec<Handover>);

impl Handovers {
    /// None.
    pub const NONE: &'static Self = &Self(Vec::new());

    /// How often the key may change. Each change makes every paper and invitation longer.
    pub const MAX: usize = 8;

    /// The key to which they lead, once each is checked.
    pub fn authority(&self, mesh: MeshId) -> Result<AuthorityKey, HandoverError> {
        if self.0.len() > Self::MAX {
            return Err(HandoverError::TooMany);
        }
        let mut known = BTreeSet::from([first(mesh)]);
        let mut at = first(mesh);
        for handover in &self.0 {
            let HandoverBody { former, successor: named, .. } = handover.body;
            if former != at || !known.insert(named) {
                return Err(HandoverError::Broken { former, named });
            }
            handover.verify(mesh)?;
            at = named;
        }
        Ok(at)
    }

    /// The key to which they lead, if they are what they say to be.
    pub fn leads_to(&self, mesh: MeshId) -> AuthorityKey {
        self.0.last().map_or(first(mesh), |last| last.body.successor)
    }

    /// Each, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Handover> {
        self.0.iter()
    }

    /// The latest.
    pub fn last(&self) -> Option<&Handover> {
        self.0.last()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the authority's key is its first one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whoever signs in the name of a mesh: the holder of its first key, or an [`Authority`].
pub trait Signs {
    /// The mesh.
    fn mesh(&self) -> MeshId;
    /// The key.
    fn key(&self) -> &SigningKey;
    /// How it came to be the authority's.
    fn handovers(&self) -> &Handovers;
}

impl Signs for SigningKey {
    fn mesh(&self) -> MeshId {
        MeshId::from_bytes(self.public())
    }

    fn key(&self) -> &SigningKey {
        self
    }

    fn handovers(&self) -> &Handovers {
        Handovers::NONE
    }
}

/// The authority of a mesh, by whichever key it has now.
pub struct Authority {
    mesh: MeshId,
    key: SigningKey,
    handovers: Handovers,
}

impl Signs for Authority {
    fn mesh(&self) -> MeshId {
        self.mesh
    }

    fn key(&self) -> &SigningKey {
        &self.key
    }

    fn handovers(&self) -> &Handovers {
        &self.handovers
    }
}

impl Authority {
    const PREFIX: &'static str = "wattle-handovers:";

    /// The authority of the mesh that has its first key.
    pub fn first(key: SigningKey) -> Self {
        Self { mesh: MeshId::from_bytes(key.public()), key, handovers: Handovers::default() }
    }

    /// The same authority with another key. Papers, invitations and rights to renew by the old key
    /// are taken until `until`; of its records, `kept` stay.
    pub fn hand_over(
        &self,
        successor: SigningKey,
        issued: UnixMillis,
        until: UnixMillis,
        kept: &BTreeSet<Print>,
    ) -> Result<Self, HandoverError> {
        let body = HandoverBody {
            former: AuthorityKey::from_bytes(self.key.public()),
            successor: AuthorityKey::from_bytes(successor.public()),
            issued,
            until,
            kept: kept_digest(kept)?,
        };
        let bytes = signed_bytes(self.mesh, &body)?;
        let [by_former, by_successor] =
            [&self.key, &successor].map(|key| key.sign(Purpose::Handover, &bytes));
        let mut handovers = self.handovers.clone();
        handovers.0.push(Handover { body, by_former, by_successor });
        handovers.authority(self.mesh)?;
        Ok(Self { mesh: self.mesh, key: successor, handovers })
    }

    /// The text that is kept in a file: the key, and below it how it came to be the authority's.
    pub fn to_text(&self) -> Result<String, HandoverError> {
        let key = self.key.to_text();
        if self.handovers.is_empty() {
            return Ok(key);
        }
        let bytes = wire::encode(&(self.mesh, &self.handovers))?;
        let prefix = Self::PREFIX;
        Ok(format!("{key}{prefix}{}\n", bs58::encode(bytes).with_check().into_string()))
    }

    /// Reads what [`Authority::to_text`] wrote beside `key`.
    pub fn from_text(key: SigningKey, text: &str) -> Result<Self, HandoverError> {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(Self::PREFIX));
        let Some(line) = line else { return Ok(Self::first(key)) };
        let malformed = |why: String| HandoverError::Malformed(why);
        let bytes = bs58::decode(line).with_check(None).into_vec();
        let bytes = bytes.map_err(|error| malformed(format!("bad base58: {error}")))?;
        let (mesh, handovers): (MeshId, Handovers) = wire::decode(&bytes)?;
        let leads_to = handovers.authority(mesh)?;
        match leads_to.as_bytes() == &key.public() {
            true => Ok(Self { mesh, key, handovers }),
            false => Err(HandoverError::OtherKey(leads_to)),
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mesh, handovers, .. } = self;
        let mut shown = f.debug_struct("Authority");
        shown.field("mesh", mesh).field("handovers", &handovers.len()).finish_non_exhaustive()
    }
}

/// The key that names the mesh.
fn first(mesh: MeshId) -> AuthorityKey {
    AuthorityKey::from_bytes(*mesh.as_bytes())
}

fn signed_bytes(mesh: MeshId, body: &HandoverBody) -> Result<Vec<u8>, WireError> {
    wire::encode(&(mesh, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed([number; 32]).unwrap()
    }

    fn public(number: u8) -> AuthorityKey {
        AuthorityKey::from_bytes(key(number).public())
    }

    fn handed(numbers: &[u8]) -> Authority {
        let first = Authority::first(key(numbers[0]));
        numbers[1..].iter().fold(first, |authority, number| {
            authority.hand_over(key(*number), NOW, NOW, &BTreeSet::new()).unwrap()
        })
    }

    #[test]
    fn a_chain_leads_from_the_mesh_to_its_present_key() {
        let authority = handed(&[1, 2, 3]);
        let mesh = MeshId::from_bytes(key(1).public());
        assert_eq!(authority.mesh(), mesh);
        assert_eq!(authority.handovers().authority(mesh), Ok(public(3)));
        assert_eq!(Handovers::NONE.authority(mesh), Ok(public(1)));
        let other = MeshId::from_bytes(key(2).public());
        assert!(authority.handovers().authority(other).is_err());
    }

    #[test]
    fn a_chain_that_was_changed_is_refused() {
        let mesh = MeshId::from_bytes(key(1).public());
        let good = handed(&[1, 2, 3]).handovers;
        for change in [
            |all: &mut Vec<Handover>| all.reverse(),
            |all: &mut Vec<Handover>| {
                all.remove(0);
            },
            |all: &mut Vec<Handover>| all[1].by_former = all[1].by_successor,
            |all: &mut Vec<Handover>| all[1].by_successor = all[1].by_former,
            |all: &mut Vec<Handover>| all[0].body.until = UnixMillis(u64::MAX),
            |all: &mut Vec<Handover>| all[0].body.kept = Digest::of(b"more"),
            |all: &mut Vec<Handover>| all[1].body.successor = public(9),
            |all: &mut Vec<Handover>| {
                *all = std::iter::repeat_n(all.clone(), 5).flatten().collect()
            },
        ] {
            let mut forged = good.clone();
            change(&mut forged.0);
            assert!(forged.authority(mesh).is_err(), "{forged:?}");
        }
        // Nor does it lead in circles.
        let back = handed(&[1, 2]).hand_over(key(1), NOW, NOW, &BTreeSet::new());
        assert!(matches!(back, Err(HandoverError::Broken { .. })), "{back:?}");
        let itself = handed(&[1]).hand_over(key(1), NOW, NOW, &BTreeSet::new());
        assert!(itself.is_err());
    }

    #[test]
    fn its_key_changes_so_often() {
        let numbers: Vec<u8> = (1..=9).collect();
        let last = handed(&numbers);
        let one_more = last.hand_over(key(10), NOW, NOW, &BTreeSet::new());
        assert!(matches!(one_more, Err(HandoverError::TooMany)), "{one_more:?}");
    }

    #[test]
    fn a_file_holds_the_key_and_how_it_came() {
        for numbers in [&[1][..], &[1, 2], &[1, 2, 3]] {
            let authority = handed(numbers);
            let text = authority.to_text().unwrap();
            let key = SigningKey::from_text(&text).unwrap();
            let read = Authority::from_text(key, &text).unwrap();
            assert_eq!(read.mesh(), authority.mesh());
            assert_eq!(read.handovers(), authority.handovers());
            assert_eq!(read.key().public(), authority.key().public());
            assert!(!format!("{read:?}").contains("seed"));
        }
        let text = handed(&[1, 2]).to_text().unwrap();
        let other = Authority::from_text(key(3), &text);
        assert!(matches!(other, Err(HandoverError::OtherKey(_))), "{other:?}");
        let cut: String = text.chars().take(text.len() - 5).collect();
        assert!(Authority::from_text(key(2), &cut).is_err());
    }
}
