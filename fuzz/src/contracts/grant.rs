//! What links grant, and the patterns in which it is written: of hosts, names, subjects and paths.

use wattle_contracts::id::{ComponentId, Digest, Subject, SubjectPattern};
use wattle_contracts::record::{
    Asked, Grant, HttpRoute, Publisher, SignedComponent, host_matches, plain,
};

/// The lines of an input: a pattern, what is held against it, a port, and what is asked for.
///
/// A pattern means what its description says, told here in other words; and a grant that is
/// narrowed grants no more than before.
pub fn holds(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, text, port, more) = (line(), line(), line(), line());
    let port: u16 = port.parse().unwrap_or(80);
    host(pattern, text, port);
    subject(pattern, text);
    route(pattern, text);
    name(pattern, text);
    narrowed(pattern, text, more, port);
}

fn host(pattern: &str, host: &str, port: u16) {
    let means = host_matches(pattern, host, port, 80);
    assert_eq!(means, host_matches(&pattern.to_ascii_uppercase(), host, port, 80));
    assert_eq!(means, host_matches(pattern, &host.to_ascii_lowercase(), port, 80));
    if !means || pattern == "*" {
        return;
    }
    // By its port, or by the usual one.
    let (name, named) = match pattern.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().unwrap()),
        None => (pattern, 80u16),
    };
    assert_eq!(named, port);
    let (name, host) = (name.to_ascii_lowercase(), host.to_ascii_lowercase());
    match name.strip_prefix("*.") {
        _ if name == "*" => {}
        Some(parent) => {
            assert!(!parent.is_empty(), "`{pattern}` means `{host}`");
            let below = host.strip_suffix(parent).and_then(|host| host.strip_suffix('.'));
            assert!(below.is_some_and(|below| !below.is_empty()));
        }
        None => assert_eq!(name, host),
    }
}

fn subject(pattern: &str, subject: &str) {
    let (Ok(wanted), Ok(about)) = (pattern.parse::<SubjectPattern>(), subject.parse::<Subject>())
    else {
        return;
    };
    let wanted_tokens: Vec<&str> = pattern.split('.').collect();
    let tokens: Vec<&str> = subject.split('.').collect();
    let one = |(wanted, token): (&&str, &&str)| *wanted == "*" || wanted == token;
    let expected = match wanted_tokens.split_last() {
        Some((&">", first)) => tokens.len() > first.len() && first.iter().zip(&tokens).all(one),
        _ => tokens.len() == wanted_tokens.len() && wanted_tokens.iter().zip(&tokens).all(one),
    };
    assert_eq!(wanted.matches(&about), expected, "{pattern} {subject}");
}

fn route(path: &str, asked: &str) {
    let route = HttpRoute { host: None, path: path.into(), component: "web".parse().unwrap() };
    if route.matches("any", asked) {
        let (path, asked) = (path.trim_end_matches('/'), asked.as_bytes());
        assert!(asked.starts_with(path.as_bytes()));
        assert!(asked.get(path.len()).is_none_or(|next| *next == b'/'), "half a segment");
    }
    let _ = route.exactness();
}

fn name(pattern: &str, text: &str) {
    let publisher = Publisher {
        name: "acme".parse().unwrap(),
        apps: vec![pattern.into()],
        components: Vec::new(),
        digests: Vec::new(),
        contracts: Vec::new(),
        exclusive: true,
    };
    let Ok(id) = format!("{text}/desk").parse::<ComponentId>() else { return };
    let signed = SignedComponent { id: &id, digest: Digest::of(b"x"), contracts: None };
    if publisher.check().is_ok() && publisher.may_sign(&signed).is_ok() {
        assert!(publisher.reserves(&signed));
        match pattern.strip_suffix('*') {
            Some(start) => assert!(text.starts_with(start)),
            None => assert_eq!(text, pattern),
        }
    }
}

fn narrowed(pattern: &str, asked: &str, more: &str, port: u16) {
    let list = |text: &str| vec![text.to_string()];
    let subjects: Vec<SubjectPattern> = pattern.parse::<SubjectPattern>().into_iter().collect();
    let grants = [
        Grant { functions: list(pattern), ..Grant::ALL },
        Grant { buckets: list(pattern), ..Grant::ALL },
        Grant { keys: list(pattern), ..Grant::ALL },
        Grant { hosts: list(pattern), ..Grant::ALL },
        Grant { methods: list(pattern), ..Grant::ALL },
        Grant { subjects, ..Grant::ALL },
        Grant { bytes_per_call: Some(u64::from(port)), ..Grant::ALL },
    ];
    let about: Option<Subject> = asked.parse().ok();
    let mut questions = vec![
        Asked::Function,
        Asked::Store { bucket: asked, keys: vec![more, asked] },
        Asked::Store { bucket: more, keys: vec![] },
        Asked::Http { method: more, host: asked, port, usual: 80 },
    ];
    questions.extend(about.as_ref().map(Asked::Publish));
    for grant in &grants {
        let _ = grant.check();
        for question in &questions {
            for function in [asked, more] {
                let answer = grant.allows(function, question, 100);
                // Every link grants what one that is not narrowed grants, and no more.
                Grant::ALL.allows(function, question, 100).unwrap();
                if let Err(missing) = &answer {
                    assert!(*grant != Grant::ALL);
                    assert!(!missing.what.is_empty());
                }
                // Two ways of narrowing take away what either takes away.
                let both = Grant { functions: list(more), ..grant.clone() };
                if both.allows(function, question, 100).is_ok() {
                    assert_eq!(plain(function), more);
                    assert!(answer.is_ok() || grant.functions == list(pattern));
                }
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "*.example.com\napi.example.com\n80\nGET",
        "api.example.com:8080\napi.example.com\n8080\nGET",
        "*:443\nany\n443\nPOST",
        "*\nany\n9\nhandle",
        "[::1]:80\n::1\n80\nGET",
        "orders.*.>\norders.eu.placed\n1\npublish",
        "orders.eu.placed\norders.eu.placed\n1\n[method]bucket.get",
        "/api/\n/api/x\n80\nget",
        "store-*\nstore-eu\n80\nget",
        "eu/\ncarts\n80\neu/1",
        "get\n[method]bucket.get\n80\nget",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
