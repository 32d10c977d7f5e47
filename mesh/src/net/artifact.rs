//! Artifacts travel on streams of their own, so that a big one never holds up a call.
//!
//! The fetcher writes the 32 bytes of the digest and the 32 of the node that holds it. The answer
//! is one byte of status and eight of size (little-endian), then the artifact itself. Where the two
//! don't reach each other, a common neighbour is asked: it passes the request on to the holder, and
//! the answer back. It can't forge anything: the fetcher checks the digest.

mod passing;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::sync::{mpsc, oneshot};
use wattle_contracts::id::{Digest, NodeId};

use super::driver::Command;
use super::error::FetchError;
use super::metrics::Metrics;
use super::service::{ArtifactSource, Service};
use super::streams::Opened;
pub(super) use passing::Onward;

const HERE: u8 = 0;
const NOT_HERE: u8 = 1;
const BUSY: u8 = 2;
/// Of a node in between: it does not reach the holder either.
const CUT_OFF: u8 = 3;

const FORGED: &str = "the bytes that came are not those of the digest";

/// How much is read and written at once, in bytes.
const CHUNK: usize = 64 * 1024;

/// A peer that neither reads nor writes for so long is given up.
const PATIENCE: Duration = Duration::from_secs(15);

/// An artifact that is being fetched. Reading it to its end checks that the bytes are those of
/// the digest: the last read fails where they are not.
pub struct Artifact {
    size: u64,
    left: u64,
    digest: Digest,
    hash: ring::digest::Context,
    stream: Stream,
    metrics: Arc<Metrics>,
    silence: Pin<Box<tokio::time::Sleep>>,
}

impl Artifact {
    /// Its size, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl std::fmt::Debug for Artifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Artifact")
            .field("digest", &self.digest)
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Artifact {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Ok(()));
        }
        let wanted = into.remaining().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let space = into.initialize_unfilled_to(wanted);
        let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(cx, space) else {
            ready!(self.silence.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        let read = read?;
        if read == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.silence.as_mut().reset(tokio::time::Instant::now() + PATIENCE);
        self.hash.update(space.get(..read).unwrap_or_default());
        self.left = self.left.saturating_sub(read as u64);
        if self.left == 0 {
            let found = self.hash.clone().finish();
            if found.as_ref() != self.digest.as_bytes() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, FORGED)));
            }
            self.metrics.artifacts_fetched.one();
        }
        into.advance(read);
        Poll::Ready(Ok(()))
    }
}

/// A fresh stream to a connected node.
pub(super) async fn open(commands: &mpsc::Sender<Command>, node: NodeId) -> Opened {
    let stopped = || "this node is shutting down".to_owned();
    let (answer, opened) = oneshot::channel();
    let command = Command::OpenArtifact { node, answer };
    commands.send(command).await.map_err(|_| stopped())?;
    opened.await.map_err(|_| stopped())?
}

/// Asks `node` for an artifact of at most `limit` bytes on a fresh stream, to that node or to a
/// neighbour of it.
pub(super) async fn fetch(
    node: NodeId,
    mut stream: Stream,
    digest: Digest,
    limit: u64,
    metrics: Arc<Metrics>,
) -> Result<Artifact, FetchError> {
    let asked = patiently(ask(&mut stream, digest, node));
    let (status, size) = asked.await.map_err(|source| FetchError::Io { node, digest, source })?;
    match status {
        // There is no read in which to find this out.
        HERE if size == 0 && digest != Digest::of(b"") => {
            let source = io::Error::new(io::ErrorKind::InvalidData, FORGED);
            Err(FetchError::Io { node, digest, source })
        }
        HERE if size > limit => Err(FetchError::TooLarge { digest, size, limit }),
        HERE => Ok(Artifact {
            size,
            left: size,
            digest,
            hash: ring::digest::Context::new(&ring::digest::SHA256),
            stream,
            metrics,
            silence: Box::pin(tokio::time::sleep(PATIENCE)),
        }),
        BUSY => Err(FetchError::Overloaded(node)),
        CUT_OFF => Err(FetchError::Unreachable(node)),
        _ => Err(FetchError::NotFound { node, digest }),
    }
}

/// Asks, and reads the head of the answer: its status and the size.
async fn ask(stream: &mut Stream, digest: Digest, holder: NodeId) -> io::Result<(u8, u64)> {
    stream.write_all(&[digest.as_bytes().as_slice(), holder.as_bytes()].concat()).await?;
    stream.flush().await?;
    let mut answer = [0; 9];
    stream.read_exact(&mut answer).await?;
    let [status, size @ ..] = answer;
    Ok((status, u64::from_le_bytes(size)))
}

/// Reads what a peer asks for.
async fn asked(stream: &mut Stream) -> io::Result<(Digest, NodeId)> {
    let (mut digest, mut holder) = ([0; 32], [0; 32]);
    stream.read_exact(&mut digest).await?;
    stream.read_exact(&mut holder).await?;
    Ok((Digest::from_bytes(digest), NodeId::from_bytes(holder)))
}

/// Serves the artifact that the peer asks for on this stream: from here, or, if another node is to
/// have it, from there.
pub(super) async fn serve(
    peer: NodeId,
    mut stream: Stream,
    service: Arc<dyn Service>,
    onward: Onward,
) {
    let served = async {
        let (digest, holder) = patiently(asked(&mut stream)).await?;
        match service.artifact(digest).await {
            Some(ArtifactSource { size, reader }) => {
                patiently(stream.write_all(&head(HERE, size))).await?;
                send(&mut stream, reader.take(size)).await?;
                patiently(stream.close()).await?;
                onward.metrics.artifacts_served.one();
            }
            None if holder != onward.me => onward.pass_on(&mut stream, digest, holder).await?,
            None => refuse(&mut stream, NOT_HERE).await?,
        }
        io::Result::Ok(())
    };
    if let Err(error) = served.await {
        tracing::debug!(%peer, %error, "an artifact was not served to its end");
    }
}

/// Tells the peer that it fetches too much at once.
pub(super) async fn serve_busy(mut stream: Stream) {
    let refused = async {
        patiently(asked(&mut stream)).await?;
        refuse(&mut stream, BUSY).await
    };
    let _ = refused.await;
}

async fn refuse(stream: &mut Stream, status: u8) -> io::Result<()> {
    patiently(stream.write_all(&head(status, 0))).await?;
    patiently(stream.close()).await
}

fn head(status: u8, size: u64) -> Vec<u8> {
    [&[status], size.to_le_bytes().as_slice()].concat()
}

async fn send(stream: &mut Stream, mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        patiently(stream.write_all(chunk.get(..read).unwrap_or_default())).await?;
    }
}

async fn patiently<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
