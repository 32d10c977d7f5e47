//! How old messages are, by a clock that nobody sets.
//!
//! A message may wait for days, through restarts, on a machine whose wall clock begins in 1970 and
//! is put right hours later: the difference of two wall-clock times would make everything that
//! waits a lifetime old in that moment, and it would be given up. So the wall clock has no part in
//! it. What counts is the time for which the machine was on: `CLOCK_BOOTTIME` (clock_gettime(2)),
//! which goes on while the machine sleeps and while the node is restarted, and is never set. What
//! passes while the machine is off, nothing trustworthy says after a boot; it does not count, and
//! neither does what was not noted before a crash of the machine. Thus a message may be kept for
//! longer than its limit, and is never given up before.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on the outbox's own clock: for how many milliseconds it has existed while the machine
/// was on. It means the same after a restart.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct OutboxTime(pub u64);

impl OutboxTime {
    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// What the machine says of the time since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTime {
    /// Which start of the machine that was; unlike those of all others. `None` where the system
    /// does not say.
    pub boot: Option<String>,
    /// How long ago.
    pub elapsed: Duration,
}

/// What is written down of the clock now and then, so that it goes on after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockNote {
    /// What the outbox's clock said.
    pub time: OutboxTime,
    /// What the machine's said at that moment.
    pub machine: BootTime,
}

/// The outbox's clock while the node runs.
#[derive(Debug, Clone)]
pub struct AgeClock {
    /// The start of the machine in which it runs.
    boot: Option<String>,
    began: Duration,
    base: OutboxTime,
}

impl AgeClock {
    /// Goes on from what was noted last. `newest` is when the newest message on disk was taken:
    /// the clock had come at least so far. `machine` is the time now.
    pub fn resume(noted: Option<&ClockNote>, newest: OutboxTime, machine: BootTime) -> Self {
        let BootTime { boot, elapsed: began } = machine;
        let base = noted.map_or(OutboxTime::default(), |noted| {
            let same = boot.is_some() && boot == noted.machine.boot;
            let off = began.saturating_sub(noted.machine.elapsed);
            if same { noted.time.plus(off) } else { noted.time }
        });
        Self { boot, began, base: base.max(newest) }
    }

    /// What it says when the machine has been on for `elapsed`.
    pub fn time(&self, elapsed: Duration) -> OutboxTime {
        self.base.plus(elapsed.saturating_sub(self.began))
    }

    /// What is to be written down then.
    pub fn note(&self, elapsed: Duration) -> ClockNote {
        let machine = BootTime { boot: self.boot.clone(), elapsed };
        ClockNote { time: self.time(elapsed), machine }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens to a machine, each with how many seconds it takes.
    #[derive(Debug, Clone)]
    enum Event {
        Runs(u32),
        Notes,
        Takes,
        /// The node is stopped and started again.
        Restarts(u32),
        /// The machine was off, for however long, and the node comes up so long after its start.
        Reboots(u32),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0u32..100_000).prop_map(Event::Runs),
            2 => Just(Event::Notes),
            2 => Just(Event::Takes),
            1 => (0u32..100_000).prop_map(Event::Restarts),
            1 => (0u32..1000).prop_map(Event::Reboots),
        ]
    }

    fn machine(boot: u64, elapsed: u64) -> BootTime {
        BootTime { boot: Some(boot.to_string()), elapsed: Duration::from_secs(elapsed) }
    }

    proptest! {
        /// Whatever the machine goes through: an age is never more than the time for which the
        /// machine was on since the message was taken, and less only by what was not noted before
        /// a reboot, and by what the machine needed to start the node.
        #[test]
        fn an_age_is_what_has_passed_while_the_machine_was_on(
            events in prop::collection::vec(event(), 0..60),
        ) {
            let (mut boot, mut elapsed) = (0, 50);
            let mut clock = AgeClock::resume(None, OutboxTime::default(), machine(boot, elapsed));
            // A node notes it when it starts, and then now and then.
            let (mut noted, mut since_note) = (clock.note(Duration::from_secs(elapsed)), 0u64);
            // Of each message: when it was taken, for how long the machine was on since then, and
            // how much of that may be missing.
            let mut taken: Vec<(OutboxTime, u64, u64)> = Vec::new();
            for event in events {
                let (on, again) = match event {
                    Event::Runs(seconds) => (seconds, false),
                    Event::Restarts(seconds) | Event::Reboots(seconds) => (seconds, true),
                    Event::Notes | Event::Takes => (0, false),
                };
                if let Event::Reboots(..) = event {
                    (boot, elapsed) = (boot + 1, 0);
                }
                elapsed += u64::from(on);
                since_note += u64::from(on);
                for (_, age, missing) in &mut taken {
                    *age += u64::from(on);
                    if let Event::Reboots(..) = event {
                        *missing = (*missing + since_note).min(*age);
                    }
                }
                let now = Duration::from_secs(elapsed);
                if again {
                    let newest = taken.iter().map(|(time, ..)| *time).max().unwrap_or_default();
                    clock = AgeClock::resume(Some(&noted), newest, machine(boot, elapsed));
                }
                if again || matches!(event, Event::Notes) {
                    (noted, since_note) = (clock.note(now), 0);
                }
                if let Event::Takes = event {
                    taken.push((clock.time(now), 0, 0));
                }
                let now = clock.time(now);
                for (time, age, missing) in &taken {
                    let told = now.since(*time).as_secs();
                    prop_assert!(told <= *age, "{told} s, where {age} s have passed");
                    prop_assert!(told + missing >= *age, "{told} s of {age} s, {missing} s unknown");
                }
            }
        }
    }

    #[test]
    fn a_restart_of_the_node_counts_and_a_machine_that_was_off_does_not() {
        let noted = AgeClock::resume(None, OutboxTime(7000), machine(1, 100));
        let note = noted.note(Duration::from_secs(160));
        assert_eq!(note.time, OutboxTime(67_000));
        let again = AgeClock::resume(Some(&note), OutboxTime(0), machine(1, 460));
        assert_eq!(again.time(Duration::from_secs(461)), OutboxTime(368_000));
        let rebooted = AgeClock::resume(Some(&note), OutboxTime(0), machine(2, 460));
        assert_eq!(rebooted.time(Duration::from_secs(461)), OutboxTime(68_000));
        // A message that was taken after the last note is not from the future.
        let rebooted = AgeClock::resume(Some(&note), OutboxTime(90_000), machine(2, 460));
        assert_eq!(rebooted.time(Duration::from_secs(460)), OutboxTime(90_000));
        // Where the system does not say which boot it is, none is taken for another's.
        let unknown = BootTime { boot: None, elapsed: Duration::from_secs(900) };
        let note = ClockNote { time: OutboxTime(5), machine: unknown.clone() };
        let resumed = AgeClock::resume(Some(&note), OutboxTime(0), unknown);
        assert_eq!(resumed.time(Duration::from_secs(900)), OutboxTime(5));
    }
}
