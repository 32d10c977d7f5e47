//! The node's knowledge as the API tells it.

use std::collections::BTreeMap;

use wattle_contracts::id::{ComponentId, NodeId};
use wattle_contracts::record::App;
use wattle_contracts::trust::UnixMillis;
use wattle_mesh::core::placement;
use wattle_mesh::net::{Mesh, MetricsSnapshot, NodeView, Report, View, WallClock};

use wattle_runtime::Allocator;

use crate::api::types::*;
use crate::daemon::{Node, Table, homes, resident_memory};

pub(super) fn nodes(node: &Node) -> Option<NodesReply> {
    let mesh = node.mesh()?;
    let view = mesh.view();
    let now = WallClock::default().now();
    let of = |node: &NodeView| describe(node, &view, describe_paper(mesh, node.id, now));
    Some(NodesReply {
        mesh: mesh.mesh_id().to_string(),
        nodes: view.nodes.values().map(of).collect(),
        differs: differences(&view, node.id()),
        renewers: mesh.rights().renewers(now).collect(),
    })
}

fn describe_paper(mesh: &Mesh, node: NodeId, now: UnixMillis) -> Option<PaperInfo> {
    let paper = mesh.paper(node)?;
    let term = mesh.rights().term(&paper)?;
    Some(PaperInfo {
        until: term.until.0,
        renewed_by: paper.renewal.as_ref().map(|renewal| renewal.renewer()),
        late: term.is_late(now),
    })
}

/// Where others see a node otherwise than `me`.
fn differences(view: &View, me: NodeId) -> Vec<Difference> {
    let Some(own) = view.node(me) else { return Vec::new() };
    let (Some(mine), cell) = (own.sees.as_ref(), &own.cell) else { return Vec::new() };
    let others = view.alive().filter(|node| !node.is_self);
    let reports = others.filter_map(|other| Some((other.id, other.sees.as_ref()?)));
    reports
        .flat_map(|(by, report)| {
            view.nodes.keys().filter(move |of| **of != by).filter_map(move |of| {
                // Of another cell, most see nothing by themselves.
                if [by, *of].iter().any(|id| view.node(*id).is_none_or(|n| n.cell != *cell)) {
                    return None;
                }
                let (here, there) = (mine.of(*of)?, report.of(*of)?);
                let (name_here, name_there) = (here.name().into(), there.name().into());
                let differs = !here.is_like(there);
                differs.then_some(Difference { by, of: *of, here: name_here, there: name_there })
            })
        })
        .collect()
}

fn describe(node: &NodeView, view: &View, paper: Option<PaperInfo>) -> NodeInfo {
    let seen = |report: &Report| {
        let others = view.nodes.keys().filter(|other| **other != node.id);
        others.filter_map(|other| Some((*other, report.of(*other)?.name().into()))).collect()
    };
    NodeInfo {
        id: node.id,
        is_self: node.is_self,
        cell: node.cell.clone(),
        told: node.told,
        ambassador: node.ambassador,
        standing: node.standing.name().into(),
        connected: node.connected,
        via: node.via,
        one_way: node.one_way,
        sees: node.sees.as_deref().map(seen).unwrap_or_default(),
        rtt_micros: node.rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
        addresses: node.addresses.iter().map(ToString::to_string).collect(),
        found_by: node.found_by.name().into(),
        labels: node.about.labels.clone(),
        version: node.about.version.clone(),
        http: node.about.http.clone(),
        runs: node.runs.components.keys().cloned().collect(),
        busy: node.load.busy,
        memory_bytes: node.load.memory_bytes,
        paper,
    }
}

pub(super) fn apps(node: &Node) -> AppsReply {
    let table = node.table();
    let view = node.mesh().map(|mesh| mesh.view()).unwrap_or_default();
    AppsReply { apps: table.apps().map(|app| describe_app(node, &table, app, &view)).collect() }
}

fn describe_app(node: &Node, table: &Table, app: &App, view: &View) -> AppInfo {
    let statuses = node.running().statuses();
    let homes = homes(view);
    let components = app.components.iter().map(|(name, spec)| {
        let id = ComponentId::new(app.name.clone(), name.clone());
        let placed = placement::place(&id, spec, &homes);
        ComponentInfo {
            digest: spec.digest,
            publisher: spec.publisher,
            replicas: spec.replicas,
            on: spec.on.clone(),
            placed: placed.nodes,
            running: running(view, table, &id),
            shortfall: placed.reason.map(|reason| reason.to_string()),
            failing: failing(view, table, &id),
            here: statuses.get(&id).cloned(),
            id,
        }
    });
    let providers = app.providers.iter().map(|(name, spec)| ProviderInfo {
        id: ComponentId::new(app.name.clone(), name.clone()),
        contract: spec.kind.contract().into(),
        home: spec.node,
        on: spec.on.clone(),
    });
    AppInfo {
        name: app.name.clone(),
        components: components.collect(),
        providers: providers.collect(),
        http: app.http.clone(),
    }
}

/// The nodes that are alive and say that they serve `id` as it is declared now.
pub(super) fn running(view: &View, table: &Table, id: &ComponentId) -> Vec<NodeId> {
    let current = table.declaration(id);
    view.alive()
        .filter(|node| current.is_some() && node.runs.components.get(id) == current.as_ref())
        .map(|node| node.id)
        .collect()
}

/// The nodes that are alive and say that they can't run `id` as it is declared now, and why. What
/// failed as it was declared before says nothing of it.
fn failing(view: &View, table: &Table, id: &ComponentId) -> BTreeMap<NodeId, String> {
    let current = table.declaration(id);
    let failed = |node: &NodeView| {
        let failure = node.runs.failing.get(id)?;
        (Some(failure.declaration) == current).then(|| (node.id, failure.why.clone()))
    };
    view.alive().filter_map(failed).collect()
}

pub(super) fn metrics(node: &Node) -> MetricsReply {
    let mut counters = node.mesh().map(|mesh| counters(&mesh.metrics())).unwrap_or_default();
    let repeats = node.repeats().counts().map(|(name, count)| (name.to_owned(), count));
    counters.extend(repeats);
    counters.extend(node.grants().counts());
    if let Some(messenger) = node.messenger() {
        let messages = messenger.counts().named();
        counters.extend(messages.map(|(name, count)| (format!("messages_{name}"), count)));
    }
    MetricsReply {
        uptime_seconds: node.uptime().as_secs(),
        memory_bytes: resident_memory(),
        allocator: match node.engine().allocator() {
            Allocator::Pooling { instances } => format!("pooling ({instances} instances)"),
            Allocator::OnDemand { why } => format!("on demand: {why}"),
        },
        counters,
    }
}

fn counters(mesh: &MetricsSnapshot) -> BTreeMap<String, u64> {
    let plain = [
        ("papers_refused", mesh.papers_refused),
        ("refused_by_peers", mesh.refused_by_peers),
        ("cut_off", mesh.cut_off),
        ("papers_renewed", mesh.papers_renewed),
        ("turned_away", mesh.turned_away),
        ("admissions_failed", mesh.admissions_failed),
        ("connections_opened", mesh.connections_opened),
        ("connections_closed", mesh.connections_closed),
        ("malformed_streams", mesh.malformed_streams),
        ("dials", mesh.dials),
        ("dials_failed", mesh.dials_failed),
        ("dials_together", mesh.dials_together),
        ("gossip_sent", mesh.gossip_sent),
        ("gossip_spared", mesh.gossip_spared),
        ("gossip_dropped", mesh.gossip_dropped),
        ("gossip_refused", mesh.gossip_refused),
        ("gossip_restarts", mesh.gossip_restarts),
        ("facts_refused", mesh.facts_refused),
        ("control_dropped", mesh.control_dropped),
        ("calls_detoured", mesh.calls_detoured),
        ("calls_relayed", mesh.calls_relayed),
        ("relays_refused", mesh.relays_refused),
        ("calls_forged", mesh.calls_forged),
        ("records_taken", mesh.records_taken),
        ("records_refused", mesh.records_refused),
        ("records_held_back", mesh.records_held_back),
        ("records_ignored", mesh.records_ignored),
        ("records_lost", mesh.records_lost),
        ("records_voided", mesh.records_voided),
        ("records_damaged", mesh.records_damaged),
        ("ambassador_terms", mesh.ambassador_terms),
        ("summaries_written", mesh.summaries_written),
        ("summaries_refused", mesh.summaries_refused),
        ("cell_bytes_sent", mesh.cell_bytes_sent),
        ("cell_bytes_received", mesh.cell_bytes_received),
        ("artifacts_served", mesh.artifacts_served),
        ("artifacts_fetched", mesh.artifacts_fetched),
        ("artifacts_relayed", mesh.artifacts_relayed),
    ];
    let mut counters: BTreeMap<String, u64> =
        plain.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
    for (direction, outcomes) in [("out", &mesh.calls_out), ("in", &mesh.calls_in)] {
        counters.insert(format!("calls_{direction}{{outcome=\"ok\"}}"), outcomes.succeeded);
        for (kind, count) in &outcomes.failed {
            counters.insert(format!("calls_{direction}{{outcome=\"{kind}\"}}"), *count);
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use wattle_contracts::id::CellName;
    use wattle_contracts::key::SigningKey;
    use wattle_contracts::record::{Hlc, Record, RecordBody, RecordKey};
    use wattle_mesh::net::{About, Failure, FoundBy, Load, Runs, Standing};

    use super::*;

    #[test]
    fn what_failed_as_it_was_declared_before_is_not_told_of_what_is_declared_now() {
        let id: ComponentId = "shop/basket".parse().unwrap();
        let declared = |millis| {
            let key = SigningKey::from_seed([1; 32]).unwrap();
            let app = RecordBody::App(Box::new(App::new(id.app.clone())));
            let about = RecordKey::App(id.app.clone());
            Table::new([&Record::sign(&key, about, Hlc { millis, counter: 0 }, app).unwrap()])
        };
        let (before, now) = (declared(1), declared(2));
        let declaration = before.declaration(&id).unwrap();
        let failure = Failure { declaration, why: "out of memory".into() };
        let node = NodeView {
            id: NodeId::from_bytes([1; 32]),
            is_self: false,
            cell: CellName::default(),
            told: false,
            ambassador: false,
            standing: Standing::Alive,
            connected: true,
            via: None,
            one_way: false,
            sees: None,
            addresses: Vec::new(),
            found_by: FoundBy::Peer,
            rtt: None,
            about: About::default(),
            runs: Runs { failing: [(id.clone(), failure)].into(), ..Runs::default() },
            load: Load::default(),
            audit: None,
        };
        let view = View { nodes: [(node.id, node)].into() };
        let told: Vec<String> = failing(&view, &before, &id).into_values().collect();
        assert_eq!(told, ["out of memory"]);
        assert!(failing(&view, &now, &id).is_empty());
        assert!(failing(&view, &Table::default(), &id).is_empty());
    }
}
