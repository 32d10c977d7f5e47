//! Calls to and from one peer, over one stream.
//!
//! A [`Link`] is the driver of one [`Mux`](crate::core::mux::Mux): a task that reads, a writer
//! that is usually whoever has something to say, and a task per call that is served. No lock is
//! held across an await, and a call that meets no other is written by its own caller: a task
//! between them would cost as much as the system call.

mod inbox;
mod link;
mod outbox;
mod read;
mod serve;
mod signal;
mod source;

pub(super) use link::{Link, LinkConfig};
pub(super) use read::Ended;
