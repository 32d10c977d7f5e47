//! The handle by which everything above talks to the mesh.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::Multiaddr;
use tokio::sync::{mpsc, oneshot, watch};
use wattle_contracts::audit::Head;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::id::{Digest, MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordBody, RecordKey, Stamp};
use wattle_contracts::trust::{Paper, UnixMillis};
use wattle_contracts::wire::WireError;

use super::artifact::{self, Artifact};
use super::body::BodyStream;
use super::config::{MeshConfig, Timing};
use super::driver::{self, Command};
use super::error::{FetchError, MeshError, PutError, SayError};
use super::gossip::Speaker;
use super::metrics::{Metrics, MetricsSnapshot};
use super::peers::{Peers, Way};
use super::records::{Put, Records};
use super::relay::Relays;
use super::roster::Roster;
use super::service::{RecordStore, Reply, Service};
use super::statement::{About, AboutFact, Load, Runs, Topic};
use super::view::View;
use crate::core::rights::Rights;

/// Between two looks whether the calls under way are done.
const DRAIN_STEP: Duration = Duration::from_millis(10);

/// How long a dial may take, for an artifact.
const DIAL_FOR_ARTIFACT: Duration = Duration::from_secs(5);

/// A node of the mesh, running. Cheap to clone; the mesh stops when the last clone is gone.
#[derive(Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

/// What the handle shares with its clones.
pub(super) struct Inner {
    pub(super) node: NodeId,
    pub(super) mesh: MeshId,
    pub(super) timing: Timing,
    pub(super) peers: Arc<Peers>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) service: Arc<dyn Service>,
    pub(super) relays: Arc<Relays>,
    pub(super) speaker: Arc<Speaker>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) puts: mpsc::Sender<Put>,
    pub(super) about: Arc<watch::Sender<AboutFact>>,
    pub(super) listening: watch::Receiver<Vec<Multiaddr>>,
    pub(super) view: watch::Receiver<Arc<View>>,
    pub(super) records: watch::Receiver<Arc<Records>>,
    pub(super) leaving: AtomicBool,
    pub(super) roster: Arc<Roster>,
}

impl Mesh {
    /// Joins the mesh: loads the records, listens, and begins to look for others. Returns once
    /// the node listens.
    pub async fn start(
        config: MeshConfig,
        store: Arc<dyn RecordStore>,
        service: Arc<dyn Service>,
    ) -> Result<Self, MeshError> {
        let inner = driver::start(config, store, service).await?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This node.
    pub fn node_id(&self) -> NodeId {
        self.inner.node
    }

    /// This node's key.
    pub(super) fn key(&self) -> &SigningKey {
        self.inner.speaker.key()
    }

    /// The mesh that it belongs to.
    pub fn mesh_id(&self) -> MeshId {
        self.inner.mesh
    }

    /// Where it listens.
    pub fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.inner.listening.borrow().clone()
    }

    /// Calls a component or provider on node `to`; on this node, without a detour; through a common
    /// neighbour, where the two don't reach each other. Dropping the future gives the call up, and the callee stops. No later than `header.time_left` from now
    /// there is an answer or an error.
    pub async fn call(
        &self,
        to: NodeId,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        self.call_made(to, header, |_| Ok(payload), body).await
    }

    /// [`Mesh::call`] with a payload that is made when it is known whether the call goes through
    /// another node.
    pub(super) async fn call_made(
        &self,
        to: NodeId,
        header: CallHeader,
        payload: impl FnOnce(bool) -> Result<Bytes, WireError>,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let outcome = self.call_uncounted(to, header, payload, body).await;
        let kind = outcome.as_ref().map(|_| ()).map_err(|error| error.kind);
        self.inner.metrics.calls_out.count(kind);
        outcome
    }

    async fn call_uncounted(
        &self,
        to: NodeId,
        mut header: CallHeader,
        payload: impl FnOnce(bool) -> Result<Bytes, WireError>,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let unwritable = |error: WireError| CallError::new(ErrorKind::Internal, error.to_string());
        if to == self.inner.node {
            let time_left = header.time_left;
            let payload = payload(false).map_err(unwritable)?;
            let work = self.inner.service.call(to, header, payload, body);
            return tokio::time::timeout(time_left, work).await.unwrap_or_else(|_| {
                let text = format!("it was not done within {time_left:?}");
                Err(CallError::new(ErrorKind::Deadline, text))
            });
        }
        if self.inner.leaving.load(Ordering::Relaxed) {
            return Err(CallError::new(ErrorKind::Unreachable, "this node is shutting down"));
        }
        let way = match self.inner.peers.way_to_call(to) {
            Some(way) => way,
            None => {
                let asked = Instant::now();
                let patience = header.time_left.min(self.inner.timing.dial_wait);
                let way = Box::pin(self.inner.peers.way_soon(to, patience)).await;
                header.time_left = header.time_left.saturating_sub(asked.elapsed());
                way.ok_or_else(|| {
                    let text = format!("there is no connection to {to}; the call was not begun");
                    CallError::new(ErrorKind::Unreachable, text)
                })?
            }
        };
        let (link, payload) = match way {
            Way::Direct(link) => (link, payload(false).map_err(unwritable)?),
            Way::Through(link) => {
                header.relay = Some(Box::new(self.inner.relays.first(to)));
                let payload = payload(true).map_err(unwritable)?;
                self.inner.relays.prove(&mut header, &payload).map_err(unwritable)?;
                (link, payload)
            }
        };
        link.call(header, payload, body).await
    }

    /// Fetches an artifact of at most `limit` bytes from node `from`; through a common neighbour,
    /// where the two don't reach each other. What is read from it is checked against the digest
    /// when it ends.
    pub async fn fetch_artifact(
        &self,
        from: NodeId,
        digest: Digest,
        limit: u64,
    ) -> Result<Artifact, FetchError> {
        // One of another cell is connected first.
        let _ = self.inner.peers.link_soon(from, DIAL_FOR_ARTIFACT).await;
        // Where the two don't reach each other, their neighbour passes it on.
        let asked = match self.inner.peers.way(from) {
            Some(Way::Through(link)) => link.peer(),
            _ => from,
        };
        let stream = artifact::open(&self.inner.commands, asked).await.map_err(|why| {
            tracing::debug!(node = %from, %asked, %why, "no stream for an artifact");
            FetchError::Unreachable(from)
        })?;
        artifact::fetch(from, stream, digest, limit, self.inner.metrics.clone()).await
    }

    /// What this node knows of all nodes now.
    pub fn view(&self) -> Arc<View> {
        self.inner.view.borrow().clone()
    }

    /// The same, as it changes.
    pub fn watch_view(&self) -> watch::Receiver<Arc<View>> {
        self.inner.view.clone()
    }

    /// Says what this node is.
    pub fn say_about(&self, about: About) -> Result<(), SayError> {
        let fact = AboutFact { about: about.clone(), ..self.inner.about.borrow().clone() };
        // The driver says it, together with the addresses, which only it knows; but whoever says
        // too much shall hear of it.
        self.inner.speaker.sign(Topic::About, &fact).map_err(SayError::too_long)?;
        self.inner.about.send_modify(|fact| fact.about = about);
        Ok(())
    }

    /// Says what this node runs and holds.
    pub fn say_runs(&self, runs: &Runs) -> Result<(), SayError> {
        self.say(Topic::Runs, runs)
    }

    /// Says how busy this node is.
    pub fn say_load(&self, load: &Load) -> Result<(), SayError> {
        self.say(Topic::Load, load)
    }

    /// Says how far this node's audit log reaches, so that others can tell if it is cut short.
    pub fn say_audit(&self, head: &Head) -> Result<(), SayError> {
        self.say(Topic::Audit, head)
    }

    fn say<T: serde::Serialize>(&self, topic: Topic, statement: &T) -> Result<(), SayError> {
        let said = self.inner.speaker.sign(topic, statement).map_err(SayError::too_long)?;
        let command = Command::Say(Box::new(said));
        self.inner.commands.try_send(command).map_err(|_| SayError::Busy)
    }

    /// Declares something: signs it as the newest statement on its key, writes it to disk, and
    /// tells the others. When this returns, it is durable here; the others have it soon, or when
    /// they are back.
    pub async fn put_record(&self, key: RecordKey, body: RecordBody) -> Result<Record, PutError> {
        let (answer, done) = oneshot::channel();
        let put = Put::Sign { key, body, answer };
        self.inner.puts.send(put).await.map_err(|_| PutError::Stopped)?;
        done.await.map_err(|_| PutError::Stopped)?
    }

    /// Takes a record that somebody else has signed, for instance an operator beside this node.
    pub async fn take_record(&self, record: Record) -> Result<Record, PutError> {
        let (answer, done) = oneshot::channel();
        let put = Put::Take { record: Box::new(record), answer };
        self.inner.puts.send(put).await.map_err(|_| PutError::Stopped)?;
        done.await.map_err(|_| PutError::Stopped)?
    }

    /// Where the next record of `key` stands, for somebody who signs it himself.
    pub async fn stamp(&self, key: RecordKey) -> Result<Stamp, PutError> {
        let (answer, done) = oneshot::channel();
        let put = Put::Stamp { key, answer };
        self.inner.puts.send(put).await.map_err(|_| PutError::Stopped)?;
        done.await.map_err(|_| PutError::Stopped)
    }

    /// Who may write what, and who belongs, by the records that this node holds now.
    pub fn rights(&self) -> Arc<Rights> {
        self.inner.roster.rights()
    }

    /// The node as it is called now, if it has another key since it was called so.
    pub fn present(&self, node: NodeId) -> NodeId {
        self.inner.roster.rights().present(node)
    }

    /// The node as it was called first, before it had other keys.
    pub fn first(&self, node: NodeId) -> NodeId {
        self.inner.roster.first(node)
    }

    /// The paper of a node that counts, as far as this node knows it.
    pub fn paper(&self, node: NodeId) -> Option<Paper> {
        self.inner.roster.paper(node)
    }

    /// The papers that count of all nodes that belong at `now`, as far as this node knows them: of those who
    /// are written down, and of its peers.
    pub fn papers(&self, now: UnixMillis) -> Vec<Paper> {
        self.inner.roster.papers(now)
    }

    /// This node's own paper, as it is renewed.
    pub fn watch_paper(&self) -> watch::Receiver<Paper> {
        self.inner.roster.watch_own()
    }

    /// Every record that this node holds now.
    pub fn records(&self) -> Arc<Records> {
        self.inner.records.borrow().clone()
    }

    /// The same, as it changes.
    pub fn watch_records(&self) -> watch::Receiver<Arc<Records>> {
        self.inner.records.clone()
    }

    /// The counters.
    pub fn metrics(&self) -> MetricsSnapshot {
        self.inner.metrics.snapshot()
    }

    /// Leaves on purpose: takes no new calls, waits at most `drain` for those under way, says
    /// goodbye and closes.
    pub async fn leave(&self, drain: Duration) {
        self.inner.leaving.store(true, Ordering::Relaxed);
        let links = self.inner.peers.links();
        for link in &links {
            link.drain();
        }
        let idle = async {
            while links.iter().any(|link| link.is_open() && !link.is_idle()) {
                tokio::time::sleep(DRAIN_STEP).await;
            }
        };
        if tokio::time::timeout(drain, idle).await.is_err() {
            tracing::warn!(?drain, "calls are still under way; leaving nevertheless");
        }
        let (done, stopped) = oneshot::channel();
        if self.inner.commands.send(Command::Stop(done)).await.is_ok() {
            let _ = stopped.await;
        }
    }
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mesh").field("node", &self.inner.node).finish_non_exhaustive()
    }
}
