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

use serde::{Deserialize, Serialize};

use crate::id::{CellName, MeshId};
use crate::trust::Paper;

/// The version of everything in this module. Two nodes talk only where it is equal; a change of
/// format raises it.
pub const VERSION: u16 = 4;

/// The largest admission message, in bytes: all that a stranger can make a node read.
pub const MAX_HELLO: usize = 8192;

/// The first message in both directions of a connection, before anything else is exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`] of the sender.
    pub version: u16,
    /// The mesh it belongs to.
    pub mesh: MeshId,
    /// Its paper. Sent only to a peer that has shown its own, or by the dialler.
    pub paper: Paper,
    /// The cell that it is in: it must be known before anything is gossiped.
    pub cell: CellName,
}

/// The answer to a [`Hello`]: each side says it, so that both know the other's verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The peer belongs to this mesh.
    Admitted,
    /// It does not; the connection is closed after this.
    Refused {
        /// For the log of the one refused. Says nothing of the mesh.
        reason: String,
    },
}
