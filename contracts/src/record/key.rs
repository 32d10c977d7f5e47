//! What records are about.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ConfigKey, LinkKey, Revoked};
use crate::id::{AppName, AuthorityKey, CellName, NodeId, OperatorKey, PublisherKey};

/// What a record is about. One key has one current record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RecordKey {
    /// An app.
    App(AppName),
    /// Where one import goes, whatever its app says.
    Link(Box<LinkKey>),
    /// One configuration value, whatever its app says.
    Config(ConfigKey),
    /// Who is in a cell.
    Cell(CellName),
    /// One secret of a component.
    Secret(ConfigKey),
    /// Whether a publisher's components may run.
    Publisher(PublisherKey),
    /// That a node belongs to the mesh.
    Admitted(NodeId),
    /// That somebody may declare some apps.
    Operator(OperatorKey),
    /// That somebody may declare everything.
    Admin(OperatorKey),
    /// That only operators declare.
    Charter,
    /// That a key is worth nothing any more.
    Revocation(Revoked),
    /// That a node may renew papers.
    Renewer(NodeId),
    /// The paper that a node was given in the place of the one with which it came.
    Renewed(NodeId),
    /// That a node goes on with a new key; about the old one.
    Succession(NodeId),
    /// That the mesh's authority has a new key; about the old one.
    Handover(AuthorityKey),
}

impl RecordKey {
    /// Whether what it says can't be deleted: it is taken back by a revocation, and that never.
    pub fn is_for_good(&self) -> bool {
        matches!(
            self,
            Self::Admitted(_)
                | Self::Operator(_)
                | Self::Admin(_)
                | Self::Charter
                | Self::Revocation(_)
                | Self::Renewer(_)
                | Self::Renewed(_)
                | Self::Succession(_)
                | Self::Handover(_)
        )
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordKey::App(name) => write!(f, "app/{name}"),
            RecordKey::Link(key) => write!(f, "link/{key}"),
            RecordKey::Config(key) => write!(f, "config/{key}"),
            RecordKey::Cell(cell) => write!(f, "cell/{cell}"),
            RecordKey::Secret(key) => write!(f, "secret/{key}"),
            RecordKey::Publisher(key) => write!(f, "publisher/{key}"),
            RecordKey::Admitted(node) => write!(f, "admitted/{node}"),
            RecordKey::Operator(key) => write!(f, "operator/{key}"),
            RecordKey::Admin(key) => write!(f, "admin/{key}"),
            RecordKey::Charter => f.write_str("charter/operators"),
            RecordKey::Revocation(revoked) => write!(f, "revocation/{revoked}"),
            RecordKey::Renewer(node) => write!(f, "renewer/{node}"),
            RecordKey::Renewed(node) => write!(f, "renewed/{node}"),
            RecordKey::Succession(node) => write!(f, "succession/{node}"),
            RecordKey::Handover(key) => write!(f, "handover/{key}"),
        }
    }
}

/// Why a text is not the key of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the key of a record: {why}")]
pub struct RecordKeyError {
    text: String,
    why: String,
}

impl FromStr for RecordKey {
    type Err = RecordKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // As in `IdError`: an error goes to a terminal or a log.
        let error = |why: String| RecordKeyError { text: text.chars().take(80).collect(), why };
        let key = match text.split_once('/') {
            Some(("app", name)) => name.parse().map(Self::App),
            Some(("link", key)) => key.parse().map(|key| Self::Link(Box::new(key))),
            Some(("config", key)) => key.parse().map(Self::Config),
            Some(("cell", cell)) => cell.parse().map(Self::Cell),
            Some(("secret", key)) => key.parse().map(Self::Secret),
            Some(("publisher", key)) => key.parse().map(Self::Publisher),
            Some(("admitted", node)) => node.parse().map(Self::Admitted),
            Some(("operator", key)) => key.parse().map(Self::Operator),
            Some(("admin", key)) => key.parse().map(Self::Admin),
            Some(("charter", "operators")) => Ok(Self::Charter),
            Some(("revocation", revoked)) => revoked.parse().map(Self::Revocation),
            Some(("renewer", node)) => node.parse().map(Self::Renewer),
            Some(("renewed", node)) => node.parse().map(Self::Renewed),
            Some(("succession", node)) => node.parse().map(Self::Succession),
            Some(("handover", key)) => key.parse().map(Self::Handover),
            _ => {
                let kinds = "app/, link/, config/, secret/, publisher/, cell/, admitted/, operator/, \
                     admin/, revocation/, renewer/, renewed/, succession/ or handover/";
                return Err(error(format!("a key starts with {kinds}")));
            }
        };
        key.map_err(|why| error(why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_form_and_other_text_is_refused() {
        for key in [
            RecordKey::App("shop".parse().unwrap()),
            RecordKey::Config("shop/basket/currency".parse().unwrap()),
            RecordKey::Cell("north".parse().unwrap()),
            RecordKey::Secret("shop/basket/token".parse().unwrap()),
            RecordKey::Publisher(PublisherKey::from_bytes([7; 32])),
            RecordKey::Admitted(NodeId::from_bytes([1; 32])),
            RecordKey::Operator(OperatorKey::from_bytes([1; 32])),
            RecordKey::Admin(OperatorKey::from_bytes([1; 32])),
            RecordKey::Charter,
            RecordKey::Renewer(NodeId::from_bytes([1; 32])),
            RecordKey::Renewed(NodeId::from_bytes([1; 32])),
            RecordKey::Succession(NodeId::from_bytes([1; 32])),
            RecordKey::Handover(AuthorityKey::from_bytes([1; 32])),
            RecordKey::Revocation(Revoked::Operator(OperatorKey::from_bytes([1; 32]))),
        ] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        for text in ["", "shop", "app/", "app/A B", "link/x", "config/x", "other/x"] {
            let error = text.parse::<RecordKey>().unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
        let error = "x".repeat(100_000).parse::<RecordKey>().unwrap_err();
        assert!(error.to_string().len() < 400, "{} bytes", error.to_string().len());
    }
}
