//! Times, sizes and shares as people write them.

use std::time::Duration;

use toml::Spanned;
use wattle_contracts::manifest::Text;

use super::ScenarioError;

type Written = Spanned<String>;

const TIMES: [(&str, u64); 8] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
    ("w", 604_800_000_000),
];

const SIZES: [(&str, u64); 6] = [
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
];

/// A time such as `"500ms"` or `"2h"`.
pub(super) fn time(at: Text<'_>, text: &Written) -> Result<Duration, ScenarioError> {
    number(text.get_ref(), &TIMES).map(Duration::from_micros).ok_or_else(|| {
        at.error(
            text.span(),
            "expected a time such as \"500ms\", \"10s\", \"5min\", \"2h\" or \"7d\"",
        )
    })
}

/// A time, or what is usual.
pub(super) fn time_or(
    at: Text<'_>,
    text: &Option<Written>,
    usual: Duration,
) -> Result<Duration, ScenarioError> {
    text.as_ref().map_or(Ok(usual), |text| time(at, text))
}

/// A time that may lie behind, such as `"-1h"`, in milliseconds.
pub(super) fn offset(at: Text<'_>, text: &Written) -> Result<i64, ScenarioError> {
    let (sign, amount) = match text.get_ref().strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.get_ref().as_str()),
    };
    let micros = number(amount, &TIMES).and_then(|micros| i64::try_from(micros).ok());
    micros.map(|micros| sign * (micros / 1000)).ok_or_else(|| {
        at.error(text.span(), "expected a time such as \"90s\" or, for behind, \"-1h\"")
    })
}

/// A size such as `"200B"` or `"64KiB"`.
pub(super) fn size(at: Text<'_>, text: &Written) -> Result<u64, ScenarioError> {
    number(text.get_ref(), &SIZES)
        .ok_or_else(|| at.error(text.span(), "expected a size such as \"200B\" or \"64KiB\""))
}

/// A size in each second, such as `"1MB/s"`.
pub(super) fn rate(at: Text<'_>, text: &Written) -> Result<u64, ScenarioError> {
    let amount = text.get_ref().strip_suffix("/s");
    amount
        .and_then(|amount| number(amount, &SIZES))
        .filter(|rate| *rate > 0)
        .ok_or_else(|| at.error(text.span(), "expected a rate such as \"30kB/s\" or \"1MB/s\""))
}

/// A share such as `"0.5%"`, in millionths.
pub(super) fn share(at: Text<'_>, text: &Written) -> Result<u32, ScenarioError> {
    let amount = text.get_ref().strip_suffix('%').and_then(|text| decimal(text.trim(), 4));
    amount
        .and_then(|ppm| u32::try_from(ppm).ok())
        .filter(|ppm| *ppm <= 1_000_000)
        .ok_or_else(|| at.error(text.span(), "expected a share from \"0%\" to \"100%\""))
}

/// How fast a clock runs wrong, such as `"200ppm"` or `"-50ppm"`.
pub(super) fn drift(at: Text<'_>, text: &Written) -> Result<i64, ScenarioError> {
    let amount = text.get_ref().strip_suffix("ppm").and_then(|text| text.trim().parse().ok());
    amount.filter(|ppm: &i64| ppm.unsigned_abs() <= 100_000).ok_or_else(|| {
        at.error(text.span(), "expected a drift from \"-100000ppm\" to \"100000ppm\"")
    })
}

fn number(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (amount, unit) = text.split_at_checked(end)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    let micros = decimal(amount, 6)?.checked_mul(*factor)?;
    Some(micros / 1_000_000)
}

/// A number with at most so many decimals, times ten to that power. Without floating point, so
/// that it means the same everywhere.
fn decimal(text: &str, decimals: u32) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let length = u32::try_from(part.len()).ok()?;
    if !is_number(whole) || (text.contains('.') && !is_number(part)) || length > decimals {
        return None;
    }
    let part: u64 = if part.is_empty() { 0 } else { part.parse().ok()? };
    let whole: u64 = whole.parse().ok()?;
    whole.checked_mul(10u64.pow(decimals))?.checked_add(part * 10u64.pow(decimals - length))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Text<'static> = Text { file: "s.toml", text: "" };

    fn written(text: &str) -> Written {
        Spanned::new(0..0, text.into())
    }

    #[test]
    fn quantities_are_read_without_loss() {
        let read = |text| time(AT, &written(text)).ok();
        assert_eq!(read("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(read("0s"), Some(Duration::ZERO));
        assert_eq!(read("250us"), Some(Duration::from_micros(250)));
        assert!(
            ["", "5", "s", "-1s", "1 fortnight", "1..5s", "1.s"].iter().all(|t| read(t).is_none())
        );
        assert_eq!(share(AT, &written("0.05%")).ok(), Some(500));
        assert_eq!(share(AT, &written("100%")).ok(), Some(1_000_000));
        assert!(["101%", "5", "1e1%", "-1%"].iter().all(|t| share(AT, &written(t)).is_err()));
        assert_eq!(rate(AT, &written("1.5MB/s")).ok(), Some(1_500_000));
        assert_eq!(offset(AT, &written("-1h")).ok(), Some(-3_600_000));
        assert_eq!(drift(AT, &written("-50ppm")).ok(), Some(-50));
        // The least number has no counterpart above zero.
        for wrong in ["-100001ppm", "100001ppm", "-9223372036854775808ppm"] {
            assert!(drift(AT, &written(wrong)).is_err(), "{wrong}");
        }
    }
}
