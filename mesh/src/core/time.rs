//! The time by which the state machines measure: monotonic, and only ever handed in.

use std::fmt;
use std::time::Duration;

/// A moment on one node's monotonic clock: microseconds since that node started. Says nothing to
/// another node, and nothing after a restart; what must, uses
/// [`wattle_contracts::trust::UnixMillis`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// When the node started.
    pub const ZERO: Self = Self(0);
    /// Later than any other moment: for what is never due.
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment at which the node has run for so long.
    pub fn since_start(elapsed: Duration) -> Self {
        Self(micros(elapsed))
    }

    /// How long the node had run.
    pub fn elapsed(self) -> Duration {
        Duration::from_micros(self.0)
    }

    /// This moment plus `duration`; at most [`Time::NEVER`].
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NEVER => f.write_str("never"),
            time => write!(f, "{:?}", time.elapsed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_wraps() {
        let late = Time::NEVER.plus(Duration::from_secs(1));
        assert_eq!(late, Time::NEVER);
        assert_eq!(Time::ZERO.since(late), Duration::ZERO);
        assert_eq!(Time::ZERO.plus(Duration::MAX), Time::NEVER);
        let second = Duration::from_secs(1);
        assert_eq!(Time::since_start(second).plus(second).elapsed(), 2 * second);
    }
}
