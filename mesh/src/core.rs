//! Every decision of the mesh, as plain state machines.
//!
//! Nothing in here opens a socket or a file, reads a clock or draws a random number by itself:
//! time comes in as [`time::Time`] or [`wattle_contracts::trust::UnixMillis`], randomness as a
//! generator that the caller owns. So the code that decides on a real node is, byte for byte,
//! the code that decides in the simulator, and a run can be repeated from its seed. No decision
//! depends on the order in which a hash map is walked.
//!
//! Called by [`crate::net`], by the node's scheduler and by the simulator.

pub mod admission;
pub mod cells;
pub mod clock;
pub mod doorman;
pub mod gossip;
pub mod grants;
pub mod introduce;
pub mod invoke;
pub mod links;
pub mod membership;
pub mod mux;
pub mod outbox;
pub mod placement;
pub mod publishers;
pub mod records;
pub mod redial;
pub mod renewal;
pub mod rights;
pub mod routes;
pub mod routing;
pub mod time;
