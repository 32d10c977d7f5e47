//! The door: two nodes show each other their papers before anything else is exchanged.
//!
//! It stands inside the transport's upgrade, on the first substream of a fresh connection, so
//! the swarm and everything above it never hear of a peer that is not admitted.
//!
//! Each first shows the other that it knows the mesh ([`Knock`]), the dialler before the listener. Who does not
//! is told that it is of another mesh, and nothing else: no name, no version, no paper. Then the dialler shows its
//! paper; a listener shows its own only to a peer that has shown a good one.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::poll_fn;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::PeerId;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wattle_contracts::audit::Happening;
use wattle_contracts::id::{CellName, MeshId, NodeId};
use wattle_contracts::trust::PaperError;
use wattle_contracts::wire::{self, Hello, Knock, MAX_HELLO, Verdict, WireError};

use super::audit::Audit;
use super::cells::Met;
use super::config::WallClock;
use super::discovery::node_of;
use super::metrics::Metrics;
use super::roster::Roster;
use crate::core::rights::Outcast;

/// How long a refused peer has to read why, before its connection is closed.
const FAREWELL: Duration = Duration::from_millis(500);

/// The refusal of one peer is worth a warning this often.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Refusals of more peers than this are no news within [`LOG_EVERY`].
const MAX_LOGGED: usize = 256;

/// The longest reason of a peer that is written to the log, in characters.
const MAX_REASON: usize = 300;

/// What the door needs to know.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) mesh: MeshId,
    pub(super) roster: Arc<Roster>,
    /// Which cell whoever is let in is in.
    pub(super) met: Arc<Met>,
    pub(super) clock: WallClock,
    pub(super) timeout: Duration,
    pub(super) metrics: Arc<Metrics>,
    pub(super) audit: Arc<dyn Audit>,
    /// Peers whose refusal was logged lately.
    pub(super) logged: Mutex<BTreeMap<PeerId, Instant>>,
}

/// Why a connection was not admitted.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    #[error("refused peer {peer}: {why}")]
    Refused { peer: PeerId, why: Unfit },
    #[error("peer {peer} refused this node: {reason}")]
    RefusedByPeer { peer: PeerId, reason: String },
    #[error("peer {peer} did not show its paper within {within:?}")]
    TooSlow { peer: PeerId, within: Duration },
    #[error("admission of peer {peer} broke off: {why}")]
    BrokeOff { peer: PeerId, why: String },
}

/// What is wrong with a peer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("its key is not an Ed25519 one")]
    Key,
    #[error("it speaks version {theirs} of the protocol, this node speaks {ours}")]
    Version { theirs: u16, ours: u16 },
    #[error("it is not of this mesh")]
    Mesh,
    #[error(transparent)]
    Paper(#[from] PaperError),
    #[error(transparent)]
    Outcast(#[from] Outcast),
    #[error("its invitation is to another cell than `{0}`")]
    Cell(CellName),
    #[error("what it said is no greeting: {0}")]
    Greeting(#[from] WireError),
}

impl Unfit {
    /// What it is told who has not shown that it knows the mesh.
    fn for_strangers(&self) -> String {
        match self {
            // Who speaks another version knows it.
            Unfit::Version { .. } => self.to_string(),
            _ => "this node is of another mesh".into(),
        }
    }
}

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Dialler,
    Listener,
}

impl Door {
    /// Admits the peer at the other end of `connection`, or says why not.
    pub(super) async fn admit<M>(
        self: Arc<Self>,
        peer: PeerId,
        mut connection: M,
        role: Role,
    ) -> Result<(PeerId, M), AdmissionError>
    where
        M: StreamMuxer + Unpin,
        M::Substream: Unpin,
    {
        let admission = async {
            let stream = match role {
                Role::Dialler => poll_fn(|cx| connection.poll_outbound_unpin(cx)).await,
                Role::Listener => poll_fn(|cx| connection.poll_inbound_unpin(cx)).await,
            };
            let why = |error: M::Error| AdmissionError::BrokeOff { peer, why: error.to_string() };
            let mut stream = stream.map_err(why)?;
            match role {
                Role::Dialler => self.knock(peer, &mut stream).await,
                Role::Listener => self.answer(peer, &mut stream).await,
            }
        };
        let timeout = tokio::time::timeout(self.timeout, admission);
        let outcome =
            timeout.await.unwrap_or(Err(AdmissionError::TooSlow { peer, within: self.timeout }));
        match outcome {
            Ok(()) => Ok((peer, connection)),
            Err(error) => {
                self.note(&error);
                Err(error)
            }
        }
    }

    /// The dialler's side: knock; verdict and knock of the listener; paper; verdict and paper of the
    /// listener; verdict.
    async fn knock<S>(&self, peer: PeerId, stream: &mut S) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let broke = |error: io::Error| broke_off(peer, &error);
        let refused = |why: Unfit| AdmissionError::Refused { peer, why };
        let (me, them) = (self.roster.me(), node_of(&peer).ok_or(Unfit::Key).map_err(refused)?);
        send(stream, &Knock::new(self.mesh, me, them)).await.map_err(broke)?;
        self.is_let_in(peer, stream).await?;
        // It may say so to anybody: it is shown nothing before it has shown that it knows the mesh.
        let knock = receive(stream).await.map_err(broke)?;
        self.knows(peer, knock).map_err(refused)?;
        send(stream, &self.hello()).await.map_err(broke)?;
        self.is_let_in(peer, stream).await?;
        let hello = receive(stream).await.map_err(broke)?;
        self.judge(peer, hello, stream).await
    }

    /// The listener's side: the dialler's knock, verdict and own knock, the dialler's paper, verdict
    /// and own paper, the dialler's verdict.
    async fn answer<S>(&self, peer: PeerId, stream: &mut S) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let broke = |error: io::Error| broke_off(peer, &error);
        let knock = receive(stream).await.map_err(broke)?;
        let them = match self.knows(peer, knock) {
            Ok(them) => them,
            Err(why) => {
                farewell(stream, why.for_strangers()).await;
                return Err(AdmissionError::Refused { peer, why });
            }
        };
        send(stream, &Verdict::Admitted).await.map_err(broke)?;
        send(stream, &Knock::new(self.mesh, self.roster.me(), them)).await.map_err(broke)?;
        let hello = receive(stream).await.map_err(broke)?;
        self.judge(peer, hello, stream).await?;
        send(stream, &self.hello()).await.map_err(broke)?;
        self.is_let_in(peer, stream).await
    }

    /// Whether the peer says that this node belongs.
    async fn is_let_in<S>(&self, peer: PeerId, stream: &mut S) -> Result<(), AdmissionError>
    where
        S: AsyncRead + Unpin,
    {
        match receive::<Verdict, _>(stream).await.map_err(|error| broke_off(peer, &error))? {
            Ok(Verdict::Admitted) => Ok(()),
            Ok(Verdict::Refused { reason }) => Err(refused_by(peer, &reason)),
            Err(error) => Err(AdmissionError::Refused { peer, why: error.into() }),
        }
    }

    /// Whether the peer knows the mesh, and speaks as this node does; and its id, which the TLS handshake
    /// has proven.
    fn knows(&self, peer: PeerId, knock: Result<Knock, WireError>) -> Result<NodeId, Unfit> {
        let them = node_of(&peer).ok_or(Unfit::Key)?;
        let knock = knock?;
        if !knock.is_of(self.mesh, them, self.roster.me()) {
            return Err(Unfit::Mesh);
        }
        match knock.version == wire::VERSION {
            true => Ok(them),
            false => Err(Unfit::Version { theirs: knock.version, ours: wire::VERSION }),
        }
    }

    /// Checks the peer's greeting, and tells it the verdict.
    async fn judge<S>(
        &self,
        peer: PeerId,
        hello: Result<Hello, WireError>,
        stream: &mut S,
    ) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match hello.map_err(Unfit::from).and_then(|hello| self.check(peer, &hello)) {
            Ok(()) => {
                let sent = send(stream, &Verdict::Admitted).await;
                sent.map_err(|error| broke_off(peer, &error))
            }
            Err(why) => {
                farewell(stream, why.to_string()).await;
                Err(AdmissionError::Refused { peer, why })
            }
        }
    }

    fn check(&self, peer: PeerId, hello: &Hello) -> Result<(), Unfit> {
        // The peer id is proven by the TLS handshake; the paper must be for exactly that key.
        let bearer: NodeId = node_of(&peer).ok_or(Unfit::Key)?;
        let now = self.clock.now();
        hello.paper.prove(self.mesh, bearer)?;
        // It may have been given a newer one that has not found its way there.
        let paper = self.roster.newest(bearer, &hello.paper);
        paper.check_time(now)?;
        let invitations = [&hello.paper, &paper].map(|paper| paper.invitation.as_ref());
        for invitation in invitations.into_iter().flatten() {
            if let Some(bound) = invitation.body.labels.get(CellName::LABEL)
                && bound != hello.cell.as_str()
            {
                return Err(Unfit::Cell(hello.cell.clone()));
            }
        }
        self.roster.admit(bearer, &hello.paper, now)?;
        self.met.note(bearer, hello.cell.clone());
        Ok(())
    }

    fn hello(&self) -> Hello {
        let (paper, cell) = (self.roster.own(), self.met.own().clone());
        Hello { paper, cell }
    }

    fn note(&self, error: &AdmissionError) {
        match error {
            AdmissionError::Refused { peer, why } => {
                self.audit
                    .note(Happening::Refused { peer: peer.to_string(), why: why.to_string() });
                self.metrics.papers_refused.one();
                match self.is_news(*peer) {
                    true => tracing::warn!(expected = %self.mesh, "{error}"),
                    false => tracing::debug!(expected = %self.mesh, "{error}"),
                }
            }
            AdmissionError::RefusedByPeer { peer, reason } => {
                let (peer_named, why) = (peer.to_string(), reason.clone());
                self.audit.note(Happening::RefusedByPeer { peer: peer_named, why });
                self.metrics.refused_by_peers.one();
                match self.is_news(*peer) {
                    true => tracing::warn!(shown = %self.mesh, "{error}"),
                    false => tracing::debug!(shown = %self.mesh, "{error}"),
                }
            }
            AdmissionError::TooSlow { .. } | AdmissionError::BrokeOff { .. } => {
                self.metrics.admissions_failed.one();
                tracing::debug!("{error}");
            }
        }
    }
}

impl Door {
    /// Whether the log has not heard of this peer for a while. A stranger in the same network
    /// knocks for ever.
    fn is_news(&self, peer: PeerId) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        logged.retain(|_, at| at.elapsed() < LOG_EVERY);
        if logged.contains_key(&peer) || logged.len() >= MAX_LOGGED {
            return false;
        }
        logged.insert(peer, Instant::now());
        true
    }
}

fn broke_off(peer: PeerId, error: &io::Error) -> AdmissionError {
    AdmissionError::BrokeOff { peer, why: error.to_string() }
}

fn refused_by(peer: PeerId, reason: &str) -> AdmissionError {
    // It comes from a stranger and goes to a log: one line, of bounded length.
    let reason = reason.chars().take(MAX_REASON).map(|c| if c.is_control() { ' ' } else { c });
    AdmissionError::RefusedByPeer { peer, reason: reason.collect() }
}

/// Tells the peer why it is refused, and waits a little until it has read that: dropping the
/// connection at once would discard what is still to be sent.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, reason: String) {
    let wait = async {
        send(stream, &Verdict::Refused { reason }).await?;
        stream.close().await?;
        let mut rest = [0; 64];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL, wait).await;
}

async fn send<T, S>(stream: &mut S, message: &T) -> io::Result<()>
where
    T: Serialize,
    S: AsyncWrite + Unpin,
{
    let body = wire::encode(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    stream.write_all(&[length.to_le_bytes().as_slice(), &body].concat()).await?;
    stream.flush().await
}

async fn receive<T, S>(stream: &mut S) -> io::Result<Result<T, WireError>>
where
    T: DeserializeOwned,
    S: AsyncRead + Unpin,
{
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_HELLO {
        return Ok(Err(WireError::TooLong { length, limit: MAX_HELLO }));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(wire::decode(&body))
}
