//! How the nodes of a Wattle mesh find each other, agree on what was declared, and call each
//! other.
//!
//! Two floors. [`core`] decides: plain state machines that are given an input and a time and
//! give back what to do. [`net`] moves bytes: the libp2p driver that feeds them and does what
//! they say. Called by the node (which adds storage, the scheduler and the API) and by the
//! simulator (which drives [`core`] alone, on a network that it makes up).
//!
//! It never runs a component, never opens the node's database, and never lets anything from a
//! peer through that is not admitted, bounded and checked.

pub mod core;
pub mod net;
