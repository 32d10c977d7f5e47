//! Where a call runs: on the thread that brought it, or on those for work.
//!
//! A short call is done before another thread would have woken up. A long one on the thread of
//! the mesh would keep everything else waiting. So each component's calls are timed: those of one
//! that usually computes for longer go to the threads for work at once, and a call that
//! unexpectedly does goes there in the middle, at the first moment at which it gives way (the
//! runtime's tick sees to it that there is one).

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::ComponentId;

/// A component whose calls, on average, compute for longer than this before they wait for
/// something or end, has them run elsewhere: what it costs to wake another thread is then small
/// beside them.
const SLOW: Duration = Duration::from_micros(100);

/// One whose calls hold their thread for less than this comes back.
const QUICK: Duration = Duration::from_micros(50);

/// A call that computes for this long without a pause moves, whatever its like did.
const STUCK: Duration = Duration::from_millis(2);

/// How fast the components' calls usually are, and the threads for those that are not.
pub(crate) struct Paces {
    work: Handle,
    known: RwLock<HashMap<ComponentId, Arc<Pace>>>,
}

impl Paces {
    pub(super) fn new(work: Handle) -> Self {
        Self { work, known: RwLock::default() }
    }

    /// The threads for work.
    pub(super) fn work(&self) -> Handle {
        self.work.clone()
    }

    /// Makes a call of `target`, and measures it. Dropping the future drops `call`.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        target: &ComponentId,
        call: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> Result<T, CallError> {
        let pace = self.of(target);
        let slow = pace.slow.load(Ordering::Relaxed);
        let mut call = Timed { call: Box::pin(call), pace, spent: Duration::ZERO, turns: 0 };
        if !slow && let Some(outcome) = poll_fn(|cx| call.poll_while_quick(cx)).await {
            return outcome;
        }
        let task = AbortOnDropHandle::new(self.work.spawn(call));
        task.await.unwrap_or_else(|error| {
            let message = format!("the call of `{target}` broke off: {error}");
            Err(CallError::new(ErrorKind::Internal, message))
        })
    }

    /// Forgets what is not here any more.
    pub(super) fn retain(&self, keep: impl Fn(&ComponentId) -> bool) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| keep(id));
    }

    fn of(&self, target: &ComponentId) -> Arc<Pace> {
        if let Some(pace) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(target) {
            return Arc::clone(pace);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(target.clone()).or_default())
    }
}

/// How long the calls of one component hold their thread at a time.
#[derive(Debug, Default)]
struct Pace {
    /// An exponentially weighted mean, in nanoseconds: each call counts for an eighth. Two calls
    /// that end at the same time may lose one of the two; it is an estimate.
    mean: AtomicU64,
    slow: AtomicBool,
}

impl Pace {
    fn took(&self, spent: Duration) {
        let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        let old = self.mean.load(Ordering::Relaxed);
        let mean = (old - old / 8).saturating_add(spent / 8);
        self.mean.store(mean, Ordering::Relaxed);
        let was_slow = self.slow.load(Ordering::Relaxed);
        let limit = if was_slow { QUICK } else { SLOW };
        let slow = u128::from(mean) > limit.as_nanos();
        if slow != was_slow {
            self.slow.store(slow, Ordering::Relaxed);
        }
    }
}

/// A call with the time for which it has held its thread so far, in so many turns.
struct Timed<F> {
    call: Pin<Box<F>>,
    pace: Arc<Pace>,
    spent: Duration,
    turns: u32,
}

impl<F: Future> Timed<F> {
    /// Like `poll`; ready with `None` when it has just held its thread for too long.
    fn poll_while_quick(&mut self, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let before = self.spent;
        match Pin::new(&mut *self).poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if self.spent - before > STUCK => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let begun = Instant::now();
        let polled = self.call.as_mut().poll(cx);
        self.spent += begun.elapsed();
        self.turns = self.turns.saturating_add(1);
        if polled.is_ready() {
            self.pace.took(self.spent / self.turns);
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn id() -> ComponentId {
        "app/component".parse().unwrap()
    }

    async fn thread_of(paces: &Paces, compute: Duration) -> thread::ThreadId {
        let call = async move {
            thread::sleep(compute);
            Ok(thread::current().id())
        };
        paces.run(&id(), call).await.unwrap()
    }

    #[tokio::test]
    async fn short_calls_stay_and_long_ones_go_until_they_are_short_again() {
        let work = tokio::runtime::Runtime::new().unwrap();
        let paces = Paces::new(work.handle().clone());
        let here = thread::current().id();
        assert_eq!(thread_of(&paces, Duration::ZERO).await, here);
        // The first long one is not expected.
        assert_eq!(thread_of(&paces, Duration::from_millis(5)).await, here);
        assert_ne!(thread_of(&paces, Duration::ZERO).await, here);
        // One call after the other it is trusted again.
        for _ in 0..100 {
            thread_of(&paces, Duration::ZERO).await;
        }
        assert_eq!(thread_of(&paces, Duration::ZERO).await, here);
        work.shutdown_background();
    }

    #[tokio::test]
    async fn a_call_that_computes_on_moves_where_it_gives_way() {
        let work = tokio::runtime::Runtime::new().unwrap();
        let paces = Paces::new(work.handle().clone());
        let call = async {
            let before = thread::current().id();
            thread::sleep(STUCK * 2);
            tokio::task::yield_now().await;
            Ok((before, thread::current().id()))
        };
        let (before, after) = paces.run(&id(), call).await.unwrap();
        assert_eq!(before, thread::current().id());
        assert_ne!(after, before);
        work.shutdown_background();
    }

    #[tokio::test]
    async fn a_call_that_mostly_waits_stays_however_long_it_is() {
        let work = tokio::runtime::Runtime::new().unwrap();
        let paces = Paces::new(work.handle().clone());
        for _ in 0..3 {
            let call = async {
                for _ in 0..100_000 {
                    tokio::task::yield_now().await;
                }
                Ok(())
            };
            paces.run(&id(), call).await.unwrap();
        }
        assert_eq!(thread_of(&paces, Duration::ZERO).await, thread::current().id());
        work.shutdown_background();
    }

    #[tokio::test]
    async fn a_call_that_panics_elsewhere_is_an_error_here() {
        let work = tokio::runtime::Runtime::new().unwrap();
        let paces = Paces::new(work.handle().clone());
        thread_of(&paces, Duration::from_millis(5)).await;
        let call = async { if true { panic!("on purpose") } else { Ok(()) } };
        let error = paces.run(&id(), call).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        work.shutdown_background();
    }
}
