//! Waiting for what must become true.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How long what has no deadline of its own may take, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// Looks until `probe` gives a value, and fails the test with what was seen last when that takes
/// longer than `within`.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(seen) => assert!(
                begun.elapsed() < within,
                "within {within:?} it did not come true that {what}; last seen: {seen}"
            ),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What a probe of [`eventually`] says: that it holds, or what is seen instead.
pub fn holds(holds: bool, seen: impl Debug) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{seen:#?}")) }
}

/// The value of `future`, which must come within `within`.
pub async fn within<T>(what: &str, within: Duration, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(within, future)
        .await
        .unwrap_or_else(|_| panic!("{what} took longer than {within:?}"))
}
