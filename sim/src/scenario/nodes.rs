//! The groups of nodes, and how the rest of a scenario names nodes.

use std::collections::BTreeMap;
use std::time::Duration;

use toml::Spanned;
use wattle_contracts::id::CellName;
use wattle_contracts::manifest::Text;

use super::ScenarioError;
use super::quantity::{time, time_or};
use super::raw::RawNodes;
use crate::lattice::Plan;
use crate::lattice::nodes::NodeSet;

/// The most nodes of one scenario.
const MAX_NODES: usize = 20_000;

/// The nodes of a scenario.
pub(super) struct Nodes {
    pub(super) plans: Vec<Plan>,
    pub(super) starts: Vec<Duration>,
    pub(super) groups: BTreeMap<String, NodeSet>,
    pub(super) nats: Vec<NodeSet>,
}

impl Nodes {
    pub(super) fn read(
        at: Text<'_>,
        raw: &[RawNodes],
        circle: Option<u32>,
    ) -> Result<Self, ScenarioError> {
        let (plans, starts) = (Vec::new(), Vec::new());
        let mut nodes = Self { plans, starts, groups: BTreeMap::new(), nats: Vec::new() };
        for group in raw {
            nodes.group(at, group)?;
        }
        if nodes.plans.is_empty() {
            return Err(at.error(0..0, "a scenario needs nodes: add [[nodes]] with a `group`"));
        }
        nodes.introduce(circle);
        Ok(nodes)
    }

    fn group(&mut self, at: Text<'_>, raw: &RawNodes) -> Result<(), ScenarioError> {
        let name = raw.group.get_ref();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if name.is_empty() || name == "all" || !name.chars().all(is_name) {
            let message = "expected a name of letters, digits and `-`, and not `all`";
            return Err(at.error(raw.group.span(), message));
        }
        if self.groups.contains_key(name) {
            let message = format!("there is a group `{name}` already");
            return Err(at.error(raw.group.span(), message));
        }
        let count = raw.count.as_ref().map_or(1, |count| *count.get_ref()) as usize;
        if count == 0 || self.plans.len() + count > MAX_NODES {
            let place = raw.count.as_ref().map_or(raw.group.span(), Spanned::span);
            return Err(at.error(place, format!("expected 1 to {MAX_NODES} nodes in all")));
        }
        if let Some(Err(why)) = raw.labels.get(CellName::LABEL).map(|name| name.parse::<CellName>())
        {
            return Err(at.error(raw.group.span(), format!("the label `cell`: {why}")));
        }
        let start = time_or(at, &raw.start, Duration::ZERO)?;
        let every = raw.every.as_ref().map(|text| time(at, text)).transpose()?;
        let mut set = NodeSet::default();
        for index in 0..count {
            set.insert(self.plans.len());
            let name = if count == 1 { name.clone() } else { format!("{name}/{index}") };
            self.plans.push(Plan { name, labels: raw.labels.clone(), ..Plan::default() });
            let later = every.unwrap_or_default().saturating_mul(u32::try_from(index).unwrap_or(0));
            self.starts.push(start + later);
        }
        if raw.nat {
            self.nats.push(set.clone());
        }
        self.groups.insert(name.clone(), set);
        Ok(())
    }

    /// Whose addresses each node is given. In a small mesh those of the first node of each group; where
    /// there are cells, only the first nodes of groups are given those of other cells. With circles,
    /// those of its circle, which are all that it may know.
    fn introduce(&mut self, circle: Option<u32>) {
        let all = self.plans.len();
        let width = circle.map_or(all, |width| width as usize).max(1);
        if width < all {
            return self.draw_circles(width);
        }
        let firsts: Vec<usize> = self.groups.values().filter_map(|set| set.iter().next()).collect();
        let cells: Vec<CellName> = self.plans.iter().map(Plan::cell).collect();
        for (number, plan) in self.plans.iter_mut().enumerate() {
            let is_first = firsts.contains(&number);
            let joins = |first: &usize| is_first || cells.get(*first) == cells.get(number);
            let others = firsts.iter().copied().filter(|first| *first != number);
            plan.join = others.filter(joins).collect();
        }
    }

    /// Nodes in a ring: each knows its neighbours to both sides, and a few at growing distances,
    /// so that news cross the whole in few steps (Stoica et al., "Chord", 2001).
    fn draw_circles(&mut self, width: usize) {
        let all = self.plans.len();
        let mut known = vec![std::collections::BTreeSet::new(); all];
        let steps = distances(all, width.div_ceil(2));
        for number in 0..all {
            for step in &steps {
                let other = (number + step) % all;
                for (one, two) in [(number, other), (other, number)] {
                    if let Some(set) = known.get_mut(one).filter(|_| one != two) {
                        set.insert(two);
                    }
                }
            }
        }
        for ((number, plan), set) in self.plans.iter_mut().enumerate().zip(known) {
            // One of each pair is enough to begin with.
            plan.join = set.iter().copied().filter(|other| *other > number).collect();
            plan.circle = Some(set.into_iter().collect());
        }
    }

    /// The nodes that a text names: `all`, a group, `group/2`, or `label=value`.
    pub(super) fn named(
        &self,
        at: Text<'_>,
        text: &Spanned<String>,
    ) -> Result<NodeSet, ScenarioError> {
        let name = text.get_ref().as_str();
        if name == "all" {
            return Ok(NodeSet::of(0..self.plans.len()));
        }
        if let Some(set) = self.groups.get(name) {
            return Ok(set.clone());
        }
        let fits = |plan: &Plan| match name.split_once('=') {
            Some((key, value)) => plan.labels.get(key).is_some_and(|has| has == value),
            None => plan.name == name,
        };
        let found = self.plans.iter().enumerate().filter(|(_, plan)| fits(plan));
        let set = NodeSet::of(found.map(|(number, _)| number));
        if set.is_empty() {
            let groups: Vec<String> = self.groups.keys().map(|name| format!("`{name}`")).collect();
            let message = format!(
                "no node is called `{name}`: expected `all`, a group ({}), one node such as \
                 `GROUP/0`, or a label as `KEY=VALUE`",
                groups.join(", ")
            );
            return Err(at.error(text.span(), message));
        }
        Ok(set)
    }

    /// The same, or everybody.
    pub(super) fn named_or_all(
        &self,
        at: Text<'_>,
        text: &Option<Spanned<String>>,
    ) -> Result<NodeSet, ScenarioError> {
        match text {
            Some(text) => self.named(at, text),
            None => Ok(NodeSet::of(0..self.plans.len())),
        }
    }
}

/// So many distances on a ring, each about as many times the one before, up to half of it.
fn distances(all: usize, count: usize) -> Vec<usize> {
    // In tenths, so that no machine rounds otherwise.
    let grown = |ratio: usize| {
        let mut tenths = 10;
        let mut steps: Vec<usize> = Vec::new();
        for _ in 0..count {
            let next = steps.last().map_or(1, |last| (tenths / 10).max(last + 1));
            steps.push(next);
            tenths = (next * ratio).max(tenths + 10);
        }
        steps
    };
    let fits = |steps: &Vec<usize>| steps.last().is_some_and(|last| *last <= all / 2);
    let mut best = grown(10);
    for ratio in 11..=400 {
        let steps = grown(ratio);
        if fits(&steps) {
            best = steps;
        }
    }
    best.retain(|step| *step < all);
    best
}
