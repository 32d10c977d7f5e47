//! The clock of CPU-bound components: a thread that advances the engine's epoch while a call is
//! under way. A node on which nothing runs has nothing to wake up for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// How often a component that does not wait for anything gives way to others, and has its
/// deadline checked.
const TICK: Duration = Duration::from_millis(10);

/// After so many ticks without a call it rests, until the next one: to wake it costs a call some
/// microseconds, so calls that follow each other do not.
const IDLE_TICKS: u32 = 100;

/// A running clock, which ends when this is dropped.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Default)]
struct Shared {
    /// Calls under way.
    busy: AtomicUsize,
    is_resting: AtomicBool,
    is_over: AtomicBool,
}

/// Keeps the clock running for as long as it is there.
pub(crate) struct Ticking(Arc<Shared>);

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let engine = engine.weak();
        Self::start_with(move || engine.upgrade().map(|engine| engine.increment_epoch()).is_some())
    }

    /// Calls `tick` again and again, until it says that there is nobody left.
    fn start_with(tick: impl Fn() -> bool + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new().name("wasm-epoch".into()).spawn(move || {
            let mut idle = 0;
            while !own.is_over.load(Ordering::SeqCst) {
                if idle < IDLE_TICKS {
                    thread::sleep(TICK);
                } else {
                    own.rest();
                    idle = 0;
                }
                if !tick() {
                    return;
                }
                idle = if own.busy.load(Ordering::Relaxed) == 0 { idle + 1 } else { 0 };
            }
        })?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// A call begins: it gives way, and ends at its deadline, as long as what this gives back is
    /// there.
    pub(super) fn tick_on(&self) -> Ticking {
        // Either this sees that the thread rests, or the thread sees this call: both write before
        // they read, in one order for all.
        self.shared.busy.fetch_add(1, Ordering::SeqCst);
        if self.shared.is_resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Ticking(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    /// Until a call is under way, or all is over.
    fn rest(&self) {
        self.is_resting.store(true, Ordering::SeqCst);
        while self.busy.load(Ordering::SeqCst) == 0 && !self.is_over.load(Ordering::SeqCst) {
            thread::park();
        }
        self.is_resting.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> (Ticker, Arc<AtomicUsize>) {
        let ticks = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&ticks);
        let tick = move || counted.fetch_add(1, Ordering::SeqCst) < usize::MAX;
        (Ticker::start_with(tick).unwrap(), ticks)
    }

    fn wait_until(condition: impl Fn() -> bool) {
        while !condition() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_clock_rests_when_nothing_runs_and_goes_on_with_the_next_call() {
        let (ticker, ticks) = counting();
        for _ in 0..3 {
            wait_until(|| ticker.shared.is_resting.load(Ordering::SeqCst));
            let rested = ticks.load(Ordering::SeqCst);
            let call = ticker.tick_on();
            // More than it takes to fall asleep again: a call that goes on for long keeps it up.
            wait_until(|| ticks.load(Ordering::SeqCst) > rested + 2 * IDLE_TICKS as usize);
            drop(call);
        }
    }

    #[test]
    fn the_clock_ends_while_it_rests_and_while_it_ticks() {
        for rests in [true, false] {
            let (ticker, _) = counting();
            let shared = Arc::downgrade(&ticker.shared);
            wait_until(|| !rests || ticker.shared.is_resting.load(Ordering::SeqCst));
            drop(ticker);
            // The thread holds the last one.
            wait_until(|| shared.upgrade().is_none());
        }
    }
}
