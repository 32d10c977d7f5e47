//! Bodies that are streamed beside a call's payload.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use wattle_contracts::call::{CallError, ErrorKind};

/// A body that is read piece by piece, and may fail midway. Dropping it tells the sender to stop.
///
/// It does not matter where it comes from: one that arrives from a peer can be handed on as the
/// body of another call or reply as it is.
pub struct BodyStream {
    parts: Pin<Box<dyn Stream<Item = Result<Bytes, CallError>> + Send>>,
}

impl BodyStream {
    /// The body that `parts` yields, up to its end or its first error.
    pub fn new(parts: impl Stream<Item = Result<Bytes, CallError>> + Send + 'static) -> Self {
        Self { parts: Box::pin(parts) }
    }

    /// A body that is there already.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let part = Some(bytes.into()).filter(|bytes| !bytes.is_empty());
        Self::new(futures::stream::iter(part.map(Ok)))
    }

    /// A body that somebody else writes, at most `parts` parts ahead of the reader.
    pub fn channel(parts: usize) -> (BodySender, Self) {
        let (parts, receiver) = mpsc::channel(parts.max(1));
        let body = Self::new(futures::stream::unfold(Some(receiver), |receiver| async move {
            let mut receiver: mpsc::Receiver<Part> = receiver?;
            match receiver.recv().await {
                Some(Part::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
                Some(Part::Failed(error)) => Some((Err(error), None)),
                Some(Part::End) => None,
                None => Some((Err(abandoned()), None)),
            }
        }));
        (BodySender { parts }, body)
    }

    /// The next part; `None` after the last.
    pub async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        self.parts.next().await
    }

    /// The whole body, if it has at most `limit` bytes.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, CallError> {
        let mut whole = Vec::new();
        while let Some(part) = self.next().await {
            let part = part?;
            if whole.len() + part.len() > limit {
                let message = format!("the body has more than {limit} bytes");
                return Err(CallError::new(ErrorKind::Overloaded, message));
            }
            whole.extend_from_slice(&part);
        }
        Ok(whole.into())
    }
}

impl Stream for BodyStream {
    type Item = Result<Bytes, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.parts.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyStream")
    }
}

enum Part {
    Bytes(Bytes),
    Failed(CallError),
    End,
}

fn abandoned() -> CallError {
    CallError::new(ErrorKind::Internal, "whoever wrote the body stopped before its end")
}

/// The writing end of [`BodyStream::channel`]. A body whose sender is dropped without
/// [`BodySender::finish`] arrives as one that failed: a half is never taken for the whole.
#[derive(Debug)]
pub struct BodySender {
    parts: mpsc::Sender<Part>,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Part::Failed(error) => write!(f, "failed: {error}"),
            Part::End => f.write_str("end"),
        }
    }
}

impl BodySender {
    /// Hands over the next part, when there is room. `false` when nobody reads any more.
    pub async fn send(&mut self, part: Bytes) -> bool {
        part.is_empty() || self.parts.send(Part::Bytes(part)).await.is_ok()
    }

    /// Ends the body.
    pub async fn finish(self) {
        let _ = self.parts.send(Part::End).await;
    }

    /// Ends the body with an error.
    pub async fn fail(self, error: CallError) {
        let _ = self.parts.send(Part::Failed(error)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_is_not_finished_fails() {
        let (mut sender, body) = BodyStream::channel(4);
        assert!(sender.send(Bytes::from_static(b"half")).await);
        drop(sender);
        assert_eq!(body.collect(100).await.unwrap_err().kind, ErrorKind::Internal);

        let (mut sender, body) = BodyStream::channel(4);
        assert!(sender.send(Bytes::from_static(b"all")).await);
        sender.finish().await;
        assert_eq!(body.collect(100).await.unwrap(), "all");
    }

    #[tokio::test]
    async fn collecting_stops_at_the_limit() {
        let body = BodyStream::from_bytes(vec![0; 11]);
        assert_eq!(body.collect(10).await.unwrap_err().kind, ErrorKind::Overloaded);
    }

    #[tokio::test]
    async fn a_sender_learns_that_nobody_reads() {
        let (mut sender, body) = BodyStream::channel(1);
        drop(body);
        assert!(!sender.send(Bytes::from_static(b"x")).await);
    }
}
