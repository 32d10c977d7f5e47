//! The plane of records: what people declare, on the disk and with the others.
//!
//! One task owns the set. For each batch of what comes in, what is to be kept is on the disk
//! before anything else is done: nothing is shown, passed on or acknowledged that a crash could
//! take back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot, watch};
use wattle_contracts::control::{Control, RecordMessage};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordBody, RecordKey};

use super::config::{MeshConfig, WallClock};
use super::error::{MeshError, PutError, StoreError};
use super::metrics::Metrics;
use super::peers::Peers;
use super::service::RecordStore;
use crate::core::records::{Limits, Output, Records as Set};
use crate::core::time::Time;

/// Declarations of this node that wait.
const QUEUE: usize = 64;

/// So many messages and declarations share one write to the disk.
const BATCH: usize = 64;

/// The state machine's clock runs at least this often.
const MAX_NAP: Duration = Duration::from_secs(1);

/// After a failure of the disk, it is asked again after so long.
const RETRY: Duration = Duration::from_secs(1);

/// Every record that a node holds, the newest of each key.
#[derive(Debug, Clone, Default)]
pub struct Records {
    by_key: BTreeMap<RecordKey, Arc<Record>>,
}

impl Records {
    /// The record of `key`; perhaps a tombstone.
    pub fn get(&self, key: &RecordKey) -> Option<&Record> {
        self.by_key.get(key).map(Arc::as_ref)
    }

    /// The record of every key, tombstones included, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.by_key.values().map(Arc::as_ref)
    }

    /// How many there are, tombstones included.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

/// A declaration of this node.
#[derive(Debug)]
pub(super) struct Put {
    pub(super) key: RecordKey,
    pub(super) body: RecordBody,
    pub(super) answer: oneshot::Sender<Result<Record, PutError>>,
}

/// Loads what is on the disk, and begins.
pub(super) async fn start(
    config: &MeshConfig,
    store: Arc<dyn RecordStore>,
    peers: Arc<Peers>,
    metrics: Arc<Metrics>,
    inbox: mpsc::Receiver<(NodeId, RecordMessage)>,
) -> Result<(watch::Receiver<Arc<Records>>, mpsc::Sender<Put>), MeshError> {
    let (shown, records) = watch::channel(Arc::default());
    let (puts_in, puts) = mpsc::channel(QUEUE);
    let mut plane = Plane {
        me: config.node(),
        key: config.key.clone(),
        clock: config.clock,
        started: Instant::now(),
        rng: SmallRng::from_os_rng(),
        store,
        peers,
        metrics,
        set: None,
        up: BTreeSet::new(),
        shown,
    };
    plane.load().await?;
    tokio::spawn(plane.run(inbox, puts));
    Ok((records, puts_in))
}

struct Plane {
    me: NodeId,
    key: Arc<SigningKey>,
    clock: WallClock,
    started: Instant,
    rng: SmallRng,
    store: Arc<dyn RecordStore>,
    peers: Arc<Peers>,
    metrics: Arc<Metrics>,
    /// None after the disk has failed, until it was read again.
    set: Option<Set>,
    /// The peers that the set knows of.
    up: BTreeSet<NodeId>,
    shown: watch::Sender<Arc<Records>>,
}

/// What a batch is made of.
enum Input {
    Message(NodeId, RecordMessage),
    Put(Put),
}

/// A declaration that is taken, once it is on the disk.
type Taken = (oneshot::Sender<Result<Record, PutError>>, Record);

impl Plane {
    async fn run(
        mut self,
        mut inbox: mpsc::Receiver<(NodeId, RecordMessage)>,
        mut puts: mpsc::Receiver<Put>,
    ) {
        let mut changes = self.peers.watch();
        loop {
            let mut batch = Vec::new();
            let nap = self.nap();
            tokio::select! {
                Some((from, message)) = inbox.recv() => batch.push(Input::Message(from, message)),
                put = puts.recv() => match put {
                    Some(put) => batch.push(Input::Put(put)),
                    // The mesh is gone.
                    None => return,
                },
                changed = changes.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(nap) => {}
            }
            while batch.len() < BATCH {
                let message = inbox.try_recv().map(|(from, message)| Input::Message(from, message));
                match message.or_else(|_| puts.try_recv().map(Input::Put)) {
                    Ok(input) => batch.push(input),
                    Err(_) => break,
                }
            }
            self.take(batch).await;
        }
    }

    fn now(&self) -> Time {
        Time::since_start(self.started.elapsed())
    }

    fn nap(&self) -> Duration {
        let due = self.set.as_ref().map(|set| set.wake_at().since(self.now()));
        due.map_or(RETRY, |due| due.min(MAX_NAP))
    }

    async fn take(&mut self, batch: Vec<Input>) {
        if self.set.is_none()
            && let Err(error) = self.load().await
        {
            tracing::error!(%error, "the records can't be read; trying again");
        }
        let (now, wall) = (self.now(), self.clock.now());
        let (mut out, mut taken) = (Vec::new(), Vec::<Taken>::new());
        self.note_peers(&mut out);
        for input in batch {
            let Some(set) = self.set.as_mut() else {
                refuse(input);
                continue;
            };
            match input {
                Input::Message(from, message) => {
                    let before = out.len();
                    set.handle(now, wall, from, message, &mut self.rng, &mut out);
                    let new = out.iter().skip(before);
                    let new = new.filter(|output| matches!(output, Output::Persist(_)));
                    self.metrics.records_taken.add(new.count() as u64);
                }
                Input::Put(Put { key, body, answer }) => {
                    let signed = Record::sign(&self.key, key, set.stamp(wall), body);
                    let put = signed.map_err(PutError::from).and_then(|record| {
                        set.put(now, wall, record.clone(), &mut self.rng, &mut out)
                            .map_err(|why| PutError::Refused(why.to_string()))?;
                        Ok(record)
                    });
                    match put {
                        Ok(record) => taken.push((answer, record)),
                        Err(error) => {
                            let _ = answer.send(Err(error));
                        }
                    }
                }
            }
        }
        if let Some(set) = self.set.as_mut() {
            set.tick(now, wall, &mut self.rng, &mut out);
        }
        self.perform(out, taken).await;
    }

    /// Tells the set who came and who went.
    fn note_peers(&mut self, out: &mut Vec<Output>) {
        let Some(set) = self.set.as_mut() else { return };
        let connected: BTreeSet<NodeId> = self.peers.connected().into_iter().collect();
        for gone in self.up.difference(&connected) {
            set.peer_down(*gone);
        }
        for come in connected.difference(&self.up) {
            set.peer_up(*come, out);
        }
        self.up = connected;
    }

    async fn perform(&mut self, out: Vec<Output>, taken: Vec<Taken>) {
        let persist: Vec<Record> = out
            .iter()
            .filter_map(|output| match output {
                Output::Persist(record) => Some(Record::clone(record)),
                _ => None,
            })
            .collect();
        if let Err(error) = self.persist(persist).await {
            tracing::error!(%error, "records can't be written; nothing of them is shown");
            // What is in memory is ahead of the disk now, and must not be believed.
            self.set = None;
            self.up.clear();
            for (answer, _) in taken {
                let _ = answer.send(Err(PutError::Store(StoreError(error.to_string()))));
            }
            return;
        }
        let mut changed = Vec::new();
        for output in out {
            match output {
                Output::Changed { key, .. } => changed.push(key),
                Output::Send { to, message } => {
                    // What is lost is found by the next comparison.
                    self.peers.tell(to, Control::Records(message));
                }
                Output::Refused { from, reason } => {
                    self.metrics.records_refused.one();
                    tracing::debug!(?from, %reason, "a record was refused");
                }
                _ => {}
            }
        }
        self.show(changed);
        for (answer, record) in taken {
            let _ = answer.send(Ok(record));
        }
    }

    async fn persist(&self, records: Vec<Record>) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.persist(&records))
            .await
            .unwrap_or_else(|error| Err(StoreError(error.to_string())))
    }

    fn show(&self, changed: Vec<RecordKey>) {
        let Some(set) = self.set.as_ref().filter(|_| !changed.is_empty()) else { return };
        self.shown.send_modify(|shown| {
            let shown = Arc::make_mut(shown);
            for key in changed {
                match set.get(&key) {
                    Some(record) => shown.by_key.insert(key, record.clone()),
                    None => shown.by_key.remove(&key),
                };
            }
        });
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        let store = self.store.clone();
        let stored = tokio::task::spawn_blocking(move || store.load())
            .await
            .unwrap_or_else(|error| Err(StoreError(error.to_string())))?;
        let mut out = Vec::new();
        let set = Set::load(self.me, Limits::default(), stored, &mut out);
        for output in out {
            if let Output::Refused { reason, .. } = output {
                self.metrics.records_refused.one();
                tracing::warn!(%reason, "a stored record is left out");
            }
        }
        let by_key = set.iter().map(|record| (record.key.clone(), record.clone())).collect();
        self.shown.send_replace(Arc::new(Records { by_key }));
        self.set = Some(set);
        self.up.clear();
        Ok(())
    }
}

fn refuse(input: Input) {
    if let Input::Put(Put { answer, .. }) = input {
        let text = "the disk has failed, and is asked again in a moment";
        let _ = answer.send(Err(PutError::Store(StoreError(text.into()))));
    }
}
