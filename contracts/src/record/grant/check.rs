//! Whether a grant makes sense: by itself, and for what the link leads to.

use super::{Grant, Rule};
use crate::record::ProviderKind;

/// How many functions, buckets and so on one link may name, of each.
const MAX_ENTRIES: usize = 64;
/// The longest of them, in bytes.
const MAX_TEXT: usize = 256;

impl Grant {
    /// Checks the bounds; says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let Self { functions, buckets, keys, hosts, methods, subjects, .. } = self;
        let lists = [
            ("functions", functions),
            ("buckets", buckets),
            ("keys", keys),
            ("hosts", hosts),
            ("methods", methods),
        ];
        for (what, list) in lists {
            if list.len() > MAX_ENTRIES {
                let count = list.len();
                return Err(format!("{what} has {count} entries, where {MAX_ENTRIES} may stand"));
            }
            if list.iter().any(|text| !(1..=MAX_TEXT).contains(&text.len())) {
                return Err(format!("{what}: an entry must have 1 to {MAX_TEXT} bytes"));
            }
        }
        if subjects.len() > MAX_ENTRIES {
            let count = subjects.len();
            return Err(format!("subjects has {count} entries, where {MAX_ENTRIES} may stand"));
        }
        if let Some(name) = functions.iter().find(|name| name.contains(['#', '/', ' ', '[', '.'])) {
            return Err(format!("functions: `{name}` is not the name of a function"));
        }
        if let Some(host) = hosts.iter().find(|host| host.contains(['/', ' ', '@'])) {
            return Err(format!("hosts: `{host}` is no host, such as `api.example.com`"));
        }
        let is_method = |text: &String| text.bytes().all(|byte| byte.is_ascii_uppercase());
        if let Some(method) = methods.iter().find(|method| !is_method(method)) {
            return Err(format!("methods: `{method}` is no method in capitals, such as `GET`"));
        }
        let zero = [
            ("calls_per_second", self.calls_per_second.map(u64::from)),
            ("bytes_per_second", self.bytes_per_second),
            ("bytes_per_call", self.bytes_per_call),
        ];
        match zero.into_iter().find(|(_, limit)| *limit == Some(0)) {
            Some((what, _)) => {
                Err(format!("{what} must be at least 1; to grant nothing, take the link back"))
            }
            None => Ok(()),
        }
    }

    /// Whether what it narrows is there to be narrowed; `to` is the kind of the provider that the
    /// link leads to, `None` for a component. Says which rule does not fit, and why.
    pub fn check_for(&self, to: Option<&ProviderKind>) -> Result<(), (Rule, String)> {
        let store = matches!(to, Some(ProviderKind::KeyValue));
        let http = matches!(to, Some(ProviderKind::HttpClient { .. }));
        let messages = matches!(to, Some(ProviderKind::Messaging { .. }));
        let target = match to {
            Some(kind) => format!("a provider of `{}`", kind.contract()),
            None => "a component".into(),
        };
        let narrows = [
            (Rule::Bucket, "buckets", self.buckets.is_empty() || store),
            (Rule::KeyPrefix, "keys", self.keys.is_empty() || store),
            (Rule::Host, "hosts", self.hosts.is_empty() || http),
            (Rule::Method, "methods", self.methods.is_empty() || http),
            (Rule::Subject, "subjects", self.subjects.is_empty() || messages),
        ];
        if let Some((rule, what, _)) = narrows.into_iter().find(|(_, _, fits)| !fits) {
            return Err((rule, format!("the link leads to {target}, which has no `{what}`")));
        }
        let known: &[&str] = match to {
            Some(ProviderKind::KeyValue) => &[
                "open",
                "get",
                "set",
                "delete",
                "exists",
                "list-keys",
                "increment",
                "get-many",
                "set-many",
                "delete-many",
            ],
            Some(ProviderKind::HttpClient { .. }) => &["handle"],
            Some(ProviderKind::Messaging { .. }) => &["publish", "publish-durable"],
            // What a component exports is in it.
            None => &[],
        };
        let unknown = self.functions.iter().find(|name| !known.contains(&name.as_str()));
        if let (Some(name), Some(_)) = (unknown, to) {
            let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            let known = known.join(", ");
            return Err((
                Rule::Function,
                format!("{target} has no function `{name}`; it has {known}"),
            ));
        }
        if http && self.bytes_per_second.is_some() {
            // How much a request that is still being written will have, nobody knows.
            let why = "requests are streamed: limit `bytes_per_call` or `calls_per_second`";
            return Err((Rule::BytesPerSecond, why.into()));
        }
        Ok(())
    }
}
