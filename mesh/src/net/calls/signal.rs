//! How the reading task tells the task that works on a call that there is room again, or that
//! the call is over.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;

use futures::task::AtomicWaker;

const ROOM: u8 = 1;
const GONE: u8 = 2;

/// One listener, any number of tellers.
#[derive(Debug, Default)]
pub(super) struct Signal {
    state: AtomicU8,
    waker: AtomicWaker,
}

/// The call is over; nobody waits for what is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gone;

impl Signal {
    pub(super) fn room(&self) {
        self.tell(ROOM);
    }

    pub(super) fn gone(&self) {
        self.tell(GONE);
    }

    fn tell(&self, what: u8) {
        self.state.fetch_or(what, Ordering::AcqRel);
        self.waker.wake();
    }

    /// Waits until there was room since the last time, or the call is over.
    pub(super) async fn wait(&self) -> Result<(), Gone> {
        poll_fn(|cx| {
            self.waker.register(cx.waker());
            match self.state.fetch_and(!ROOM, Ordering::AcqRel) {
                state if state & GONE != 0 => Poll::Ready(Err(Gone)),
                state if state & ROOM != 0 => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Does `work`, and drops it when the call is over.
    pub(super) async fn or_gone<T>(&self, work: impl Future<Output = T>) -> Result<T, Gone> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            self.waker.register(cx.waker());
            match self.state.load(Ordering::Acquire) & GONE {
                0 => Poll::Pending,
                _ => Poll::Ready(Err(Gone)),
            }
        })
        .await
    }
}
