//! What two nodes say to each other before anything else, until both are admitted.
//!
//! Five messages: the dialler knocks; the listener knocks back, if the knock was one of this mesh;
//! the dialler shows its paper, if that was one, too; the listener shows its own, if the paper is
//! good; the dialler says that the other is admitted. To go on is to say that what came before is
//! good. Instead of any of them a refusal may come, and nothing after it.
//!
//! So a paper, and whatever else tells of the mesh, is only seen by who knows the mesh's id, and
//! who does not know it is told one fixed word.

use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::id::{CellName, MeshId, NodeId};
use crate::trust::Paper;

/// The longest message until the peer has knocked, in bytes: a knock takes 36, and why one is
/// refused a line. It is all that somebody who does not know the mesh can make a node read.
pub const MAX_KNOCK: usize = 256;

/// The longest message after that, in bytes: all that somebody without papers can make a node read.
pub const MAX_HELLO: usize = 8192;

/// All that is said to who does not know the mesh.
pub const NOT_OF_THIS_MESH: &str = "not of this mesh";

/// What a knock is made for, and nothing else is.
const DOMAIN: &[u8] = b"wattle knock v1\0";

/// A message of the admission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// The last word: the peer belongs to this mesh.
    Admitted,
    /// It does not; the connection is closed after this. Versions before 5 read these two as well.
    Refused {
        /// For the log of the one refused: [`NOT_OF_THIS_MESH`], as long as it has not shown that it
        /// knows the mesh. Never names it.
        reason: String,
    },
    /// The first word of each side.
    Knock(Knock),
    /// Who it is. Sent only to a peer that has knocked well.
    Hello(Box<Hello>),
}

/// Shows that its sender knows the id of the mesh, without naming it to who does not.
///
/// The token is of use between these two nodes alone, and in this direction. It is no secret of the
/// mesh's: who has the mesh's id can make one, and can test whether a node is of that mesh. What lets
/// a node in is its paper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// [`super::VERSION`] of the sender.
    pub version: u16,
    /// HMAC-SHA-256 (RFC 2104) over who says it to whom, as TLS has proved them, with the mesh's id
    /// as the key.
    pub token: [u8; 32],
}

/// Who a node is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Its paper, which names the mesh.
    pub paper: Paper,
    /// The cell that it is in: it must be known before anything is gossiped.
    pub cell: CellName,
}

impl Knock {
    /// What the node `from` says to the node `to`, both of `mesh`.
    pub fn new(mesh: MeshId, from: NodeId, to: NodeId) -> Self {
        let tag = hmac::sign(&key(mesh), &said(from, to));
        let token = tag.as_ref().first_chunk().copied().unwrap_or_default();
        Self { version: super::VERSION, token }
    }

    /// Whether it was made by somebody who knows `mesh`, for `from` to say to `to`. Takes as long
    /// whatever the token is.
    pub fn is_of(&self, mesh: MeshId, from: NodeId, to: NodeId) -> bool {
        hmac::verify(&key(mesh), &said(from, to), &self.token).is_ok()
    }
}

impl Greeting {
    /// A refusal that says nothing.
    pub fn stranger() -> Self {
        Greeting::Refused { reason: NOT_OF_THIS_MESH.into() }
    }
}

fn key(mesh: MeshId) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, mesh.as_bytes())
}

fn said(from: NodeId, to: NodeId) -> Vec<u8> {
    [DOMAIN, from.as_bytes().as_slice(), to.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::super::{VERSION, decode, encode};
    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    #[test]
    fn a_knock_is_good_for_one_mesh_one_pair_of_nodes_and_one_direction() {
        let (mesh, other) = (MeshId::from_bytes([3; 32]), MeshId::from_bytes([4; 32]));
        let knock = Knock::new(mesh, node(1), node(2));
        assert!(knock.is_of(mesh, node(1), node(2)));
        assert!(!knock.is_of(other, node(1), node(2)));
        assert!(!knock.is_of(mesh, node(2), node(1)));
        assert!(!knock.is_of(mesh, node(5), node(2)));
        assert!(!knock.is_of(mesh, node(1), node(5)));
        let empty = Knock { token: [0; 32], ..knock.clone() };
        assert!(!empty.is_of(mesh, node(1), node(2)));
        // The version is not part of the token: who is of the mesh is told of another one.
        assert!(Knock { version: 99, ..knock }.is_of(mesh, node(1), node(2)));
    }

    /// The format on the wire, in this version and every later one.
    #[test]
    fn the_bytes_of_a_knock_and_a_refusal_stay() {
        let knock = Knock::new(MeshId::from_bytes([3; 32]), node(1), node(2));
        let token = "ecd5270f4a39a731178321a0bca18c52a5a8459ca6baf11283d84c33a92c5233";
        let bytes = encode(&Greeting::Knock(Knock { version: 5, ..knock })).unwrap();
        assert_eq!(hex::encode(&bytes), format!("0205{token}"));
        let bytes = encode(&Greeting::stranger()).unwrap();
        assert_eq!(hex::encode(&bytes), format!("0110{}", hex::encode("not of this mesh")));
        assert_eq!(encode(&Greeting::Admitted).unwrap(), [0]);
        assert_eq!(decode(&bytes), Ok(Greeting::stranger()));
    }

    #[test]
    fn a_knock_is_short_and_does_not_name_the_mesh() {
        let mesh = MeshId::from_bytes([3; 32]);
        let knock = Knock { version: u16::MAX, ..Knock::new(mesh, node(1), node(2)) };
        let bytes = encode(&Greeting::Knock(knock)).unwrap();
        assert!(bytes.len() <= MAX_KNOCK, "{}", bytes.len());
        assert!(!bytes.windows(32).any(|part| part == mesh.as_bytes()));
        assert_eq!(Knock::new(mesh, node(1), node(2)).version, VERSION);
    }
}
