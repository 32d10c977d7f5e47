//! Runs WebAssembly components: compiles them once, binds each of their imports while they run,
//! and gives every call a fresh instance within limits.
//!
//! Called by the node (which implements [`Outside`]) and, when real components are wanted, by the
//! simulator. It never opens a socket, never chooses who is called, and never checks a signature:
//! where an import goes is asked of [`Outside`] on each call, and whoever loads a component has
//! verified it before.

mod actor;
mod bind;
mod component;
mod engine;
mod host;
mod http_body;
pub mod http_heads;
mod limits;
mod outside;
mod share;
mod state;
mod trap;
pub mod value;

pub use actor::{Actor, ActorConfig};
pub use bind::BindError;
pub use component::{Component, Function, Interface, LoadError};
pub use engine::{
    Allocator, CacheConfig, CompilerProcess, Engine, EngineConfig, EngineError, serve_compiler,
};
pub use http_body::{BodyError, HttpBody};
pub use limits::Limits;
pub use outside::{
    CallContext, Destination, HttpOutError, HttpTimeouts, IncomingMessage, KeyPage, KeyValue,
    KeyValueError, LocalSpan, LogLevel, Outside, PublishError, Remote, Surroundings, Way,
};
pub use wasmtime::component::Val;
