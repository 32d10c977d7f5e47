//! The parts of a running node, as all of it sees them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;
use wattle_contracts::audit::Happening;
use wattle_contracts::call::{CallError, ErrorKind, Source};
use wattle_contracts::id::{Digest, NodeId, PublisherKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::Labels;
use wattle_mesh::core::routing::carries;
use wattle_mesh::net::{Mesh, Messenger, Records};
use wattle_runtime::{CacheConfig, CompilerProcess, Engine, EngineConfig};

use super::grants::Grants;
use super::invoke::Repeats;
use super::logs::Logs;
use super::pace::Paces;
use super::reach::Routes;
use super::running::Running;
use super::secrets::Secrets;
use super::table::Table;
use crate::audit::Audit;
use crate::home::{self, Home};
use crate::providers::http_client::HttpClient;
use crate::state::{ArtifactStore, Database, KeyValueTables, MessageTables, RecordTable};

/// How many component instances may live at once on a node.
pub(super) const INSTANCES: u32 = 1000;

/// How many of them are for one component, whatever it declares: about a quarter, so that no component leaves
/// the others none.
pub(super) const INSTANCES_OF_ONE: u32 = 256;

/// A running node. Everything in it may be used from any task.
pub(crate) struct Node {
    id: NodeId,
    labels: Labels,
    started: Instant,
    engine: Engine,
    artifacts: ArtifactStore,
    /// The publishers that this node trusts by itself.
    trusted: Vec<PublisherKey>,
    keyvalue: KeyValueTables,
    http_client: HttpClient,
    audit: Arc<Audit>,
    logs: Logs,
    running: Running,
    paces: Paces,
    routes: Routes,
    secrets: Secrets,
    repeats: Repeats,
    grants: Grants,
    table: RwLock<Arc<Table>>,
    /// What the table was made of. Weak, so that the records need not be copied to be changed.
    known: Mutex<Weak<Records>>,
    /// Set once, right after the node is made: the mesh needs the node to answer calls.
    mesh: OnceLock<Mesh>,
    /// Set once, right after the mesh.
    messenger: OnceLock<Messenger>,
    /// Wakes the scheduler.
    reschedule: Notify,
    /// Somebody has asked it to stop.
    leave: Notify,
}

/// What a node is told of itself.
pub(crate) struct Settings {
    pub(crate) labels: Labels,
    /// The publishers that it trusts by itself.
    pub(crate) trusted: Vec<PublisherKey>,
    /// How long compiling one component may take.
    pub(crate) compile_time: Duration,
    /// Whether people may call its components through other nodes.
    pub(crate) remote_operators: bool,
}

impl Node {
    /// A node on the data folder `home`. It does nothing until the mesh is attached. `work` has
    /// the threads for calls that compute.
    pub(crate) fn new(
        work: Handle,
        home: &Home,
        key: &Arc<SigningKey>,
        settings: Settings,
        audit: Arc<Audit>,
    ) -> Result<(Arc<Self>, RecordTable, MessageTables)> {
        let Settings { labels, trusted, compile_time, remote_operators } = settings;
        let database = Database::open(&home.database())?;
        // What was sealed to this node before it had its present key.
        let former = home.former_node_keys()?.into_iter().map(Arc::new);
        let keys = [Arc::clone(key)].into_iter().chain(former).collect();
        let cache = CacheConfig {
            directory: home.code_cache(),
            limit: CacheConfig::LIMIT,
            secret: cache_secret(key),
        };
        let engine = Engine::new(EngineConfig {
            instances: INSTANCES,
            cache: Some(cache),
            compiler: Some(compiler(compile_time)?),
            work: Some(work.clone()),
            ..EngineConfig::default()
        })
        .context("can't start the WebAssembly engine")?;
        let node = Self {
            id: home::node_id(key),
            labels,
            started: Instant::now(),
            engine,
            artifacts: ArtifactStore::open(home.artifacts())?,
            trusted,
            keyvalue: KeyValueTables::new(database.clone()),
            http_client: HttpClient::new()?,
            audit,
            logs: Logs::new(),
            running: Running::default(),
            paces: Paces::new(work),
            routes: Routes::new(),
            secrets: Secrets::new(keys),
            repeats: Repeats::new(),
            grants: Grants::new(remote_operators),
            table: RwLock::default(),
            known: Mutex::default(),
            mesh: OnceLock::new(),
            messenger: OnceLock::new(),
            reschedule: Notify::new(),
            leave: Notify::new(),
        };
        let messages = MessageTables::new(database.clone());
        Ok((Arc::new(node), RecordTable::new(database, key), messages))
    }

    /// The node behind a reference that does not keep it; an error for a caller when it is gone.
    pub(crate) fn of(node: &Weak<Self>) -> Result<Arc<Self>, CallError> {
        let stopping = || CallError::new(ErrorKind::Unreachable, "this node is shutting down");
        node.upgrade().ok_or_else(stopping)
    }

    pub(super) fn attach(&self, mesh: Mesh) {
        if self.mesh.set(mesh).is_err() {
            tracing::error!("a second mesh was attached to the node; the first one stays");
        }
    }

    pub(super) fn attach_messenger(&self, messenger: Messenger) {
        if self.messenger.set(messenger).is_err() {
            tracing::error!("a second messenger was attached to the node; the first one stays");
        }
    }

    /// Publishes and delivers messages; `None` while the node is still starting.
    pub(crate) fn messenger(&self) -> Option<&Messenger> {
        self.messenger.get()
    }

    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    /// Whether this node carries all of `wanted`.
    pub(crate) fn carries(&self, wanted: &Labels) -> bool {
        carries(&self.labels, wanted)
    }

    pub(crate) fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn artifacts(&self) -> &ArtifactStore {
        &self.artifacts
    }

    /// The publishers that this node trusts by itself.
    pub(crate) fn trusted(&self) -> &[PublisherKey] {
        &self.trusted
    }

    pub(crate) fn keyvalue(&self) -> &KeyValueTables {
        &self.keyvalue
    }

    pub(crate) fn http_client(&self) -> &HttpClient {
        &self.http_client
    }

    /// Where what matters for security is written down.
    pub(crate) fn audit(&self) -> &Arc<Audit> {
        &self.audit
    }

    /// Writes down that `caller`, on the node `from` or on this one, was not allowed to call
    /// `target`; any other failure of a call is none of the audit log's business.
    pub(crate) fn note_denied(
        &self,
        caller: &Source,
        from: Option<NodeId>,
        target: &str,
        error: &CallError,
    ) {
        if !matches!(error.kind, ErrorKind::NotAllowed | ErrorKind::NotLinked) {
            return;
        }
        self.audit.note(Happening::CallDenied {
            caller: caller.to_string(),
            from: from.filter(|from| *from != self.id),
            target: target.to_string(),
            why: error.message.clone(),
        });
    }

    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }

    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    pub(crate) fn paces(&self) -> &Paces {
        &self.paces
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.routes
    }

    pub(super) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    pub(crate) fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    /// The declared apps as they are now.
    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what is declared now. Read under the lock of what is known, so that an older
    /// table never replaces a newer one; calls go on by the older one meanwhile.
    pub(super) fn refresh_table(&self, mesh: &Mesh) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let records = mesh.records();
        if Weak::ptr_eq(&known, &Arc::downgrade(&records)) {
            return;
        }
        let table = Arc::new(Table::new(records.iter()));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&table);
        self.stop_what_may_not_run(&table);
        *known = Arc::downgrade(&records);
    }

    /// Makes the scheduler look again.
    pub(crate) fn wake_scheduler(&self) {
        self.reschedule.notify_one();
    }

    pub(super) async fn woken(&self) {
        self.reschedule.notified().await;
    }

    /// Stops the node as SIGTERM does.
    pub(crate) fn leave(&self) {
        self.leave.notify_one();
    }

    pub(super) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    /// The mesh; `None` while the node is still starting.
    pub(crate) fn mesh(&self) -> Option<&Mesh> {
        self.mesh.get()
    }
}

/// This program, told to compile. It may use more of the processors than it takes time: it has a
/// thread for each.
fn compiler(time: Duration) -> Result<CompilerProcess> {
    // The very program that runs, also when its file was replaced meanwhile.
    let running = PathBuf::from("/proc/self/exe");
    let program = match running.exists() {
        true => running,
        false => std::env::current_exe().context("can't find this program, to compile with")?,
    };
    let seconds = time.as_secs().saturating_mul(4).to_string();
    let args = ["compile".into(), "--seconds".into(), seconds.into()].to_vec();
    Ok(CompilerProcess { program, args, time })
}

/// Signs the compiled code on disk. Nobody without the node's key can make it.
fn cache_secret(key: &SigningKey) -> [u8; 32] {
    let text = b"wattle code cache v1\0".as_slice();
    *Digest::of(&[text, key.seed()].concat()).as_bytes()
}

/// How much linear memory the instances of one component may have together, in bytes: a quarter of the
/// machine's RAM, and never less than a few of them need.
pub(super) fn memory_of_one() -> usize {
    const LEAST: usize = 512 << 20;
    let info = rustix::system::sysinfo();
    let unit = u64::from(info.mem_unit.max(1));
    let quarter = (info.totalram as u64).saturating_mul(unit) / 4;
    usize::try_from(quarter).unwrap_or(usize::MAX).max(LEAST)
}

/// How much memory this process has in RAM, in bytes (proc(5)); 0 where the system does not say.
pub(crate) fn resident_memory() -> u64 {
    let pages = std::fs::read_to_string(Path::new("/proc/self/statm"))
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}
