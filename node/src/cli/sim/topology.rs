//! The nodes of a mesh as groups of a scenario, and what was measured between them as links.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wattle_contracts::id::NodeId;
use wattle_contracts::manifest::{quoted, quoted_pairs};
use wattle_contracts::record::Labels;

use super::from_mesh::pair;
use crate::api::NodeInfo;

/// Labels whose values make good names of groups, the best first.
const NAMING: [&str; 6] = ["name", "site", "zone", "region", "cell", "role"];

/// Round trips between nodes, in microseconds.
#[derive(Debug, Default)]
pub(super) struct Measured(BTreeMap<(NodeId, NodeId), u64>);

impl Measured {
    /// What one node tells of its own.
    pub(super) fn add(&mut self, told: &[NodeInfo]) {
        let Some(by) = told.iter().find(|node| node.is_self) else { return };
        for node in told.iter().filter(|node| !node.is_self) {
            let Some(rtt) = node.rtt_micros else { continue };
            // Both ends may have measured: the shorter one is nearer to the way's own time.
            let known = self.0.entry(pair(by.id, node.id)).or_insert(rtt);
            *known = rtt.min(*known);
        }
    }

    /// How many pairs were measured.
    pub(super) fn pairs(&self) -> usize {
        self.0.len()
    }
}

/// Nodes with the same labels.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    labels: Labels,
    nodes: Vec<NodeId>,
    serves_http: bool,
    /// Some do not answer now.
    silent: usize,
}

/// A mesh as a scenario has it.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) groups: Vec<Group>,
    nodes: BTreeMap<NodeId, Labels>,
    cells: usize,
    /// Between the groups of these numbers, one way.
    links: BTreeMap<(usize, usize), Duration>,
    usual: Option<Duration>,
}

impl Topology {
    /// The mesh of these nodes. Who has left is not in it.
    pub(super) fn of(told: &[NodeInfo], measured: &Measured) -> Self {
        let there: Vec<&NodeInfo> = told.iter().filter(|node| node.standing != "left").collect();
        let mut by_labels: BTreeMap<&Labels, Vec<&NodeInfo>> = BTreeMap::new();
        there.iter().for_each(|node| by_labels.entry(&node.labels).or_default().push(node));
        let mut taken = BTreeSet::new();
        let groups = by_labels.into_iter().map(|(labels, nodes)| Group {
            name: name(labels, nodes.len(), &mut taken),
            labels: labels.clone(),
            serves_http: nodes.iter().any(|node| node.http.is_some()),
            silent: nodes.iter().filter(|node| node.standing != "alive").count(),
            nodes: nodes.iter().map(|node| node.id).collect(),
        });
        let groups: Vec<Group> = groups.collect();
        let group_of = |id: NodeId| groups.iter().position(|group| group.nodes.contains(&id));
        let mut between: BTreeMap<(usize, usize), Vec<u64>> = BTreeMap::new();
        for ((one, other), rtt) in &measured.0 {
            if let (Some(one), Some(other)) = (group_of(*one), group_of(*other)) {
                between.entry((one.min(other), one.max(other))).or_default().push(*rtt);
            }
        }
        let all: Vec<u64> = between.values().flatten().copied().collect();
        let links = between.into_iter().filter_map(|(pair, all)| Some((pair, one_way(all)?)));
        Self {
            links: links.collect(),
            usual: one_way(all),
            cells: there.iter().map(|node| &node.cell).collect::<BTreeSet<_>>().len(),
            nodes: there.iter().map(|node| (node.id, node.labels.clone())).collect(),
            groups,
        }
    }

    /// The nodes and their labels.
    pub(super) fn nodes(&self) -> &BTreeMap<NodeId, Labels> {
        &self.nodes
    }

    /// The group in which somebody serves HTTP.
    pub(super) fn gateway(&self) -> Option<&Group> {
        self.groups.iter().find(|group| group.serves_http)
    }

    /// What is otherwise than in the mesh.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.cells > 1 {
            let cells = self.cells;
            notes.push(format!("the mesh has {cells} cells; here all nodes are in one"));
        }
        let silent: usize = self.groups.iter().map(|group| group.silent).sum();
        if silent > 0 {
            notes.push(format!("{silent} of the nodes did not answer; here all are up"));
        }
        let count = self.nodes.len();
        let pairs = count * count.saturating_sub(1) / 2;
        let known = self.known_pairs();
        if known < pairs {
            let usual = match self.usual {
                Some(usual) => format!("{}, the middle of what was measured", written(usual)),
                None => "1ms".into(),
            };
            notes.push(format!(
                "the round trips of {} of {pairs} pairs of nodes are not known here; a packet of \
                 theirs takes {usual} (--also FOLDER asks one more node on this machine)",
                pairs - known
            ));
        }
        notes
    }

    /// How many pairs of nodes have a link of their own.
    fn known_pairs(&self) -> usize {
        let size = |group: &usize| self.groups.get(*group).map_or(0, |group| group.nodes.len());
        let pairs = self.links.keys().map(|(one, other)| match one == other {
            true => size(one) * size(one).saturating_sub(1) / 2,
            false => size(one) * size(other),
        });
        pairs.sum()
    }

    /// The first part of the scenario.
    pub(super) fn text(&self, mesh: &str) -> String {
        let count = self.nodes.len();
        let mut text = format!(
            "name = {}\nabout = \"\"\"\nWritten by `wattle sim from-mesh`: {count} nodes, with \
             their labels and what was measured between them.\n\"\"\"\nrun = \"10min\"\nseed = 1\n",
            quoted(&format!("The mesh {mesh}"))
        );
        if let Some(usual) = self.usual {
            let usual = written(usual);
            text += &format!("\n[mesh]\nlinks = {{ latency = \"{usual}\" }}\n");
        }
        for group in &self.groups {
            text += &format!("\n[[nodes]]\ngroup = {}\n", quoted(&group.name));
            let ids: Vec<String> = group.nodes.iter().map(NodeId::short).collect();
            if group.nodes.len() > 1 {
                text += &format!("count = {} # {}\n", group.nodes.len(), ids.join(", "));
            } else {
                text += &format!("count = 1 # {}\n", ids.join(", "));
            }
            if !group.labels.is_empty() {
                text += &format!("labels = {}\n", quoted_pairs(&group.labels));
            }
        }
        for ((one, other), latency) in &self.links {
            let (Some(one), Some(other)) = (self.groups.get(*one), self.groups.get(*other)) else {
                continue;
            };
            let (one, other) = (quoted(&one.name), quoted(&other.name));
            let latency = written(*latency);
            text += &format!("\n[[link]]\nbetween = [{one}, {other}]\nlatency = \"{latency}\"\n");
        }
        text
    }
}

/// Half of the middle one of these round trips.
fn one_way(mut rtts: Vec<u64>) -> Option<Duration> {
    rtts.sort_unstable();
    let middle = *rtts.get(rtts.len() / 2)?;
    Some(Duration::from_micros((middle / 2).max(1)))
}

/// As a scenario has it.
fn written(time: Duration) -> String {
    format!("{}us", time.as_micros())
}

/// A name for the nodes with these labels, which no other group has.
fn name(labels: &Labels, count: usize, taken: &mut BTreeSet<String>) -> String {
    let mut values = NAMING.iter().filter_map(|key| labels.get(*key)).chain(labels.values());
    let value = values.next().map_or("node", String::as_str);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let plain: String = value.chars().map(plain).collect();
    let stem = match plain.trim_matches('-') {
        "" | "all" if count == 1 => "node",
        "" | "all" => "nodes",
        stem => stem,
    };
    let numbered = (2..).map(|number| format!("{stem}-{number}"));
    let mut all = std::iter::once(stem.to_string()).chain(numbered);
    let free = all.find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn node(number: u8, is_self: bool, of: &Labels, rtt: Option<u64>) -> NodeInfo {
        NodeInfo {
            id: NodeId::from_bytes([number; 32]),
            is_self,
            cell: Default::default(),
            told: false,
            ambassador: false,
            standing: "alive".into(),
            connected: true,
            via: None,
            one_way: false,
            sees: BTreeMap::new(),
            rtt_micros: rtt,
            addresses: Vec::new(),
            found_by: "peer".into(),
            labels: of.clone(),
            version: String::new(),
            http: None,
            runs: Vec::new(),
            busy: 0,
            memory_bytes: 0,
            paper: None,
        }
    }

    #[test]
    fn nodes_with_the_same_labels_are_a_group_and_what_was_measured_is_a_link() {
        let (shop, dc) = (labels(&[("site", "Shop 1")]), labels(&[("site", "dc")]));
        let told = [
            node(1, true, &shop, None),
            node(2, false, &shop, Some(400)),
            node(3, false, &dc, Some(30_000)),
            node(4, false, &dc, Some(50_000)),
            NodeInfo { standing: "left".into(), ..node(5, false, &dc, None) },
        ];
        let mut measured = Measured::default();
        measured.add(&told);
        let topology = Topology::of(&told, &measured);
        let text = topology.text("m");
        for part in [
            "group = \"shop-1\"\ncount = 2",
            "group = \"dc\"\ncount = 2",
            "between = [\"shop-1\", \"shop-1\"]\nlatency = \"200us\"",
            "between = [\"shop-1\", \"dc\"]\nlatency = \"25000us\"",
            "links = { latency = \"15000us\" }",
        ] {
            assert!(text.contains(part), "there is no {part} in\n{text}");
        }
        // The two in the data centre are the only pair of which nothing is known.
        let notes = topology.notes();
        assert!(notes.len() == 1 && notes[0].contains("of 1 of 6 pairs"), "{notes:?}");

        // The other side of it was asked, too.
        let told = [
            node(3, true, &dc, None),
            node(4, false, &dc, Some(600)),
            node(1, false, &shop, Some(20_000)),
        ];
        measured.add(&told);
        assert_eq!(measured.pairs(), 4);
        assert_eq!(measured.0.values().max(), Some(&50_000));
    }

    #[test]
    fn every_group_has_a_name_of_its_own_that_a_scenario_takes() {
        let mut taken = BTreeSet::new();
        let mut named = |pairs: &[(&str, &str)], count| name(&labels(pairs), count, &mut taken);
        assert_eq!(named(&[], 3), "node");
        assert_eq!(named(&[("zone", "all")], 2), "nodes");
        assert_eq!(named(&[("zone", "a"), ("name", "Überbau 1")], 1), "berbau-1");
        assert_eq!(named(&[("zone", "a")], 1), "a");
        assert_eq!(named(&[("zone", "a"), ("disk", "ssd")], 1), "a-2");
        assert_eq!(named(&[("disk", "***")], 1), "node-2");
    }
}
