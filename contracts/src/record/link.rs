//! A link as a record of its own: where one import of one component goes, whatever the app that
//! declares the component says.
//!
//! **Which one counts.** Links are told apart by who imports, the contract as it is written, and
//! the link's name. A record of its own wins over the app's link with the same three; where the
//! app has none such, it is one more link. Once the record is deleted, the app's link counts
//! again. Neither depends on which of the two was written first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Grant, Labels};
use crate::id::{ComponentId, ContractId, IdError, LinkName};

/// Which link a record is about. Written `app/component/contract/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LinkKey {
    /// The component that imports.
    pub from: ComponentId,
    /// The contract imported.
    pub contract: ContractId,
    /// Tells apart several links of one import.
    pub name: LinkName,
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.from, self.contract, self.name)
    }
}

impl FromStr for LinkKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || {
            let why = "expected four parts with `/` between them, the last one the link's name";
            IdError::new(text, "a link (app/component/contract/name)", why)
        };
        let (app, rest) = text.split_once('/').ok_or_else(error)?;
        let (component, rest) = rest.split_once('/').ok_or_else(error)?;
        // A contract may hold a `/` itself; a link's name never does.
        let (contract, name) = rest.rsplit_once('/').ok_or_else(error)?;
        let from = ComponentId::new(app.parse()?, component.parse()?);
        Ok(Self { from, contract: contract.parse()?, name: name.parse()? })
    }
}

/// What a link's record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The component or provider that serves the import, of any app.
    pub to: ComponentId,
    /// How calls along it are made.
    pub options: LinkOptions,
}

/// How calls along a link are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkOptions {
    /// How many of the calls of an import with several links take this one, in proportion to the
    /// others' weights. With 0 it is a spare: taken only where none of the others can be.
    #[serde(default = "LinkOptions::default_weight")]
    pub weight: u32,
    /// Labels that a node must carry to be called along this link.
    #[serde(default)]
    pub require: Labels,
    /// Labels whose carriers are called as long as one of them can be.
    #[serde(default)]
    pub prefer: Labels,
    /// The functions that may run more than once for one call, and so are tried again when no
    /// answer comes.
    #[serde(default)]
    pub idempotent: Vec<String>,
    /// A call of such a function that takes longer, in milliseconds, is made a second time
    /// elsewhere, and the first answer counts.
    #[serde(default)]
    pub hedge_millis: Option<u32>,
    /// What of the contract it grants.
    #[serde(default)]
    pub grant: Grant,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self::ONCE
    }
}

impl LinkOptions {
    /// The heaviest weight.
    pub const MAX_WEIGHT: u32 = 1_000_000;
    /// How many labels one link may require, and how many it may prefer.
    pub const MAX_LABELS: usize = 16;
    /// How many functions one link may name.
    pub const MAX_FUNCTIONS: usize = 64;
    /// Those of a link of which nothing is said: calls are made once, on any node.
    pub const ONCE: Self = Self {
        weight: Self::default_weight(),
        require: Labels::new(),
        prefer: Labels::new(),
        idempotent: Vec::new(),
        hedge_millis: None,
        grant: Grant::ALL,
    };
    /// The longest key or value of a label, in bytes.
    pub const MAX_LABEL: usize = 128;

    /// What a link weighs where nothing is said of it.
    pub const fn default_weight() -> u32 {
        1
    }

    /// Whether it names any node as better than others.
    pub fn chooses_nodes(&self) -> bool {
        !self.require.is_empty() || !self.prefer.is_empty()
    }

    /// Checks the bounds; says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        if self.weight > Self::MAX_WEIGHT {
            let most = Self::MAX_WEIGHT;
            return Err(format!("a weight is a number from 0 to {most}, not {}", self.weight));
        }
        for (what, labels) in [("require", &self.require), ("prefer", &self.prefer)] {
            if labels.len() > Self::MAX_LABELS {
                let (count, most) = (labels.len(), Self::MAX_LABELS);
                return Err(format!("{what} names {count} labels, where at most {most} may stand"));
            }
            let fits = |text: &String| (1..=Self::MAX_LABEL).contains(&text.len());
            if let Some((key, _)) = labels.iter().find(|(key, value)| !fits(key) || !fits(value)) {
                let (key, most): (String, _) = (key.chars().take(40).collect(), Self::MAX_LABEL);
                return Err(format!(
                    "{what}: the key and the value of the label `{key}` must have 1 to {most} bytes"
                ));
            }
        }
        if self.idempotent.len() > Self::MAX_FUNCTIONS {
            let (count, most) = (self.idempotent.len(), Self::MAX_FUNCTIONS);
            return Err(format!("idempotent names {count} functions, where {most} may stand"));
        }
        let is_name = |name: &str| {
            (1..=Self::MAX_LABEL).contains(&name.len()) && !name.contains(['#', '/', ' '])
        };
        if let Some(name) = self.idempotent.iter().find(|name| !is_name(name)) {
            let name: String = name.chars().take(40).collect();
            return Err(format!("idempotent: `{name}` is not the name of a function"));
        }
        self.grant.check()?;
        match self.hedge_millis {
            Some(0) => Err("a hedge waits at least a millisecond".into()),
            Some(_) if self.idempotent.is_empty() => Err("a hedged call may run twice: name the \
                                                         functions for which that is harmless as \
                                                         `idempotent`"
                .into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_survives_its_text(
            text in "[a-z]{1,5}/[a-z]{1,5}/[a-z]{1,5}:[a-z]{1,5}(/[a-z]{1,5})?(@[0-9]\\.[0-9]\\.[0-9])?/[a-z]{1,5}",
        ) {
            let key: LinkKey = text.parse().unwrap();
            prop_assert_eq!(key.to_string(), text);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<LinkKey>();
        }
    }

    #[test]
    fn a_key_names_its_link_even_the_default_one() {
        for bad in ["", "a", "a/b", "a/b/c:d", "a/b/c:d/", "a/b/c:d/e/"] {
            assert!(bad.parse::<LinkKey>().is_err(), "{bad}");
        }
        let key: LinkKey = "a/b/c:d/e/default".parse().unwrap();
        assert_eq!((key.contract.interface(), key.name), (Some("e"), LinkName::default()));
    }

    #[test]
    fn options_are_bounded() {
        LinkOptions::default().check().unwrap();
        let labels = |count: usize, length: usize| -> Labels {
            (0..count).map(|n| (format!("{n:0>length$}"), "v".into())).collect()
        };
        let require = |require| LinkOptions { require, ..LinkOptions::default() };
        require(labels(16, 128)).check().unwrap();
        let hedged = |idempotent: &[&str]| LinkOptions {
            idempotent: idempotent.iter().map(|name| (*name).to_string()).collect(),
            hedge_millis: Some(50),
            ..LinkOptions::default()
        };
        hedged(&["price"]).check().unwrap();
        assert!(hedged(&[]).check().unwrap_err().contains("harmless"));
        assert!(hedged(&["a#b"]).check().unwrap_err().contains("name of a function"));
        let heavy = LinkOptions { weight: LinkOptions::MAX_WEIGHT + 1, ..LinkOptions::default() };
        for (options, part) in [
            (require(labels(17, 2)), "17 labels"),
            (require(labels(1, 129)), "1 to 128 bytes"),
            (require([("zone".into(), String::new())].into()), "`zone`"),
            (heavy, "0 to 1000000"),
        ] {
            let why = options.check().unwrap_err();
            assert!(why.contains(part), "{why}");
        }
    }
}
