//! Messages by subject: taken from publishers here, kept on disk where they are durable, and given
//! to the groups that subscribe, on whichever node runs those.
//!
//! The driver of [`crate::core::outbox`]. Bodies stay on disk until they are sent; every queue has
//! a limit, and who meets a full one is told so.

mod age;
mod counts;
mod drain;
mod live;
mod reach;
mod receive;
mod send;
mod store;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::{Notify, Semaphore};
use wattle_contracts::call::{
    CallError, CallHeader, CallRoute, Encoding, ErrorKind, Source, TraceContext,
};
use wattle_contracts::id::{ComponentId, ContractId, NodeId, Subject};
use wattle_contracts::message::{Group, MAX_BODY, MessageId};
use wattle_contracts::record::RecordBody;

pub use self::counts::MessageCounts;
use self::counts::{Counters, one_more};
use self::drain::Gate;
pub use self::store::{KeptMessage, Message, MessageHandler, MessageStore, StoredMessages};
use super::config::WallClock;
use super::error::StoreError;
use super::mesh::Mesh;
use super::records::Records;
use crate::core::outbox::{
    AgeClock, Config, Full, GroupStatus, Inbox, Outbox, OutboxTime, ParkedMessage, Subscriptions,
};
use crate::core::time::Time;

/// The contract under which messages travel.
const CONTRACT: &str = "wattle:messaging/incoming-handler";
/// Looks for messages that became too old so often.
const TICK: Duration = Duration::from_secs(1);
/// How many live messages may be under way from this node.
const LIVE: usize = 1024;

/// Publishes, delivers and handles messages on one node. Cheap to clone.
#[derive(Clone)]
pub struct Messenger {
    inner: Arc<Inner>,
}

struct Inner {
    mesh: Mesh,
    store: Arc<dyn MessageStore>,
    handler: Arc<dyn MessageHandler>,
    contract: ContractId,
    started: Instant,
    ages: AgeClock,
    /// What the clock said when it was noted last.
    noted: Mutex<OutboxTime>,
    outbox: Mutex<(Outbox, SmallRng)>,
    inbox: Mutex<Inbox>,
    /// With what they were made of. Weak, so that the records need not be copied to be changed.
    subscriptions: RwLock<(Weak<Records>, Arc<Subscriptions>)>,
    wake: Notify,
    gate: Gate,
    live: Arc<Semaphore>,
    counters: Counters,
}

/// Why a message is not published. Nothing of it is kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Its body is too large.
    #[error("the message has {size} bytes, where at most {MAX_BODY} are allowed")]
    TooLarge {
        /// Its size, in bytes.
        size: usize,
    },
    /// Too many durable messages wait.
    #[error("{0}")]
    Full(Full),
    /// Too many live messages are under way.
    #[error("{LIVE} live messages are under way from this node already")]
    Busy,
    /// It could not be written down.
    #[error("the message can't be kept: {0}")]
    Disk(StoreError),
}

impl Messenger {
    /// Takes up what the disk holds. [`Messenger::run`] then delivers it.
    pub fn new(
        mesh: Mesh,
        store: Arc<dyn MessageStore>,
        handler: Arc<dyn MessageHandler>,
        config: Config,
    ) -> Result<Self, StoreError> {
        let stored = store.load()?;
        // Above every sequence that was ever used, also by a disk that is no longer there.
        let next = stored.next.max(WallClock::default().now().0.saturating_mul(1000));
        let newest = stored.messages.iter().map(|message| message.taken).max().unwrap_or_default();
        let ages = AgeClock::resume(stored.clock.as_ref(), newest, age::machine_time());
        let outbox = Outbox::new(config, next, stored.messages, stored.groups);
        let mut inbox = Inbox::default();
        for ((group, publisher), (floor, handled)) in stored.handled {
            inbox.load(group, publisher, floor, handled);
        }
        let contract = CONTRACT.parse().map_err(|error| StoreError(format!("{error}")))?;
        let records = mesh.records();
        let subscriptions = Arc::new(subscriptions(&records));
        let inner = Inner {
            mesh,
            store,
            handler,
            contract,
            started: Instant::now(),
            ages,
            noted: Mutex::default(),
            outbox: Mutex::new((outbox, SmallRng::from_os_rng())),
            inbox: Mutex::new(inbox),
            subscriptions: RwLock::new((Arc::downgrade(&records), subscriptions)),
            wake: Notify::new(),
            gate: Gate::default(),
            live: Arc::new(Semaphore::new(LIVE)),
            counters: Counters::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Delivers what waits, for as long as this is polled.
    pub async fn run(&self) {
        let (mut view, mut records) =
            (self.inner.mesh.watch_view(), self.inner.mesh.watch_records());
        self.note_clock().await;
        loop {
            view.mark_unchanged();
            records.mark_unchanged();
            let pause = self.step();
            tokio::select! {
                () = self.inner.wake.notified() => {}
                changed = view.changed() => if changed.is_err() { return },
                changed = records.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Keeps a message for every group that subscribes to its subject. It is on disk when this
    /// returns.
    pub async fn publish_durable(
        &self,
        subject: &Subject,
        body: Vec<u8>,
    ) -> Result<MessageId, PublishError> {
        check_size(&body)?;
        let groups: BTreeSet<Group> = self.subscriptions().of(subject).into_iter().collect();
        let time = self.time();
        let sequence = self.outbox().0.publish(time, subject, body.len(), &groups);
        let sequence = sequence.map_err(|full| {
            one_more(&self.inner.counters.refused_full);
            PublishError::Full(full)
        })?;
        if !groups.is_empty() {
            let kept = KeptMessage { subject: subject.clone(), body, taken: time, groups };
            let messenger = self.clone();
            // In a task of its own: a publisher that goes away must not leave a message that is
            // neither kept nor forgotten.
            let write = async move {
                let written = messenger.inner.store.keep(sequence, kept).await;
                messenger.outbox().0.written(sequence, written.is_ok());
                messenger.inner.wake.notify_one();
                written
            };
            let stopped = |error| Err(StoreError(format!("{error}")));
            tokio::spawn(write).await.unwrap_or_else(stopped).map_err(PublishError::Disk)?;
        }
        one_more(&self.inner.counters.published);
        Ok(MessageId { publisher: self.inner.mesh.first(self.me()), sequence })
    }

    /// What waits for whom.
    pub fn status(&self) -> Vec<GroupStatus> {
        self.outbox().0.status(self.time())
    }

    /// What is parked.
    pub fn parked(&self) -> Vec<ParkedMessage> {
        self.outbox().0.parked(self.time())
    }

    /// Puts what is parked for `group` at the end of its queue. Returns how many messages.
    pub async fn retry_parked(&self, group: &Group) -> Result<usize, StoreError> {
        let time = self.time();
        let moved = self.outbox().0.unpark(time, group);
        let (count, messenger, group) = (moved.len(), self.clone(), group.clone());
        let write = async move {
            let written = messenger.inner.store.unpark(&group, moved.clone(), time).await;
            messenger.outbox().0.unparked(&group, &moved, written.is_ok());
            messenger.inner.wake.notify_one();
            written
        };
        tokio::spawn(write).await.unwrap_or_else(|error| Err(StoreError(format!("{error}"))))?;
        Ok(count)
    }

    /// Gives up what is parked for `group`. Returns how many messages.
    pub async fn drop_parked(&self, group: &Group) -> Result<usize, StoreError> {
        let sequences = self.outbox().0.take_parked(group);
        let (count, messenger, group) = (sequences.len(), self.clone(), group.clone());
        // In a task of its own: who asked may go away, and what was taken out must come back or go.
        let write = async move {
            let written = messenger.inner.store.drop_parked(&group, sequences.clone()).await;
            messenger.outbox().0.dropped(&group, &sequences, written.is_ok());
            written
        };
        tokio::spawn(write).await.unwrap_or_else(|error| Err(StoreError(format!("{error}"))))?;
        Ok(count)
    }

    fn me(&self) -> NodeId {
        self.inner.mesh.node_id()
    }

    fn now(&self) -> Time {
        Time::since_start(self.inner.started.elapsed())
    }

    fn outbox(&self) -> MutexGuard<'_, (Outbox, SmallRng)> {
        self.inner.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who subscribes to what, by the records as they are now.
    fn subscriptions(&self) -> Arc<Subscriptions> {
        let current = self.inner.mesh.records();
        {
            let known = self.inner.subscriptions.read().unwrap_or_else(PoisonError::into_inner);
            if std::ptr::eq(known.0.as_ptr(), Arc::as_ptr(&current)) {
                return Arc::clone(&known.1);
            }
        }
        let made = Arc::new(subscriptions(&current));
        let mut known = self.inner.subscriptions.write().unwrap_or_else(PoisonError::into_inner);
        *known = (Arc::downgrade(&current), Arc::clone(&made));
        made
    }

    fn header(&self, target: &ComponentId, function: &str, time_left: Duration) -> CallHeader {
        CallHeader {
            time_left,
            trace: TraceContext::default(),
            route: Arc::new(CallRoute {
                source: Source::Messages,
                target: target.clone(),
                contract: self.inner.contract.clone(),
                function: function.into(),
                encoding: Encoding::Message,
            }),
            hops: 1,
            relay: None,
        }
    }

    /// Answers a call of another node's messenger.
    pub async fn serve(
        &self,
        from: NodeId,
        header: &CallHeader,
        payload: Bytes,
    ) -> Result<Bytes, CallError> {
        match header.route.function.as_str() {
            send::FUNCTION => self.serve_delivery(from, header, &payload).await,
            live::FUNCTION => self.serve_live(header, &payload).await,
            other => {
                let message = format!("messages have no function `{other}`");
                Err(CallError::new(ErrorKind::NotLinked, message))
            }
        }
    }
}

impl std::fmt::Debug for Messenger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Messenger").finish_non_exhaustive()
    }
}

fn check_size(body: &[u8]) -> Result<(), PublishError> {
    match body.len() > MAX_BODY {
        true => Err(PublishError::TooLarge { size: body.len() }),
        false => Ok(()),
    }
}

fn subscriptions(records: &Records) -> Subscriptions {
    Subscriptions::new(records.iter().filter_map(|record| match &record.body {
        RecordBody::App(app) => Some(&**app),
        _ => None,
    }))
}
