//! Whose components may run: the publishers that the records name, and those that one node trusts
//! by itself.
//!
//! A node's own are trusted with everything on that node, but not with what another publisher has
//! for itself ([`Publisher::exclusive`]): the mesh has said that nobody else's may run there.

use std::collections::BTreeMap;

use wattle_contracts::id::PublisherKey;
use wattle_contracts::record::{Publisher, SignedComponent, Version};

/// Every publisher of a mesh.
#[derive(Debug, Clone, Default)]
pub struct Publishers {
    known: BTreeMap<PublisherKey, (Publisher, Version)>,
}

/// Why a publisher's component may not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody has said that it is trusted.
    #[error("{0} is not trusted")]
    Unknown(PublisherKey),
    /// It is trusted with other things.
    #[error("publisher `{name}` may not sign it (rule: {rule}); see: wattle publisher ls")]
    Rule {
        /// What people call it.
        name: String,
        /// What is not as its rules say.
        rule: wattle_contracts::record::PublisherRule,
    },
    /// Another one has it for itself.
    #[error("it may come from publisher `{0}` only (rule: exclusive); see: wattle publisher ls")]
    Reserved(String),
}

impl Publishers {
    /// What `records` say.
    pub fn new<'a>(
        records: impl IntoIterator<Item = (PublisherKey, &'a Publisher, Version)>,
    ) -> Self {
        let one =
            |(key, publisher, version): (_, &Publisher, _)| (key, (publisher.clone(), version));
        Self { known: records.into_iter().map(one).collect() }
    }

    /// Whether `component`, signed by `key`, may run on a node that trusts `own` by itself.
    pub fn check(
        &self,
        own: &[PublisherKey],
        key: PublisherKey,
        component: &SignedComponent<'_>,
    ) -> Result<(), Refusal> {
        match self.known.get(&key) {
            _ if own.contains(&key) => {}
            None => return Err(Refusal::Unknown(key)),
            Some((publisher, _)) => publisher
                .may_sign(component)
                .map_err(|rule| Refusal::Rule { name: publisher.name.to_string(), rule })?,
        }
        let reserved = |key: &PublisherKey| {
            self.known.get(key).is_some_and(|(publisher, _)| publisher.reserves(component))
        };
        if reserved(&key) {
            return Ok(());
        }
        match self.known.keys().find(|other| reserved(other)).and_then(|key| self.known.get(key)) {
            Some((other, _)) => Err(Refusal::Reserved(other.name.to_string())),
            None => Ok(()),
        }
    }

    /// Each publisher, by its key.
    pub fn iter(&self) -> impl Iterator<Item = (&PublisherKey, &Publisher, Version)> {
        self.known.iter().map(|(key, (publisher, version))| (key, publisher, *version))
    }

    /// Every key that is trusted with anything on a node that trusts `own` by itself.
    pub fn keys(&self, own: &[PublisherKey]) -> Vec<PublisherKey> {
        let others = self.known.keys().filter(|key| !own.contains(key));
        own.iter().chain(others).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wattle_contracts::id::{ComponentId, Digest, NodeId};
    use wattle_contracts::record::Hlc;

    use super::*;

    const AT: Version =
        Version { at: Hlc { millis: 1, counter: 0 }, writer: NodeId::from_bytes([1; 32]) };

    fn key(byte: u8) -> PublisherKey {
        PublisherKey::from_bytes([byte; 32])
    }

    fn publisher(apps: &[&str], exclusive: bool) -> Publisher {
        Publisher {
            name: "acme".parse().unwrap(),
            apps: apps.iter().map(ToString::to_string).collect(),
            components: Vec::new(),
            digests: Vec::new(),
            contracts: Vec::new(),
            exclusive,
        }
    }

    fn check(all: &[(u8, Publisher)], own: &[u8], by: u8, app: &str) -> Result<(), Refusal> {
        let records = all.iter().map(|(byte, publisher)| (key(*byte), publisher, AT));
        let id: ComponentId = format!("{app}/desk").parse().unwrap();
        let component = SignedComponent { id: &id, digest: Digest::of(b""), contracts: None };
        let own: Vec<PublisherKey> = own.iter().map(|byte| key(*byte)).collect();
        Publishers::new(records).check(&own, key(by), &component)
    }

    #[test]
    fn store_apps_may_come_from_one_publisher_only() {
        let all = [(1, publisher(&["store"], true)), (2, publisher(&[], false))];
        check(&all, &[], 1, "store").unwrap();
        check(&all, &[], 2, "shop").unwrap();
        assert!(matches!(check(&all, &[], 1, "shop"), Err(Refusal::Rule { .. })));
        assert!(matches!(check(&all, &[], 2, "store"), Err(Refusal::Reserved(_))));
        assert!(matches!(check(&all, &[], 3, "shop"), Err(Refusal::Unknown(_))));
        // What a node trusts by itself may do all but that.
        check(&all, &[3], 3, "shop").unwrap();
        assert!(matches!(check(&all, &[3], 3, "store"), Err(Refusal::Reserved(_))));
        check(&[], &[3], 3, "store").unwrap();
    }

    proptest! {
        /// Nobody who is not named may have anything run, and what is reserved is so for all.
        #[test]
        fn only_who_is_named_is_trusted(
            all in prop::collection::btree_map(0u8..4, (prop::collection::vec("[ab]", 0..2), any::<bool>()), 0..4),
            by in 0u8..5,
            app in "[abc]",
        ) {
            let all: Vec<(u8, Publisher)> = all.into_iter().map(|(byte, (apps, exclusive))| {
                let apps: Vec<&str> = apps.iter().map(String::as_str).collect();
                (byte, publisher(&apps, exclusive))
            }).collect();
            let fits = |p: &Publisher| p.apps.is_empty() || p.apps.contains(&app);
            let own = all.iter().find(|(byte, _)| *byte == by).filter(|(_, p)| fits(p));
            let reserved = all.iter().any(|(_, p)| p.exclusive && fits(p));
            let expected = own.is_some_and(|(_, p)| p.exclusive || !reserved);
            prop_assert_eq!(check(&all, &[], by, &app).is_ok(), expected);
        }
    }
}
