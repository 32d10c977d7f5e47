//! The clock by which messages age: what the machine says, and what is noted of it.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::Messenger;
use crate::core::outbox::{BootTime, OutboxTime};

/// How often the clock is noted while anything waits. So much of an age is lost at the most when
/// the machine crashes.
const NOTE: Duration = Duration::from_secs(60);

/// It goes on while the machine sleeps.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// What the machine's clock says, and since which start of the machine.
pub(super) fn machine_time() -> BootTime {
    // proc_sys_kernel(5). In a time namespace (time_namespaces(7)) the clock begins elsewhere.
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let space = fs::read_link("/proc/self/ns/time").unwrap_or_default();
    let boot = boot.map(|boot| format!("{} {}", boot.trim(), space.display()));
    BootTime { boot, elapsed: since_boot() }
}

fn since_boot() -> Duration {
    let time = clock_gettime(CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

impl Messenger {
    /// The time by the outbox's own clock.
    pub(super) fn time(&self) -> OutboxTime {
        self.inner.ages.time(since_boot())
    }

    /// Whether the clock is to be noted again.
    pub(super) fn note_is_due(&self) -> bool {
        let noted = *self.inner.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.time().since(noted) >= NOTE
    }

    /// Writes down what the clock says.
    pub(super) async fn note_clock(&self) {
        let note = self.inner.ages.note(since_boot());
        // First: one that fails is not to be tried again on each step.
        *self.inner.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = note.time;
        if let Err(error) = self.inner.store.note_clock(note).await {
            tracing::warn!(%error, "can't write down how old messages are; they are kept longer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_for_how_long_it_has_been_on() {
        let (before, after) = (machine_time(), machine_time());
        assert_eq!(before.boot, after.boot);
        assert!(Duration::ZERO < before.elapsed && before.elapsed <= after.elapsed);
    }
}
