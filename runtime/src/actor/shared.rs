//! What an actor has in common with its instances, and who may call it now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::ComponentId;

use crate::limits::Limits;
use crate::outside::{LogLevel, Outside};

/// What an actor has in common with its instances.
pub(crate) struct Shared {
    pub(crate) id: ComponentId,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    pub(crate) outside: Arc<dyn Outside>,
    pub(super) in_flight: AtomicUsize,
    /// Linear memory of all instances, in bytes.
    memory: AtomicUsize,
    lines: Lines,
}

/// The lines that a component has logged in the second that goes by.
struct Lines {
    since: Instant,
    second: AtomicU64,
    count: AtomicU32,
}

impl Shared {
    pub(crate) fn new(
        id: ComponentId,
        config: BTreeMap<String, String>,
        limits: Limits,
        outside: Arc<dyn Outside>,
    ) -> Self {
        let lines =
            Lines { since: Instant::now(), second: AtomicU64::new(0), count: AtomicU32::new(0) };
        Self {
            id,
            config,
            limits,
            outside,
            in_flight: AtomicUsize::new(0),
            memory: AtomicUsize::new(0),
            lines,
        }
    }

    /// Hands a line of the component's to the log, unless there were too many in this second: the
    /// log is everybody's.
    pub(crate) fn log(&self, level: LogLevel, context: &str, message: &str) {
        let Lines { since, second, count } = &self.lines;
        let now = match self.outside.surroundings() {
            Some(rehearsed) => Duration::from_nanos(rehearsed.monotonic()).as_secs(),
            None => since.elapsed().as_secs(),
        };
        // Two calls at the turn of a second may let a few lines more through; it is a limit.
        if second.swap(now, Ordering::Relaxed) != now {
            count.store(0, Ordering::Relaxed);
        }
        let before = count.fetch_add(1, Ordering::Relaxed);
        let most = self.limits.log_lines;
        if before < most {
            self.outside.log(&self.id, level, context, message);
        } else if before == most {
            let told =
                format!("more than {most} lines in a second, its limit: the rest is left out");
            self.outside.log(&self.id, LogLevel::Warn, "wattle", &told);
        }
    }

    /// Counts linear memory that an instance takes, in bytes, unless all of them would have too much.
    pub(crate) fn take_memory(&self, bytes: usize) -> bool {
        let most = self.limits.memory_together;
        let with = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= most);
        self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).is_ok()
    }

    /// An instance that has taken so many bytes is gone.
    pub(crate) fn give_memory_back(&self, bytes: usize) {
        self.memory.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a call that begins, unless too many run already.
    pub(super) fn enter(self: &Arc<Self>) -> Result<InFlight, CallError> {
        let in_flight = InFlight(self.clone());
        if self.in_flight.fetch_add(1, Ordering::Relaxed) < self.limits.concurrency {
            return Ok(in_flight);
        }
        let message = format!(
            "{} is busy with {} calls, its limit; try again later, or raise the limit",
            self.id, self.limits.concurrency
        );
        Err(CallError::new(ErrorKind::Overloaded, message))
    }

    pub(super) fn too_late(&self) -> CallError {
        CallError::new(ErrorKind::Deadline, format!("{} did not answer in time", self.id))
    }
}

/// A call that runs; counted until this is dropped.
pub(super) struct InFlight(Arc<Shared>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
