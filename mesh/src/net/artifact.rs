//! Artifacts travel on streams of their own, so that a big one never holds up a call.
//!
//! The fetcher writes the 32 bytes of the digest. The holder answers with one byte of status and
//! eight of size (little-endian), then the artifact itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Stream;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use wattle_contracts::id::{Digest, NodeId};

use super::error::FetchError;
use super::metrics::Metrics;
use super::service::{ArtifactSource, Service};

const HERE: u8 = 0;
const NOT_HERE: u8 = 1;
const BUSY: u8 = 2;

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

/// Asks `node` for an artifact of at most `limit` bytes on a fresh stream.
pub(super) async fn fetch(
    node: NodeId,
    mut stream: Stream,
    digest: Digest,
    limit: u64,
    metrics: Arc<Metrics>,
) -> Result<Artifact, FetchError> {
    let asked = async {
        stream.write_all(digest.as_bytes()).await?;
        stream.flush().await?;
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, asked)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| FetchError::Io { node, digest, source })?;
    let [status, size @ ..] = answer;
    let size = u64::from_le_bytes(size);
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
        _ => Err(FetchError::NotFound { node, digest }),
    }
}

/// Serves the artifact that the peer asks for on this stream.
pub(super) async fn serve(peer: NodeId, mut stream: Stream, service: Arc<dyn Service>) -> bool {
    let served = async {
        let mut digest = [0; 32];
        patiently(stream.read_exact(&mut digest)).await?;
        let digest = Digest::from_bytes(digest);
        let Some(ArtifactSource { size, reader }) = service.artifact(digest).await else {
            refuse(&mut stream, NOT_HERE).await?;
            return Ok(false);
        };
        let head = [&[HERE], size.to_le_bytes().as_slice()].concat();
        patiently(stream.write_all(&head)).await?;
        send(&mut stream, reader.take(size)).await?;
        patiently(stream.close()).await?;
        io::Result::Ok(true)
    };
    served.await.unwrap_or_else(|error| {
        tracing::debug!(%peer, %error, "an artifact was not served to its end");
        false
    })
}

/// Tells the peer that it fetches too much at once.
pub(super) async fn serve_busy(mut stream: Stream) {
    let refused = async {
        let mut digest = [0; 32];
        patiently(stream.read_exact(&mut digest)).await?;
        refuse(&mut stream, BUSY).await
    };
    let _ = refused.await;
}

async fn refuse(stream: &mut Stream, status: u8) -> io::Result<()> {
    let mut answer = [0; 9];
    if let Some(first) = answer.first_mut() {
        *first = status;
    }
    patiently(stream.write_all(&answer)).await?;
    patiently(stream.close()).await
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
