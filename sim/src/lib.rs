//! A mesh in a box: the state machines that a real node runs, on a network, disks and clocks that
//! are made up from a seed.
//!
//! Nothing here is a model of the code under test: [`wattle_mesh::core`] itself decides, as it
//! does on a real node, and the [`World`] only delivers, loses, delays and doubles what it sends,
//! cuts nodes off, kills them and starts them again. One thread, one queue of events, one seeded
//! source of randomness: the same seed gives the same run, down to the hash of its [`trace`].
//!
//! [`Lattice`] is a whole mesh, with every state machine of a node; [`World`] drives only the
//! replicated records and their clocks, for the largest meshes and the strictest checks of them.
//! Neither opens a socket, reads the wall clock or sleeps.

pub mod cells;
pub mod disk;
pub mod explore;
pub mod lattice;
mod machine;
pub mod mutant;
pub mod network;
pub mod oracle;
pub mod queue;
pub mod report;
pub mod rng;
pub mod run;
pub mod scenario;
pub mod trace;
pub mod wasm;
pub mod world;

pub use lattice::Lattice;
pub use machine::{Behaviour, Fidelity, GossipBy, OutsideHost, Settings};
pub use run::{Options, Outcome, run};
pub use scenario::Scenario;
pub use world::World;
