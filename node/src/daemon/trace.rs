//! The trace that a request from outside belongs to (W3C Trace Context, section 3.2).

use http::HeaderMap;
use wattle_contracts::call::TraceContext;

/// The trace that `headers` name; none where they name none, or badly.
pub(super) fn of(headers: &HeaderMap) -> TraceContext {
    let value = headers.get("traceparent").and_then(|value| value.to_str().ok());
    value.and_then(parse).unwrap_or_default()
}

fn parse(text: &str) -> Option<TraceContext> {
    let mut parts = text.split('-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let lower = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let sizes = version.len() == 2 && trace.len() == 32 && parent.len() == 16;
    if !sizes || version == "ff" || !lower(version) || !lower(trace) || !lower(parent) {
        return None;
    }
    let trace_id = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
    let parent_span = u64::from_str_radix(parent, 16).ok().filter(|id| *id != 0)?;
    Some(TraceContext { trace_id, parent_span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_a_bad_one_is_none() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = parse(good).unwrap();
        assert_eq!(format!("{:x}", read.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(read.parent_span, 0x00f0_67aa_0ba9_02b7);
        let zero = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
        for bad in ["", "00-1-2-3", zero, &good.to_uppercase(), &good.replacen("00", "ff", 1)] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
