//! The control stream of one connection: gossip, records, addresses of others, goodbyes.

use std::io;
use std::sync::Arc;

use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Stream;
use tokio::sync::mpsc;
use wattle_contracts::control::{Control, Introduce, MAX_CONTROL, PeerHint, Probe, RecordMessage};
use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;
use wattle_contracts::wire::{self, WireError};

use super::metrics::{Counter, Metrics};

/// Messages that wait for one peer. What is more is dropped: gossip comes again, and the
/// comparison of records finds what a push missed.
pub(super) const QUEUE: usize = 64;

/// Messages that go into one write.
const BATCH: usize = 16;

/// Why a control stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("the peer closed it")]
    Closed,
    #[error("this node closed it")]
    Here,
    #[error("{0}")]
    Lost(#[from] io::Error),
    #[error("the peer closed it in the middle of a message")]
    CutShort,
    #[error("{0}")]
    Malformed(#[from] WireError),
}

impl Ended {
    /// Whether the peer sent something that no honest peer sends.
    pub(super) fn is_fault(&self) -> bool {
        matches!(self, Ended::CutShort | Ended::Malformed(_))
    }
}

/// What a peer says to the driver.
#[derive(Debug)]
pub(super) enum Said {
    Peers(Vec<PeerHint>),
    Goodbye(Box<Fact>),
    Probe(Probe),
    Introduce(Introduce),
}

/// Where the messages of peers go.
#[derive(Debug, Clone)]
pub(super) struct Inbound {
    pub(super) gossip: mpsc::Sender<(NodeId, Vec<u8>)>,
    pub(super) records: mpsc::Sender<(NodeId, RecordMessage)>,
    pub(super) driver: mpsc::Sender<(NodeId, Said)>,
    pub(super) metrics: Arc<Metrics>,
}

/// Reads and writes a control stream until it ends. What a node of another cell says, and is told,
/// is counted.
pub(super) async fn run(
    peer: NodeId,
    near: bool,
    stream: Stream,
    queue: mpsc::Receiver<Control>,
    inbound: Inbound,
) -> Ended {
    let (reader, writer) = stream.split();
    let metrics = (!near).then_some(&*inbound.metrics);
    tokio::select! {
        ended = read(peer, reader, &inbound, metrics.map(|m| &m.cell_bytes_received)) => ended,
        ended = write(writer, queue, metrics.map(|m| &m.cell_bytes_sent)) => ended,
    }
}

async fn read(
    peer: NodeId,
    mut stream: ReadHalf<Stream>,
    inbound: &Inbound,
    counter: Option<&Counter>,
) -> Ended {
    loop {
        let (message, bytes) = match next(&mut stream).await {
            Ok(next) => next,
            Err(ended) => return ended,
        };
        if let Some(counter) = counter {
            counter.add(bytes as u64);
        }
        let full = match message {
            // A full queue of gossip must not hold up records.
            Control::Gossip(bytes) => inbound.gossip.try_send((peer, bytes)).is_err(),
            // Here the peer has to wait: a lost answer costs a whole round of comparison.
            Control::Records(message) => inbound.records.send((peer, message)).await.is_err(),
            Control::Peers(hints) => inbound.driver.try_send((peer, Said::Peers(hints))).is_err(),
            Control::Goodbye(fact) => {
                inbound.driver.send((peer, Said::Goodbye(fact))).await.is_err()
            }
            Control::Probe(probe) => inbound.driver.try_send((peer, Said::Probe(probe))).is_err(),
            Control::Introduce(message) => {
                inbound.driver.try_send((peer, Said::Introduce(message))).is_err()
            }
            // Of a version to come. An unknown number is malformed; this is a known one.
            _ => false,
        };
        if full {
            inbound.metrics.control_dropped.one();
        }
    }
}

/// The next message, and its size in bytes.
async fn next(stream: &mut ReadHalf<Stream>) -> Result<(Control, usize), Ended> {
    let mut length = [0; 4];
    let mut read = 0;
    while let Some(rest) = length.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match (stream.read(rest).await?, read) {
            (0, 0) => return Err(Ended::Closed),
            (0, _) => return Err(Ended::CutShort),
            (more, _) => read += more,
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_CONTROL {
        return Err(WireError::TooLong { length, limit: MAX_CONTROL }.into());
    }
    let mut body = Vec::new();
    // Grows with what arrives, not with what is claimed.
    (&mut *stream).take(length as u64).read_to_end(&mut body).await?;
    if body.len() < length {
        return Err(Ended::CutShort);
    }
    Ok((wire::decode(&body)?, 4 + length))
}

async fn write(
    mut stream: WriteHalf<Stream>,
    mut queue: mpsc::Receiver<Control>,
    counter: Option<&Counter>,
) -> Ended {
    let mut due = Vec::with_capacity(BATCH);
    loop {
        if queue.recv_many(&mut due, BATCH).await == 0 {
            // The last words are on their way; the peer shall see an end after them.
            let _ = stream.close().await;
            return Ended::Here;
        }
        let mut bytes = Vec::new();
        for message in due.drain(..) {
            if let Err(error) = append(&message, &mut bytes) {
                tracing::error!(%error, "a control message was not sent");
            }
        }
        if let Some(counter) = counter {
            counter.add(bytes.len() as u64);
        }
        let written = async {
            stream.write_all(&bytes).await?;
            stream.flush().await
        };
        if let Err(error) = written.await {
            return Ended::Lost(error);
        }
    }
}

fn append(message: &Control, bytes: &mut Vec<u8>) -> Result<(), WireError> {
    let body = wire::encode(message)?;
    if body.len() > MAX_CONTROL {
        return Err(WireError::TooLong { length: body.len(), limit: MAX_CONTROL });
    }
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(())
}
