//! The replicated records: what people declare. Each is signed by its writer and carries a
//! version, so that any node can check it and any two nodes agree which of two is newer.

mod ancestry;
mod app;
mod config;
mod grant;
mod handed;
mod key;
mod link;
mod operator;
mod publisher;
mod revocation;
mod secret;
mod stamp;
mod succeeded;
mod summary;

pub use ancestry::Ancestry;
pub use app::{
    App, ComponentSpec, HttpRoute, ImportSpec, Labels, LimitSpec, LinkSpec, ProviderKind,
    ProviderSpec, SubscriptionSpec,
};
pub use config::{Config, ConfigKey};
pub use grant::{Asked, Grant, Missing, Rule, host_matches, plain};
pub use handed::Handed;
pub use key::{RecordKey, RecordKeyError};
pub use link::{Link, LinkKey, LinkOptions};
pub use operator::{Admin, Admitted, Charter, Operator};
pub use publisher::{Publisher, PublisherRule, SignedComponent};
pub use revocation::{Print, Revocation, Revoked};
pub use secret::{SealedKey, Secret};
pub use stamp::Stamp;
pub use succeeded::Succeeded;
pub use summary::{CellMember, Declaration, Summary};

use serde::{Deserialize, Serialize};

use crate::id::{Digest, NodeId};
use crate::key::{Purpose, Signature, SigningKey};
use crate::trust::{Delegation, Paper};
use crate::wire::{self, WireError};

/// A hybrid logical clock reading (Kulkarni et al., "Logical Physical Clocks", 2014): close to
/// the wall clock, and always after everything its writer had seen.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Hlc {
    /// Milliseconds since the Unix epoch.
    pub millis: u64,
    /// Orders readings within one millisecond.
    pub counter: u32,
}

/// Which of two records of one key is newer: the later clock, and for equal clocks the higher
/// writer id. Total, so every node decides alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// When, by the writer's clock.
    pub at: Hlc,
    /// Who.
    pub writer: NodeId,
}

impl Version {
    /// Not after any other.
    pub const LEAST: Self =
        Self { at: Hlc { millis: 0, counter: 0 }, writer: NodeId::from_bytes([0; 32]) };
    /// Not before any other.
    pub const GREATEST: Self = Self {
        at: Hlc { millis: u64::MAX, counter: u32::MAX },
        writer: NodeId::from_bytes([0xFF; 32]),
    };
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RecordBody {
    /// This app shall run.
    App(Box<App>),
    /// What the key named is gone. Kept for ever, so that no node can bring it back.
    Tombstone,
    /// This import goes there.
    Link(Box<Link>),
    /// This is the value.
    Config(Config),
    /// These nodes are in the cell.
    Cell(Summary),
    /// This is the value, for those who can open it.
    Secret(Box<Secret>),
    /// This publisher's components may run.
    Publisher(Box<Publisher>),
    /// This node belongs to the mesh by this paper.
    Admitted(Box<Admitted>),
    /// This key may declare some apps.
    Operator(Operator),
    /// This key may declare everything.
    Admin(Admin),
    /// Only operators declare.
    Charter(Charter),
    /// This key is worth nothing any more.
    Revocation(Revocation),
    /// This node may renew papers.
    Renewer(Box<Delegation>),
    /// This is the node's paper now.
    Renewed(Box<Paper>),
    /// The node has this key now.
    Succession(Box<Succeeded>),
    /// The mesh's authority has this key now.
    Handover(Box<Handed>),
}

/// A signed, versioned statement about one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is about.
    pub key: RecordKey,
    /// When and by whom it was written.
    pub version: Version,
    /// What its writer knew of the key.
    pub ancestry: Ancestry,
    /// What it says.
    pub body: RecordBody,
    signature: Signature,
}

/// Why a record is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Its writer did not sign it.
    #[error("the record of {0} is not signed by the writer that it names")]
    BadSignature(RecordKey),
    /// Its key and its body do not belong together.
    #[error("the record of {0} speaks of something else")]
    Mismatched(RecordKey),
    /// It says of its own past what can't be.
    #[error("the record of {key} {why}")]
    Inconsistent {
        /// What it is about.
        key: RecordKey,
        /// What can't be.
        why: &'static str,
    },
    /// What it says is out of bounds.
    #[error("the record of {key}: {why}")]
    OutOfBounds {
        /// What it is about.
        key: RecordKey,
        /// Which bound, for a person.
        why: String,
    },
    /// It is larger than any record may be.
    #[error("the record of {key} has {size} bytes, where at most {limit} are allowed")]
    TooLarge {
        /// What it is about.
        key: RecordKey,
        /// Its size, in bytes.
        size: usize,
        /// The largest allowed, in bytes.
        limit: usize,
    },
    /// It can't be written down.
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl Record {
    /// The largest record, in bytes as it travels.
    pub const MAX_SIZE: usize = 256 * 1024;

    /// Signs the first record of a key; its writer is the node whose key this is.
    pub fn sign(
        key: &SigningKey,
        about: RecordKey,
        at: Hlc,
        body: RecordBody,
    ) -> Result<Self, RecordError> {
        Self::sign_after(key, about, at, None, body)
    }

    /// Signs a record that takes the place of `previous`, which its writer knew.
    pub fn sign_after(
        key: &SigningKey,
        about: RecordKey,
        at: Hlc,
        previous: Option<&Record>,
        body: RecordBody,
    ) -> Result<Self, RecordError> {
        let previous = previous.map(|record| (record.version, &record.ancestry));
        Self::sign_knowing(key, about, at, previous, body)
    }

    /// The same, by whoever knows only the version and the ancestry of the record before.
    fn sign_knowing(
        key: &SigningKey,
        about: RecordKey,
        at: Hlc,
        previous: Option<(Version, &Ancestry)>,
        body: RecordBody,
    ) -> Result<Self, RecordError> {
        let version = Version { at, writer: NodeId::from_bytes(key.public()) };
        let ancestry = Ancestry::after(previous, version);
        let bytes = signed_bytes(&about, &version, &ancestry, &body)?;
        let signature = key.sign(Purpose::Record, &bytes);
        let record = Self { key: about, version, ancestry, body, signature };
        record.check_shape(bytes.len())?;
        Ok(record)
    }

    /// Checks that its writer signed it, that it is what it says to be, and its size.
    pub fn verify(&self) -> Result<(), RecordError> {
        let bytes = self.signed_bytes()?;
        self.check_shape(bytes.len())?;
        match self.signature.verifies(self.version.writer.as_bytes(), Purpose::Record, &bytes) {
            true => Ok(()),
            false => Err(RecordError::BadSignature(self.key.clone())),
        }
    }

    fn check_shape(&self, size: usize) -> Result<(), RecordError> {
        let in_bounds = match (&self.key, &self.body) {
            (RecordKey::App(name), RecordBody::App(app)) if *name == app.name => Ok(()),
            (RecordKey::Link(_), RecordBody::Link(link)) => link.options.check(),
            (RecordKey::Config(_), RecordBody::Config(config)) => Config::check(&config.value),
            (RecordKey::Secret(_), RecordBody::Secret(secret)) => secret.check(),
            (RecordKey::Cell(_), RecordBody::Cell(summary)) => summary.check(self.version.writer),
            (RecordKey::Publisher(_), RecordBody::Publisher(publisher)) => publisher.check(),
            (RecordKey::Admitted(node), RecordBody::Admitted(admitted))
                if admitted.is_of(*node) =>
            {
                Ok(())
            }
            (RecordKey::Admin(_), RecordBody::Admin(admin)) => admin.check(),
            (RecordKey::Operator(_), RecordBody::Operator(operator)) => operator.check(),
            (RecordKey::Charter, RecordBody::Charter(_)) => Ok(()),
            (RecordKey::Renewer(node), RecordBody::Renewer(delegation))
                if delegation.body.renewer == *node =>
            {
                Ok(())
            }
            (RecordKey::Renewed(node), RecordBody::Renewed(paper)) if paper.node() == *node => {
                Ok(())
            }
            (RecordKey::Succession(node), RecordBody::Succession(succeeded))
                if succeeded.is_of(*node, self.version.writer) =>
            {
                succeeded.check()
            }
            (RecordKey::Handover(former), RecordBody::Handover(handed))
                if handed.is_of(*former, self.version.writer) =>
            {
                handed.check()
            }
            (RecordKey::Revocation(_), RecordBody::Revocation(revocation)) => revocation.check(),
            (key, RecordBody::Tombstone) if key.is_for_good() => {
                Err("it is for good, and can't be deleted".into())
            }
            (_, RecordBody::Tombstone) => Ok(()),
            _ => return Err(RecordError::Mismatched(self.key.clone())),
        };
        if let Err(why) = in_bounds {
            return Err(RecordError::OutOfBounds { key: self.key.clone(), why });
        }
        if let Err(why) = self.ancestry.check(self.version) {
            return Err(RecordError::Inconsistent { key: self.key.clone(), why });
        }
        if size > Self::MAX_SIZE {
            let (key, limit) = (self.key.clone(), Self::MAX_SIZE);
            return Err(RecordError::TooLarge { key, size, limit });
        }
        Ok(())
    }

    /// Whether its writer had seen `other`, a record of the same key, or a later one of the same
    /// writer. Two records of which neither knew the other are concurrent.
    pub fn knew(&self, other: Version) -> bool {
        self.version == other || self.ancestry.covers(self.version, other)
    }

    /// A hash of all that its writer signed: equal on two nodes exactly when they hold the same
    /// record.
    pub fn digest(&self) -> Result<Digest, WireError> {
        Ok(Digest::of(&self.signed_bytes()?))
    }

    fn signed_bytes(&self) -> Result<Vec<u8>, WireError> {
        signed_bytes(&self.key, &self.version, &self.ancestry, &self.body)
    }

    /// Whether it is what nodes say of nodes, and nobody's edit: what of it loses is not kept.
    pub fn is_hearsay(&self) -> bool {
        use RecordBody::{Admitted, Cell, Renewed};
        matches!(self.body, Cell(_) | Admitted(_) | Renewed(_))
    }

    /// Whether it only says that its key is gone.
    pub fn is_tombstone(&self) -> bool {
        matches!(self.body, RecordBody::Tombstone)
    }
}

fn signed_bytes(
    key: &RecordKey,
    version: &Version,
    ancestry: &Ancestry,
    body: &RecordBody,
) -> Result<Vec<u8>, WireError> {
    wire::encode(&(key, version, ancestry, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed([6; 32]).unwrap()
    }

    fn about() -> RecordKey {
        RecordKey::App("counter".parse().unwrap())
    }

    const AT: Hlc = Hlc { millis: 5, counter: 0 };

    #[test]
    fn a_changed_record_is_refused() {
        let record = Record::sign(&key(), about(), AT, RecordBody::Tombstone).unwrap();
        record.verify().unwrap();
        let mut later = record.clone();
        later.version.at.millis += 1;
        assert!(matches!(later.verify(), Err(RecordError::BadSignature(_))));
        let mut stolen = record;
        stolen.version.writer = NodeId::from_bytes([1; 32]);
        assert!(stolen.verify().is_err());
    }

    #[test]
    fn a_record_survives_the_wire() {
        let record = Record::sign(&key(), about(), AT, RecordBody::Tombstone).unwrap();
        let read: Record = wire::decode(&wire::encode(&record).unwrap()).unwrap();
        assert_eq!(read, record);
        read.verify().unwrap();
    }

    #[test]
    fn an_app_can_not_hide_under_another_key() {
        let app = App::new("other".parse().unwrap());
        let made = Record::sign(&key(), about(), AT, RecordBody::App(Box::new(app)));
        assert!(matches!(made, Err(RecordError::Mismatched(_))));
    }

    #[test]
    fn a_link_and_a_value_are_records_and_are_checked_as_such() {
        let link_key = "shop/basket/example:shop/pricing/canary".parse().unwrap();
        let link_key = RecordKey::Link(Box::new(link_key));
        let config_key = RecordKey::Config("shop/basket/currency".parse().unwrap());
        assert_eq!(link_key.to_string(), "link/shop/basket/example:shop/pricing/canary");
        assert_eq!(config_key.to_string(), "config/shop/basket/currency");
        let link = |weight| {
            let options = LinkOptions { weight, ..LinkOptions::default() };
            RecordBody::Link(Box::new(Link { to: "shop/pricing".parse().unwrap(), options }))
        };
        let config = |length| RecordBody::Config(Config { value: "x".repeat(length) });
        for (about, body) in [(&link_key, link(5)), (&config_key, config(10))] {
            let record = Record::sign(&key(), about.clone(), AT, body).unwrap();
            let read: Record = wire::decode(&wire::encode(&record).unwrap()).unwrap();
            assert_eq!(read, record);
            read.verify().unwrap();
            Record::sign(&key(), about.clone(), AT, RecordBody::Tombstone).unwrap();
        }
        for (about, body) in [(&link_key, config(1)), (&config_key, link(1)), (&about(), link(1))] {
            let made = Record::sign(&key(), about.clone(), AT, body);
            assert!(matches!(made, Err(RecordError::Mismatched(_))), "{made:?}");
        }
        for (about, body) in [(&link_key, link(u32::MAX)), (&config_key, config(70_000))] {
            let made = Record::sign(&key(), about.clone(), AT, body);
            assert!(matches!(made, Err(RecordError::OutOfBounds { .. })), "{made:?}");
        }
    }

    #[test]
    fn versions_are_ordered_by_clock_then_writer() {
        let version = |millis, counter, writer| Version {
            at: Hlc { millis, counter },
            writer: NodeId::from_bytes([writer; 32]),
        };
        let mut sorted = [version(2, 0, 1), version(1, 9, 9), version(2, 0, 2), version(2, 1, 0)];
        sorted.sort();
        let expected = [version(1, 9, 9), version(2, 0, 1), version(2, 0, 2), version(2, 1, 0)];
        assert_eq!(sorted, expected);
    }
}
