//! The words that everybody in Wattle uses: identities, papers, artifacts, records, manifests
//! and the messages between nodes.
//!
//! Called by every other crate. It never does I/O, never starts a thread, never reads a clock
//! and never draws a random number: times and keys come in as arguments.

pub mod artifact;
pub mod audit;
pub mod call;
pub mod control;
pub mod fact;
pub mod id;
pub mod key;
pub mod manifest;
pub mod message;
pub mod provider;
pub mod record;
pub mod seal;
pub mod secret;
pub mod trust;
pub mod wire;
