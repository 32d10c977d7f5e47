//! What a manifest says of messages: who may publish what, and who handles what.

use toml::Spanned;

use super::parse::{Names, parsed};
use super::position::{ManifestError, Text};
use super::raw::{RawManifest, RawProvider};
use crate::id::{ContractId, LocalName, SubjectPattern};
use crate::record::{ProviderKind, SubscriptionSpec};

/// The most patterns of one subscription or provider.
const MAX_PATTERNS: usize = 100;

/// A provider's kind with the subjects that it is declared with.
pub(super) fn provider(
    at: Text<'_>,
    raw: &RawProvider,
    contract: &ContractId,
    kind: ProviderKind,
) -> Result<ProviderKind, ManifestError> {
    match (kind, &raw.subjects) {
        (ProviderKind::Messaging { .. }, Some(subjects)) => {
            Ok(ProviderKind::Messaging { subjects: patterns(at, subjects)? })
        }
        (ProviderKind::Messaging { .. }, None) => {
            let message = "expected `subjects`, what may be published (`subjects = [\">\"]` for \
                           everything)";
            Err(at.error(raw.contract.span(), message))
        }
        (_, Some(subjects)) => {
            Err(at.error(subjects.span(), format!("`{contract}` has no `subjects`")))
        }
        (kind, None) => Ok(kind),
    }
}

/// The app's subscriptions. A group has one component, so that it is clear who gets a message.
pub(super) fn subscriptions(
    names: &Names<'_>,
    raw: &RawManifest,
) -> Result<Vec<SubscriptionSpec>, ManifestError> {
    let at = names.at;
    let mut all: Vec<SubscriptionSpec> = Vec::new();
    for raw_subscription in &raw.subscribe {
        let component = names.component(&raw_subscription.component)?;
        let named = raw_subscription.group.as_ref().unwrap_or(&raw.app);
        let group: LocalName = parsed(at, named)?;
        let taken = all.iter().find(|other| other.group == group && other.component != component);
        if let Some(other) = taken {
            let place = raw_subscription.group.as_ref().unwrap_or(&raw_subscription.component);
            let message = format!(
                "the messages of group `{group}` go to `{}` already; give `{component}` a group \
                 of its own: group = \"{component}\"",
                other.component
            );
            return Err(at.error(place.span(), message));
        }
        let subjects = patterns(at, &raw_subscription.subjects)?;
        all.push(SubscriptionSpec { component, subjects, group });
    }
    Ok(all)
}

fn patterns(
    at: Text<'_>,
    raw: &Spanned<Vec<Spanned<String>>>,
) -> Result<Vec<SubjectPattern>, ManifestError> {
    let texts = raw.get_ref();
    if texts.is_empty() || texts.len() > MAX_PATTERNS {
        let message = format!("expected 1 to {MAX_PATTERNS} subjects");
        return Err(at.error(raw.span(), message));
    }
    texts.iter().map(|text| parsed(at, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Manifest;
    use super::*;

    const SHOP: &str = r#"app = "shop"

[component.basket]
wasm = "basket.wasm"

[component.ledger]
wasm = "ledger.wasm"

[provider.news]
contract = "wattle:messaging"
subjects = ["orders.>"]

[[link]]
from = "basket"
contract = "wattle:messaging"
to = "news"

[[subscribe]]
component = "ledger"
subjects = ["orders.*.placed", "stock.>"]

[[subscribe]]
component = "basket"
subjects = ["orders.>"]
group = "watchers"
"#;

    fn error(from: &str, to: &str) -> (usize, usize, String) {
        assert!(SHOP.contains(from), "{from}");
        let text = SHOP.replacen(from, to, 1);
        let error = Manifest::parse("app.toml", &text).unwrap_err();
        (error.line, error.column, error.message)
    }

    #[test]
    fn subscriptions_and_publishers_are_read() {
        let manifest = Manifest::parse("app.toml", SHOP).unwrap();
        let [ledger, basket] = manifest.subscriptions.as_slice() else { panic!("two") };
        assert_eq!((ledger.component.as_str(), ledger.group.as_str()), ("ledger", "shop"));
        assert!(ledger.matches(&"orders.eu.placed".parse().unwrap()));
        assert!(!ledger.matches(&"orders.eu.gone".parse().unwrap()));
        assert_eq!(basket.group.as_str(), "watchers");
        let news = manifest.providers.values().next().unwrap();
        let subjects = vec!["orders.>".parse().unwrap()];
        assert_eq!(news.kind, ProviderKind::Messaging { subjects });
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        let (line, column, message) = error("\"stock.>\"", "\"stock.>.x\"");
        assert_eq!((line, column), (20, 32), "{message}");
        assert!(message.contains("only at the end"), "{message}");

        let (line, _, message) = error("component = \"ledger\"", "component = \"till\"");
        assert!(line == 19 && message.contains("no component is called `till`"), "{message}");

        let (line, column, message) = error("\ngroup = \"watchers\"", "");
        assert_eq!((line, column), (23, 13), "{message}");
        assert!(message.contains("group = \"basket\""), "{message}");

        let (line, _, message) = error("subjects = [\"orders.>\"]\n\n[[link]]", "\n[[link]]");
        assert!(line == 10 && message.contains("subjects = [\">\"]"), "{message}");

        let (line, _, message) =
            error("\"wattle:messaging\"\nsubjects", "\"wasi:keyvalue\"\nsubjects");
        assert!(line == 11 && message.contains("has no `subjects`"), "{message}");

        let (line, _, message) = error("[\"orders.*.placed\", \"stock.>\"]", "[]");
        assert!(line == 20 && message.contains("1 to 100"), "{message}");
    }
}
