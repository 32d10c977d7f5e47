//! A member of the mesh that lies: it has papers, speaks the protocol, and says what it likes.

#![allow(dead_code, reason = "not every file of tests uses all of it")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use wattle_contracts::call::{
    CallError, CallHeader, CallRoute, Encoding, ErrorKind, Relay, Source, TraceContext,
};
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::RecordKey;
use wattle_contracts::trust::Paper;
use wattle_mesh::net::{
    About, ArtifactSource, BodyStream, HostDirectory, Loaded, Mesh, MeshConfig, RecordStore, Reply,
    Service, StoreError, WallClock,
};
use wattle_tests::wait::{PATIENCE, eventually, holds};
use wattle_tests::{TestMesh, TestNode};

/// A node that is nothing but a peer.
pub(crate) struct Liar {
    pub(crate) mesh: Mesh,
}

/// It answers nothing and keeps nothing.
struct Nothing;

#[async_trait]
impl Service for Nothing {
    async fn call(
        &self,
        _: NodeId,
        _: CallHeader,
        _: Bytes,
        _: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        Err(CallError::new(ErrorKind::NotLinked, "there is nothing here"))
    }

    async fn artifact(&self, _: Digest) -> Option<ArtifactSource> {
        None
    }
}

impl RecordStore for Nothing {
    fn load(&self) -> Result<Loaded, StoreError> {
        Ok(Loaded::default())
    }

    fn persist(&self, _: &[wattle_mesh::core::records::Write]) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Liar {
    /// A member with valid papers, which says that it is called `name`.
    pub(crate) async fn join(mesh: &TestMesh, name: &str, at: &TestNode) -> Self {
        let authority = std::fs::read_to_string(mesh.key()).unwrap();
        let authority = SigningKey::from_text(&authority).unwrap();
        let key = SigningKey::generate().unwrap();
        let node = NodeId::from_bytes(key.public());
        let paper = Paper::issue(&authority, node, WallClock::default().now(), None).unwrap();
        let mut config = MeshConfig::new(Arc::new(key), paper);
        config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()];
        config.mdns = false;
        config.host_directory = HostDirectory::Off;
        let addresses = at.nodes().await.get(at.id()).unwrap().addresses.clone();
        let local = addresses.iter().find(|address| address.contains("127.0.0.1"));
        config.join = vec![local.unwrap_or(&addresses[0]).parse().unwrap()];
        config.about = About {
            labels: [("name".to_owned(), name.to_owned())].into(),
            version: "0.1.0".into(),
            http: None,
        };
        let mesh = Mesh::start(config, Arc::new(Nothing), Arc::new(Nothing)).await.unwrap();
        Self { mesh }
    }

    pub(crate) fn id(&self) -> String {
        self.mesh.node_id().to_string()
    }

    /// Waits until it is connected to `node`, and has the records of `apps`.
    pub(crate) async fn knows(&self, node: &TestNode, apps: usize) {
        let id: NodeId = node.id().parse().unwrap();
        eventually("the liar has joined", PATIENCE, async || {
            let view = self.mesh.view();
            let connected = view.node(id).is_some_and(|node| node.connected);
            let records = self.mesh.records();
            let known = records.iter().filter(|record| matches!(record.key, RecordKey::App(_)));
            holds(connected && known.count() >= apps, view)
        })
        .await;
    }

    /// Calls as whoever it likes.
    pub(crate) async fn call(
        &self,
        to: &TestNode,
        source: Source,
        (target, contract, function): (&str, &str, &str),
        encoding: Encoding,
        payload: Vec<u8>,
        relay: Option<Relay>,
    ) -> Result<Bytes, CallError> {
        let route = CallRoute {
            source,
            target: target.parse().unwrap(),
            contract: contract.parse().unwrap(),
            function: function.into(),
            encoding,
        };
        let header = CallHeader {
            time_left: Duration::from_secs(20),
            trace: TraceContext::default(),
            route: Arc::new(route),
            hops: 1,
            relay: relay.map(Box::new),
        };
        let to = to.id().parse().unwrap();
        self.mesh.call(to, header, payload.into(), None).await.map(|reply| reply.payload)
    }
}

/// The rule by which a call was refused.
pub(crate) fn rule<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotAllowed, "{error}");
    let (_, rule) = error.message.rsplit_once("rule: ").unwrap_or_else(|| panic!("{error}"));
    rule.trim_end_matches(')').to_owned()
}
