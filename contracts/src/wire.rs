//! Every message between nodes, and the one place that touches `bincode`.
//!
//! A frame is `u32` length (little-endian, of what follows), `u16` length of the head, the head
//! (bincode), and the payload as it is: a body is never copied through the codec. Who calls what
//! stands in the first call of each kind on a stream; later ones name it by a number. Upstream
//! `bincode` has stopped (RUSTSEC-2025-0141), so nothing outside this module names it, and golden
//! bytes in the tests pin the format.

mod codec;
mod frame;
mod routes;

pub use codec::{WireError, decode, encode};
pub use frame::{Frame, FrameDecoder, FrameEncoder, FrameHead, Head, MAX_FRAME, Side};

use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::id::{CellName, MeshId, NodeId};
use crate::trust::Paper;

/// The version of everything in this module. Two nodes talk only where it is equal; a change of
/// format raises it.
pub const VERSION: u16 = 5;

/// The largest admission message, in bytes: all that a stranger can make a node read.
pub const MAX_HELLO: usize = 8192;

/// The first message in both directions of a connection: shows to whoever knows the mesh that its sender knows it
/// too, and nothing to anybody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// HMAC-SHA256 (RFC 2104) under the mesh's id over both nodes' ids, which TLS has proven: so it is
    /// worth nothing to others, nor in the other direction.
    pub token: [u8; 32],
}

impl Knock {
    /// Of a node `from` of `mesh` to the node `to`.
    pub fn new(mesh: MeshId, from: NodeId, to: NodeId) -> Self {
        let mut token = [0; 32];
        let tag = hmac::sign(&Self::key(mesh), &Self::said(from, to));
        token.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        Self { version: VERSION, token }
    }

    /// Whether `from` knows that it knocks at a node of `mesh`.
    pub fn is_of(&self, mesh: MeshId, from: NodeId, to: NodeId) -> bool {
        hmac::verify(&Self::key(mesh), &Self::said(from, to), &self.token).is_ok()
    }

    fn key(mesh: MeshId) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, mesh.as_bytes())
    }

    fn said(from: NodeId, to: NodeId) -> Vec<u8> {
        [b"wattle knock v1".as_slice(), from.as_bytes(), to.as_bytes()].concat()
    }
}

/// What each shows of itself then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its paper.
    pub paper: Paper,
    /// The cell that it is in: it must be known before anything is gossiped.
    pub cell: CellName,
}

/// The answer to a [`Knock`] or a [`Hello`]: each side says it, so that both know the other's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The peer belongs to this mesh.
    Admitted,
    /// It does not; the connection is closed after this.
    Refused {
        /// For the log of the one refused. Says nothing to those who don't know the mesh.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_knock_is_good_at_one_door_from_one_node_and_tells_nothing() {
        let [a, b, c] = [1, 2, 3].map(|byte| NodeId::from_bytes([byte; 32]));
        let [mesh, other] = [8, 9].map(|byte| MeshId::from_bytes([byte; 32]));
        let knock = Knock::new(mesh, a, b);
        assert!(knock.is_of(mesh, a, b));
        for (mesh, from, to) in [(other, a, b), (mesh, b, a), (mesh, c, b), (mesh, a, c)] {
            assert!(!knock.is_of(mesh, from, to));
        }
        let bytes = encode(&knock).unwrap();
        for id in [*mesh.as_bytes(), [1; 32], [2; 32]] {
            assert!(!bytes.windows(8).any(|part| part == &id[..8]));
        }
    }
}
