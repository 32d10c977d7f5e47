//! The door: two nodes show each other their papers before anything else is exchanged.
//!
//! It stands inside the transport's upgrade, on the first substream of a fresh connection, so
//! the swarm and everything above it never hear of a peer that is not admitted. Who says what, and
//! when, is decided by [`Admission`]: neither side shows anything before the other has proved that it
//! knows the mesh, and a listener shows its paper only to a peer that has shown a good one.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::poll_fn;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::PeerId;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerExt as _};
use wattle_contracts::audit::Happening;
use wattle_contracts::id::{CellName, MeshId, NodeId};
use wattle_contracts::trust::PaperError;
use wattle_contracts::wire::{self, Greeting, Hello, NOT_OF_THIS_MESH, VERSION, WireError};

use super::audit::Audit;
use super::cells::Met;
use super::config::WallClock;
use super::discovery::node_of;
use super::metrics::Metrics;
use super::roster::Roster;
pub(super) use crate::core::admission::Role;
use crate::core::admission::{Admission, Step, Unwelcome};
use crate::core::rights::Outcast;

/// How long a refused peer has to read why, before its connection is closed.
const FAREWELL: Duration = Duration::from_millis(500);

/// The refusal of one peer is worth a warning this often.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Refusals of more peers than this are no news within [`LOG_EVERY`].
const MAX_LOGGED: usize = 256;

/// The longest reason of a peer that is written to the log, in characters.
const MAX_REASON: usize = 300;

/// What it means that a peer says [`NOT_OF_THIS_MESH`].
const OTHER_MESH: &str = "the two do not know the same mesh: that node is not of this mesh, or this \
    one has the paper of another; compare what `wattle nodes` prints first on both";

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
    #[error(transparent)]
    Unwelcome(#[from] Unwelcome),
    #[error(transparent)]
    Paper(#[from] PaperError),
    #[error(transparent)]
    Outcast(#[from] Outcast),
    #[error("its invitation is to another cell than `{0}`")]
    Cell(CellName),
    #[error("what it said is no greeting in version {ours} of the protocol: {0}", ours = VERSION)]
    Greeting(#[from] WireError),
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
            // What a peer sends is buffered until it is read, stream by stream: before it has shown
            // a good paper it has this one.
            let is_good = AtomicBool::new(false);
            let another = poll_fn(|cx| match is_good.load(Ordering::Relaxed) {
                true => Poll::Pending,
                // If the connection is gone, the stream says so.
                false => match connection.poll_inbound_unpin(cx) {
                    Poll::Ready(Ok(_)) => Poll::Ready(()),
                    Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
                },
            });
            tokio::select! {
                biased;
                outcome = self.talk(peer, role, &mut stream, &is_good) => outcome,
                () = another => Err(AdmissionError::BrokeOff {
                    peer,
                    why: "it opened another stream before it was admitted".into(),
                }),
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

    /// The whole conversation. `is_good` is set once the peer has shown a good paper.
    async fn talk<S>(
        &self,
        peer: PeerId,
        role: Role,
        stream: &mut S,
        is_good: &AtomicBool,
    ) -> Result<(), AdmissionError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let broke = |error: io::Error| broke_off(peer, &error);
        // The peer id is proven by the TLS handshake; everything else has to be of exactly that key.
        let Some(them) = node_of(&peer) else {
            farewell(stream, &Greeting::stranger()).await;
            return Err(AdmissionError::Refused { peer, why: Unfit::Key });
        };
        let mut admission = Admission::new(role, self.mesh, self.roster.me(), them);
        let mut step = Ok(admission.begin());
        loop {
            step = match step {
                Ok(Step::Say(greeting)) => {
                    send(stream, &greeting).await.map_err(broke)?;
                    Ok(Step::Hear)
                }
                Ok(Step::Show) => {
                    send(stream, &self.hello()).await.map_err(broke)?;
                    Ok(Step::Hear)
                }
                Ok(Step::Hear) => {
                    let said = receive(stream, admission.limit()).await.map_err(broke)?;
                    said.map_err(Unfit::from).and_then(|said| Ok(admission.came(said)?))
                }
                Ok(Step::Judge(hello)) => self.check(them, &hello).and_then(|()| {
                    is_good.store(true, Ordering::Relaxed);
                    Ok(admission.found_good()?)
                }),
                Ok(Step::Admit) => return send(stream, &Greeting::Admitted).await.map_err(broke),
                Ok(Step::In) => return Ok(()),
                Ok(Step::Out(reason)) => return Err(refused_by(peer, &reason)),
                Err(why) => {
                    let told = match &why {
                        Unfit::Unwelcome(why) => admission.turned_away(*why),
                        why => admission.refusal(&why.to_string()),
                    };
                    farewell(stream, &told).await;
                    return Err(AdmissionError::Refused { peer, why });
                }
            };
        }
    }

    /// Whether what the node `bearer` shows lets it in.
    fn check(&self, bearer: NodeId, hello: &Hello) -> Result<(), Unfit> {
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

    fn hello(&self) -> Greeting {
        let (paper, cell) = (self.roster.own(), self.met.own().clone());
        Greeting::Hello(Box::new(Hello { paper, cell }))
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
    if reason == NOT_OF_THIS_MESH {
        return AdmissionError::RefusedByPeer { peer, reason: OTHER_MESH.into() };
    }
    // It comes from a stranger and goes to a log: one line, of bounded length.
    let reason = reason.chars().take(MAX_REASON).map(|c| if c.is_control() { ' ' } else { c });
    AdmissionError::RefusedByPeer { peer, reason: reason.collect() }
}

/// Tells the peer why it is refused, and waits a little until it has read that: dropping the
/// connection at once would discard what is still to be sent.
async fn farewell<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, told: &Greeting) {
    let wait = async {
        send(stream, told).await?;
        stream.close().await?;
        let mut rest = [0; 64];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(FAREWELL, wait).await;
}

async fn send<S>(stream: &mut S, greeting: &Greeting) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let body = wire::encode(greeting).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    stream.write_all(&[length.to_le_bytes().as_slice(), &body].concat()).await?;
    stream.flush().await
}

/// Reads a greeting of at most `limit` bytes.
async fn receive<S>(stream: &mut S, limit: usize) -> io::Result<Result<Greeting, WireError>>
where
    S: AsyncRead + Unpin,
{
    let mut length = [0; 4];
    stream.read_exact(&mut length).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > limit {
        return Ok(Err(WireError::TooLong { length, limit }));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(wire::decode(&body))
}
