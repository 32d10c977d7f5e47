//! The local API: HTTP and JSON on a Unix socket that only the node's owner can open. The command
//! line is its client, and has no other way in.

mod client;
mod handlers;
mod server;
mod trust;
mod types;

pub(crate) use client::{Client, ClientError};
pub(crate) use server::Socket;
pub(crate) use trust::*;
pub(crate) use types::*;
