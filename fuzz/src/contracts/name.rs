//! Identifiers, names, subjects and keys, as people and files write them.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use wattle_contracts::audit::Header;
use wattle_contracts::id::{
    AppName, CellName, ComponentId, ConfigName, ContractId, Digest, InviteKey, LinkName, LocalName,
    MeshId, NodeId, OperatorKey, PublisherKey, Subject, SubjectPattern,
};
use wattle_contracts::message::Group;
use wattle_contracts::record::{ConfigKey, LinkKey, RecordKey, Revoked};

/// The longest that an error about a text may be, in bytes: it goes to a terminal or a log.
const MAX_ERROR: usize = 1000;

/// What is read is written, and read as the same; a text is refused in few words.
pub fn holds(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    only_so::<AppName>(text);
    only_so::<LocalName>(text);
    only_so::<LinkName>(text);
    only_so::<CellName>(text);
    only_so::<ComponentId>(text);
    only_so::<ConfigName>(text);
    only_so::<ConfigKey>(text);
    only_so::<NodeId>(text);
    only_so::<MeshId>(text);
    only_so::<PublisherKey>(text);
    only_so::<OperatorKey>(text);
    only_so::<InviteKey>(text);
    only_so::<Revoked>(text);
    only_so::<LinkKey>(text);
    only_so::<RecordKey>(text);
    in_json::<AppName>(text);
    in_json::<NodeId>(text);
    in_json::<Digest>(text);
    in_json::<ComponentId>(text);
    in_json::<Group>(text);
    survives::<Digest>(text);
    survives::<Group>(text);
    survives::<Header>(text);
    if let Some(contract) = survives::<ContractId>(text) {
        assert!(contract.covers(&contract) && contract.unversioned().covers(&contract));
        in_json::<ContractId>(text);
    }
    if let Some(subject) = only_so::<Subject>(text) {
        assert!(only_so::<SubjectPattern>(text).unwrap().matches(&subject));
        in_json::<Subject>(text);
    }
    only_so::<SubjectPattern>(text);
    if let Ok(node) = text.parse::<NodeId>() {
        assert!(node.to_string().ends_with(&node.short()));
        assert_eq!(NodeId::from_peer_id_bytes(&node.to_peer_id_bytes()), Some(node));
    }
}

/// There is one way to write it.
fn only_so<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    let read = survives::<T>(text)?;
    assert_eq!(read.to_string(), text);
    Some(read)
}

fn survives<T>(text: &str) -> Option<T>
where
    T: FromStr<Err: Display> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(read) => {
            let written = read.to_string();
            let again = written.parse::<T>();
            let again = again.unwrap_or_else(|error| panic!("{written:?}: {error}"));
            assert_eq!(again, read);
            Some(read)
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.len() <= MAX_ERROR, "{} bytes of error", error.len());
            None
        }
    }
}

fn in_json<T>(text: &str)
where
    T: FromStr + Serialize + DeserializeOwned + PartialEq + Debug,
{
    let read = text.parse::<T>().ok();
    let json = serde_json::to_string(text).unwrap();
    assert_eq!(serde_json::from_str::<T>(&json).ok(), read);
    if let Some(read) = read {
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), read);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let (key, node) = (super::member().public(), super::node());
    let digest = Digest::of(b"x");
    let texts = [
        "shop".to_string(),
        "shop/basket".into(),
        "shop/basket/log level".into(),
        "shop/basket/example:shop/pricing@0.1.0/canary".into(),
        "example:shop/pricing@1.2.3-draft.1+build".into(),
        "wasi:keyvalue".into(),
        "orders.eu.placed".into(),
        "orders.*.>".into(),
        node.to_string(),
        digest.to_string(),
        digest.to_string().to_uppercase().replace("SHA256", "sha256"),
        MeshId::from_bytes(key).to_string(),
        PublisherKey::from_bytes(key).to_string(),
        OperatorKey::from_bytes(key).to_string(),
        InviteKey::from_bytes(key).to_string(),
        format!("admin/{}", OperatorKey::from_bytes(key)),
        "app/shop".into(),
        "config/shop/basket/currency".into(),
        "link/shop/basket/example:shop/pricing/default".into(),
        "charter/operators".into(),
        format!("revocation/{node}"),
        format!("admitted/{node}"),
        format!("# wattle audit log v1, node {node}, after entry 3 {}", digest.hex()),
    ];
    texts.into_iter().map(String::into_bytes).collect()
}
