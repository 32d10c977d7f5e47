//! What `wattle-mesh` reads, and what its state machines make of what peers say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a promise that is not kept stops the run; also compiled into a test"
)]

pub mod address;
#[path = "../change.rs"]
mod change;
pub mod exchange;
pub mod fact;
pub mod gossip;
pub mod mux;
#[path = "../target.rs"]
pub mod target;
#[path = "../contracts/written.rs"]
mod written;

use target::Target;
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "address", holds: address::holds, seeds: address::seeds },
    Target { name: "exchange", holds: exchange::holds, seeds: exchange::seeds },
    Target { name: "fact", holds: fact::holds, seeds: fact::seeds },
    Target { name: "gossip", holds: gossip::holds, seeds: gossip::seeds },
    Target { name: "mux", holds: mux::holds, seeds: mux::seeds },
];

/// The key of a member.
fn member() -> SigningKey {
    SigningKey::from_seed([4; 32]).unwrap()
}

fn node(byte: u8) -> NodeId {
    NodeId::from_bytes([byte; 32])
}
