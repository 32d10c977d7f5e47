//! The scenario's text as serde reads it: shapes only, with the place of every value.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawScenario {
    pub(super) name: Text,
    #[serde(default)]
    pub(super) about: String,
    pub(super) run: Text,
    pub(super) seed: Option<u64>,
    #[serde(default)]
    pub(super) mesh: RawMesh,
    #[serde(default)]
    pub(super) nodes: Vec<RawNodes>,
    #[serde(default)]
    pub(super) link: Vec<RawLink>,
    #[serde(default)]
    pub(super) app: Vec<RawApp>,
    #[serde(default)]
    pub(super) component: BTreeMap<Text, RawComponent>,
    #[serde(default)]
    pub(super) outside: BTreeMap<Text, RawOutside>,
    #[serde(default)]
    pub(super) call: Vec<RawCall>,
    #[serde(default)]
    pub(super) request: Vec<RawRequest>,
    #[serde(default)]
    pub(super) publish: Vec<RawPublish>,
    #[serde(default)]
    pub(super) edit: Vec<RawEdit>,
    #[serde(default)]
    pub(super) fault: Vec<Spanned<RawFault>>,
    #[serde(default)]
    pub(super) expect: RawExpect,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawMesh {
    pub(super) pace: Option<Spanned<u32>>,
    pub(super) gossip: Option<RawGossip>,
    pub(super) circle: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) links: RawQuality,
}

/// By what nodes gossip, if they do.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawGossip {
    Off,
    Chitchat,
    StandIn,
}

#[derive(Deserialize, Default, Clone)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawQuality {
    pub(super) latency: Option<Text>,
    pub(super) jitter: Option<Text>,
    pub(super) loss: Option<Text>,
    pub(super) duplicate: Option<Text>,
    pub(super) reorder: Option<Text>,
    pub(super) bandwidth: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawNodes {
    pub(super) group: Text,
    pub(super) count: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) nat: bool,
    pub(super) start: Option<Text>,
    pub(super) every: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawLink {
    pub(super) between: [Text; 2],
    pub(super) latency: Option<Text>,
    pub(super) jitter: Option<Text>,
    pub(super) loss: Option<Text>,
    pub(super) duplicate: Option<Text>,
    pub(super) reorder: Option<Text>,
    pub(super) bandwidth: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawApp {
    pub(super) manifest: Text,
    pub(super) on: Option<Text>,
    pub(super) at: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawComponent {
    pub(super) takes: Option<Text>,
    pub(super) fails: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawCall {
    pub(super) on: Option<Text>,
    pub(super) from: Option<Text>,
    pub(super) to: Option<Text>,
    pub(super) contract: Option<Text>,
    pub(super) function: String,
    pub(super) arguments: Option<String>,
    pub(super) every: Text,
    pub(super) deadline: Option<Text>,
    pub(super) size: Option<Text>,
    pub(super) start: Option<Text>,
    pub(super) until: Option<Text>,
}

/// A host outside of the mesh.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawOutside {
    pub(super) status: Option<Spanned<u16>>,
    #[serde(default)]
    pub(super) body: String,
    pub(super) takes: Option<Text>,
    pub(super) fails: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawRequest {
    pub(super) on: Option<Text>,
    pub(super) method: Option<Text>,
    pub(super) host: Option<Text>,
    pub(super) path: Option<Text>,
    #[serde(default)]
    pub(super) headers: BTreeMap<Text, Text>,
    pub(super) body: Option<Text>,
    pub(super) every: Text,
    pub(super) deadline: Option<Text>,
    pub(super) start: Option<Text>,
    pub(super) until: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawPublish {
    pub(super) on: Option<Text>,
    pub(super) subject: Text,
    pub(super) text: Option<String>,
    pub(super) every: Text,
    pub(super) size: Option<Text>,
    pub(super) start: Option<Text>,
    pub(super) until: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawEdit {
    pub(super) on: Option<Text>,
    pub(super) every: Text,
    pub(super) keys: Option<Spanned<u32>>,
    pub(super) deletes: Option<Text>,
    pub(super) start: Option<Text>,
    pub(super) until: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawFault {
    pub(super) at: Text,
    #[serde(rename = "for")]
    pub(super) lasts: Option<Text>,
    pub(super) cut: Option<Text>,
    pub(super) degrade: Option<Text>,
    pub(super) crash: Option<Text>,
    pub(super) leave: Option<Text>,
    pub(super) slow: Option<Text>,
    pub(super) slow_disk: Option<Text>,
    pub(super) full_disk: Option<Text>,
    pub(super) clock: Option<Text>,
    pub(super) hostile: Option<Text>,
    /// The other side, where it is not everybody else.
    pub(super) from: Option<Text>,
    pub(super) one_way: Option<Text>,
    /// A cut that comes and goes: so long is one time of both.
    pub(super) flap: Option<Text>,
    /// Of that, this share is open.
    pub(super) open: Option<Text>,
    /// One after the other, so far apart.
    pub(super) each: Option<Text>,
    pub(super) wipe: Option<bool>,
    pub(super) by: Option<Text>,
    pub(super) offset: Option<Text>,
    pub(super) drift: Option<Text>,
    pub(super) latency: Option<Text>,
    pub(super) jitter: Option<Text>,
    pub(super) loss: Option<Text>,
    pub(super) duplicate: Option<Text>,
    pub(super) reorder: Option<Text>,
    pub(super) bandwidth: Option<Text>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawExpect {
    pub(super) converge: Option<Text>,
    pub(super) deliver: Option<Text>,
    pub(super) place: Option<Text>,
    pub(super) alive_under: Option<Text>,
    pub(super) bytes: Option<Text>,
    pub(super) records: Option<Spanned<u32>>,
    #[serde(default)]
    pub(super) off: Vec<Text>,
}
