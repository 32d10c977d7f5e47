//! A configuration value as a record of its own: what one component reads under one name through
//! `wasi:config`, whatever the app that declares the component says.
//!
//! A record of its own wins over the app's value of the same name, or adds one to those of the
//! app. Once it is deleted, the app's value counts again. Each value is a record by itself, so
//! that two people who change two values on two sides of a cut both get what they wanted.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{ComponentId, ConfigName, IdError};

/// Which value a record is about. Written `app/component/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConfigKey {
    /// The component that reads it.
    pub component: ComponentId,
    /// The name under which it does.
    pub name: ConfigName,
}

impl fmt::Display for ConfigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.component, self.name)
    }
}

impl FromStr for ConfigKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = || {
            let expected = "a configuration value (app/component/name)";
            IdError::new(text, expected, "there are not enough `/`")
        };
        let (app, rest) = text.split_once('/').ok_or_else(error)?;
        let (component, name) = rest.split_once('/').ok_or_else(error)?;
        let component = ComponentId::new(app.parse()?, component.parse()?);
        Ok(Self { component, name: name.parse()? })
    }
}

/// A configuration value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// The text.
    pub value: String,
}

impl Config {
    /// The longest value, in bytes.
    pub const MAX_VALUE: usize = 64 * 1024;

    /// Checks the bounds; says what is wrong.
    pub fn check(value: &str) -> Result<(), String> {
        let (length, most) = (value.len(), Self::MAX_VALUE);
        if length > most {
            return Err(format!("a value of {length} bytes, where at most {most} are allowed"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_whatever_the_name_holds() {
        for text in ["shop/basket/currency", "shop/basket/a/b", "shop/basket/naïve name"] {
            assert_eq!(text.parse::<ConfigKey>().unwrap().to_string(), text);
        }
        for bad in ["", "shop", "shop/basket", "shop/basket/", "shop/basket/a=b"] {
            assert!(bad.parse::<ConfigKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_value_is_bounded() {
        Config::check(&"x".repeat(Config::MAX_VALUE)).unwrap();
        let why = Config::check(&"x".repeat(Config::MAX_VALUE + 1)).unwrap_err();
        assert!(why.contains("65537") && why.contains("65536"), "{why}");
    }
}
