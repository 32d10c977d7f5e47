//! Calls of people, as the API says them.

use serde::{Deserialize, Serialize};
use wattle_contracts::id::{ComponentId, MeshId, NodeId};

use super::trust::Wired;
use crate::daemon::SignedCall;

/// A call by a person.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallRequest {
    pub(crate) target: ComponentId,
    /// `name` or `contract#name`.
    pub(crate) function: String,
    /// WAVE text, separated by commas.
    pub(crate) arguments: String,
    pub(crate) timeout_millis: u64,
    /// By whom, where it goes to another node of a mesh with operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signed: Option<SignedCallRequest>,
}

/// A person's signature of a call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SignedCallRequest {
    /// The node that it is for.
    pub(crate) to: NodeId,
    pub(crate) proof: Wired,
}

impl SignedCallRequest {
    /// What the person has signed.
    pub(super) fn read(self) -> Result<SignedCall, String> {
        Ok(SignedCall { to: self.to, proof: self.proof.read()? })
    }
}

/// Whether a call is to be signed, so that it can be made now.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallWayReply {
    pub(crate) sign: Option<CallWay>,
}

/// For whom.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallWay {
    pub(crate) mesh: MeshId,
    pub(crate) to: NodeId,
}

/// The result of a call.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallReply {
    /// WAVE text.
    pub(crate) result: String,
}
