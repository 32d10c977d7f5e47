//! From text to a checked manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;

use super::position::{ManifestError, Text};
use super::raw::{RawComponent, RawLimits, RawLink, RawManifest, RawProvider, RawRoute};
use super::{Manifest, ManifestComponent, ManifestProvider};
use super::{grant, messaging};
use crate::id::{ConfigName, ContractId, LinkName, LocalName};
use crate::record::{Config, HttpRoute, Labels, LimitSpec, LinkOptions, LinkSpec, ProviderKind};

/// The most replicas of one component.
const MAX_REPLICAS: u32 = 10_000;
/// The longest label, in bytes.
const MAX_LABEL: usize = 128;

pub(super) fn manifest(file: &str, text: &str) -> Result<Manifest, ManifestError> {
    let at = Text { file, text };
    let raw: RawManifest = toml::from_str(text)
        .map_err(|error| at.error(error.span().unwrap_or(0..0), error.message().trim()))?;
    let app = parsed(at, &raw.app)?;

    let mut components = BTreeMap::new();
    for (name, raw) in &raw.component {
        components.insert(parsed::<LocalName>(at, name)?, component(at, raw)?);
    }
    let mut providers = BTreeMap::new();
    for (name, raw) in &raw.provider {
        let local: LocalName = parsed(at, name)?;
        if components.contains_key(&local) {
            let message = format!("`{local}` is the name of a component already");
            return Err(at.error(name.span(), message));
        }
        providers.insert(local, provider(at, raw)?);
    }
    let names = Names {
        at,
        components: components.keys().collect(),
        providers: providers.iter().map(|(name, provider)| (name, &provider.kind)).collect(),
    };
    let links = raw.link.iter().map(|link| names.link(link)).collect::<Result<Vec<_>, _>>()?;
    for (at_index, link) in links.iter().enumerate() {
        let twice = links.iter().take(at_index).any(|other| {
            (&other.from, &other.contract, &other.name) == (&link.from, &link.contract, &link.name)
        });
        if twice && let Some(raw) = raw.link.get(at_index) {
            let message = format!(
                "`{}` of `{}` is linked twice; which is meant? Several links of one import need a \
                 `name` each, and share its calls by `weight`",
                link.contract, link.from
            );
            return Err(at.error(raw.contract.span(), message));
        }
    }
    let http = raw.http.iter().map(|route| names.route(route)).collect::<Result<_, _>>()?;
    let subscriptions = messaging::subscriptions(&names, &raw)?;
    if components.is_empty() && providers.is_empty() {
        return Err(at.error(raw.app.span(), "the app has neither a [component] nor a [provider]"));
    }
    Ok(Manifest { app, components, providers, links, http, subscriptions })
}

pub(super) fn parsed<T>(at: Text<'_>, text: &Spanned<String>) -> Result<T, ManifestError>
where
    T: FromStr<Err: std::fmt::Display>,
{
    text.get_ref().parse().map_err(|error: T::Err| at.error(text.span(), error.to_string()))
}

fn component(at: Text<'_>, raw: &RawComponent) -> Result<ManifestComponent, ManifestError> {
    if raw.wasm.get_ref().is_empty() {
        return Err(at.error(raw.wasm.span(), "expected the path of a signed component"));
    }
    let replicas = match &raw.replicas {
        Some(count) if !(1..=MAX_REPLICAS).contains(count.get_ref()) => {
            let message = format!("expected a number of replicas from 1 to {MAX_REPLICAS}");
            return Err(at.error(count.span(), message));
        }
        Some(count) => *count.get_ref(),
        None => 1,
    };
    Ok(ManifestComponent {
        wasm: raw.wasm.get_ref().into(),
        position: at.place(raw.wasm.span().start),
        replicas,
        on: labels(at, &raw.on)?,
        config: config(at, &raw.config)?,
        limits: limits(at, &raw.limits)?,
    })
}

fn labels(
    at: Text<'_>,
    raw: &BTreeMap<Spanned<String>, Spanned<String>>,
) -> Result<Labels, ManifestError> {
    for text in raw.iter().flat_map(|(key, value)| [key, value]) {
        if text.get_ref().is_empty() || text.get_ref().len() > MAX_LABEL {
            let message = format!("expected a label of 1 to {MAX_LABEL} characters");
            return Err(at.error(text.span(), message));
        }
    }
    let plain = |text: &Spanned<String>| text.get_ref().clone();
    Ok(raw.iter().map(|(key, value)| (plain(key), plain(value))).collect())
}

fn config(
    at: Text<'_>,
    raw: &BTreeMap<Spanned<String>, Spanned<String>>,
) -> Result<BTreeMap<String, String>, ManifestError> {
    for (name, value) in raw {
        parsed::<ConfigName>(at, name)?;
        Config::check(value.get_ref()).map_err(|why| at.error(value.span(), why))?;
    }
    let plain = |text: &Spanned<String>| text.get_ref().clone();
    Ok(raw.iter().map(|(name, value)| (plain(name), plain(value))).collect())
}

fn limits(at: Text<'_>, raw: &RawLimits) -> Result<LimitSpec, ManifestError> {
    let positive = |count: &Option<Spanned<u32>>, expected: &str| match count {
        Some(count) if *count.get_ref() == 0 => Err(at.error(count.span(), expected)),
        other => Ok(other.as_ref().map(|count| *count.get_ref())),
    };
    Ok(LimitSpec {
        memory_bytes: raw
            .memory
            .as_ref()
            .map(|text| {
                size(text.get_ref())
                    .ok_or_else(|| at.error(text.span(), "expected a size such as \"64MiB\""))
            })
            .transpose()?,
        time: raw.time.as_ref().map(|text| time(at, text)).transpose()?,
        concurrency: positive(&raw.concurrency, "expected at least 1 call at once")?,
        reuse: positive(&raw.reuse, "expected at least 1 call for each instance")?,
    })
}

fn time(at: Text<'_>, text: &Spanned<String>) -> Result<Duration, ManifestError> {
    quantity(text.get_ref(), &[("ms", 1), ("s", 1_000), ("min", 60_000)])
        .map(Duration::from_millis)
        .ok_or_else(|| at.error(text.span(), "expected a time such as \"500ms\" or \"10s\""))
        .and_then(|time| match time <= LimitSpec::MAX_TIME {
            true => Ok(time),
            false => {
                let minutes = LimitSpec::MAX_TIME.as_secs() / 60;
                let message = format!("expected a time of at most {minutes} min for one call");
                Err(at.error(text.span(), message))
            }
        })
}

/// A positive number of bytes.
pub(super) fn size(text: &str) -> Option<u64> {
    quantity(text, &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
}

/// A positive whole number followed by a unit.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*factor).filter(|amount| *amount > 0)
}

fn provider(at: Text<'_>, raw: &RawProvider) -> Result<ManifestProvider, ManifestError> {
    let contract: ContractId = parsed(at, &raw.contract)?;
    let known = [
        ProviderKind::KeyValue,
        ProviderKind::HttpClient { hosts: Vec::new() },
        ProviderKind::Messaging { subjects: Vec::new() },
    ];
    let kind = known
        .into_iter()
        .find(|kind| kind.contract() == contract.unversioned().to_string())
        .ok_or_else(|| {
            let message = format!(
                "no provider of `{contract}` is built in; expected `wasi:keyvalue`, \
                 `wasi:http/outgoing-handler` or `wattle:messaging`"
            );
            at.error(raw.contract.span(), message)
        })?;
    let kind = messaging::provider(at, raw, &contract, kind)?;
    let kind = match (kind, &raw.hosts) {
        (ProviderKind::HttpClient { .. }, Some(hosts)) => {
            for host in hosts.get_ref() {
                if host.get_ref().is_empty() || host.get_ref().contains('/') {
                    let message = "expected a host such as \"api.example.com\", \
                                   \"*.example.com\" or \"localhost:8080\"";
                    return Err(at.error(host.span(), message));
                }
            }
            let hosts = hosts.get_ref().iter().map(|host| host.get_ref().clone()).collect();
            ProviderKind::HttpClient { hosts }
        }
        (ProviderKind::HttpClient { .. }, None) => {
            let message =
                "expected `hosts`, the hosts that may be asked (`hosts = [\"*\"]` for all)";
            return Err(at.error(raw.contract.span(), message));
        }
        (_, Some(hosts)) => {
            return Err(at.error(hosts.span(), format!("`{contract}` has no `hosts`")));
        }
        (kind, None) => kind,
    };
    Ok(ManifestProvider { kind, on: labels(at, &raw.on)? })
}

/// The names that links and routes may refer to.
pub(super) struct Names<'a> {
    pub(super) at: Text<'a>,
    components: BTreeSet<&'a LocalName>,
    providers: BTreeMap<&'a LocalName, &'a ProviderKind>,
}

impl Names<'_> {
    pub(super) fn component(&self, text: &Spanned<String>) -> Result<LocalName, ManifestError> {
        let name: LocalName = parsed(self.at, text)?;
        if self.components.contains(&name) {
            return Ok(name);
        }
        let message = format!(
            "no component is called `{name}`; the manifest declares {}",
            listed(self.components.iter().copied())
        );
        Err(self.at.error(text.span(), message))
    }

    fn link(&self, raw: &RawLink) -> Result<LinkSpec, ManifestError> {
        let from = self.component(&raw.from)?;
        let contract: ContractId = parsed(self.at, &raw.contract)?;
        let to: LocalName = parsed(self.at, &raw.to)?;
        match self.providers.get(&to) {
            Some(kind) => {
                let provided: ContractId =
                    parsed(self.at, &Spanned::new(raw.to.span(), kind.contract().to_string()))?;
                if !provided.covers(&contract) {
                    let message = format!("`{to}` provides `{provided}`, not `{contract}`");
                    return Err(self.at.error(raw.contract.span(), message));
                }
            }
            None if self.components.contains(&to) => {}
            None => {
                let all = self.components.iter().copied().chain(self.providers.keys().copied());
                let message = format!(
                    "no component or provider is called `{to}`; the manifest declares {}",
                    listed(all)
                );
                return Err(self.at.error(raw.to.span(), message));
            }
        }
        let name = raw.name.as_ref().map(|name| parsed::<LinkName>(self.at, name)).transpose()?;
        let name = name.unwrap_or_default();
        let options = self.options(raw, &to)?;
        Ok(LinkSpec { from, contract, name, to, options })
    }

    fn options(&self, raw: &RawLink, to: &LocalName) -> Result<LinkOptions, ManifestError> {
        let (idempotent, hedge_millis) = self.repeats(raw, to)?;
        let weight = raw.weight.as_ref().map(|weight| *weight.get_ref());
        let options = LinkOptions {
            weight: weight.unwrap_or(LinkOptions::default_weight()),
            require: labels(self.at, &raw.require)?,
            prefer: labels(self.at, &raw.prefer)?,
            idempotent,
            hedge_millis,
            grant: grant::grant(self.at, raw, self.providers.get(to).copied())?,
        };
        // The labels were checked one by one: what is left is how many there are, or the weight.
        let place = raw.weight.as_ref().map_or(raw.from.span(), Spanned::span);
        options.check().map_err(|why| self.at.error(place, why))?;
        Ok(options)
    }

    /// What a link says of calls that may be made more than once.
    fn repeats(
        &self,
        raw: &RawLink,
        to: &LocalName,
    ) -> Result<(Vec<String>, Option<u32>), ManifestError> {
        for function in &raw.idempotent {
            if self.providers.contains_key(to) {
                let message = format!("`{to}` is a provider; its calls are never made again");
                return Err(self.at.error(function.span(), message));
            }
            if function.get_ref().is_empty() || function.get_ref().contains(['#', '/', ' ']) {
                let message = "expected the name of a function, such as \"price\"";
                return Err(self.at.error(function.span(), message));
            }
        }
        let functions: Vec<String> =
            raw.idempotent.iter().map(|function| function.get_ref().clone()).collect();
        let Some(text) = &raw.hedge else { return Ok((functions, None)) };
        if functions.is_empty() {
            let message = "a hedged call may run twice: name the functions for which that is \
                           harmless as `idempotent`";
            return Err(self.at.error(text.span(), message));
        }
        let millis = u32::try_from(time(self.at, text)?.as_millis()).unwrap_or(u32::MAX);
        Ok((functions, Some(millis)))
    }

    fn route(&self, raw: &RawRoute) -> Result<HttpRoute, ManifestError> {
        let component = self.component(&raw.component)?;
        let path = match &raw.path {
            Some(path) if !path.get_ref().starts_with('/') => {
                return Err(self.at.error(path.span(), "expected a path that starts with `/`"));
            }
            Some(path) => path.get_ref().clone(),
            None => "/".into(),
        };
        let host = raw.host.as_ref().map(|host| host.get_ref().clone());
        if let Some(raw) = &raw.host
            && (raw.get_ref().is_empty() || raw.get_ref().contains(['/', ':', ' ']))
        {
            let message = "expected a host name without port, such as \"shop.example\"";
            return Err(self.at.error(raw.span(), message));
        }
        Ok(HttpRoute { host, path, component })
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a LocalName>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
