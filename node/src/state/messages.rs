//! The messages on disk: those that this node keeps for others, and what its own components have
//! handled.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use redb::{
    ReadTransaction, ReadableTable as _, Table, TableDefinition, TableError, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use wattle_contracts::id::{NodeId, Subject};
use wattle_contracts::message::Group;
use wattle_contracts::wire;
use wattle_mesh::core::outbox::{ClockNote, OutboxTime, Settled, StoredGroup, StoredMessage};
use wattle_mesh::net::{KeptMessage, MessageStore, StoreError, StoredMessages};

use super::Database;

/// A message without its body, by its sequence.
const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("messages");
/// Its body.
const BODIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("message_bodies");
/// What is known of a group, by its name.
const GROUPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("message_groups");
/// Above every sequence that was given out.
const NEXT: TableDefinition<'_, (), u64> = TableDefinition::new("message_next");
/// What was noted last of the clock by which messages age.
const CLOCK: TableDefinition<'_, (), &[u8]> = TableDefinition::new("message_clock");
/// (group, publisher) to the sequence below which all is settled.
const FLOORS: TableDefinition<'_, (&str, &[u8; 32]), u64> = TableDefinition::new("handled_floors");
/// (group, publisher, sequence) of what was handled from there on.
const HANDLED: TableDefinition<'_, (&str, &[u8; 32], u64), ()> = TableDefinition::new("handled");

/// So many deliveries have their bodies read at once, each on a thread that may wait for the disk.
const READERS: usize = 4;
/// So many sequences are set aside by one write.
const AHEAD: u64 = 1_000_000;

/// The messages in the node's database.
#[derive(Clone)]
pub(crate) struct MessageTables {
    database: Database,
    /// What [`NEXT`] says.
    set_aside: Arc<AtomicU64>,
    /// Places for reading bodies.
    readers: Arc<Semaphore>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    subject: Subject,
    taken: OutboxTime,
    size: u64,
    /// The groups that have not settled it, with the last failure where it is parked.
    groups: Vec<(Group, Option<String>)>,
}

#[derive(Serialize, Deserialize, Default)]
struct GroupRow {
    node: Option<NodeId>,
    expired: u64,
}

impl MessageTables {
    pub(crate) fn new(database: Database) -> Self {
        let readers = Arc::new(Semaphore::new(READERS));
        Self { database, set_aside: Arc::default(), readers }
    }

    fn read_all(&self) -> Result<StoredMessages> {
        let read = self.database.read()?;
        let mut all = StoredMessages::default();
        if let Some(table) = table(read.open_table(NEXT))? {
            all.next = table.get(())?.map_or(0, |next| next.value());
        }
        self.set_aside.store(all.next, Ordering::Relaxed);
        if let Some(table) = table(read.open_table(CLOCK))? {
            let note = table.get(())?.map(|note| wire::decode::<ClockNote>(note.value()));
            // Without it messages are kept for longer.
            all.clock = note.and_then(Result::ok);
        }
        if let Some(table) = table(read.open_table(HEADS))? {
            for entry in table.iter()? {
                let (sequence, head) = entry?;
                match wire::decode::<Head>(head.value()) {
                    Ok(head) => all.messages.push(stored(sequence.value(), head)),
                    Err(error) => tracing::error!(
                        sequence = sequence.value(), %error,
                        "a message on disk can't be read; it is left out"
                    ),
                }
            }
        }
        if let Some(table) = table(read.open_table(GROUPS))? {
            for entry in table.iter()? {
                let (group, row) = entry?;
                let row: GroupRow = wire::decode(row.value()).unwrap_or_default();
                if let Ok(group) = group.value().parse() {
                    let known = StoredGroup { node: row.node, expired: row.expired };
                    all.groups.push((group, known));
                }
            }
        }
        read_handled(&read, &mut all.handled)?;
        Ok(all)
    }

    async fn write<F>(&self, change: F) -> Result<(), StoreError>
    where
        F: FnOnce(&WriteTransaction) -> Result<()> + Send + 'static,
    {
        self.database.write(change).await.map_err(failed)
    }
}

fn failed(error: anyhow::Error) -> StoreError {
    StoreError(format!("{error:#}"))
}

/// A table that nothing was written to yet is none.
fn table<T>(opened: Result<T, TableError>) -> Result<Option<T>> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error).context("can't read the messages"),
    }
}

fn stored(sequence: u64, head: Head) -> StoredMessage {
    StoredMessage {
        sequence,
        subject: head.subject,
        size: usize::try_from(head.size).unwrap_or(usize::MAX),
        taken: head.taken,
        groups: head.groups,
    }
}

fn read_handled(
    read: &ReadTransaction,
    all: &mut BTreeMap<(Group, NodeId), (u64, BTreeSet<u64>)>,
) -> Result<()> {
    if let Some(table) = table(read.open_table(FLOORS))? {
        for entry in table.iter()? {
            let (key, floor) = entry?;
            let (group, publisher) = key.value();
            if let Ok(group) = group.parse() {
                let publisher = NodeId::from_bytes(*publisher);
                all.entry((group, publisher)).or_default().0 = floor.value();
            }
        }
    }
    if let Some(table) = table(read.open_table(HANDLED))? {
        for entry in table.iter()? {
            let (key, _) = entry?;
            let (group, publisher, sequence) = key.value();
            if let Ok(group) = group.parse() {
                let publisher = NodeId::from_bytes(*publisher);
                all.entry((group, publisher)).or_default().1.insert(sequence);
            }
        }
    }
    Ok(())
}

fn change_group(
    transaction: &WriteTransaction,
    group: &str,
    change: impl FnOnce(&mut GroupRow),
) -> Result<()> {
    let mut table = transaction.open_table(GROUPS)?;
    let row = table.get(group)?.map(|row| wire::decode(row.value()));
    let mut row: GroupRow = row.and_then(Result::ok).unwrap_or_default();
    change(&mut row);
    table.insert(group, wire::encode(&row)?.as_slice())?;
    Ok(())
}

fn bodies(database: &Database, sequences: &[u64]) -> Result<Vec<Option<Vec<u8>>>> {
    let Some(bodies) = table(database.read()?.open_table(BODIES))? else {
        return Ok(vec![None; sequences.len()]);
    };
    let one = |sequence| Ok(bodies.get(sequence)?.map(|body| body.value().to_vec()));
    sequences.iter().map(one).collect()
}

type Heads<'a> = Table<'a, u64, &'static [u8]>;

fn head(heads: &Heads<'_>, sequence: u64) -> Result<Option<Head>> {
    let row = heads.get(sequence)?;
    Ok(row.map(|row| wire::decode(row.value())).transpose()?)
}

fn settle_one(
    transaction: &WriteTransaction,
    heads: &mut Heads<'_>,
    (group, sequence, how): &(Group, u64, Settled),
) -> Result<()> {
    if *how == Settled::Expired {
        change_group(transaction, &group.to_string(), |row| row.expired += 1)?;
    }
    let Some(mut found) = head(heads, *sequence)? else { return Ok(()) };
    match how {
        Settled::Parked(why) => {
            let own = found.groups.iter_mut().filter(|(other, _)| other == group);
            own.for_each(|(_, parked)| *parked = Some(why.clone()));
        }
        Settled::Handled | Settled::Expired => found.groups.retain(|(other, _)| other != group),
    }
    if found.groups.is_empty() {
        heads.remove(*sequence)?;
        transaction.open_table(BODIES)?.remove(*sequence)?;
    } else {
        heads.insert(*sequence, wire::encode(&found)?.as_slice())?;
    }
    Ok(())
}

#[async_trait]
impl MessageStore for MessageTables {
    fn load(&self) -> Result<StoredMessages, StoreError> {
        self.read_all().map_err(failed)
    }

    async fn keep(&self, sequence: u64, message: KeptMessage) -> Result<(), StoreError> {
        let KeptMessage { subject, body, taken, groups } = message;
        let groups = groups.into_iter().map(|group| (group, None)).collect();
        let head = Head { subject, taken, size: body.len() as u64, groups };
        let head = wire::encode(&head).map_err(|error| StoreError(error.to_string()))?;
        let set_aside = Arc::clone(&self.set_aside);
        let room = (head.len() + body.len()) as u64;
        let keep = move |transaction: &WriteTransaction| {
            if sequence >= set_aside.load(Ordering::Relaxed) {
                let next = sequence.saturating_add(AHEAD);
                transaction.open_table(NEXT)?.insert((), next)?;
                set_aside.store(next, Ordering::Relaxed);
            }
            transaction.open_table(HEADS)?.insert(sequence, head.as_slice())?;
            transaction.open_table(BODIES)?.insert(sequence, body.as_slice())?;
            Ok(())
        };
        self.database.write_with_room(room, keep).await.map_err(failed)
    }

    async fn bodies(&self, sequences: &[u64]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let closed = |_| StoreError("the messages on disk are closed".into());
        let place = Arc::clone(&self.readers).acquire_owned().await.map_err(closed)?;
        let (database, sequences) = (self.database.clone(), sequences.to_vec());
        let read = move || {
            let _place = place;
            bodies(&database, &sequences).map_err(failed)
        };
        let broke_off = |error| Err(StoreError(format!("reading messages broke off: {error}")));
        tokio::task::spawn_blocking(read).await.unwrap_or_else(broke_off)
    }

    async fn note_clock(&self, note: ClockNote) -> Result<(), StoreError> {
        let note = wire::encode(&note).map_err(|error| StoreError(error.to_string()))?;
        self.write(move |transaction| {
            transaction.open_table(CLOCK)?.insert((), note.as_slice())?;
            Ok(())
        })
        .await
    }

    async fn settle(&self, settled: Vec<(Group, u64, Settled)>) -> Result<(), StoreError> {
        self.write(move |transaction| {
            let mut heads = transaction.open_table(HEADS)?;
            settled.iter().try_for_each(|one| settle_one(transaction, &mut heads, one))
        })
        .await
    }

    async fn assign(&self, group: &Group, node: NodeId) -> Result<(), StoreError> {
        let group = group.to_string();
        self.write(move |transaction| {
            change_group(transaction, &group, |row| row.node = Some(node))
        })
        .await
    }

    async fn unpark(
        &self,
        group: &Group,
        moved: Vec<(u64, u64)>,
        taken: OutboxTime,
    ) -> Result<(), StoreError> {
        let group = group.clone();
        self.write(move |transaction| {
            let mut heads = transaction.open_table(HEADS)?;
            for (old, new) in moved {
                let Some(found) = head(&heads, old)? else { continue };
                let mut bodies = transaction.open_table(BODIES)?;
                let copy = bodies.get(old)?.map(|body| body.value().to_vec());
                // A message without its body must not turn into one with an empty body.
                let Some(copy) = copy else { continue };
                bodies.insert(new, copy.as_slice())?;
                // To settle the old one opens it again.
                drop(bodies);
                let groups = vec![(group.clone(), None)];
                let renewed = Head { taken, groups, ..found };
                heads.insert(new, wire::encode(&renewed)?.as_slice())?;
                // As if it were handled: the old one is needed by the other groups alone.
                settle_one(transaction, &mut heads, &(group.clone(), old, Settled::Handled))?;
            }
            Ok(())
        })
        .await
    }

    async fn drop_parked(&self, group: &Group, sequences: Vec<u64>) -> Result<(), StoreError> {
        let one = |sequence| (group.clone(), sequence, Settled::Handled);
        self.settle(sequences.into_iter().map(one).collect()).await
    }

    async fn handled(
        &self,
        group: &Group,
        publisher: NodeId,
        sequence: u64,
        floor: u64,
    ) -> Result<(), StoreError> {
        let group = group.to_string();
        self.write(move |transaction| {
            let (group, publisher) = (group.as_str(), publisher.as_bytes());
            let mut floors = transaction.open_table(FLOORS)?;
            let before = floors.get((group, publisher))?.map_or(0, |floor| floor.value());
            let mut handled = transaction.open_table(HANDLED)?;
            handled.insert((group, publisher, sequence), ())?;
            if floor > before {
                floors.insert((group, publisher), floor)?;
                let settled = (group, publisher, 0)..(group, publisher, floor);
                handled.retain_in(settled, |_, ()| false)?;
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod tests;
