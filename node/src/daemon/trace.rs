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
    use http::HeaderValue;
    use proptest::prelude::*;

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
    /// As the specification writes it.
    fn written(version: u8, context: &TraceContext, rest: &str) -> String {
        format!("{version:02x}-{:032x}-{:016x}{rest}", context.trace_id, context.parent_span)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            version in 0u8..0xff,
            trace_id in 1u128..,
            parent_span in 1u64..,
            rest in prop::sample::select(vec!["", "-00", "-01", "-01-later"]),
        ) {
            let context = TraceContext { trace_id, parent_span };
            prop_assert_eq!(parse(&written(version, &context, rest)), Some(context));
        }

        /// Somebody outside sends it: nothing in it is read that does not stand there.
        #[test]
        fn no_header_is_misread(
            text in "[0-9a-fA-F+-]{0,8}-[0-9a-f]{30,34}-[0-9a-fg+]{14,18}(-.{0,4})?",
            bytes in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            for bytes in [text.as_bytes(), &bytes] {
                let Ok(value) = HeaderValue::from_bytes(bytes) else { continue };
                let mut headers = HeaderMap::new();
                headers.insert("traceparent", value);
                let read = of(&headers);
                if read != TraceContext::default() {
                    let text = str::from_utf8(bytes).unwrap();
                    let version = u8::from_str_radix(&text[..2], 16).unwrap();
                    let start = written(version, &read, "");
                    prop_assert!(text.starts_with(&start), "{} in {}", start, text);
                    prop_assert!(read.trace_id != 0 && read.parent_span != 0);
                }
            }
        }
    }
}
