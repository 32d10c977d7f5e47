//! The life of a node: start, serve, drain, stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use libp2p::Multiaddr;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wattle_contracts::audit::Happening;
use wattle_contracts::id::{NodeId, PublisherKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::Labels;
use wattle_contracts::trust::{Paper, Token};
use wattle_mesh::core::outbox::Config as OutboxConfig;
use wattle_mesh::core::records::Write;
use wattle_mesh::net::{
    About, HostDirectory, JoinTarget, Loaded, Mesh, MeshConfig, MeshError, RecordStore, StoreError,
    WallClock,
};

use super::gateway::Gateway;
use super::messages;
use super::node::{Node, Settings};
use super::papers::{self, Belonging};
use super::scheduler;
use super::service::NodeService;
use crate::api;
use crate::audit::{self, Audit, Folder};
use crate::home::{self, Home};
use crate::state::RecordTable;

/// What `wattle up` is told.
#[derive(Debug, Clone)]
pub(crate) struct UpOptions {
    pub(crate) data: PathBuf,
    /// A paper to take over, where the folder has none yet.
    pub(crate) paper: Option<PathBuf>,
    /// The mesh's key, to sign this node's own paper with.
    pub(crate) mesh_key: Option<PathBuf>,
    /// The invitation by which the node comes.
    pub(crate) invite: Option<Token>,
    /// Whether this is a mesh of one, for development.
    pub(crate) dev: bool,
    pub(crate) listen: Vec<Multiaddr>,
    pub(crate) advertise: Vec<Multiaddr>,
    pub(crate) join: Vec<JoinTarget>,
    pub(crate) mdns: bool,
    pub(crate) host_directory: HostDirectory,
    pub(crate) labels: Labels,
    pub(crate) trust: Vec<PublisherKey>,
    /// How long compiling one component may take.
    pub(crate) compile_time: Duration,
    /// Whether people may call this node's components through other nodes.
    pub(crate) remote_operators: bool,
    /// Where the API is served over the network.
    pub(crate) api: Option<SocketAddr>,
    /// What it is called there.
    pub(crate) api_hosts: Vec<api::HostName>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) http_timeout: Duration,
    /// How long calls under way may take to finish when the node stops.
    pub(crate) drain: Duration,
    /// How much of the audit log is kept, in bytes.
    pub(crate) audit_limit: u64,
    /// How much the outbox keeps, and for how long.
    pub(crate) outbox: OutboxConfig,
}

/// Runs a node until it is told to stop. `work` has the threads for what takes long.
pub(crate) async fn run(work: Handle, options: UpOptions) -> Result<()> {
    // Handlers first: a signal during a slow start must stop the node as well.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let home = Home::open(&options.data)?;
    let lock = home.lock()?;
    let key = Arc::new(home.node_key()?);
    let id = home::node_id(&key);
    let mut options = options;
    let Belonging { paper, throw_away } = papers::belonging(&home, &mut options, &key)?;

    raise_file_limit();
    let folder = Folder::new(Home::audit_of(home.root()));
    let audit = Audit::open(folder, key.clone(), WallClock::default(), options.audit_limit)?;
    audit.note(Happening::Started {
        mesh: paper.body.mesh,
        version: env!("CARGO_PKG_VERSION").into(),
    });
    let settings = Settings {
        labels: options.labels.clone(),
        trusted: options.trust.clone(),
        compile_time: options.compile_time,
        remote_operators: options.remote_operators,
    };
    let (node, records, kept) = Node::new(work.clone(), &home, &key, settings, audit.clone())?;
    // Secrets are opened in memory: nothing of it goes to a file when the process crashes, and no
    // other process of this user reads it. Only now: the engine has opened its own page map.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "a crash of this node may write its memory to a file");
    }
    let gateway = match options.http {
        Some(address) => Some(Gateway::bind(&work, address, options.http_timeout).await?),
        None => None,
    };
    let http = gateway.as_ref().map(Gateway::address).transpose()?;
    let socket = api::Socket::bind(&home.socket())?;
    let remote = match options.api {
        Some(at) => Some(api::Remote::bind(&work, at, options.api_hosts.clone(), &key).await?),
        None => None,
    };
    let remote_at = remote.as_ref().map(api::Remote::address).transpose()?;

    let about = About {
        labels: options.labels.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        http: http.map(|address| address.to_string()),
    };
    let mesh = start_mesh(&home, &options, Arc::clone(&key), paper, about, records, &node).await?;
    node.attach(mesh.clone());
    if let Some(authority) = throw_away {
        papers::make_admin(&home, &mesh, &authority).await?;
    }
    if options.dev {
        papers::announce_dev(&home, &key);
    }
    let messenger = messages::start(&node, &mesh, kept, options.outbox.clone())?;

    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(scheduler::follow_records(Arc::clone(&node), mesh.clone(), stop.clone()));
    tasks.spawn(scheduler::run(Arc::clone(&node), mesh.clone(), stop.clone()));
    tasks.spawn(messages::run(messenger.clone(), stop.clone()));
    tasks.spawn(audit::witness(audit.clone(), mesh.clone(), stop.clone()));
    tasks.spawn(papers::keep_renewed(home.clone(), mesh.clone(), stop.clone()));
    let gateway_stop = CancellationToken::new();
    let gateway =
        gateway.map(|gateway| work.spawn(gateway.serve(Arc::clone(&node), gateway_stop.clone())));
    tasks.spawn(socket.serve(Arc::clone(&node), stop.clone()));
    if let Some(remote) = remote {
        tasks.spawn_on(remote.serve(Arc::clone(&node), stop.clone()), &work);
    }
    announce(&mesh, &home, id, http, remote_at);

    let signal = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        () = node.told_to_leave() => "wattle leave",
    };
    tracing::info!(signal, "stopping: finishing the calls under way");
    audit.note(Happening::Stopped { by: signal.into() });
    // From outside in: no new requests and messages, then no new calls, then nothing.
    messenger.stop();
    let requests = async {
        gateway_stop.cancel();
        if let Some(gateway) = gateway
            && let Err(error) = gateway.await
        {
            tracing::warn!(%error, "the HTTP server ended badly");
        }
    };
    let finish = async { tokio::join!(requests, messenger.stopped()) };
    tokio::select! {
        done = tokio::time::timeout(options.drain, finish) => {
            if done.is_err() {
                let drain = options.drain;
                tracing::warn!("requests or messages were still being handled after {drain:?}; they are cut off");
            }
        }
        _ = interrupt.recv() => tracing::warn!("told twice: stopping at once"),
    }
    mesh.leave(options.drain).await;
    stop.cancel();
    tasks.close();
    if tokio::time::timeout(Duration::from_secs(2), tasks.wait()).await.is_err() {
        tracing::warn!("some tasks did not stop in time");
    }
    drop(node);
    audit.close();
    drop(lock);
    tracing::info!("stopped");
    Ok(())
}

async fn start_mesh(
    home: &Home,
    options: &UpOptions,
    key: Arc<SigningKey>,
    paper: Paper,
    about: About,
    records: RecordTable,
    node: &Arc<Node>,
) -> Result<Mesh> {
    let mut config = MeshConfig::new(key, paper);
    let fixed_port = options.dev || !options.listen.is_empty();
    if options.dev {
        config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse()?];
    } else if fixed_port {
        config.listen.clone_from(&options.listen);
    } else {
        config.listen = on_port(DEFAULT_PORT);
    }
    config.advertise.clone_from(&options.advertise);
    config.join.clone_from(&options.join);
    config.mdns = options.mdns && !options.dev;
    config.host_directory = match options.dev {
        true => HostDirectory::Off,
        false => options.host_directory.clone(),
    };
    config.data = Some(home.root().to_path_buf());
    config.about = about;
    config.work = Some(node.paces().work());
    config.audit = node.audit().clone();
    let store = Arc::new(DiskRecords(records));
    let service = Arc::new(NodeService { node: Arc::downgrade(node) });
    let first = Mesh::start(config.clone(), store.clone(), service.clone()).await;
    let started = match first {
        // Another node on this machine has the usual port: any other will do, as they find each
        // other through the host-local directory.
        Err(MeshError::PortInUse { .. }) if !fixed_port => {
            config.listen = on_port(0);
            Mesh::start(config, store, service).await
        }
        other => other,
    };
    started.context("can't join the mesh")
}

/// The port on which a node listens where nothing else is said.
pub(crate) const DEFAULT_PORT: u16 = 4747;

fn on_port(port: u16) -> Vec<Multiaddr> {
    // QUIC sockets for IPv6 take no IPv4 here, so a node listens twice where it can.
    let v6 = std::net::UdpSocket::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok();
    [Some("/ip4/0.0.0.0"), v6.then_some("/ip6/::")]
        .into_iter()
        .flatten()
        .filter_map(|ip| format!("{ip}/udp/{port}/quic-v1").parse().ok())
        .collect()
}

fn announce(
    mesh: &Mesh,
    home: &Home,
    id: NodeId,
    http: Option<SocketAddr>,
    remote: Option<SocketAddr>,
) {
    let addresses: Vec<String> = mesh.listen_addresses().iter().map(ToString::to_string).collect();
    tracing::info!(
        node = %id,
        listen = addresses.join(" "),
        http = http.map(tracing::field::display),
        api = %home.socket().display(),
        api_at = remote.map(|at| tracing::field::display(format!("https://{at}#{id}"))),
        "ready"
    );
}

/// The mesh's records in the node's database.
struct DiskRecords(RecordTable);

impl RecordStore for DiskRecords {
    fn load(&self) -> Result<Loaded, StoreError> {
        self.0.load().map_err(|error| StoreError(format!("{error:#}")))
    }

    fn persist(&self, writes: &[Write]) -> Result<(), StoreError> {
        self.0.persist(writes).map_err(|error| StoreError(format!("{error:#}")))
    }
}

/// Each connection is a file, and the usual limit of 1,024 is less than what the gateway may take: as many as the
/// system gives.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, ?current, "this node may open no more files than that at once");
    }
}
