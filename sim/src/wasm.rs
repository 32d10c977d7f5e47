//! Real components in the place of made-up ones: run by wasmtime, in virtual time.
//!
//! A simulated node polls its components by hand, from the one loop that everything else runs in.
//! No thread and no clock of the machine is asked: what a component computes is counted as fuel,
//! and [`NANOS_PER_FUEL`] nanoseconds of virtual time pass for each unit of it, in steps of
//! [`Engine::STEP`]; what it calls goes the way that any call of a simulated node goes; its clocks
//! are the node's, and its randomness comes from the seed. So the same seed is the same run, down
//! to what each component returned.

mod code;
mod desk;
mod guests;
pub(crate) mod http;
mod store;
mod tasks;

use std::sync::Arc;

pub use self::code::{Code, CodeError};
pub(crate) use self::code::{is_http, limits};
pub(crate) use self::desk::{Asked, What};
pub(crate) use self::guests::{Begin, Guests, Moment, Step};
pub(crate) use self::store::{Undo, Values};
use wattle_runtime::Engine;
pub(crate) use wattle_runtime::IncomingMessage as Message;

/// So much virtual time passes for one unit of fuel, which is about one instruction.
pub const NANOS_PER_FUEL: u64 = 1;

/// What a call gives to whom it calls.
#[derive(Debug, Clone, Default)]
pub(crate) enum Input {
    /// Nothing that anybody reads: the callee is made up.
    #[default]
    Nothing,
    /// Values, as a person writes them (WAVE).
    Text(Arc<str>),
    /// Values, as they travel between nodes.
    Bytes(Arc<[u8]>),
    /// A message.
    Message(Arc<Message>),
    /// A request over HTTP ([`http`]).
    Http(Arc<[u8]>),
}

/// What a call gives back: nothing where the callee is made up.
pub(crate) type Output = Arc<[u8]>;

/// So much of virtual time does so much fuel take.
pub(crate) fn time_of(fuel: u64) -> std::time::Duration {
    std::time::Duration::from_nanos(fuel.saturating_mul(NANOS_PER_FUEL))
}

/// After so long a component that computes is looked at again.
pub(crate) fn step() -> std::time::Duration {
    time_of(Engine::STEP)
}
