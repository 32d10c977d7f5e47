//! What the node above lends to the messenger: a disk, and the components.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use wattle_contracts::call::CallError;
use wattle_contracts::id::{ComponentId, NodeId, Subject};
use wattle_contracts::message::{Group, MessageId};

use crate::core::outbox::{ClockNote, OutboxTime, Settled, StoredGroup, StoredMessage};
use crate::net::StoreError;

/// A durable message as it is written to disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMessage {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub body: Vec<u8>,
    /// When it was taken from its publisher.
    pub taken: OutboxTime,
    /// For whom it is.
    pub groups: BTreeSet<Group>,
}

/// Everything that is found on disk at the start.
#[derive(Debug, Default)]
pub struct StoredMessages {
    /// Above every sequence that was given out.
    pub next: u64,
    /// What is not settled.
    pub messages: Vec<StoredMessage>,
    /// What was noted last of the clock by which messages age.
    pub clock: Option<ClockNote>,
    /// What is known of the groups.
    pub groups: Vec<(Group, StoredGroup)>,
    /// What components of this node have handled: for each group and publisher the floor, and the
    /// sequences from there on.
    pub handled: BTreeMap<(Group, NodeId), (u64, BTreeSet<u64>)>,
}

/// A disk for messages. What a method has returned from survives a crash, and writes become
/// durable in the order in which they were asked for.
#[async_trait]
pub trait MessageStore: Send + Sync + 'static {
    /// Everything there is, bodies aside.
    fn load(&self) -> Result<StoredMessages, StoreError>;

    /// Keeps a message under a sequence that was never used.
    async fn keep(&self, sequence: u64, message: KeptMessage) -> Result<(), StoreError>;

    /// The bodies of some messages; none for one that is not there. Must not hold up the thread
    /// that asks while the disk is slow.
    async fn bodies(&self, sequences: &[u64]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Notes what the clock says by which messages age.
    async fn note_clock(&self, note: ClockNote) -> Result<(), StoreError>;

    /// Notes how messages ended for a group each. One that no group needs any more is gone.
    async fn settle(&self, settled: Vec<(Group, u64, Settled)>) -> Result<(), StoreError>;

    /// Notes to which node the messages of a group go.
    async fn assign(&self, group: &Group, node: NodeId) -> Result<(), StoreError>;

    /// Gives messages that are parked for a group new sequences, and all the time of new ones.
    async fn unpark(
        &self,
        group: &Group,
        moved: Vec<(u64, u64)>,
        taken: OutboxTime,
    ) -> Result<(), StoreError>;

    /// Removes messages that are parked for a group.
    async fn drop_parked(&self, group: &Group, sequences: Vec<u64>) -> Result<(), StoreError>;

    /// Notes that a component of this node has handled a message, and that everything of its
    /// publisher for this group below `floor` is settled.
    async fn handled(
        &self,
        group: &Group,
        publisher: NodeId,
        sequence: u64,
        floor: u64,
    ) -> Result<(), StoreError>;
}

/// A message as a component is given it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is about.
    pub subject: Subject,
    /// What it says.
    pub body: Vec<u8>,
    /// None for a live message.
    pub id: Option<MessageId>,
}

/// The components of this node.
#[async_trait]
pub trait MessageHandler: Send + Sync + 'static {
    /// Whether `component` runs here.
    fn runs(&self, component: &ComponentId) -> bool;

    /// Gives `message` to `component`. An error says whether it was begun:
    /// [`wattle_contracts::call::ErrorKind::Unreachable`] where the component does not run here,
    /// `Overloaded` where it has no time now, anything else where it failed.
    async fn handle(&self, component: &ComponentId, message: Message) -> Result<(), CallError>;
}
