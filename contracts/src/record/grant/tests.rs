use proptest::prelude::*;

use super::*;
use crate::record::ProviderKind;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn store<'a>(bucket: &'a str, keys: &[&'a str]) -> Asked<'a> {
    Asked::Store { bucket, keys: keys.to_vec() }
}

fn http<'a>(method: &'a str, host: &'a str) -> Asked<'a> {
    Asked::Http { method, host, port: 443, usual: 443 }
}

fn missing(grant: &Grant, function: &str, asked: &Asked<'_>, bytes: u64) -> Option<Rule> {
    grant.allows(function, asked, bytes).err().map(|missing| missing.rule)
}

#[test]
fn each_rule_refuses_by_its_name() {
    let subject: Subject = "orders.eu.placed".parse().unwrap();
    assert_eq!(missing(&Grant::ALL, "any", &Asked::Function, u64::MAX), None);

    let grant = Grant { functions: texts(&["get"]), ..Grant::ALL };
    assert_eq!(missing(&grant, "get", &Asked::Function, 0), None);
    assert_eq!(missing(&grant, "[method]bucket.get", &store("b", &["k"]), 0), None);
    assert_eq!(missing(&grant, "[method]bucket.set", &store("b", &["k"]), 0), Some(Rule::Function));

    let grant = Grant { buckets: texts(&["carts"]), keys: texts(&["eu/", "us/"]), ..Grant::ALL };
    assert_eq!(missing(&grant, "get", &store("carts", &["eu/1", "us/2"]), 0), None);
    assert_eq!(missing(&grant, "get", &store("other", &["eu/1"]), 0), Some(Rule::Bucket));
    assert_eq!(missing(&grant, "get", &store("carts", &["eu/1", "e"]), 0), Some(Rule::KeyPrefix));
    assert_eq!(missing(&grant, "list-keys", &store("carts", &[]), 0), None);

    let grant = Grant { hosts: texts(&["*.example"]), methods: texts(&["GET"]), ..Grant::ALL };
    assert_eq!(missing(&grant, "handle", &http("GET", "api.example"), 0), None);
    assert_eq!(missing(&grant, "handle", &http("GET", "example.org"), 0), Some(Rule::Host));
    assert_eq!(missing(&grant, "handle", &http("POST", "api.example"), 0), Some(Rule::Method));

    let grant = Grant { subjects: vec!["orders.*.placed".parse().unwrap()], ..Grant::ALL };
    assert_eq!(missing(&grant, "publish", &Asked::Publish(&subject), 0), None);
    let other: Subject = "orders.eu.sent".parse().unwrap();
    assert_eq!(missing(&grant, "publish", &Asked::Publish(&other), 0), Some(Rule::Subject));

    let grant = Grant { bytes_per_call: Some(10), ..Grant::ALL };
    assert_eq!(missing(&grant, "f", &Asked::Function, 10), None);
    assert_eq!(missing(&grant, "f", &Asked::Function, 11), Some(Rule::BytesPerCall));
}

#[test]
fn a_refusal_says_what_was_asked_and_what_there_is() {
    let grant = Grant { keys: texts(&["eu/"]), ..Grant::ALL };
    let missing = grant.allows("get", &store("b", &["us/1"]), 0).unwrap_err();
    let said = missing.to_string();
    assert!(said.contains("`us/1`") && said.contains("`eu/*`"), "{said}");
    assert!(said.contains("rule: key-prefix"), "{said}");
}

/// What is narrowed to something is of no use for anything else.
#[test]
fn a_narrowed_link_grants_nothing_of_another_kind() {
    let narrowed = [
        Grant { buckets: texts(&["b"]), ..Grant::ALL },
        Grant { keys: texts(&["k"]), ..Grant::ALL },
        Grant { hosts: texts(&["h"]), ..Grant::ALL },
        Grant { methods: texts(&["GET"]), ..Grant::ALL },
        Grant { subjects: vec![">".parse().unwrap()], ..Grant::ALL },
    ];
    for grant in narrowed {
        assert!(grant.allows("f", &Asked::Function, 0).is_err(), "{grant:?}");
        assert!(grant.check_for(None).is_err(), "{grant:?}");
    }
    let messages = ProviderKind::Messaging { subjects: Vec::new() };
    let subjects = Grant { subjects: vec![">".parse().unwrap()], ..Grant::ALL };
    subjects.check_for(Some(&messages)).unwrap();
    subjects.check_for(Some(&ProviderKind::KeyValue)).unwrap_err();
    let streamed = Grant { bytes_per_second: Some(1), ..Grant::ALL };
    streamed.check_for(Some(&ProviderKind::HttpClient { hosts: Vec::new() })).unwrap_err();
}

#[test]
fn the_bounds_of_a_grant_are_checked() {
    Grant::ALL.check().unwrap();
    for (grant, part) in [
        (Grant { functions: texts(&["a#b"]), ..Grant::ALL }, "name of a function"),
        (Grant { functions: texts(&[""]), ..Grant::ALL }, "1 to 256"),
        (Grant { keys: vec!["k".into(); 65], ..Grant::ALL }, "65 entries"),
        (Grant { hosts: texts(&["http://x"]), ..Grant::ALL }, "no host"),
        (Grant { methods: texts(&["get"]), ..Grant::ALL }, "capitals"),
        (Grant { calls_per_second: Some(0), ..Grant::ALL }, "at least 1"),
        (Grant { bytes_per_call: Some(0), ..Grant::ALL }, "at least 1"),
    ] {
        let why = grant.check().unwrap_err();
        assert!(why.contains(part), "{why}");
    }
}

proptest! {
    /// Narrowing only ever takes away.
    #[test]
    fn a_narrower_grant_allows_no_more(
        functions in prop::collection::vec("[ab]", 0..2),
        buckets in prop::collection::vec("[ab]", 0..2),
        keys in prop::collection::vec("[ab]{1,2}", 0..3),
        more in "[ab]{1,2}",
        function in "[abc]",
        bucket in "[abc]",
        asked in prop::collection::vec("[ab]{0,3}", 0..3),
    ) {
        let wide = Grant { functions: functions.clone(), buckets, keys, ..Grant::ALL };
        let keys: Vec<&str> = asked.iter().map(String::as_str).collect();
        let asked = Asked::Store { bucket: &bucket, keys };
        // One entry less, but never the last: none is no narrowing at all.
        let mut narrow = wide.clone();
        if narrow.keys.len() > 1 {
            narrow.keys.pop();
        } else if narrow.keys.is_empty() {
            narrow.keys.push(more);
        }
        if narrow.allows(&function, &asked, 0).is_ok() {
            prop_assert!(wide.allows(&function, &asked, 0).is_ok());
        }
        // Whatever is allowed is so by every rule there is.
        if wide.allows(&function, &asked, 0).is_ok() {
            prop_assert!(functions.is_empty() || functions.contains(&function));
            prop_assert!(wide.buckets.is_empty() || wide.buckets.contains(&bucket));
        }
    }
}
