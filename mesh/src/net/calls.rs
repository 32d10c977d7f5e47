//! Calls to and from one peer, over one stream.
//!
//! A [`Link`] is the driver of one [`Mux`](crate::core::mux::Mux): a task that reads, a task that
//! writes everything that is due at once, and a task per call that is served. A call that meets
//! no other is written by its own caller. No lock is held across an await.

mod inbox;
mod link;
mod outbox;
mod read;
mod serve;
mod signal;
mod source;

pub(super) use link::{Link, LinkConfig};
pub(super) use read::Ended;
