//! The name of a contract: a WIT interface, or all interfaces of a WIT package.

use std::fmt;
use std::str::FromStr;

use semver::Version;

use super::{IdError, serde_as_text};

/// The longest text of a contract id, in bytes.
const MAX_CONTRACT: usize = 256;

/// A WIT interface (`wasi:keyvalue/store@0.2.0-draft2`) or a whole package (`wasi:keyvalue`).
/// The version may be left out where a person names a contract; then any version is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContractId {
    namespace: String,
    package: String,
    interface: Option<String>,
    version: Option<Version>,
}

impl ContractId {
    /// `wasi` of `wasi:http/types@0.2.3`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// `http` of `wasi:http/types@0.2.3`.
    pub fn package(&self) -> &str {
        &self.package
    }

    /// `types` of `wasi:http/types@0.2.3`; `None` where the whole package is meant.
    pub fn interface(&self) -> Option<&str> {
        self.interface.as_deref()
    }

    /// The version, where one is named.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }

    /// The same contract, any version.
    pub fn unversioned(&self) -> Self {
        Self { version: None, ..self.clone() }
    }

    /// Whether `self`, as written in a link or offered by a provider, covers the contract that a
    /// component asks for: the package is the same, the interface is the same unless `self` names
    /// the whole package, and the versions go together.
    pub fn covers(&self, wanted: &ContractId) -> bool {
        self.namespace == wanted.namespace
            && self.package == wanted.package
            && (self.interface.is_none() || self.interface == wanted.interface)
            && match (&self.version, &wanted.version) {
                (Some(offered), Some(wanted)) => satisfies(offered, wanted),
                _ => true,
            }
    }
}

/// Whether something offered at one version serves somebody built against another, by the
/// component model's rule (semantic versioning): the same major number, or the same minor one
/// below 1.0, or the same patch one below 0.1; a pre-release only itself. Within that track,
/// either may be newer: WIT functions are bound by name and type, and one that is missing is
/// named when the component is bound.
fn satisfies(offered: &Version, wanted: &Version) -> bool {
    if !offered.pre.is_empty() || !wanted.pre.is_empty() {
        return offered == wanted;
    }
    let track = |v: &Version| match (v.major, v.minor) {
        (0, 0) => (0, 0, v.patch),
        (0, minor) => (0, minor, 0),
        (major, _) => (major, 0, 0),
    };
    track(offered) == track(wanted)
}

fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

impl FromStr for ContractId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error =
            |why: &str| IdError::new(text, "a contract (namespace:package/interface@version)", why);
        if text.len() > MAX_CONTRACT {
            return Err(error("it has more than 256 characters"));
        }
        let (path, version) = match text.split_once('@') {
            Some((path, version)) => {
                let version = Version::parse(version).map_err(|reason| {
                    error(&format!("its version is no semantic version: {reason}"))
                })?;
                (path, Some(version))
            }
            None => (text, None),
        };
        let (namespace, rest) = path.split_once(':').ok_or_else(|| error("there is no `:`"))?;
        let (package, interface) = match rest.split_once('/') {
            Some((package, interface)) => (package, Some(interface)),
            None => (rest, None),
        };
        for part in [Some(namespace), Some(package), interface].into_iter().flatten() {
            if !is_label(part) {
                return Err(error("each part is a word of letters, digits and `-`"));
            }
        }
        Ok(Self {
            namespace: namespace.into(),
            package: package.into(),
            interface: interface.map(Into::into),
            version,
        })
    }
}

impl fmt::Display for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.package)?;
        if let Some(interface) = &self.interface {
            write!(f, "/{interface}")?;
        }
        if let Some(version) = &self.version {
            write!(f, "@{version}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ContractId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

serde_as_text!(ContractId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn id(text: &str) -> ContractId {
        text.parse().unwrap()
    }

    #[test]
    fn a_package_covers_its_interfaces_and_an_interface_only_itself() {
        assert!(id("wasi:keyvalue").covers(&id("wasi:keyvalue/store@0.2.0-draft")));
        assert!(id("wasi:keyvalue/store").covers(&id("wasi:keyvalue/store@0.2.0-draft")));
        assert!(!id("wasi:keyvalue/store").covers(&id("wasi:keyvalue/atomics@0.2.0-draft")));
        assert!(!id("wasi:keyvalue").covers(&id("wasi:http/types@0.2.0")));
    }

    #[test]
    fn versions_go_together_along_a_semantic_track() {
        let goes = |a: &str, b: &str| id(&format!("a:b/c@{a}")).covers(&id(&format!("a:b/c@{b}")));
        assert!(goes("0.2.6", "0.2.0"));
        assert!(goes("0.2.0", "0.2.6"));
        assert!(!goes("0.2.0", "0.3.0"));
        assert!(goes("1.4.0", "1.0.0"));
        assert!(!goes("2.0.0", "1.0.0"));
        assert!(!goes("0.0.1", "0.0.2"));
        assert!(goes("0.2.0-draft", "0.2.0-draft"));
        assert!(!goes("0.2.0-draft", "0.2.0-draft2"));
    }

    #[test]
    fn what_is_not_a_contract_is_refused() {
        for bad in
            ["", "wasi", "wasi:", ":http", "wasi:http/", "wasi:http/a@x", "wa si:http", "a:b/c/d"]
        {
            assert!(bad.parse::<ContractId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_survives(text in "[a-z][a-z0-9-]{0,8}:[a-z][a-z0-9]{0,8}(/[a-z]{1,8})?(@[0-9]\\.[0-9]\\.[0-9](-draft)?)?") {
            prop_assert_eq!(id(&text).to_string(), text);
        }
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<ContractId>();
        }
    }
}
