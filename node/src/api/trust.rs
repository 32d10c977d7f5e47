//! What the API says of who belongs and who may change what. Records and what is needed to sign
//! them travel in the wire's own form, in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wattle_contracts::id::{AuthorityKey, MeshId, NodeId};
use wattle_contracts::wire::{self, WireError};

/// The header by which a client says that it signs what it asks for itself.
pub(crate) const DRAFT: &str = "wattle-draft";

/// Something in the form of the wire.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Wired(String);

impl Wired {
    pub(crate) fn of(value: &impl Serialize) -> Result<Self, WireError> {
        Ok(Self(STANDARD.encode(wire::encode(value)?)))
    }

    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        let bytes = STANDARD.decode(&self.0).map_err(|error| format!("not base64: {error}"))?;
        wire::decode(&bytes).map_err(|error| error.to_string())
    }
}

/// The answer to a request whose client signs itself: what is to be signed, and what is to be said
/// when it was.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DraftsReply {
    pub(crate) drafts: Vec<Wired>,
    pub(crate) reply: serde_json::Value,
}

/// A signed record.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordRequest {
    pub(crate) record: Wired,
}

/// What was taken.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RecordReply {
    pub(crate) key: String,
}

/// Where the next record of a key stands.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StampReply {
    pub(crate) mesh: MeshId,
    pub(crate) stamp: Wired,
}

/// What stays when a key is revoked, or when operators come: a list of prints.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PrintsReply {
    pub(crate) prints: Wired,
}

/// Who may change what.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OperatorsReply {
    /// The key that the mesh's authority has now.
    pub(crate) authority: AuthorityKey,
    /// Those that it had before.
    pub(crate) former_authorities: Vec<FormerAuthority>,
    /// Whether only operators declare.
    pub(crate) only_operators: bool,
    pub(crate) operators: Vec<OperatorInfo>,
    /// The nodes that may renew papers.
    pub(crate) renewers: Vec<RenewerInfo>,
    /// What was revoked, and why.
    pub(crate) revoked: Vec<RevokedInfo>,
}

/// A key that the authority had before.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FormerAuthority {
    pub(crate) key: AuthorityKey,
    /// Until when papers that it signed are taken, in milliseconds since 1970.
    pub(crate) until: u64,
}

/// One operator.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OperatorInfo {
    pub(crate) key: String,
    pub(crate) name: String,
    /// `admin`, `operator` or `viewer`.
    pub(crate) role: String,
    /// Of which apps; every one for an admin, none for a viewer.
    pub(crate) apps: Vec<String>,
    pub(crate) revoked: bool,
}

/// One node that may renew papers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RenewerInfo {
    pub(crate) node: NodeId,
    /// How long a paper is valid that it renews, in seconds.
    pub(crate) papers_secs: u64,
    /// Until when it may, in milliseconds since 1970.
    pub(crate) until: u64,
    pub(crate) revoked: bool,
}

/// Something that was revoked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RevokedInfo {
    pub(crate) key: String,
    pub(crate) reason: String,
}

/// The papers of all nodes of the mesh, in their text form.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PapersReply {
    pub(crate) papers: Vec<String>,
}

/// A paper for a node of the mesh, in its text form.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PaperRequest {
    pub(crate) paper: String,
}
