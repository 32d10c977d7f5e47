//! A running node: what it is made of, how it starts, and how it stops.

mod along;
mod apply;
mod calls;
mod change;
mod fit;
mod gateway;
mod grants;
mod invoke;
mod logs;
mod messages;
mod node;
mod outside;
mod pace;
mod publishers;
mod reach;
mod running;
mod scheduler;
mod secrets;
mod service;
mod start;
mod table;
mod trace;
mod way;

pub(crate) use apply::{ApplyError, ApplyRequest};
pub(crate) use change::{ChangeError, ConfigRequest, LinkRequest};
pub(crate) use grants::Leaving;
pub(crate) use logs::LogLine;
pub(crate) use node::{Node, resident_memory};
pub(crate) use publishers::PublisherRequest;
pub(crate) use reach::homes;
pub(crate) use running::Status;
pub(crate) use secrets::SecretRequest;
pub(crate) use start::{UpOptions, run};
pub(crate) use table::{Table, Target};
