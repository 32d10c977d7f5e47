//! A declared app turned back into the manifest that declares it, with what was changed by hand
//! since.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use wattle_contracts::id::{ComponentId, LocalName, NodeId};
use wattle_contracts::manifest::{Manifest, ManifestComponent, ManifestProvider};
use wattle_contracts::record::{App, ComponentSpec, Labels, LinkOptions, LinkSpec, ProviderSpec};

use crate::api::{ConfigInfo, LinkInfo};

/// What else is known of the mesh.
pub(super) struct Around<'a> {
    /// Where imports go now, by whatever record.
    pub(super) links: &'a [LinkInfo],
    /// What components read now.
    pub(super) values: &'a [ConfigInfo],
    /// The nodes and their labels.
    pub(super) nodes: &'a BTreeMap<NodeId, Labels>,
    /// Where a node keeps the signed components.
    pub(super) artifacts: &'a Path,
}

/// The manifest, and what is otherwise in it than in the mesh.
pub(super) fn undeclare(app: &App, around: &Around<'_>) -> (Manifest, Vec<String>) {
    let mut notes = Vec::new();
    let id = |name: &LocalName| ComponentId::new(app.name.clone(), name.clone());
    let components = app.components.iter().map(|(name, spec)| {
        let component = component(&id(name), spec, around, &mut notes);
        (name.clone(), component)
    });
    let components = components.collect();
    let providers = app.providers.iter().map(|(name, spec)| {
        let on = provider_on(&id(name), spec, around, &mut notes);
        (name.clone(), ManifestProvider { kind: spec.kind.clone(), on })
    });
    let providers = providers.collect();
    let manifest = Manifest {
        app: app.name.clone(),
        components,
        providers,
        links: links(app, around, &mut notes),
        http: app.http.clone(),
        subscriptions: app.subscriptions.clone(),
    };
    (manifest, notes)
}

fn component(
    id: &ComponentId,
    spec: &ComponentSpec,
    around: &Around<'_>,
    notes: &mut Vec<String>,
) -> ManifestComponent {
    let held = around.artifacts.join(format!("{}.wasm", spec.digest.hex()));
    // With the file, the rehearsal can run it (`--wasm`).
    let wasm = if held.is_file() {
        held
    } else {
        notes.push(format!(
            "the node asked does not hold the file of `{id}` ({}); without `--wasm` it is not \
             needed",
            spec.digest
        ));
        PathBuf::from(format!("{}.wasm", id.name))
    };
    let values = around.values.iter().filter(|value| value.component == *id);
    ManifestComponent {
        wasm,
        position: (0, 0),
        replicas: spec.replicas,
        on: spec.on.clone(),
        config: values.map(|value| (value.name.clone(), value.value.clone())).collect(),
        limits: spec.limits.clone(),
    }
}

/// A store stays where it is: its home is named by the labels that only that node carries.
fn provider_on(
    id: &ComponentId,
    spec: &ProviderSpec,
    around: &Around<'_>,
    notes: &mut Vec<String>,
) -> Labels {
    let Some(home) = spec.node else { return spec.on.clone() };
    let Some(labels) = around.nodes.get(&home) else {
        notes.push(format!(
            "`{id}` is kept on {}, which has left; here another node keeps it",
            home.short()
        ));
        return kept_if_carried(spec, around);
    };
    let carries = |other: &Labels| labels.iter().all(|(key, value)| other.get(key) == Some(value));
    if around.nodes.values().filter(|other| carries(other)).count() == 1 {
        return labels.clone();
    }
    notes.push(format!(
        "`{id}` is kept on {}, whose labels others carry, too; here it may be any of them",
        home.short()
    ));
    labels.clone()
}

/// What a provider asks for, as long as somebody has it.
fn kept_if_carried(spec: &ProviderSpec, around: &Around<'_>) -> Labels {
    let carries = |of: &Labels| spec.on.iter().all(|(key, value)| of.get(key) == Some(value));
    match around.nodes.values().any(carries) {
        true => spec.on.clone(),
        false => Labels::new(),
    }
}

/// Where the app's imports go now: what was put by hand counts before the app's own.
fn links(app: &App, around: &Around<'_>, notes: &mut Vec<String>) -> Vec<LinkSpec> {
    let own = around.links.iter().filter(|link| link.from.app == app.name);
    let mut all = Vec::new();
    for link in own {
        let LinkInfo { from, contract, name, to, options, .. } = link;
        let has = |name: &LocalName| {
            app.components.contains_key(name) || app.providers.contains_key(name)
        };
        if to.app != app.name || !has(&to.name) || !app.components.contains_key(&from.name) {
            notes.push(format!(
                "the link from `{from}` for `{contract}` to `{to}` was put by hand, and can't \
                 stand in a manifest; here it is not there"
            ));
            continue;
        }
        let mut options = options.clone();
        if app.providers.contains_key(&to.name) {
            // Calls of a provider are never made again.
            options = LinkOptions { idempotent: Vec::new(), hedge_millis: None, ..options };
        }
        all.push(LinkSpec {
            from: from.name.clone(),
            contract: contract.clone(),
            name: name.clone(),
            to: to.name.clone(),
            options,
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use wattle_contracts::id::{Digest, PublisherKey};
    use wattle_contracts::record::{ConfigKey, LimitSpec, ProviderKind};

    use super::*;

    fn app() -> App {
        let mut app = App::new("shop".parse().unwrap());
        let spec = ComponentSpec {
            digest: Digest::of(b"web"),
            publisher: PublisherKey::from_bytes([0; 32]),
            size: 3,
            exports: Vec::new(),
            imports: Vec::new(),
            replicas: 2,
            on: Labels::new(),
            config: BTreeMap::new(),
            limits: LimitSpec::default(),
        };
        app.components.insert("web".parse().unwrap(), spec);
        let db = ProviderSpec {
            kind: ProviderKind::KeyValue,
            node: Some(NodeId::from_bytes([1; 32])),
            on: Labels::new(),
        };
        app.providers.insert("db".parse().unwrap(), db);
        app
    }

    fn link(to: &str) -> LinkInfo {
        LinkInfo {
            from: "shop/web".parse().unwrap(),
            contract: "wasi:keyvalue".parse().unwrap(),
            name: Default::default(),
            to: to.parse().unwrap(),
            options: LinkOptions { idempotent: vec!["get".into()], ..LinkOptions::default() },
            origin: "record".into(),
            writer: NodeId::from_bytes([1; 32]),
            at: 0,
            instead_of: None,
            served_by: Vec::new(),
        }
    }

    #[test]
    fn a_manifest_has_what_holds_now_and_a_store_stays_where_it_is() {
        let of = |site: &str| Labels::from([("site".to_string(), site.to_string())]);
        let nodes = [1, 2].map(|n| (NodeId::from_bytes([n; 32]), of(&format!("s{n}"))));
        let key: ConfigKey = "shop/web/colour".parse().unwrap();
        let value = ConfigInfo {
            component: key.component.clone(),
            name: "colour".into(),
            value: "red".into(),
            origin: "record".into(),
            writer: NodeId::from_bytes([1; 32]),
            at: 0,
            instead_of: None,
        };
        let around = Around {
            links: &[link("shop/db"), link("other/db")],
            values: &[value],
            nodes: &nodes.into(),
            artifacts: Path::new("/nowhere"),
        };
        let (manifest, notes) = undeclare(&app(), &around);
        let web = &manifest.components[&"web".parse::<LocalName>().unwrap()];
        assert_eq!((web.replicas, web.config["colour"].as_str()), (2, "red"));
        assert_eq!(manifest.providers.values().next().unwrap().on, of("s1"));
        assert_eq!(manifest.links.len(), 1);
        assert!(manifest.links[0].options.idempotent.is_empty());
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("does not hold the file of `shop/web`"));
        assert!(notes[1].contains("to `other/db` was put by hand"));
        // And it is a manifest.
        Manifest::parse("m.toml", &manifest.to_string()).unwrap();
    }
}
