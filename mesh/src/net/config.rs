//! What a mesh node is told when it starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libp2p::Multiaddr;
use tokio::runtime::Handle;
use wattle_contracts::id::{CellName, MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::{Paper, UnixMillis};

use super::audit::{Audit, NoAudit};
use super::discovery::JoinTarget;
use super::error::MeshError;
use super::statement::About;

/// Everything that [`Mesh::start`](super::Mesh::start) needs to know.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// The node's private key. Its public half is the node's id.
    pub key: Arc<SigningKey>,
    /// The paper that says that this node belongs to the mesh.
    pub paper: Paper,
    /// Where to listen, as QUIC multiaddresses. Port 0 takes a free one.
    pub listen: Vec<Multiaddr>,
    /// Where others reach this node, if that is not where it listens (behind a port forwarder).
    /// Where this is not empty, nothing else is told to anybody, and mDNS is off.
    pub advertise: Vec<Multiaddr>,
    /// Nodes to begin with.
    pub join: Vec<JoinTarget>,
    /// Whether nodes on the local network are looked for by multicast DNS.
    pub mdns: bool,
    /// Where nodes on one machine find each other.
    pub host_directory: HostDirectory,
    /// The folder in which known peers are remembered. Without one, a restarted node must be
    /// told again.
    pub data: Option<PathBuf>,
    /// What the node says of itself at first.
    pub about: About,
    /// How often things happen.
    pub timing: Timing,
    /// How much is kept and allowed.
    pub limits: Limits,
    /// The node's wall clock.
    pub clock: WallClock,
    /// The threads on which records are checked, hundreds of signatures in a row where a node has
    /// much to catch up with. `None` takes those of the mesh.
    pub work: Option<Handle>,
    /// Where what is let in, refused and changed is written down.
    pub audit: Arc<dyn Audit>,
}

impl MeshConfig {
    /// The configuration of a node on every interface and a port of the system's choice.
    pub fn new(key: Arc<SigningKey>, paper: Paper) -> Self {
        Self {
            key,
            paper,
            listen: default_listen(),
            advertise: Vec::new(),
            join: Vec::new(),
            mdns: true,
            host_directory: HostDirectory::Default,
            data: None,
            about: About::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            clock: WallClock::default(),
            work: None,
            audit: Arc::new(NoAudit),
        }
    }

    /// The mesh that the paper is for.
    pub fn mesh(&self) -> MeshId {
        self.paper.body.mesh
    }

    /// The cell that the node is in, by its label.
    pub(super) fn cell(&self) -> Result<CellName, MeshError> {
        let label = self.about.labels.get(CellName::LABEL);
        label.map_or(Ok(CellName::default()), |name| name.parse().map_err(MeshError::Cell))
    }

    /// The node whose key this is.
    pub fn node(&self) -> NodeId {
        NodeId::from_bytes(self.key.public())
    }
}

/// libp2p's QUIC sockets for IPv6 take no IPv4, so a node listens twice.
fn default_listen() -> Vec<Multiaddr> {
    use libp2p::multiaddr::Protocol;
    use std::net::{Ipv4Addr, Ipv6Addr};
    let any = |ip: Protocol<'static>| {
        Multiaddr::empty().with(ip).with(Protocol::Udp(0)).with(Protocol::QuicV1)
    };
    vec![any(Protocol::Ip4(Ipv4Addr::UNSPECIFIED)), any(Protocol::Ip6(Ipv6Addr::UNSPECIFIED))]
}

/// Where nodes on one machine find each other: mDNS skips the loopback interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostDirectory {
    /// `$XDG_RUNTIME_DIR/wattle`, or a folder of this user below the system's temporary one.
    Default,
    /// This folder.
    At(PathBuf),
    /// Nowhere.
    Off,
}

/// How often things happen, and how long they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// Between two rounds of gossip.
    pub gossip: Duration,
    /// Between two looks into the host-local directory.
    pub host_directory: Duration,
    /// Between two steps of the clocks of the mesh's state machines.
    pub tick: Duration,
    /// Between two measurements of the round trip to each peer.
    pub ping: Duration,
    /// Between two accounts to the peers of what was learned of other nodes.
    pub peers: Duration,
    /// A connection on which nothing at all arrives for so long is gone.
    pub idle_timeout: Duration,
    /// A connection that is otherwise silent sends a packet this often.
    pub keep_alive: Duration,
    /// Admission may take so long.
    pub admission: Duration,
    /// Which of several connections to a peer stays is decided after so long: more than two
    /// [`Timing::ping`], so that a dead one is known as such.
    pub settle: Duration,
    /// How long a call waits for a dial that is under way.
    pub dial_wait: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            gossip: Duration::from_millis(500),
            host_directory: Duration::from_secs(1),
            tick: Duration::from_millis(200),
            ping: Duration::from_secs(2),
            peers: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_millis(1500),
            admission: Duration::from_secs(5),
            settle: Duration::from_secs(5),
            dial_wait: Duration::from_secs(1),
        }
    }
}

/// How much is kept and allowed. Whoever meets a full table gets `overloaded`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Calls under way to one peer, and as many from it.
    pub calls: usize,
    /// Arguments of one peer's calls under way here, in bytes.
    pub held_bytes: usize,
    /// Bytes waiting to be sent to one peer. A call that finds more waits.
    pub outgoing_bytes: usize,
    /// Connections to all peers.
    pub connections: u32,
    /// Connections that came in and are not admitted yet, of all addresses. Each of them may fill
    /// the window of one stream; what one address may have of them, `core::doorman` says. So that it
    /// takes many addresses to keep out who comes from another one.
    pub pending: u32,
    /// Artifacts that one peer may fetch at once.
    pub artifacts_out: usize,
    /// Nodes that are remembered and gossiped about.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls: 1024,
            held_bytes: 64 * 1024 * 1024,
            outgoing_bytes: 8 * 1024 * 1024,
            connections: 512,
            pending: 128,
            artifacts_out: 8,
            nodes: 512,
        }
    }
}

/// The wall clock of one node. Tests set it wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WallClock {
    /// By how many milliseconds it is ahead of the machine's clock.
    pub ahead_millis: i64,
}

impl WallClock {
    /// The time by this clock.
    pub fn now(self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        UnixMillis(millis.saturating_add_signed(self.ahead_millis))
    }
}
