//! The manifest's text as serde reads it: shapes only, with the place of every value that is
//! checked afterwards.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawManifest {
    pub(super) app: Text,
    #[serde(default)]
    pub(super) component: BTreeMap<Text, RawComponent>,
    #[serde(default)]
    pub(super) provider: BTreeMap<Text, RawProvider>,
    #[serde(default)]
    pub(super) link: Vec<RawLink>,
    #[serde(default)]
    pub(super) http: Vec<RawRoute>,
    #[serde(default)]
    pub(super) subscribe: Vec<RawSubscription>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawComponent {
    pub(super) wasm: Text,
    pub(super) replicas: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) on: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) config: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) limits: RawLimits,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) memory: Option<Text>,
    pub(super) time: Option<Text>,
    pub(super) concurrency: Option<Spanned<u32>>,
    pub(super) reuse: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProvider {
    pub(super) contract: Text,
    #[serde(default)]
    pub(super) on: BTreeMap<Text, Text>,
    pub(super) hosts: Option<Spanned<Vec<Text>>>,
    pub(super) subjects: Option<Spanned<Vec<Text>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLink {
    pub(super) from: Text,
    pub(super) contract: Text,
    pub(super) to: Text,
    pub(super) name: Option<Text>,
    pub(super) weight: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) require: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) prefer: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) idempotent: Vec<Text>,
    pub(super) hedge: Option<Text>,
    pub(super) functions: Option<Spanned<Vec<Text>>>,
    pub(super) buckets: Option<Spanned<Vec<Text>>>,
    pub(super) keys: Option<Spanned<Vec<Text>>>,
    pub(super) hosts: Option<Spanned<Vec<Text>>>,
    pub(super) methods: Option<Spanned<Vec<Text>>>,
    pub(super) subjects: Option<Spanned<Vec<Text>>>,
    pub(super) calls_per_second: Option<Spanned<u32>>,
    pub(super) bytes_per_second: Option<Text>,
    pub(super) bytes_per_call: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRoute {
    pub(super) component: Text,
    pub(super) host: Option<Text>,
    pub(super) path: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSubscription {
    pub(super) component: Text,
    pub(super) subjects: Spanned<Vec<Text>>,
    pub(super) group: Option<Text>,
}
