//! Names that people choose: apps, and the components, providers and links inside them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{IdError, serde_as_text, shown_as_text};

/// The longest name, in bytes: that of a DNS label (RFC 1035), so that a name can become one.
const MAX_NAME: usize = 63;

fn check(text: &str, expected: &'static str) -> Result<Arc<str>, IdError> {
    let error = |why: &str| Err(IdError::new(text, expected, why));
    if text.is_empty() {
        return error("it is empty");
    }
    if text.len() > MAX_NAME {
        return error("it has more than 63 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        return error("it must start with a lower-case letter");
    }
    if !text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        return error("only lower-case letters, digits and `-` may stand in it");
    }
    if text.ends_with('-') {
        return error("it must not end with `-`");
    }
    Ok(text.into())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                check(text, $expected).map(Self)
            }
        }

        shown_as_text!($name);
    };
}

name!(
    /// An app: what one manifest declares.
    AppName, "an app's name"
);
name!(
    /// A component or a provider within its app.
    LocalName, "a component's or provider's name"
);
name!(
    /// One of several links of the same import.
    LinkName, "a link's name"
);
name!(
    /// A cell: the nodes that gossip with each other.
    CellName, "a cell's name"
);

impl CellName {
    /// The cell of a node that carries no label that says otherwise.
    pub const DEFAULT: &str = "default";

    /// The label by which a node says which cell it is in.
    pub const LABEL: &str = "cell";
}

impl Default for CellName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl LinkName {
    /// What a link is called where nobody gave it a name.
    pub const DEFAULT: &str = "default";
}

impl Default for LinkName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

/// A component or provider of an app, written `app/component`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComponentId {
    /// The app it belongs to.
    pub app: AppName,
    /// Its name within the app.
    pub name: LocalName,
}

impl ComponentId {
    /// `name` of `app`.
    pub fn new(app: AppName, name: LocalName) -> Self {
        Self { app, name }
    }
}

impl FromStr for ComponentId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let (app, name) = text
            .split_once('/')
            .ok_or_else(|| IdError::new(text, "a component (app/component)", "there is no `/`"))?;
        Ok(Self { app: app.parse()?, name: name.parse()? })
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.app, self.name)
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

serde_as_text!(ComponentId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_label_in_lower_case() {
        for good in ["a", "counter", "two-words", "v2"] {
            assert_eq!(good.parse::<AppName>().unwrap().as_str(), good);
        }
        assert_eq!(LinkName::DEFAULT.parse::<LinkName>().unwrap(), LinkName::default());
        for bad in ["", "A", "2a", "a_b", "a-", "-a", "a/b", &"x".repeat(64), "naïve"] {
            assert!(bad.parse::<AppName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_component_id_has_two_parts() {
        let id: ComponentId = "shop/basket".parse().unwrap();
        assert_eq!((id.app.as_str(), id.name.as_str()), ("shop", "basket"));
        assert_eq!(id.to_string(), "shop/basket");
        assert!("shop".parse::<ComponentId>().is_err());
        assert!("shop/basket/x".parse::<ComponentId>().is_err());
    }
}
