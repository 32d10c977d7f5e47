//! Messengers for tests: a disk in memory, and a component that writes down what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;
use wattle_contracts::call::{CallError, CallHeader};
use wattle_contracts::id::{ComponentId, Digest, NodeId};
use wattle_contracts::message::{Delivery, DeliveryReply, Group, Receipt};
use wattle_contracts::record::{App, RecordBody, RecordKey, SubscriptionSpec};
use wattle_contracts::wire;
use wattle_mesh::core::outbox::{
    ClockNote, Config, OutboxTime, Settled, StoredGroup, StoredMessage,
};
use wattle_mesh::net::{
    ArtifactSource, BodyStream, KeptMessage, Mesh, Message, MessageHandler, MessageStore,
    Messenger, Reply, Runs, Service, StoreError, StoredMessages,
};

/// The component that handles messages, and its group.
pub const COMPONENT: &str = "shop/ledger";

/// Messages on a disk in memory, which survives its node.
#[derive(Default)]
pub struct Shelf {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    messages: BTreeMap<u64, (KeptMessage, BTreeMap<Group, Option<String>>)>,
    groups: BTreeMap<Group, StoredGroup>,
    handled: BTreeMap<(Group, NodeId), (u64, BTreeSet<u64>)>,
    clock: Option<ClockNote>,
}

impl Shelf {
    /// How many messages are on it that a group has not settled.
    pub fn waiting(&self) -> usize {
        self.kept.lock().unwrap().messages.len()
    }
}

#[async_trait]
impl MessageStore for Shelf {
    fn load(&self) -> Result<StoredMessages, StoreError> {
        let kept = self.kept.lock().unwrap();
        let message =
            |(sequence, (message, groups)): (&u64, &(KeptMessage, BTreeMap<_, _>))| StoredMessage {
                sequence: *sequence,
                subject: message.subject.clone(),
                size: message.body.len(),
                taken: message.taken,
                groups: groups.clone().into_iter().collect(),
            };
        Ok(StoredMessages {
            next: kept.messages.keys().last().map_or(0, |last| last + 1),
            messages: kept.messages.iter().map(message).collect(),
            clock: kept.clock.clone(),
            groups: kept.groups.clone().into_iter().collect(),
            handled: kept.handled.clone(),
        })
    }

    async fn keep(&self, sequence: u64, message: KeptMessage) -> Result<(), StoreError> {
        let groups = message.groups.iter().map(|group| (group.clone(), None)).collect();
        self.kept.lock().unwrap().messages.insert(sequence, (message, groups));
        Ok(())
    }

    async fn bodies(&self, sequences: &[u64]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let kept = self.kept.lock().unwrap();
        let body = |sequence| Some(kept.messages.get(sequence)?.0.body.clone());
        Ok(sequences.iter().map(body).collect())
    }

    async fn note_clock(&self, note: ClockNote) -> Result<(), StoreError> {
        self.kept.lock().unwrap().clock = Some(note);
        Ok(())
    }

    async fn settle(&self, settled: Vec<(Group, u64, Settled)>) -> Result<(), StoreError> {
        let mut kept = self.kept.lock().unwrap();
        for (group, sequence, how) in settled {
            let Some((_, groups)) = kept.messages.get_mut(&sequence) else { continue };
            match how {
                Settled::Parked(why) => _ = groups.insert(group, Some(why)),
                Settled::Handled | Settled::Expired => _ = groups.remove(&group),
            }
            if groups.is_empty() {
                kept.messages.remove(&sequence);
            }
        }
        Ok(())
    }

    async fn assign(&self, group: &Group, node: NodeId) -> Result<(), StoreError> {
        self.kept.lock().unwrap().groups.entry(group.clone()).or_default().node = Some(node);
        Ok(())
    }

    async fn unpark(&self, _: &Group, _: Vec<(u64, u64)>, _: OutboxTime) -> Result<(), StoreError> {
        Err(StoreError("not in these tests".into()))
    }

    async fn drop_parked(&self, _: &Group, _: Vec<u64>) -> Result<(), StoreError> {
        Err(StoreError("not in these tests".into()))
    }

    async fn handled(
        &self,
        group: &Group,
        publisher: NodeId,
        sequence: u64,
        floor: u64,
    ) -> Result<(), StoreError> {
        let mut kept = self.kept.lock().unwrap();
        let (before, handled) = kept.handled.entry((group.clone(), publisher)).or_default();
        *before = floor.max(*before);
        handled.insert(sequence);
        Ok(())
    }
}

/// A component that writes down the texts of its messages, if it is let.
pub struct Clerk {
    pub begun: watch::Sender<usize>,
    pub may_end: watch::Sender<bool>,
    pub texts: watch::Sender<Vec<String>>,
    pub runs: bool,
}

impl Clerk {
    pub fn new(runs: bool) -> Arc<Self> {
        let (begun, may_end) = (watch::channel(0).0, watch::channel(true).0);
        Arc::new(Self { begun, may_end, texts: watch::channel(Vec::new()).0, runs })
    }

    /// Waits until it has written down so many.
    pub async fn written(&self, count: usize) -> Vec<String> {
        let mut texts = self.texts.subscribe();
        let waited = texts.wait_for(|texts| texts.len() >= count);
        let waited = tokio::time::timeout(super::PATIENCE, waited).await;
        waited.unwrap_or_else(|_| panic!("not {count}: {:?}", self.texts.borrow())).unwrap().clone()
    }
}

#[async_trait]
impl MessageHandler for Clerk {
    fn runs(&self, _: &ComponentId) -> bool {
        self.runs
    }

    async fn handle(&self, _: &ComponentId, message: Message) -> Result<(), CallError> {
        self.begun.send_modify(|count| *count += 1);
        self.may_end.subscribe().wait_for(|may| *may).await.unwrap();
        let text = String::from_utf8(message.body).unwrap();
        self.texts.send_modify(|texts| texts.push(text));
        Ok(())
    }
}

/// Answers other nodes' messengers.
#[derive(Default)]
pub struct Desk {
    pub messenger: OnceLock<Messenger>,
    /// Says that everything was handled, as whoever passes a delivery on could.
    pub lies: AtomicBool,
}

#[async_trait]
impl Service for Desk {
    async fn call(
        &self,
        from: NodeId,
        header: CallHeader,
        payload: Bytes,
        _: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        if self.lies.load(Ordering::Relaxed) {
            let delivery: Delivery = wire::decode(&payload).unwrap();
            let handled = delivery.messages.len() as u32;
            let receipt =
                Receipt { reply: DeliveryReply { handled, stopped: None }, proof: delivery.proof };
            return Ok(Reply::new(wire::encode(&receipt).unwrap()));
        }
        self.messenger.get().unwrap().serve(from, &header, payload).await.map(Reply::new)
    }

    async fn artifact(&self, _: Digest) -> Option<ArtifactSource> {
        None
    }
}

/// A messenger that delivers, until it is told to stop or the test ends.
pub fn messenger(mesh: &Mesh, shelf: &Arc<Shelf>, clerk: &Arc<Clerk>) -> Messenger {
    let config = Config { first_retry: std::time::Duration::from_millis(20), ..Config::default() };
    let messenger = Messenger::new(mesh.clone(), shelf.clone(), clerk.clone(), config).unwrap();
    let running = messenger.clone();
    tokio::spawn(async move { running.run().await });
    messenger
}

/// Declares that the component is subscribed to everything.
pub async fn subscribe(mesh: &Mesh) {
    subscribe_to(mesh, ">").await;
}

/// The same, to the subjects of a pattern only.
pub async fn subscribe_to(mesh: &Mesh, pattern: &str) {
    let id: ComponentId = COMPONENT.parse().unwrap();
    let mut app = App::new(id.app.clone());
    app.subscriptions.push(SubscriptionSpec {
        component: id.name.clone(),
        subjects: vec![pattern.parse().unwrap()],
        group: id.name.clone(),
    });
    let body = RecordBody::App(Box::new(app));
    mesh.put_record(RecordKey::App(id.app), body).await.unwrap();
}

/// Says that `mesh` runs it.
pub fn say_runs(mesh: &Mesh) {
    let mut runs = Runs::default();
    runs.components.insert(COMPONENT.parse().unwrap(), Default::default());
    mesh.say_runs(&runs).unwrap();
}
