//! The parts of a body that have arrived and are not read yet. The credit that the multiplexer
//! hands out bounds their bytes; small parts are joined, so that it bounds their number too.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use wattle_contracts::call::CallError;

/// Parts shorter than this are joined with their neighbours.
const SMALL: usize = 2048;

#[derive(Debug, Default)]
pub(super) struct Inbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    parts: VecDeque<Bytes>,
    /// Small parts that came after `parts`.
    joined: Vec<u8>,
    end: Option<Result<(), CallError>>,
    reader: Option<Waker>,
}

impl Inbox {
    pub(super) fn push(&self, part: Bytes) {
        let mut inner = self.lock();
        if inner.end.is_some() || part.is_empty() {
            return;
        }
        if part.len() < SMALL {
            inner.joined.extend_from_slice(&part);
            if inner.joined.len() >= SMALL {
                inner.settle();
            }
        } else {
            inner.settle();
            inner.parts.push_back(part);
        }
        wake(inner);
    }

    /// Nothing more comes. Only the first end counts.
    pub(super) fn end(&self, how: Result<(), CallError>) {
        let mut inner = self.lock();
        if inner.end.is_none() {
            inner.end = Some(how);
            wake(inner);
        }
    }

    /// The next part. An error comes after what arrived before it.
    pub(super) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, CallError>>> {
        let mut inner = self.lock();
        if inner.parts.is_empty() {
            inner.settle();
        }
        if let Some(part) = inner.parts.pop_front() {
            return Poll::Ready(Some(Ok(part)));
        }
        match inner.end.clone() {
            Some(Ok(())) => Poll::Ready(None),
            Some(Err(error)) => {
                // Said once.
                inner.end = Some(Ok(()));
                Poll::Ready(Some(Err(error)))
            }
            None => {
                inner.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Whether the end has arrived, read or not.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn settle(&mut self) {
        if !self.joined.is_empty() {
            let joined = std::mem::take(&mut self.joined);
            self.parts.push_back(joined.into());
        }
    }
}

/// Wakes the reader after the lock is released: it wants it.
fn wake(mut inner: MutexGuard<'_, Inner>) {
    let reader = inner.reader.take();
    drop(inner);
    if let Some(reader) = reader {
        reader.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use wattle_contracts::call::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn small_parts_are_joined_and_all_keep_their_order() {
        let inbox = Inbox::default();
        let mut expected = Vec::new();
        for (nth, size) in [1, 1, 5000, 2, 2000, 3000, 1].into_iter().enumerate() {
            let part = vec![nth as u8; size];
            expected.extend_from_slice(&part);
            inbox.push(part.into());
        }
        inbox.end(Err(CallError::new(ErrorKind::Trapped, "midway")));
        let (mut read, mut parts) = (Vec::new(), 0);
        let error = loop {
            match poll_fn(|cx| inbox.poll_next(cx)).await {
                Some(Ok(part)) => read.extend_from_slice(&part),
                Some(Err(error)) => break error,
                None => panic!("the error was lost"),
            }
            parts += 1;
        };
        assert_eq!(read, expected);
        assert!(parts < 7);
        assert_eq!(error.kind, ErrorKind::Trapped);
        assert!(poll_fn(|cx| inbox.poll_next(cx)).await.is_none());
    }
}
