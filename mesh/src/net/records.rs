//! The plane of records: what people declare, on the disk and with the others.
//!
//! One task owns the set. For each batch of what comes in, what is to be kept is on the disk
//! before anything else is done: nothing is shown, passed on or acknowledged that a crash could
//! take back.

mod shown;
mod telling;
#[cfg(test)]
mod tests;

pub use shown::Records;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::{mpsc, oneshot, watch};
use wattle_contracts::audit::Happening;
use wattle_contracts::control::{Control, RecordMessage};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordBody, RecordKey, Stamp};

use super::audit::Audit;
use super::config::{MeshConfig, WallClock};
use super::error::{MeshError, PutError, StoreError};
use super::metrics::Metrics;
use super::peers::Peers;
use super::roster::Roster;
use super::service::RecordStore;
use crate::core::records::{Limits, Output, Records as Set, Write};
use crate::core::rights::Rights;
use crate::core::time::Time;

/// Declarations of this node that wait.
const QUEUE: usize = 64;

/// So many messages and declarations share one write to the disk.
const BATCH: usize = 64;

/// The state machine's clock runs at least this often.
const MAX_NAP: Duration = Duration::from_secs(1);

/// So many refusals are told in the log in [`WARNINGS_EACH`]; the others are counted.
const WARNINGS: usize = 10;
const WARNINGS_EACH: Duration = Duration::from_secs(60);

/// After a failure of the disk, it is asked again after so long, and not before: to read every
/// record anew for each message would keep a disk that is full busy as well.
const RETRY: Duration = Duration::from_secs(1);

/// What this node asks of its own plane.
#[derive(Debug)]
pub(super) enum Put {
    /// Sign this with the node's key, and take it.
    Sign { key: RecordKey, body: RecordBody, answer: Answer },
    /// Take this, which somebody else has signed.
    Take { record: Box<Record>, answer: Answer },
    /// Say where the next record of this key stands.
    Stamp { key: RecordKey, answer: oneshot::Sender<Stamp> },
}

type Answer = oneshot::Sender<Result<Record, PutError>>;

/// Loads what is on the disk, and begins.
pub(super) async fn start(
    config: &MeshConfig,
    roster: Arc<Roster>,
    store: Arc<dyn RecordStore>,
    peers: Arc<Peers>,
    metrics: Arc<Metrics>,
    inbox: mpsc::Receiver<(NodeId, RecordMessage)>,
) -> Result<(watch::Receiver<Arc<Records>>, mpsc::Sender<Put>), MeshError> {
    let (shown, records) = watch::channel(Arc::default());
    let (puts_in, puts) = mpsc::channel(QUEUE);
    let mut plane = Plane {
        me: config.node(),
        roster,
        key: config.key.clone(),
        clock: config.clock,
        started: Instant::now(),
        rng: SmallRng::from_os_rng(),
        store,
        peers,
        metrics,
        audit: config.audit.clone(),
        set: None,
        retry_at: Time::ZERO,
        waiting: Vec::new(),
        up: BTreeSet::new(),
        shown,
        warned: (Time::ZERO, 0),
    };
    plane.load().await?;
    let work = config.work.clone().unwrap_or_else(tokio::runtime::Handle::current);
    work.spawn(plane.run(inbox, puts));
    Ok((records, puts_in))
}

struct Plane {
    me: NodeId,
    /// Who belongs, for everybody else.
    roster: Arc<Roster>,
    key: Arc<SigningKey>,
    clock: WallClock,
    started: Instant,
    rng: SmallRng,
    store: Arc<dyn RecordStore>,
    peers: Arc<Peers>,
    metrics: Arc<Metrics>,
    audit: Arc<dyn Audit>,
    /// None after the disk has failed, until it was read again.
    set: Option<Set>,
    /// While there is no set, the disk is not read before this moment.
    retry_at: Time,
    /// Declarations that wait for that moment, at most [`QUEUE`].
    waiting: Vec<Input>,
    /// The peers that the set knows of, each with whether it is of this node's cell.
    up: BTreeSet<(NodeId, bool)>,
    shown: watch::Sender<Arc<Records>>,
    /// How many refusals were told in the log, since when.
    warned: (Time, usize),
}

/// What a batch is made of.
enum Input {
    Message(NodeId, RecordMessage),
    Put(Put),
}

/// A declaration that is taken, once it is on the disk.
type Taken = (Answer, Record);

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
        let due = self.set.as_ref().map_or(self.retry_at, Set::wake_at);
        due.since(self.now()).min(MAX_NAP)
    }

    async fn take(&mut self, mut batch: Vec<Input>) {
        if self.set.is_none() {
            if self.now() < self.retry_at {
                return self.put_off(batch);
            }
            batch.splice(..0, std::mem::take(&mut self.waiting));
            if let Err(error) = self.load().await {
                tracing::error!(%error, "the records can't be read; trying again");
                self.retry_at = self.now().plus(RETRY);
            }
        }
        let (now, wall) = (self.now(), self.clock.now());
        let (mut out, mut taken) = (Vec::new(), Vec::<Taken>::new());
        self.note_peers(now, &mut out);
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
                    let new = new.filter(|output| matches!(output, Output::Changed { .. }));
                    self.metrics.records_taken.add(new.count() as u64);
                }
                Input::Put(Put::Stamp { key, answer }) => {
                    let _ = answer.send(set.stamp(wall, &key));
                }
                Input::Put(put) => {
                    let (signed, answer) = match put {
                        Put::Sign { key, body, answer } => {
                            (set.sign(wall, &self.key, key, body), answer)
                        }
                        Put::Take { record, answer } => (Ok(*record), answer),
                        Put::Stamp { .. } => continue,
                    };
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

    /// Keeps declarations until the disk is asked again. Messages are dropped: the next comparison
    /// with the peers brings what was in them.
    fn put_off(&mut self, batch: Vec<Input>) {
        for input in batch {
            match input {
                Input::Put(_) if self.waiting.len() < QUEUE => self.waiting.push(input),
                _ => refuse(input),
            }
        }
    }

    /// Tells the set who came and who went.
    fn note_peers(&mut self, now: Time, out: &mut Vec<Output>) {
        let Some(set) = self.set.as_mut() else { return };
        let connected = self.peers.for_records();
        for (gone, _) in self.up.difference(&connected) {
            set.peer_down(*gone);
        }
        for (come, near) in connected.difference(&self.up) {
            match near {
                true => set.peer_up(now, *come, out),
                false => set.envoy_up(now, *come, out),
            }
        }
        self.up = connected;
    }

    async fn perform(&mut self, out: Vec<Output>, taken: Vec<Taken>) {
        let persist: Vec<Write> = out
            .iter()
            .filter_map(|output| match output {
                Output::Persist(write) => Some(write.clone()),
                _ => None,
            })
            .collect();
        if let Err(error) = self.persist(persist).await {
            tracing::error!(%error, "records can't be written; nothing of them is shown");
            // What is in memory is ahead of the disk now, and must not be believed.
            self.set = None;
            self.retry_at = self.now().plus(RETRY);
            self.up.clear();
            for (answer, _) in taken {
                let _ = answer.send(Err(PutError::Store(StoreError(error.to_string()))));
            }
            return;
        }
        let mut changed = Vec::new();
        for output in out {
            match output {
                Output::Changed { key, previous } => {
                    self.note_change(&key);
                    self.note_void(&key, previous.as_deref());
                    changed.push(key);
                }
                Output::Lost { key, version } => {
                    self.metrics.records_lost.one();
                    let writer = version.writer;
                    self.audit.note(Happening::RecordLost { key: key.to_string(), writer });
                    tracing::info!(%key, %writer, "a change lost against another made at the same time; see `wattle history`");
                    changed.push(key);
                }
                Output::Send { to, message } => {
                    // What is lost is found by the next comparison.
                    self.peers.tell(to, Control::Records(message));
                }
                Output::Refused { from, reason } => self.report(from, &reason),
                Output::Ignored { .. } => self.metrics.records_ignored.one(),
                _ => {}
            }
        }
        self.tell_rights(&changed);
        self.show(changed);
        for (answer, record) in taken {
            let _ = answer.send(Ok(record));
        }
    }

    /// Lets everybody know who belongs, if what changed may tell.
    fn tell_rights(&self, changed: &[RecordKey]) {
        let tells = changed.iter().any(|key| Rights::rank(key) < u8::MAX);
        if let Some(rights) = self.set.as_ref().and_then(Set::rights).filter(|_| tells) {
            self.roster.publish(Arc::new(rights.clone()));
        }
    }

    async fn persist(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.persist(&writes))
            .await
            .unwrap_or_else(|error| Err(StoreError(error.to_string())))
    }

    fn show(&self, changed: Vec<RecordKey>) {
        let Some(set) = self.set.as_ref() else { return };
        let held_back: Vec<Arc<Record>> = set.held_back().cloned().map(Arc::new).collect();
        if changed.is_empty() && self.shown.borrow().held_back == held_back {
            return;
        }
        self.shown.send_modify(|shown| {
            let shown = Arc::make_mut(shown);
            shown.held_back = held_back;
            for key in changed {
                let lost: Vec<_> = set.lost_of(&key).cloned().collect();
                match lost.is_empty() {
                    true => shown.lost.remove(&key),
                    false => shown.lost.insert(key.clone(), lost),
                };
                match set.get(&key) {
                    Some(record) => shown.by_key.insert(key, record.clone()),
                    None => shown.by_key.remove(&key),
                };
            }
        });
    }

    async fn load(&mut self) -> Result<(), StoreError> {
        let store = self.store.clone();
        let (me, mesh, limits) = (self.me, self.roster.mesh(), Limits::default());
        // A newcomer knows by its paper to whom the mesh was handed over, before any record comes.
        let ground = self.roster.own().chains().next().cloned().unwrap_or_default();
        let loading = tokio::task::spawn_blocking(move || {
            let loaded = store.load()?;
            let mut out = Vec::new();
            let mut set = Set::load(me, limits, loaded.records, &mut out);
            set.govern(mesh, ground, &mut out);
            Ok((set, loaded.damaged, out))
        });
        let loaded = loading.await.unwrap_or_else(|error| Err(StoreError(error.to_string())));
        let (set, mut damaged, out) = loaded?;
        let mut writes = Vec::new();
        for output in out {
            match output {
                Output::Refused { reason, .. } => damaged.push(reason.to_string()),
                Output::Persist(write) => writes.push(write),
                _ => {}
            }
        }
        self.metrics.records_damaged.add(damaged.len() as u64);
        for what in damaged.iter().take(WARNINGS) {
            tracing::error!(
                what,
                "a record on disk is damaged; it is left out until a peer sends it again"
            );
        }
        if damaged.len() > WARNINGS {
            tracing::error!(all = damaged.len(), "more records on disk are damaged");
        }
        self.persist(writes).await?;
        let mut lost = BTreeMap::<_, Vec<_>>::new();
        for record in set.lost() {
            lost.entry(record.key.clone()).or_default().push(record.clone());
        }
        let by_key = set.iter().map(|record| (record.key.clone(), record.clone())).collect();
        self.shown.send_replace(Arc::new(Records { by_key, lost, held_back: Vec::new() }));
        if let Some(rights) = set.rights() {
            self.roster.publish(Arc::new(rights.clone()));
        }
        self.set = Some(set);
        self.up.clear();
        Ok(())
    }
}

fn refuse(input: Input) {
    if let Input::Put(Put::Sign { answer, .. } | Put::Take { answer, .. }) = input {
        let text = "the disk has failed, and is asked again in a moment";
        let _ = answer.send(Err(PutError::Store(StoreError(text.into()))));
    }
}
