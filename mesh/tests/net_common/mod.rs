//! Mesh nodes for tests: real ones, in this process, on 127.0.0.1.

#![allow(dead_code, unreachable_pub, reason = "every test binary uses another part of it")]

pub mod post;
pub mod raw;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::watch;
use wattle_contracts::call::{
    CallError, CallHeader, CallRoute, Encoding, ErrorKind, Source, TraceContext,
};
use wattle_contracts::id::{Digest, MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordKey, Version};
use wattle_contracts::trust::{Paper, UnixMillis};
use wattle_mesh::core::records::{Stored, Write};
use wattle_mesh::net::{
    ArtifactSource, BodyStream, HostDirectory, Loaded, Mesh, MeshConfig, RecordStore, Reply,
    Service, Standing, StoreError, Timing, View, WallClock,
};

/// Long enough for a busy machine; nothing here waits for it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One mesh, and the machine on which its nodes run.
pub struct World {
    pub authority: SigningKey,
    pub machine: TempDir,
}

impl World {
    pub fn new() -> Self {
        let seed = tempfile_seed();
        Self { authority: SigningKey::from_seed(seed).unwrap(), machine: TempDir::new().unwrap() }
    }

    pub fn mesh(&self) -> MeshId {
        MeshId::from_bytes(self.authority.public())
    }

    /// The configuration of node `number`, which knows no way to find others.
    pub fn config(&self, number: u8) -> MeshConfig {
        let key = SigningKey::from_seed([number; 32]).unwrap();
        let node = NodeId::from_bytes(key.public());
        let now = WallClock::default().now();
        let paper = Paper::issue(&self.authority, node, now, None).unwrap();
        let mut config = MeshConfig::new(Arc::new(key), paper);
        config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
        config.mdns = false;
        config.host_directory = HostDirectory::Off;
        config.timing = Timing {
            gossip: Duration::from_millis(100),
            host_directory: Duration::from_millis(100),
            tick: Duration::from_millis(50),
            ping: Duration::from_millis(200),
            peers: Duration::from_secs(1),
            settle: Duration::from_millis(600),
            ..Timing::default()
        };
        config
    }

    /// The same, with the directory of the machine.
    pub fn on_machine(&self, number: u8) -> MeshConfig {
        let mut config = self.config(number);
        config.host_directory = HostDirectory::At(self.machine.path().to_owned());
        config
    }

    /// The same, with another node to join at.
    pub fn joining(&self, number: u8, other: &Mesh) -> MeshConfig {
        let mut config = self.config(number);
        config.join = vec![other.listen_addresses()[0].to_string().parse().unwrap()];
        config
    }
}

fn tempfile_seed() -> [u8; 32] {
    *SigningKey::generate().unwrap().seed()
}

/// Papers of an authority of one's own choice.
pub fn paper(authority: &SigningKey, node: NodeId, issued: u64, expires: Option<u64>) -> Paper {
    Paper::issue(authority, node, UnixMillis(issued), expires.map(UnixMillis)).unwrap()
}

pub async fn start(config: MeshConfig) -> Mesh {
    Mesh::start(config, Arc::<Disk>::default(), Arc::<Echo>::default()).await.unwrap()
}

/// Waits until the view of `mesh` is as it should be.
pub async fn until(mesh: &Mesh, what: &str, is_so: impl Fn(&View) -> bool) -> Arc<View> {
    let mut view = mesh.watch_view();
    let waited = tokio::time::timeout(PATIENCE, view.wait_for(|view| is_so(view))).await;
    match waited {
        Ok(view) => view.unwrap().clone(),
        Err(_) => panic!("not within {PATIENCE:?}: {what}; {:#?}", mesh.view()),
    }
}

/// Waits until every one of `meshes` is connected to every other.
pub async fn all_connected(meshes: &[&Mesh]) {
    for mesh in meshes {
        until(mesh, "all are connected", |view| view.connected() + 1 >= meshes.len()).await;
    }
}

pub async fn until_standing(mesh: &Mesh, node: NodeId, standing: Standing) {
    let is_so = |view: &View| view.node(node).is_some_and(|node| node.standing == standing);
    until(mesh, standing.name(), is_so).await;
}

/// Waits until a counter, or anything else that can't be watched, is as it should be.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while !is_so() {
            tick.tick().await;
        }
    });
    assert!(waited.await.is_ok(), "not within {PATIENCE:?}: {what}");
}

pub fn header(function: &str) -> CallHeader {
    CallHeader {
        time_left: Duration::from_secs(20),
        trace: TraceContext::default(),
        route: Arc::new(CallRoute {
            source: Source::Operator,
            target: "shop/basket".parse().unwrap(),
            contract: "example:shop/basket@0.1.0".parse().unwrap(),
            function: function.into(),
            encoding: Encoding::Message,
        }),
        hops: 0,
        relay: None,
    }
}

pub fn within(function: &str, time_left: Duration) -> CallHeader {
    CallHeader { time_left, ..header(function) }
}

/// A disk in memory, which survives its node.
#[derive(Default)]
pub struct Disk {
    pub records: Mutex<BTreeMap<(RecordKey, Option<Version>), Record>>,
    pub broken: std::sync::atomic::AtomicBool,
}

impl RecordStore for Disk {
    fn load(&self) -> Result<Loaded, StoreError> {
        let kept = self.records.lock().unwrap();
        let stored = |(of, record): (&(RecordKey, Option<Version>), &Record)| Stored {
            record: record.clone(),
            is_lost: of.1.is_some(),
            is_verified: false,
        };
        Ok(Loaded { records: kept.iter().map(stored).collect(), damaged: Vec::new() })
    }

    fn persist(&self, writes: &[Write]) -> Result<(), StoreError> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(StoreError("no space left on device".into()));
        }
        let mut kept = self.records.lock().unwrap();
        for write in writes.iter().cloned() {
            match write {
                Write::Current(r) => kept.insert((r.key.clone(), None), Record::clone(&r)),
                Write::Lost(r) => kept.insert((r.key.clone(), Some(r.version)), Record::clone(&r)),
                Write::LostGone(key, version) => kept.remove(&(key, Some(version))),
                Write::CurrentGone(key) => kept.remove(&(key, None)),
            };
        }
        Ok(())
    }
}

/// Answers calls by the name of their function.
pub struct Echo {
    /// How many `hang` calls are under way.
    pub hanging: watch::Sender<usize>,
    pub artifacts: Mutex<BTreeMap<Digest, Bytes>>,
    /// What is really there, where it is not what was asked for.
    pub forged: Mutex<BTreeMap<Digest, Bytes>>,
    pub calls: AtomicUsize,
    /// The nodes that the last call has come from, as far as it says so.
    pub path: Mutex<Vec<NodeId>>,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            hanging: watch::channel(0).0,
            artifacts: Mutex::default(),
            forged: Mutex::default(),
            calls: AtomicUsize::new(0),
            path: Mutex::default(),
        }
    }
}

struct Hanging<'a>(&'a watch::Sender<usize>);

impl Drop for Hanging<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[async_trait]
impl Service for Echo {
    async fn call(
        &self,
        from: NodeId,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        *self.path.lock().unwrap() = header.relay.map(|relay| relay.path).unwrap_or_default();
        match header.route.function.as_str() {
            "echo" => Ok(Reply { payload, body }),
            "who" => Ok(Reply::new(from.to_string())),
            "hang" => {
                self.hanging.send_modify(|count| *count += 1);
                let _hanging = Hanging(&self.hanging);
                std::future::pending().await
            }
            "trap" => Err(CallError::new(ErrorKind::Trapped, "unreachable executed")),
            "panic" => panic!("on purpose"),
            "count" => {
                let (mut body, mut bytes) = (body.unwrap(), 0);
                while let Some(part) = body.next().await {
                    bytes += part?.len();
                }
                Ok(Reply::new(bytes.to_string()))
            }
            "halfway" => {
                let (mut sender, body) = BodyStream::channel(4);
                tokio::spawn(async move {
                    sender.send(Bytes::from_static(b"half")).await;
                    sender.fail(CallError::new(ErrorKind::Trapped, "midway")).await;
                });
                Ok(Reply::streaming("", body))
            }
            "ignore" => Ok(Reply::new("no need to read that")),
            other => Err(CallError::new(ErrorKind::NotLinked, other.to_owned())),
        }
    }

    async fn artifact(&self, digest: Digest) -> Option<ArtifactSource> {
        let forged = self.forged.lock().unwrap().get(&digest).cloned();
        let bytes = forged.or_else(|| self.artifacts.lock().unwrap().get(&digest).cloned())?;
        let size = bytes.len() as u64;
        Some(ArtifactSource { size, reader: Box::new(std::io::Cursor::new(bytes)) })
    }
}

/// Two nodes that are connected, and the service of the second.
pub async fn pair(world: &World) -> (Mesh, Mesh, Arc<Echo>) {
    let service = Arc::<Echo>::default();
    let two = Mesh::start(world.config(2), Arc::<Disk>::default(), service.clone()).await.unwrap();
    let one = start(world.joining(1, &two)).await;
    all_connected(&[&one, &two]).await;
    (one, two, service)
}

/// Three nodes of which the first and the second, which has the service, have never been told how
/// to reach each other: where they say that they listen, nobody does.
pub async fn chain(world: &World, service: Arc<dyn Service>) -> [Mesh; 3] {
    let nowhere = |port: u16| format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap();
    let middle = start(world.config(3)).await;
    let mut config = world.joining(1, &middle);
    config.advertise = vec![nowhere(9)];
    let one = start(config).await;
    let mut config = world.joining(2, &middle);
    config.advertise = vec![nowhere(10)];
    let two = Mesh::start(config, Arc::<Disk>::default(), service).await.unwrap();
    for (mesh, other) in [(&one, &two), (&two, &one)] {
        let through = |view: &View| {
            let other = view.node(other.node_id());
            other.is_some_and(|n| n.via == Some(middle.node_id()) && n.standing == Standing::Alive)
        };
        until(mesh, "the other is reached through the middle", through).await;
    }
    [one, two, middle]
}

/// A body of so many bytes, in parts of any size.
pub fn body(bytes: usize) -> BodyStream {
    let sizes = [1usize, 100, 5_000, 70_000, 300_000].into_iter().cycle();
    let parts = sizes.scan(bytes, |left, size| {
        let size = size.min(*left);
        *left -= size;
        (size > 0).then(|| Ok(Bytes::from(vec![7; size])))
    });
    BodyStream::new(futures::stream::iter(parts))
}
