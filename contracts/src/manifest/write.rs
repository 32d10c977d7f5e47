//! A manifest as the text that a person would have written.

use std::fmt::{self, Display, Write as _};
use std::time::Duration;

use super::Manifest;
use crate::id::LinkName;
use crate::record::{Grant, Labels, LimitSpec, LinkOptions, ProviderKind};

/// A text as TOML has it between quotes (TOML 1.0, "basic strings").
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Pairs as TOML has them on one line: `{ "zone" = "a" }`.
pub fn quoted_pairs<'a>(pairs: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let pairs =
        pairs.into_iter().map(|(key, value)| format!("{} = {}", quoted(key), quoted(value)));
    let pairs: Vec<String> = pairs.collect();
    match pairs.is_empty() {
        true => "{}".into(),
        false => format!("{{ {} }}", pairs.join(", ")),
    }
}

fn list(texts: impl IntoIterator<Item: Display>) -> String {
    let texts: Vec<String> = texts.into_iter().map(|text| quoted(&text.to_string())).collect();
    format!("[{}]", texts.join(", "))
}

/// The manifest in TOML. What is as usual is left out. Read again, it is the same, but for the
/// places where things stand.
impl Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        self.write(&mut text)?;
        f.write_str(&text)
    }
}

impl Manifest {
    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "app = {}", quoted(self.app.as_str()))?;
        for (name, component) in &self.components {
            writeln!(out, "\n[component.{name}]")?;
            writeln!(out, "wasm = {}", quoted(&component.wasm.display().to_string()))?;
            if component.replicas != 1 {
                writeln!(out, "replicas = {}", component.replicas)?;
            }
            labels(out, "on", &component.on)?;
            if !component.config.is_empty() {
                writeln!(out, "config = {}", quoted_pairs(&component.config))?;
            }
            limits(out, &component.limits)?;
        }
        for (name, provider) in &self.providers {
            writeln!(out, "\n[provider.{name}]")?;
            writeln!(out, "contract = {}", quoted(provider.kind.contract()))?;
            match &provider.kind {
                ProviderKind::KeyValue => {}
                ProviderKind::HttpClient { hosts } => writeln!(out, "hosts = {}", list(hosts))?,
                ProviderKind::Messaging { subjects } => {
                    writeln!(out, "subjects = {}", list(subjects))?;
                }
            }
            labels(out, "on", &provider.on)?;
        }
        for link in &self.links {
            writeln!(out, "\n[[link]]\nfrom = {}", quoted(link.from.as_str()))?;
            writeln!(out, "contract = {}", quoted(&link.contract.to_string()))?;
            writeln!(out, "to = {}", quoted(link.to.as_str()))?;
            if link.name != LinkName::default() {
                writeln!(out, "name = {}", quoted(link.name.as_str()))?;
            }
            options(out, &link.options)?;
        }
        for route in &self.http {
            writeln!(out, "\n[[http]]\ncomponent = {}", quoted(route.component.as_str()))?;
            if let Some(host) = &route.host {
                writeln!(out, "host = {}", quoted(host))?;
            }
            writeln!(out, "path = {}", quoted(&route.path))?;
        }
        for subscription in &self.subscriptions {
            writeln!(
                out,
                "\n[[subscribe]]\ncomponent = {}",
                quoted(subscription.component.as_str())
            )?;
            writeln!(out, "subjects = {}", list(&subscription.subjects))?;
            if subscription.group.as_str() != self.app.as_str() {
                writeln!(out, "group = {}", quoted(subscription.group.as_str()))?;
            }
        }
        Ok(())
    }
}

fn labels(out: &mut String, key: &str, labels: &Labels) -> fmt::Result {
    match labels.is_empty() {
        true => Ok(()),
        false => writeln!(out, "{key} = {}", quoted_pairs(labels)),
    }
}

fn limits(out: &mut String, limits: &LimitSpec) -> fmt::Result {
    let mut parts = Vec::new();
    parts.extend(limits.memory_bytes.map(|bytes| format!("memory = \"{}\"", size(bytes))));
    // A manifest has no finer unit; rather a little more than what was granted than less.
    let millis = |time: Duration| time.as_millis().max(1);
    parts.extend(limits.time.map(|time| format!("time = \"{}ms\"", millis(time))));
    parts.extend(limits.concurrency.map(|count| format!("concurrency = {count}")));
    parts.extend(limits.reuse.map(|count| format!("reuse = {count}")));
    match parts.is_empty() {
        true => Ok(()),
        false => writeln!(out, "limits = {{ {} }}", parts.join(", ")),
    }
}

/// A size, in the unit in which people count memory where that is exact.
fn size(bytes: u64) -> String {
    match bytes {
        0 => "1B".into(),
        bytes if bytes.is_multiple_of(1024) => format!("{}KiB", bytes / 1024),
        bytes => format!("{bytes}B"),
    }
}

fn options(out: &mut String, options: &LinkOptions) -> fmt::Result {
    if options.weight != LinkOptions::default_weight() {
        writeln!(out, "weight = {}", options.weight)?;
    }
    labels(out, "require", &options.require)?;
    labels(out, "prefer", &options.prefer)?;
    if !options.idempotent.is_empty() {
        writeln!(out, "idempotent = {}", list(&options.idempotent))?;
    }
    if let Some(millis) = options.hedge_millis {
        writeln!(out, "hedge = \"{millis}ms\"")?;
    }
    grant(out, &options.grant)
}

fn grant(out: &mut String, grant: &Grant) -> fmt::Result {
    let lists = [
        ("functions", &grant.functions),
        ("buckets", &grant.buckets),
        ("keys", &grant.keys),
        ("hosts", &grant.hosts),
        ("methods", &grant.methods),
    ];
    for (key, texts) in lists.into_iter().filter(|(_, texts)| !texts.is_empty()) {
        writeln!(out, "{key} = {}", list(texts))?;
    }
    if !grant.subjects.is_empty() {
        writeln!(out, "subjects = {}", list(&grant.subjects))?;
    }
    if let Some(count) = grant.calls_per_second {
        writeln!(out, "calls_per_second = {count}")?;
    }
    let sizes =
        [("bytes_per_second", grant.bytes_per_second), ("bytes_per_call", grant.bytes_per_call)];
    for (key, bytes) in sizes {
        if let Some(bytes) = bytes {
            writeln!(out, "{key} = \"{bytes}B\"")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::manifest::{ManifestComponent, ManifestProvider};
    use crate::record::{HttpRoute, LinkSpec, SubscriptionSpec};

    /// Read again, without the places where things stand.
    fn read(manifest: &Manifest) -> Manifest {
        let text = manifest.to_string();
        let mut read =
            Manifest::parse("a.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        read.components.values_mut().for_each(|component| component.position = (0, 0));
        read
    }

    fn some_labels() -> impl Strategy<Value = Labels> {
        btree_map("(?s:.){1,9}", "(?s:.){1,9}", 0..3)
    }

    fn component() -> impl Strategy<Value = ManifestComponent> {
        let limits = (
            option::of(prop_oneof![(1u64..1 << 30).prop_map(|kib| kib << 10), 1..=u64::MAX]),
            option::of(1u64..100_000),
            option::of(1u32..99),
            option::of(1u32..99),
        );
        let config = btree_map("[a-z][a-z0-9]{0,5}", "(?s:.){0,12}", 0..3);
        ("(?s:.){1,12}", 1u32..100, some_labels(), config, limits).prop_map(
            |(wasm, replicas, on, config, (memory, time, concurrency, reuse))| ManifestComponent {
                wasm: wasm.into(),
                position: (0, 0),
                replicas,
                on,
                config,
                limits: LimitSpec {
                    memory_bytes: memory,
                    time: time.map(Duration::from_millis),
                    concurrency,
                    reuse,
                },
            },
        )
    }

    fn some_options() -> impl Strategy<Value = LinkOptions> {
        (0u32..9, some_labels(), some_labels(), option::of(1u32..9999)).prop_map(
            |(weight, require, prefer, hedge_millis)| LinkOptions {
                weight,
                require,
                prefer,
                idempotent: hedge_millis.map(|_| "price".to_string()).into_iter().collect(),
                hedge_millis,
                grant: Grant {
                    functions: hedge_millis.map(|_| "price".to_string()).into_iter().collect(),
                    calls_per_second: (weight > 0).then_some(weight),
                    bytes_per_call: hedge_millis.map(u64::from),
                    ..Grant::default()
                },
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            web in component(),
            back in component(),
            options in some_options(),
            host in option::of("[a-z]{1,9}"),
            path in "/(?s:.){0,9}",
            on in some_labels(),
        ) {
            let name = |text: &str| text.parse().unwrap();
            let manifest = Manifest {
                app: "shop".parse().unwrap(),
                components: [(name("web"), web), (name("back"), back)].into(),
                providers: [
                    (name("db"), ManifestProvider { kind: ProviderKind::KeyValue, on: on.clone() }),
                    (name("net"), ManifestProvider {
                        kind: ProviderKind::HttpClient { hosts: vec!["*.example.com".into()] },
                        on: on.clone(),
                    }),
                    (name("news"), ManifestProvider {
                        kind: ProviderKind::Messaging { subjects: vec!["a.*.>".parse().unwrap()] },
                        on,
                    }),
                ]
                .into(),
                links: vec![
                    LinkSpec {
                        from: name("web"),
                        contract: "example:shop/pricing@1.2.3".parse().unwrap(),
                        name: "spare".parse().unwrap(),
                        to: name("back"),
                        options,
                    },
                    LinkSpec {
                        from: name("web"),
                        contract: "wasi:keyvalue".parse().unwrap(),
                        name: LinkName::default(),
                        to: name("db"),
                        options: LinkOptions {
                            grant: Grant {
                                buckets: vec!["b".into()],
                                keys: vec!["k/".into()],
                                bytes_per_second: Some(1000),
                                ..Grant::default()
                            },
                            ..LinkOptions::default()
                        },
                    },
                    LinkSpec {
                        from: name("back"),
                        contract: "wasi:http/outgoing-handler".parse().unwrap(),
                        name: LinkName::default(),
                        to: name("net"),
                        options: LinkOptions {
                            grant: Grant {
                                hosts: vec!["a.example.com".into()],
                                methods: vec!["GET".into()],
                                ..Grant::default()
                            },
                            ..LinkOptions::default()
                        },
                    },
                    LinkSpec {
                        from: name("back"),
                        contract: "wattle:messaging".parse().unwrap(),
                        name: LinkName::default(),
                        to: name("news"),
                        options: LinkOptions {
                            grant: Grant {
                                subjects: vec!["a.b".parse().unwrap()],
                                ..Grant::default()
                            },
                            ..LinkOptions::default()
                        },
                    },
                ],
                http: vec![HttpRoute { host, path, component: name("web") }],
                subscriptions: vec![SubscriptionSpec {
                    component: name("back"),
                    subjects: vec!["a.>".parse().unwrap()],
                    group: name("back"),
                }],
            };
            prop_assert_eq!(read(&manifest), manifest);
        }
    }
}
