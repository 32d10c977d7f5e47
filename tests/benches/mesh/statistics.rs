//! Percentiles, medians, and how they are written.

use std::time::Duration;

/// The value below which the share `of` of `values` lies; 0 where there are none.
pub(crate) fn percentile(values: &mut [u64], of: f64) -> u64 {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let at = (last as f64 * of).round() as usize;
    values.get(at).copied().unwrap_or(0)
}

/// The middle of `values`; 0 where there are none.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(0.0);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => at(count / 2),
        count => (at(count / 2 - 1) + at(count / 2)) / 2.0,
    }
}

/// The times of one kind of call, in nanoseconds, round after round.
#[derive(Default)]
pub(crate) struct Latencies {
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Latencies {
    pub(crate) fn round(&mut self, mut nanos: Vec<u64>) {
        self.p50.push(percentile(&mut nanos, 0.5) as f64);
        self.p99.push(percentile(&mut nanos, 0.99) as f64);
    }

    /// The median over the rounds of each round's half-way value.
    pub(crate) fn p50(&self) -> f64 {
        median(&self.p50)
    }

    pub(crate) fn p99(&self) -> f64 {
        median(&self.p99)
    }

    /// `p50 41.2 µs, p99 88.0 µs`
    pub(crate) fn text(&self) -> String {
        format!("p50 {}, p99 {}", micros(self.p50()), micros(self.p99()))
    }
}

/// Nanoseconds as microseconds.
pub(crate) fn micros(nanos: f64) -> String {
    let micros = nanos / 1e3;
    match micros {
        ..1.0 => format!("{micros:.2} µs"),
        1.0..100.0 => format!("{micros:.1} µs"),
        _ => format!("{micros:.0} µs"),
    }
}

/// Events in a second, of `count` in `time`.
pub(crate) fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

/// `45,678`
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds since `begun`.
pub(crate) fn nanos_since(begun: std::time::Instant) -> u64 {
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
