//! Whose components may run in a mesh, and which of them.
//!
//! A publisher is trusted by a record under its key. What is left empty in the record is not
//! narrowed. Where it is `exclusive`, nobody else's components may run where its rules lead: "store
//! apps may come from A only" is A's record with the app `store` and `exclusive`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::id::{ComponentId, ContractId, Digest, LocalName};

/// Whom a mesh trusts to sign components, and which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// What people call it.
    pub name: LocalName,
    /// The apps whose components it may sign: `store`, or `store-*` for all that begin so.
    #[serde(default)]
    pub apps: Vec<String>,
    /// The components within those apps, written as the apps are.
    #[serde(default)]
    pub components: Vec<String>,
    /// The artifacts.
    #[serde(default)]
    pub digests: Vec<Digest>,
    /// The contracts that its components may import by links, and export.
    #[serde(default)]
    pub contracts: Vec<ContractId>,
    /// Whether components that its rules lead to are to be signed by it.
    #[serde(default)]
    pub exclusive: bool,
}

/// A component that somebody has signed.
#[derive(Debug, Clone)]
pub struct SignedComponent<'a> {
    /// What it is in the mesh.
    pub id: &'a ComponentId,
    /// Its artifact.
    pub digest: Digest,
    /// What it imports by links and exports; `None` where that is not known yet.
    pub contracts: Option<Vec<&'a ContractId>>,
}

/// The rule of a publisher that a component does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublisherRule {
    /// The app.
    App,
    /// The component.
    Component,
    /// The artifact.
    Digest,
    /// A contract that is imported or exported.
    Contract,
}

impl fmt::Display for PublisherRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PublisherRule::App => "app",
            PublisherRule::Component => "component",
            PublisherRule::Digest => "digest",
            PublisherRule::Contract => "contract",
        })
    }
}

impl Publisher {
    /// How many apps, components, digests or contracts one record may name, of each.
    pub const MAX_ENTRIES: usize = 256;

    /// Checks the bounds; says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let Self { apps, components, digests, contracts, .. } = self;
        let lengths = [
            ("apps", apps.len()),
            ("components", components.len()),
            ("digests", digests.len()),
            ("contracts", contracts.len()),
        ];
        if let Some((what, count)) = lengths.into_iter().find(|(_, n)| *n > Self::MAX_ENTRIES) {
            let most = Self::MAX_ENTRIES;
            return Err(format!("{what} has {count} entries, where {most} may stand"));
        }
        let is_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_pattern = |text: &String| {
            let name = text.strip_suffix('*').unwrap_or(text);
            (1..=64).contains(&text.len()) && name.chars().all(is_char)
        };
        match apps.iter().chain(components).find(|text| !is_pattern(text)) {
            Some(text) => {
                let text: String = text.chars().take(40).collect();
                Err(format!("`{text}` is no name, nor the beginning of one with `*` after it"))
            }
            None => Ok(()),
        }
    }

    /// Whether its rules let it sign `component`; if not, which doesn't.
    pub fn may_sign(&self, component: &SignedComponent<'_>) -> Result<(), PublisherRule> {
        let among = |patterns: &[String], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, name))
        };
        let SignedComponent { id, digest, contracts } = component;
        if !among(&self.apps, id.app.as_str()) {
            return Err(PublisherRule::App);
        }
        if !among(&self.components, id.name.as_str()) {
            return Err(PublisherRule::Component);
        }
        if !self.digests.is_empty() && !self.digests.contains(digest) {
            return Err(PublisherRule::Digest);
        }
        let covered =
            |contract: &&ContractId| self.contracts.iter().any(|rule| rule.covers(contract));
        match contracts {
            Some(all) if !self.contracts.is_empty() && !all.iter().all(covered) => {
                Err(PublisherRule::Contract)
            }
            _ => Ok(()),
        }
    }

    /// Whether nobody else may sign `component`.
    pub fn reserves(&self, component: &SignedComponent<'_>) -> bool {
        self.exclusive && self.may_sign(component).is_ok()
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publisher() -> Publisher {
        Publisher {
            name: "acme".parse().unwrap(),
            apps: Vec::new(),
            components: Vec::new(),
            digests: Vec::new(),
            contracts: Vec::new(),
            exclusive: false,
        }
    }

    #[test]
    fn each_rule_takes_something_away() {
        let id: ComponentId = "store-eu/desk".parse().unwrap();
        let contract: ContractId = "example:shop/pricing@0.1.0".parse().unwrap();
        let digest = Digest::of(b"x");
        let signed = SignedComponent { id: &id, digest, contracts: Some(vec![&contract]) };
        let ask = |publisher: Publisher| {
            publisher.check().unwrap();
            publisher.may_sign(&signed).err()
        };
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(ask(publisher()), None);
        for (apps, refused) in
            [("store-eu", false), ("store-*", false), ("store", true), ("*", false)]
        {
            let rule = ask(Publisher { apps: texts(&[apps]), ..publisher() });
            assert_eq!(rule.is_some(), refused, "{apps}");
        }
        let components = texts(&["till"]);
        assert_eq!(ask(Publisher { components, ..publisher() }), Some(PublisherRule::Component));
        let digests = vec![Digest::of(b"y")];
        assert_eq!(ask(Publisher { digests, ..publisher() }), Some(PublisherRule::Digest));
        let covers = vec!["example:shop".parse().unwrap()];
        assert_eq!(ask(Publisher { contracts: covers, ..publisher() }), None);
        let others = vec!["wasi:http".parse().unwrap()];
        assert_eq!(
            ask(Publisher { contracts: others, ..publisher() }),
            Some(PublisherRule::Contract)
        );
    }

    #[test]
    fn bounds_are_checked() {
        for apps in [
            vec!["A b".to_string()],
            vec![String::new()],
            vec!["a*b".into()],
            vec!["a".into(); 257],
        ] {
            assert!(Publisher { apps, ..publisher() }.check().is_err());
        }
    }
}
