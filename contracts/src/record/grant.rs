//! What a link grants: a contract, or named functions of it, narrowed and limited.
//!
//! A component starts with nothing. A link grants its source the contract that it names, and a
//! [`Grant`] takes away from that: what is left empty takes nothing away. Both ends of a call ask
//! the same questions, of the same records.
//!
//! How often and how much is counted by whoever makes or takes the calls
//! (`wattle_mesh::core::grants`); all else is decided here, of one call at a time.

mod check;
mod host;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use host::host_matches;

use crate::id::{Subject, SubjectPattern};

/// What a link lets its source do with the contract that it names. What is empty or `None` is not
/// narrowed or limited.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    /// The functions, by their names in the contract. A method of a resource is named without the
    /// resource: `get`.
    #[serde(default)]
    pub functions: Vec<String>,
    /// Of a key-value store: the buckets.
    #[serde(default)]
    pub buckets: Vec<String>,
    /// Of a key-value store: what keys begin with.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Of outgoing HTTP: the hosts, as [`host_matches`] reads them.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Of outgoing HTTP: the methods, in capitals.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Of messaging: the subjects.
    #[serde(default)]
    pub subjects: Vec<SubjectPattern>,
    /// How many calls in a second, of each node on which the source runs.
    #[serde(default)]
    pub calls_per_second: Option<u32>,
    /// How many bytes in a second, of each node on which the source runs.
    #[serde(default)]
    pub bytes_per_second: Option<u64>,
    /// How many bytes in one call.
    #[serde(default)]
    pub bytes_per_call: Option<u64>,
}

/// The rule by which a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// No link grants the contract of that target.
    Contract,
    /// The function.
    Function,
    /// The bucket.
    Bucket,
    /// What the key begins with.
    KeyPrefix,
    /// The host.
    Host,
    /// The HTTP method.
    Method,
    /// The subject.
    Subject,
    /// Calls per second.
    CallsPerSecond,
    /// Bytes per second.
    BytesPerSecond,
    /// Bytes per call.
    BytesPerCall,
    /// The node may not speak for the component that it names.
    Speaker,
    /// No HTTP route leads there, or not through that node.
    Route,
    /// People may not call this through another node.
    Operator,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 13] = [
        Rule::Contract,
        Rule::Function,
        Rule::Bucket,
        Rule::KeyPrefix,
        Rule::Host,
        Rule::Method,
        Rule::Subject,
        Rule::CallsPerSecond,
        Rule::BytesPerSecond,
        Rule::BytesPerCall,
        Rule::Speaker,
        Rule::Route,
        Rule::Operator,
    ];

    /// Its name, as refusals and counters have it.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Contract => "contract",
            Rule::Function => "function",
            Rule::Bucket => "bucket",
            Rule::KeyPrefix => "key-prefix",
            Rule::Host => "host",
            Rule::Method => "method",
            Rule::Subject => "subject",
            Rule::CallsPerSecond => "calls-per-second",
            Rule::BytesPerSecond => "bytes-per-second",
            Rule::BytesPerCall => "bytes-per-call",
            Rule::Speaker => "speaker",
            Rule::Route => "route",
            Rule::Operator => "operator",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is missing for a call to be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (rule: {rule})")]
pub struct Missing {
    /// By which rule.
    pub rule: Rule,
    /// What was asked for, and what there is, for a person.
    pub what: String,
}

impl Missing {
    /// Something missing.
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into() }
    }

    fn among(rule: Rule, asked: &str, noun: &str, granted: &[impl fmt::Display]) -> Self {
        let asked: String = asked.chars().take(80).collect();
        let granted: Vec<String> = granted.iter().take(8).map(|one| format!("`{one}`")).collect();
        let what = format!("the link does not grant {noun} `{asked}`, only {}", granted.join(", "));
        Self { rule, what }
    }
}

/// What a call is about, beside its function.
#[derive(Debug, Clone)]
pub enum Asked<'a> {
    /// A function of a component.
    Function,
    /// A bucket of a key-value store, and keys in it.
    Store {
        /// The bucket.
        bucket: &'a str,
        /// The keys; none for what is about the whole bucket.
        keys: Vec<&'a str>,
    },
    /// An HTTP request that leaves the mesh.
    Http {
        /// Its method.
        method: &'a str,
        /// The host.
        host: &'a str,
        /// The port.
        port: u16,
        /// The scheme's own port.
        usual: u16,
    },
    /// A message.
    Publish(&'a Subject),
}

impl Grant {
    /// Everything of the contract.
    pub const ALL: Self = Self {
        functions: Vec::new(),
        buckets: Vec::new(),
        keys: Vec::new(),
        hosts: Vec::new(),
        methods: Vec::new(),
        subjects: Vec::new(),
        calls_per_second: None,
        bytes_per_second: None,
        bytes_per_call: None,
    };

    /// Whether calls along it must be counted.
    pub fn is_metered(&self) -> bool {
        self.calls_per_second.is_some() || self.bytes_per_second.is_some()
    }

    /// Whether `function`, named as the contract does, is granted.
    pub fn allows_function(&self, function: &str) -> Result<(), Missing> {
        let plain = plain(function);
        if self.functions.is_empty() || self.functions.iter().any(|granted| granted == plain) {
            return Ok(());
        }
        Err(Missing::among(Rule::Function, plain, "the function", &self.functions))
    }

    /// Whether `key` begins as the grant wants it.
    pub fn allows_key(&self, key: &str) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|prefix| key.starts_with(prefix.as_str()))
    }

    /// Whether a call of `function` with `bytes` of arguments is granted, as far as one call shows.
    pub fn allows(&self, function: &str, asked: &Asked<'_>, bytes: u64) -> Result<(), Missing> {
        self.allows_function(function)?;
        self.allows_store(asked)?;
        self.allows_http(asked)?;
        let subject = match asked {
            Asked::Publish(subject) => Some(*subject),
            _ => None,
        };
        let fits = |pattern: &SubjectPattern| subject.is_some_and(|about| pattern.matches(about));
        if !self.subjects.is_empty() && !self.subjects.iter().any(fits) {
            let asked = subject.map_or(String::new(), ToString::to_string);
            return Err(Missing::among(Rule::Subject, &asked, "the subject", &self.subjects));
        }
        match self.bytes_per_call {
            Some(most) if bytes > most => {
                let what = format!("the call has {bytes} bytes, and the link grants {most} a call");
                Err(Missing::new(Rule::BytesPerCall, what))
            }
            _ => Ok(()),
        }
    }

    /// A link that is narrowed to something of a store grants nothing else.
    fn allows_store(&self, asked: &Asked<'_>) -> Result<(), Missing> {
        let (bucket, keys) = match asked {
            Asked::Store { bucket, keys } => (Some(*bucket), keys.as_slice()),
            _ => (None, [].as_slice()),
        };
        let granted = |bucket: &str| self.buckets.iter().any(|granted| granted == bucket);
        if !self.buckets.is_empty() && !bucket.is_some_and(granted) {
            let asked = bucket.unwrap_or_default();
            return Err(Missing::among(Rule::Bucket, asked, "the bucket", &self.buckets));
        }
        if self.keys.is_empty() {
            return Ok(());
        }
        let other = match bucket {
            Some(_) => keys.iter().find(|key| !self.allows_key(key)).copied(),
            None => Some(""),
        };
        match other {
            Some(key) => Err(Missing::among(Rule::KeyPrefix, key, "the key", &starred(&self.keys))),
            None => Ok(()),
        }
    }

    fn allows_http(&self, asked: &Asked<'_>) -> Result<(), Missing> {
        let (method, to) = match asked {
            Asked::Http { method, host, port, usual } => (*method, Some((*host, *port, *usual))),
            _ => ("", None),
        };
        let fits = |pattern: &String| {
            to.is_some_and(|(host, port, usual)| host_matches(pattern, host, port, usual))
        };
        if !self.hosts.is_empty() && !self.hosts.iter().any(fits) {
            let asked = to.map_or(String::new(), |(host, port, _)| format!("{host}:{port}"));
            return Err(Missing::among(Rule::Host, &asked, "the host", &self.hosts));
        }
        if !self.methods.is_empty() && !self.methods.iter().any(|granted| granted == method) {
            return Err(Missing::among(Rule::Method, method, "the method", &self.methods));
        }
        Ok(())
    }
}

/// A function's name without the resource whose method it is: `[method]bucket.get` is `get`
/// (Component Model, "Explainer.md", names of imports and exports).
pub fn plain(function: &str) -> &str {
    match function.strip_prefix('[').and_then(|rest| rest.rsplit_once('.')) {
        Some((_, name)) => name,
        None => function,
    }
}

fn starred(prefixes: &[String]) -> Vec<String> {
    prefixes.iter().map(|prefix| format!("{prefix}*")).collect()
}

#[cfg(test)]
mod tests;
