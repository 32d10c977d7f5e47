//! The API: HTTP and JSON on a Unix socket that only the node's owner can open and, where the node
//! is told so, over the network with TLS and a token. The command line is its client, and has no
//! other way in.

mod caller;
mod calls;
mod client;
mod gate;
mod handlers;
mod hosts;
mod server;
mod tcp;
mod tls;
mod trust;
mod types;

pub(crate) use calls::*;
pub(crate) use client::{Client, ClientError, NetworkAddress, Way};
pub(crate) use hosts::HostName;
pub(crate) use server::Socket;
pub(crate) use tcp::Remote;
pub(crate) use trust::*;
pub(crate) use types::*;
