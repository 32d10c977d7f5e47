//! What `wattle-runtime` reads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a promise that is not kept stops the run; also compiled into a test"
)]

pub mod http;
#[path = "../target.rs"]
pub mod target;
pub mod value;
pub mod wave;

use target::Target;

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "http", holds: http::holds, seeds: http::seeds },
    Target { name: "value", holds: value::holds, seeds: value::seeds },
    Target { name: "wave", holds: wave::holds, seeds: wave::seeds },
];
