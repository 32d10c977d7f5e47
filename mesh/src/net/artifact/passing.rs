//! Artifacts between two nodes that don't reach each other, through this one.
//!
//! One node in between, and no more: what is passed on goes to the holder itself or nowhere. The
//! limits of both sides hold, and nothing is kept here but one chunk.

use std::io;
use std::sync::Arc;

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::Stream;
use tokio::sync::mpsc;
use wattle_contracts::id::{Digest, NodeId};

use super::{CHUNK, CUT_OFF, HERE, ask, head, open, patiently, refuse};
use crate::net::driver::Command;
use crate::net::metrics::Metrics;

/// The way to other nodes.
#[derive(Debug, Clone)]
pub(in crate::net) struct Onward {
    pub(in crate::net) me: NodeId,
    /// Weak, so that a mesh of which nobody holds a handle ends.
    pub(in crate::net) commands: mpsc::WeakSender<Command>,
    pub(in crate::net) metrics: Arc<Metrics>,
}

impl Onward {
    /// Fetches an artifact from `holder`, to which there is a connection, for whoever asks on
    /// `stream`.
    pub(super) async fn pass_on(
        &self,
        stream: &mut Stream,
        digest: Digest,
        holder: NodeId,
    ) -> io::Result<()> {
        let Some(mut source) = self.open(holder).await else {
            return refuse(stream, CUT_OFF).await;
        };
        let (status, size) = match patiently(ask(&mut source, digest, holder)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%holder, %error, "an artifact was not passed on");
                return refuse(stream, CUT_OFF).await;
            }
        };
        if status != HERE {
            return refuse(stream, status).await;
        }
        patiently(stream.write_all(&head(HERE, size))).await?;
        let mut left = size;
        let mut chunk = vec![0; CHUNK];
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let read = patiently(source.read(chunk.get_mut(..most).unwrap_or_default())).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            patiently(stream.write_all(chunk.get(..read).unwrap_or_default())).await?;
            left = left.saturating_sub(read as u64);
        }
        patiently(stream.close()).await?;
        self.metrics.artifacts_relayed.one();
        Ok(())
    }

    async fn open(&self, holder: NodeId) -> Option<Stream> {
        let commands = self.commands.upgrade()?;
        match patiently(async { Ok(open(&commands, holder).await) }).await.ok()? {
            Ok(stream) => Some(stream),
            Err(why) => {
                tracing::debug!(%holder, why, "no stream to pass an artifact on");
                None
            }
        }
    }
}
