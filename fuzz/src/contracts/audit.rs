//! Audit logs.

use wattle_contracts::audit::{Chain, ENTRY_LIMIT, Entry, Happening, Header};
use wattle_contracts::id::Digest;
use wattle_contracts::trust::UnixMillis;

use super::{flipped, node};

/// A line that follows is the next entry, with the hash that anybody can work out; what is written
/// follows, says the same, and is as short as an entry is to be; one bit of it changed, it does not
/// follow.
pub fn holds(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let mut theirs = Chain::begin(node());
    let mut ours = Chain::begin(node());
    for line in text.lines() {
        if let Ok(header) = line.parse::<Header>() {
            assert_eq!(header.to_string().parse(), Ok(header));
            theirs = Chain::after(header.after);
        }
        follows(&mut theirs, line);
        let json = line.split_once(' ').map_or(line, |(_, json)| json);
        if let Ok(entry) = serde_json::from_str::<Entry>(json) {
            let _ = entry.what();
            if let Some(happening) = entry.happening() {
                writes(&mut ours, entry.at, &happening, data);
            }
        }
    }
}

fn follows(chain: &mut Chain, line: &str) {
    let before = chain.head();
    match chain.follow(line) {
        Ok(entry) => {
            let (hash, json) = line.split_once(' ').unwrap();
            let chained = format!("{} {json}", before.hash.hex());
            assert_eq!(Digest::of(chained.as_bytes()).hex(), hash);
            assert_eq!(Some(entry.n), before.number.checked_add(1).or(Some(u64::MAX)));
            assert_eq!(chain.head().number, entry.n);
        }
        Err(error) => {
            assert_eq!(chain.head(), before, "what does not follow changes nothing");
            assert!(error.to_string().len() < 1000, "{error}");
            let taken_for = chain.skip(line);
            assert_eq!(chain.head().number, taken_for);
        }
    }
}

fn writes(chain: &mut Chain, at: u64, happening: &Happening, data: &[u8]) {
    let before = *chain;
    let line = chain.append(UnixMillis(at), happening).unwrap();
    assert!(line.len() <= ENTRY_LIMIT && !line.contains('\n'), "{} bytes", line.len());
    let mut reader = before;
    let entry = reader.follow(&line).unwrap();
    assert_eq!((reader, entry.at), (*chain, at));
    // Long ones are cut.
    if serde_json::to_string(happening).unwrap().len() < ENTRY_LIMIT / 2 {
        assert_eq!(entry.happening().as_ref(), Some(happening));
    }
    let _ = happening.provoked_by();
    if let Ok(changed) = String::from_utf8(flipped(line.as_bytes(), data)) {
        let mut reader = before;
        let followed = reader.follow(&changed);
        assert!(followed.is_err(), "{followed:?}");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut chain = Chain::begin(node());
    let component = || "shop/basket".parse().unwrap();
    let (digest, why) = (Digest::of(b"x"), || "not signed\nby anybody".to_string());
    let signature = chain.head().sign(&super::member()).unwrap();
    let happenings = [
        Happening::Started { mesh: super::mesh(), version: "0.1.0".into() },
        Happening::Admitted { node: node(), address: "192.0.2.1:4747".into() },
        Happening::Refused { peer: "12D3".into(), why: why() },
        Happening::RecordTaken {
            key: "app/shop".into(),
            writer: node(),
            written: 5,
            deletes: false,
        },
        Happening::RecordRefused { from: Some(node()), why: why() },
        Happening::ComponentStarted {
            component: component(),
            digest,
            publisher: super::publisher(),
        },
        Happening::CallDenied {
            caller: "gateway".into(),
            from: None,
            target: "shop/basket".into(),
            why: why(),
        },
        Happening::SecretUsed { component: component(), name: "token".into(), why: None },
        Happening::Witnessed { node: node(), number: 7, hash: digest },
        Happening::Checkpoint { signature },
        Happening::Repeated { of: "refused".into(), times: 300 },
        Happening::Lost { entries: 2 },
    ];
    let header = Header { node: node(), after: chain.head() };
    let mut log = vec![header.to_string()];
    log.extend(happenings.iter().map(|what| chain.append(UnixMillis(9), what).unwrap()));
    let mut seeds: Vec<Vec<u8>> = log.iter().map(|line| line.clone().into_bytes()).collect();
    let unknown = r#"{"n":1,"at":2,"what":"something-new","n2":[1.5,null,{"a":true}]}"#;
    seeds.push(unknown.as_bytes().to_vec());
    seeds.push(log.join("\n").into_bytes());
    seeds
}
