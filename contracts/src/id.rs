//! Names of things: nodes, meshes, publishers, artifacts, contracts, apps and what is in them.
//!
//! Each is parsed once, where it comes in, and is right from then on.

mod config;
mod contract;
mod hash;
mod name;
mod subject;

pub use config::ConfigName;
pub use contract::ContractId;
pub use hash::{AuthorityKey, Digest, InviteKey, MeshId, NodeId, OperatorKey, PublisherKey};
pub use name::{AppName, CellName, ComponentId, LinkName, LocalName};
pub use subject::{Subject, SubjectPattern};

/// Why a text is not the identifier it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}: {why}")]
pub struct IdError {
    text: String,
    expected: &'static str,
    why: String,
}

impl IdError {
    pub(crate) fn new(text: &str, expected: &'static str, why: impl Into<String>) -> Self {
        // An error goes to a terminal or a log: a megabyte of bad input must not.
        let text = text.chars().take(80).collect();
        Self { text, expected, why: why.into() }
    }
}

/// Text in readable formats (JSON, TOML), through `Display` and `FromStr`.
macro_rules! serde_as_text {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <String as serde::Deserialize>::deserialize(deserializer)?
                    .parse()
                    .map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

/// Shows a type that wraps its text as that text, quoted in `Debug`; serde writes and reads it so.
macro_rules! shown_as_text {
    ($type:ty) => {
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        $crate::id::serde_as_text!($type);
    };
}
pub(crate) use shown_as_text;
