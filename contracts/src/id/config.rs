//! The name of a configuration value, as a component asks `wasi:config` for it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{IdError, serde_as_text};

/// The name of a configuration value: any text of at most [`ConfigName::MAX`] bytes that can be
/// written as `NAME=VALUE` and on one line.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigName(Arc<str>);

impl ConfigName {
    /// The longest name, in bytes.
    pub const MAX: usize = 256;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConfigName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |why: &str| Err(IdError::new(text, "the name of a configuration value", why));
        if text.is_empty() {
            return error("it is empty");
        }
        if text.len() > Self::MAX {
            return error(&format!("it has {} bytes, where at most 256 are allowed", text.len()));
        }
        if text.contains(|c: char| c == '=' || c.is_control()) {
            return error("neither `=` nor a control character may stand in it");
        }
        if text.trim() != text {
            return error("it must not begin or end with a space");
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConfigName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

serde_as_text!(ConfigName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_name_can_be_written_on_one_line_before_an_equals_sign() {
        for good in ["bucket", "log.level", "DB_URL", "a/b c", "größe", &"x".repeat(256)] {
            assert_eq!(good.parse::<ConfigName>().unwrap().as_str(), good);
        }
        for bad in ["", "a=b", "a\nb", " a", "a ", &"x".repeat(257)] {
            assert!(bad.parse::<ConfigName>().is_err(), "{bad:?}");
        }
    }
}
