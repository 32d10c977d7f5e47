//! What a manifest says of what a link grants.

use std::ops::Range;

use toml::Spanned;

use super::parse::{parsed, size};
use super::position::{ManifestError, Text};
use super::raw::RawLink;
use crate::record::{Grant, ProviderKind, Rule};

type Texts = Spanned<Vec<Spanned<String>>>;

/// The grant of a link to the provider of the kind `to`, or to a component.
pub(super) fn grant(
    at: Text<'_>,
    raw: &RawLink,
    to: Option<&ProviderKind>,
) -> Result<Grant, ManifestError> {
    let subjects = match &raw.subjects {
        Some(subjects) => {
            some(at, subjects, "subjects")?;
            subjects.get_ref().iter().map(|text| parsed(at, text)).collect::<Result<_, _>>()?
        }
        None => Vec::new(),
    };
    let grant = Grant {
        functions: texts(at, raw.functions.as_ref(), "functions")?,
        buckets: texts(at, raw.buckets.as_ref(), "buckets")?,
        keys: texts(at, raw.keys.as_ref(), "keys")?,
        hosts: texts(at, raw.hosts.as_ref(), "hosts")?,
        methods: texts(at, raw.methods.as_ref(), "methods")?,
        subjects,
        calls_per_second: raw.calls_per_second.as_ref().map(|rate| *rate.get_ref()),
        bytes_per_second: bytes(at, raw.bytes_per_second.as_ref())?,
        bytes_per_call: bytes(at, raw.bytes_per_call.as_ref())?,
    };
    grant.check_for(to).map_err(|(rule, why)| at.error(place(raw, rule), why))?;
    // What is wrong names the list that it is in.
    grant.check().map_err(|why| {
        let rules = [
            ("functions", Rule::Function),
            ("buckets", Rule::Bucket),
            ("keys", Rule::KeyPrefix),
            ("hosts", Rule::Host),
            ("methods", Rule::Method),
            ("subjects", Rule::Subject),
            ("calls_per_second", Rule::CallsPerSecond),
            ("bytes_per_second", Rule::BytesPerSecond),
            ("bytes_per_call", Rule::BytesPerCall),
        ];
        let named = rules.into_iter().find(|(name, _)| why.starts_with(name));
        at.error(named.map_or(raw.contract.span(), |(_, rule)| place(raw, rule)), why)
    })?;
    Ok(grant)
}

/// Where a link speaks of a rule.
fn place(raw: &RawLink, rule: Rule) -> Range<usize> {
    let list = |texts: &Option<Texts>| texts.as_ref().map(Spanned::span);
    let size = |text: &Option<Spanned<String>>| text.as_ref().map(Spanned::span);
    let place = match rule {
        Rule::Function => list(&raw.functions),
        Rule::Bucket => list(&raw.buckets),
        Rule::KeyPrefix => list(&raw.keys),
        Rule::Host => list(&raw.hosts),
        Rule::Method => list(&raw.methods),
        Rule::Subject => list(&raw.subjects),
        Rule::CallsPerSecond => raw.calls_per_second.as_ref().map(Spanned::span),
        Rule::BytesPerSecond => size(&raw.bytes_per_second),
        Rule::BytesPerCall => size(&raw.bytes_per_call),
        _ => None,
    };
    place.unwrap_or_else(|| raw.contract.span())
}

fn texts(at: Text<'_>, raw: Option<&Texts>, what: &str) -> Result<Vec<String>, ManifestError> {
    let Some(raw) = raw else { return Ok(Vec::new()) };
    some(at, raw, what)?;
    Ok(raw.get_ref().iter().map(|text| text.get_ref().clone()).collect())
}

/// An empty list would grant nothing, or everything: nobody should have to know which.
fn some(at: Text<'_>, raw: &Texts, what: &str) -> Result<(), ManifestError> {
    match raw.get_ref().is_empty() {
        false => Ok(()),
        true => {
            let why = format!("`{what}` is empty: leave it out to grant all of them");
            Err(at.error(raw.span(), why))
        }
    }
}

fn bytes(at: Text<'_>, raw: Option<&Spanned<String>>) -> Result<Option<u64>, ManifestError> {
    let Some(text) = raw else { return Ok(None) };
    let wrong = || at.error(text.span(), "expected a size such as \"64KiB\" or \"500B\"");
    size(text.get_ref()).map(Some).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use crate::manifest::Manifest;

    const APP: &str = r#"app = "shop"
[component.basket]
wasm = "basket.wasm"
[component.pricing]
wasm = "pricing.wasm"
[provider.store]
contract = "wasi:keyvalue"
[provider.web]
contract = "wasi:http/outgoing-handler"
hosts = ["*"]
[provider.news]
contract = "wattle:messaging"
subjects = [">"]
[[link]]
from = "basket"
"#;

    fn parse(link: &str) -> Result<Manifest, String> {
        Manifest::parse("app.toml", &format!("{APP}{link}")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_link_says_what_it_grants() {
        let store = parse(
            r#"contract = "wasi:keyvalue"
to = "store"
functions = ["get", "set"]
buckets = ["carts"]
keys = ["eu/"]
calls_per_second = 50
bytes_per_second = "64KiB"
bytes_per_call = "500B"
"#,
        )
        .unwrap();
        let grant = &store.links[0].options.grant;
        assert_eq!((grant.functions.len(), grant.buckets[0].as_str()), (2, "carts"));
        assert_eq!((grant.keys[0].as_str(), grant.calls_per_second), ("eu/", Some(50)));
        assert_eq!((grant.bytes_per_second, grant.bytes_per_call), (Some(65_536), Some(500)));
        let web = r#"contract = "wasi:http/outgoing-handler"
to = "web"
hosts = ["api.example.com"]
methods = ["GET", "HEAD"]
"#;
        assert_eq!(parse(web).unwrap().links[0].options.grant.methods, ["GET", "HEAD"]);
        let news = "contract = \"wattle:messaging\"\nto = \"news\"\nsubjects = [\"orders.>\"]\n";
        assert_eq!(parse(news).unwrap().links[0].options.grant.subjects.len(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_shown_with_its_place() {
        let pricing = "contract = \"example:shop/pricing\"\nto = \"pricing\"\n";
        let store = "contract = \"wasi:keyvalue\"\nto = \"store\"\n";
        let web = "contract = \"wasi:http/outgoing-handler\"\nto = \"web\"\n";
        for (link, line, place, part) in [
            (pricing, "functions = []", 13, "is empty"),
            (pricing, "functions = [\"a#b\"]", 13, "not the name of a function"),
            (pricing, "keys = [\"eu/\"]", 8, "a component, which has no `keys`"),
            (pricing, "calls_per_second = 0", 20, "at least 1"),
            (store, "functions = [\"got\"]", 13, "no function `got`; it has `open`, `get`"),
            (store, "hosts = [\"a\"]", 9, "`wasi:keyvalue`, which has no `hosts`"),
            (store, "bytes_per_call = \"many\"", 18, "expected a size"),
            (web, "methods = [\"get\"]", 11, "capitals"),
            (web, "bytes_per_second = \"1KiB\"", 20, "streamed"),
        ] {
            let error = parse(&format!("{link}{line}\n")).unwrap_err();
            assert!(error.contains(part), "{error}");
            assert!(error.contains(&format!("app.toml:18:{place}: ")), "{error}");
        }
    }
}
