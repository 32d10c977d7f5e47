//! Every message between nodes, and the one place that touches `bincode`.
//!
//! A frame is `u32` length (little-endian, of what follows), `u16` length of the head, the head
//! (bincode), and the payload as it is: a body is never copied through the codec. Who calls what
//! stands in the first call of each kind on a stream; later ones name it by a number. Upstream
//! `bincode` has stopped (RUSTSEC-2025-0141), so nothing outside this module names it, and golden
//! bytes in the tests pin the format.

mod codec;
mod frame;
mod greeting;
mod routes;

pub use codec::{WireError, decode, encode};
pub use frame::{Frame, FrameDecoder, FrameEncoder, FrameHead, Head, MAX_FRAME, Side};
pub use greeting::{Greeting, Hello, Knock, MAX_HELLO, MAX_KNOCK, NOT_OF_THIS_MESH};

/// The version of everything in this module. Two nodes talk only where it is equal; a change of
/// format raises it. A [`Knock`] and a refusal keep their form in every version, so that nodes of
/// two versions can say so.
///
/// Since 5, whoever connects proves first that it knows the mesh: before that, the dialler showed
/// its paper to whoever answered, and a refusal named the mesh.
pub const VERSION: u16 = 5;
