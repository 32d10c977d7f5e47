//! The driver that moves bytes: a libp2p swarm over QUIC, and the tasks around it.
//!
//! Everything above talks to a [`Mesh`]: it calls other nodes, says what this one is and runs,
//! declares records, and watches what becomes of the others. What it lends to the mesh are a
//! [`Service`], which answers calls, and a [`RecordStore`], which is a disk.
//!
//! Nothing is decided here that a state machine of [`crate::core`] could decide. What is here is
//! bounded: every queue, table and buffer has a limit, and who meets a full one is told so.

mod admission;
mod artifact;
mod audit;
mod behaviour;
mod body;
mod calls;
mod cells;
mod config;
mod control;
mod discovery;
mod doorman;
mod driver;
mod error;
pub mod gossip;
mod mesh;
mod messages;
mod metrics;
mod peers;
mod records;
mod relay;
mod roster;
mod service;
mod statement;
mod streams;
mod transport;
mod view;

pub use artifact::Artifact;
pub use audit::{Audit, NoAudit};
pub use body::{BodySender, BodyStream};
pub use config::{HostDirectory, Limits, MeshConfig, Timing, WallClock};
pub use discovery::{AddressError, JoinTarget};
pub use doorman::neighbourhood;
pub use error::{FetchError, MeshError, PutError, SayError, StoreError};
pub use libp2p::Multiaddr;
pub use mesh::Mesh;
pub use messages::{
    KeptMessage, Message, MessageCounts, MessageHandler, MessageStore, Messenger, PublishError,
    StoredMessages,
};
pub use metrics::{MetricsSnapshot, OutcomesSnapshot};
pub use records::Records;
pub use service::{ArtifactSource, Loaded, RecordStore, Reply, Service};
pub use statement::{About, AboutFact, Declaration, Failure, Load, Runs};
pub use view::{FoundBy, NodeView, Report, Seen, Standing, View};
