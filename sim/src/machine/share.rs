//! What runs here: the node's own part of what is declared, by the leaderless placement. As in the
//! scheduler of a real node; that a component is fetched and compiled is only the time it takes.

use std::collections::{BTreeMap, BTreeSet};

use wattle_contracts::id::{ComponentId, NodeId};
use wattle_mesh::core::membership::Standing;
use wattle_mesh::core::placement::{self, Candidate};
use wattle_mesh::core::routing;
use wattle_mesh::core::time::Time;
use wattle_mesh::net::{Declaration, Runs};

use super::table::Target;
use super::{Cx, Machine, Wake};
use crate::lattice::happening::Happening;
use crate::mutant::Mutant;

/// What runs on a node, or is about to.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// When each is up.
    starting: BTreeMap<ComponentId, Time>,
    running: BTreeSet<ComponentId>,
    said: Option<Runs>,
}

impl Machine {
    /// Whether a component runs here.
    pub(crate) fn runs(&self, component: &ComponentId) -> bool {
        self.share.running.contains(component)
    }

    /// What runs here.
    pub(crate) fn running(&self) -> impl Iterator<Item = &ComponentId> {
        self.share.running.iter()
    }

    /// Whether this node answers calls of `target`: it runs it, or holds it.
    pub(super) fn serves_here(&self, target: &ComponentId) -> bool {
        match self.table.target(target) {
            Some(Target::Component) => self.runs(target),
            Some(Target::Provider(spec)) => {
                routing::provides(spec, self.me, self.labels_of(self.me))
            }
            None => false,
        }
    }

    /// Brings this node to its share.
    pub(super) fn settle_share(&mut self, cx: &mut Cx<'_>) {
        if self.table.apps().next().is_none() && self.share.said.is_none() {
            return;
        }
        let wanted: BTreeSet<ComponentId> = self.own_share().into_iter().collect();
        let Share { starting, running, .. } = &mut self.share;
        starting.retain(|id, _| wanted.contains(id));
        if self.settings.broken != Some(Mutant::NeverStop) {
            running.retain(|id| {
                let stays = wanted.contains(id);
                if !stays {
                    cx.happens(Happening::Runs { component: id.clone(), is_on: false });
                }
                stays
            });
        }
        for id in wanted {
            if running.contains(&id) {
                continue;
            }
            if let Some(at) = starting.get(&id).copied() {
                if at <= cx.now {
                    starting.remove(&id);
                    cx.happens(Happening::Runs { component: id.clone(), is_on: true });
                    running.insert(id);
                }
                continue;
            }
            let at = cx.now.plus(self.settings.start);
            starting.insert(id, at);
            cx.wake(at, Wake::Share);
        }
        let runs = self.said_runs();
        if self.share.said.as_ref() != Some(&runs) {
            self.share.said = Some(runs.clone());
            self.say_runs(&runs, cx);
        }
    }

    fn own_share(&self) -> Vec<ComponentId> {
        let is_alive = |node: &NodeId| self.standing_of(*node) == Some(Standing::Alive);
        let alive: Vec<NodeId> = self.everybody().filter(is_alive).collect();
        let homes: Vec<Candidate<'_>> = alive
            .into_iter()
            .map(|node| Candidate { node, labels: self.labels_of(node) })
            .collect();
        placement::share(self.me, self.table.apps(), &homes)
    }

    /// What this node tells the others that it runs and holds.
    fn said_runs(&self) -> Runs {
        let declaration = |id: &ComponentId| {
            let app = self.table.declared(id).unwrap_or_default();
            Declaration { app, config: 0 }
        };
        let mut components: BTreeMap<ComponentId, Declaration> =
            self.share.running.iter().map(|id| (id.clone(), declaration(id))).collect();
        for app in self.table.apps() {
            let held = app.providers.iter().filter(|(_, spec)| spec.node == Some(self.me));
            for (name, _) in held {
                let id = ComponentId::new(app.name.clone(), name.clone());
                let declared = declaration(&id);
                components.insert(id, declared);
            }
        }
        Runs { components, ..Runs::default() }
    }
}
