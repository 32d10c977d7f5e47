//! What is taken back for good.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Record;
use crate::id::{Digest, IdError, InviteKey, NodeId, OperatorKey, PublisherKey};
use crate::trust::{Paper, PaperError};
use crate::wire::WireError;

/// Who or what is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Revoked {
    /// A node.
    Node(NodeId),
    /// An invitation: nobody new comes by it.
    Invitation(InviteKey),
    /// A publisher.
    Publisher(PublisherKey),
    /// An operator of some apps.
    Operator(OperatorKey),
    /// An admin; only the authority revokes one.
    Admin(OperatorKey),
    /// The right of a node to renew papers; the node stays.
    Renewer(NodeId),
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Revoked::Node(node) => node.fmt(f),
            Revoked::Invitation(key) => key.fmt(f),
            Revoked::Publisher(key) => key.fmt(f),
            Revoked::Operator(key) => key.fmt(f),
            Revoked::Admin(key) => write!(f, "admin/{key}"),
            Revoked::Renewer(node) => write!(f, "renewer/{node}"),
        }
    }
}

impl FromStr for Revoked {
    type Err = IdError;

    /// Each kind is told by its prefix; what has none is a node's id.
    fn from_str(text: &str) -> Result<Self, IdError> {
        if let Some(key) = text.strip_prefix("admin/") {
            return key.parse().map(Self::Admin);
        }
        if let Some(node) = text.strip_prefix("renewer/") {
            return node.parse().map(Self::Renewer);
        }
        match text.split_once(':') {
            Some(("invite", _)) => text.parse().map(Self::Invitation),
            Some(("publisher", _)) => text.parse().map(Self::Publisher),
            Some(("operator", _)) => text.parse().map(Self::Operator),
            _ => text.parse().map(Self::Node),
        }
    }
}

/// The first half of a SHA-256: names one record, one member or one renewal in a list of those that
/// stay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Print(pub [u8; 16]);

impl Print {
    /// That of a record: of all that its writer signed.
    pub fn of_record(record: &Record) -> Result<Self, WireError> {
        record.digest().map(|digest| Self::of(&digest))
    }

    /// That of a member: a node's or an operator's public key.
    pub fn of_member(key: &[u8; 32]) -> Self {
        Self::of(&Digest::of(key))
    }

    /// That of the renewal of a paper, if it was renewed.
    pub fn of_renewal(paper: &Paper) -> Result<Option<Self>, PaperError> {
        Ok(paper.renewed_bytes()?.map(|bytes| Self::of(&Digest::of(&bytes))))
    }

    fn of(digest: &Digest) -> Self {
        Self(digest.as_bytes().first_chunk().copied().unwrap_or_default())
    }
}

impl fmt::Debug for Print {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// A key is worth nothing any more. For ever: who comes back comes with another key.
///
/// What it had signed before stays only where it is listed: a version is what its writer says, and
/// a thief writes what he likes. So a list is the only thing that can't be forged afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Revocation {
    /// Why, for people.
    pub reason: String,
    /// What stays: records that a node or an operator wrote; members that came by an invitation;
    /// papers that a renewer renewed.
    pub kept: BTreeSet<Print>,
}

impl Revocation {
    /// The longest reason, in bytes.
    pub const MAX_REASON: usize = 200;

    pub(super) fn check(&self) -> Result<(), String> {
        match self.reason.len() > Self::MAX_REASON || self.reason.chars().any(char::is_control) {
            true => Err(format!("a reason is one line of at most {} bytes", Self::MAX_REASON)),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_survives_its_text() {
        for revoked in [
            Revoked::Node(NodeId::from_bytes([1; 32])),
            Revoked::Invitation(InviteKey::from_bytes([2; 32])),
            Revoked::Publisher(PublisherKey::from_bytes([3; 32])),
            Revoked::Operator(OperatorKey::from_bytes([4; 32])),
            Revoked::Admin(OperatorKey::from_bytes([5; 32])),
            Revoked::Renewer(NodeId::from_bytes([6; 32])),
        ] {
            assert_eq!(revoked.to_string().parse(), Ok(revoked));
        }
        for text in ["", "invite:", "operator:abc", "mesh:abc"] {
            assert!(text.parse::<Revoked>().is_err(), "{text}");
        }
    }
}
