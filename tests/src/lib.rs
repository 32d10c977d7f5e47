//! A harness for tests of whole nodes: real processes of the real binary, spoken to as people and
//! programs speak to them, over networks that can be cut.
//!
//! Everything that is started here ends with the test that started it, and shows its log when
//! that test failed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails in here is to fail the test"
)]

pub mod command;
pub mod disk;
pub mod http;
pub mod manifest;
pub mod mesh;
pub mod network;
pub mod node;
pub mod operator;
pub mod paths;
pub mod ports;
pub mod process;
pub mod publisher;
pub mod requirement;
pub mod up;
pub mod view;
pub mod wait;
pub mod wire;

pub use mesh::TestMesh;
pub use node::TestNode;
pub use operator::Operator;
pub use up::Up;
