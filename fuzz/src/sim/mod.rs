//! What `wattle-sim` reads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a promise that is not kept stops the run; also compiled into a test"
)]

#[path = "../place.rs"]
mod place;
pub mod scenario;
#[path = "../target.rs"]
pub mod target;

use target::Target;

/// All of them.
pub const TARGETS: &[Target] =
    &[Target { name: "scenario", holds: scenario::holds, seeds: scenario::seeds }];
