//! The writing half of a link.
//!
//! One write carries everything that is due at that moment. Usually the writing task does it; who
//! has queued a frame may, unless somebody is writing already or the stream is full.

use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;
use futures::{AsyncRead, AsyncWrite};
use libp2p::Stream;
use wattle_contracts::wire::{Frame, FrameEncoder};

/// How many bytes of payload go into one write.
const BATCH: usize = 128 * 1024;

/// A buffer that grew beyond this for one big frame is let go afterwards.
const KEPT_BUFFER: usize = 4 * BATCH;

/// A stream whose halves are used by different tasks. The lock is held for one poll.
#[derive(Debug)]
pub(super) struct Duplex(Mutex<Stream>);

impl Duplex {
    pub(super) fn new(stream: Stream) -> Self {
        Self(Mutex::new(stream))
    }

    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_read(cx, into)
    }

    fn poll_write(&self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, from)
    }

    pub(super) fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_close(cx)
    }

    fn lock(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames that are encoded and not yet written.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    writing: Mutex<Writing>,
    /// The writing task.
    waker: AtomicWaker,
}

#[derive(Debug, Default)]
struct Writing {
    encoder: FrameEncoder,
    bytes: Vec<u8>,
    written: usize,
    due: Vec<Frame>,
}

impl Outbox {
    /// Writes what is due, as far as that goes without waiting. `take` hands over the frames that
    /// are due, up to so many bytes.
    pub(super) fn flush(&self, stream: &Duplex, take: impl FnMut(&mut Vec<Frame>, usize)) {
        let mut writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Whoever writes may have looked before the new frame was there.
            Err(TryLockError::WouldBlock) => return self.waker.wake(),
        };
        let mut nobody = Context::from_waker(futures::task::noop_waker_ref());
        // An error shows again, and is handled, in the writing task.
        if !matches!(writing.poll(&mut nobody, stream, take), Poll::Ready(Ok(()))) {
            drop(writing);
            self.waker.wake();
        }
    }

    /// The writing task's work: never done but by an error.
    pub(super) fn poll(
        &self,
        cx: &mut Context<'_>,
        stream: &Duplex,
        take: impl FnMut(&mut Vec<Frame>, usize),
    ) -> Poll<io::Error> {
        self.waker.register(cx.waker());
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match writing.poll(cx, stream, take) {
            Poll::Ready(Err(error)) => Poll::Ready(error),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        }
    }

    /// Wakes the writing task.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Whether everything that was encoded is written.
    pub(super) fn is_empty(&self) -> bool {
        let writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        writing.bytes.is_empty()
    }
}

impl Writing {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stream: &Duplex,
        mut take: impl FnMut(&mut Vec<Frame>, usize),
    ) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
                match stream.poll_write(cx, rest) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(more)) => self.written += more,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            self.written = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT_BUFFER);
            take(&mut self.due, BATCH);
            if self.due.is_empty() {
                return Poll::Ready(Ok(()));
            }
            for frame in self.due.drain(..) {
                // The multiplexer checks sizes before it takes a frame: this can't fail.
                if let Err(error) = self.encoder.encode(frame, &mut self.bytes) {
                    tracing::error!(%error, "a frame was not sent");
                }
            }
        }
    }
}
