//! What `wattle-contracts` reads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a promise that is not kept stops the run; also compiled into a test"
)]

pub mod access;
pub mod audit;
#[path = "../change.rs"]
mod change;
pub mod control;
pub mod frame;
pub mod grant;
pub mod manifest;
pub mod message;
pub mod name;
pub mod paper;
#[path = "../place.rs"]
mod place;
pub mod record;
pub mod secret;
pub mod section;
#[path = "../target.rs"]
pub mod target;
pub mod token;
mod written;

use change::flipped;
use target::Target;
use wattle_contracts::id::{MeshId, NodeId, PublisherKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::Print;
use wattle_contracts::trust::{Authority, UnixMillis};

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "access", holds: access::holds, seeds: access::seeds },
    Target { name: "audit", holds: audit::holds, seeds: audit::seeds },
    Target { name: "control", holds: control::holds, seeds: control::seeds },
    Target { name: "frame", holds: frame::holds, seeds: frame::seeds },
    Target { name: "grant", holds: grant::holds, seeds: grant::seeds },
    Target { name: "manifest", holds: manifest::holds, seeds: manifest::seeds },
    Target { name: "message", holds: message::holds, seeds: message::seeds },
    Target { name: "name", holds: name::holds, seeds: name::seeds },
    Target { name: "paper", holds: paper::holds, seeds: paper::seeds },
    Target { name: "record", holds: record::holds, seeds: record::seeds },
    Target { name: "secret", holds: secret::holds, seeds: secret::seeds },
    Target { name: "section", holds: section::holds, seeds: section::seeds },
    Target { name: "token", holds: token::holds, seeds: token::seeds },
];

/// The key of the mesh that all of this happens in.
fn authority() -> SigningKey {
    SigningKey::from_seed([3; 32]).unwrap()
}

/// What stays when the mesh is handed over.
const STAYS: Print = Print([9; 16]);

/// The mesh's authority after its key was handed over to a member's.
fn handed() -> Authority {
    let at = UnixMillis(1_800_000_000_000);
    Authority::first(authority()).hand_over(member(), at, at, &[STAYS].into()).unwrap()
}

fn mesh() -> MeshId {
    MeshId::from_bytes(authority().public())
}

/// The key of a member.
fn member() -> SigningKey {
    SigningKey::from_seed([4; 32]).unwrap()
}

fn node() -> NodeId {
    NodeId::from_bytes(member().public())
}

/// The key of an invitation.
fn invited() -> SigningKey {
    SigningKey::from_seed([9; 32]).unwrap()
}

fn publisher() -> PublisherKey {
    PublisherKey::from_bytes(member().public())
}
