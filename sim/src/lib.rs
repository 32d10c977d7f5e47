//! A mesh in a box: the state machines that a real node runs, on a network, disks and clocks that
//! are made up from a seed.
//!
//! Nothing here is a model of the code under test: [`wattle_mesh::core`] itself decides, as it
//! does on a real node, and the [`World`] only delivers, loses, delays and doubles what it sends,
//! cuts nodes off, kills them and starts them again. One thread, one queue of events, one seeded
//! source of randomness: the same seed gives the same run, down to the hash of its [`trace`].
//!
//! For now it drives the replicated records and their clocks. Called by tests. It never opens a
//! socket, never reads the wall clock and never sleeps.

pub mod cells;
pub mod disk;
pub mod network;
pub mod queue;
pub mod rng;
pub mod trace;
pub mod world;

pub use world::World;
