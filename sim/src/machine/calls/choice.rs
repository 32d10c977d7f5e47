//! Whom a call goes to: by its link, and by who serves that and can be reached. As in the node's
//! daemon (`reach`, `along`).

use wattle_contracts::call::ErrorKind;
use wattle_contracts::id::{ComponentId, NodeId};
use wattle_contracts::record::LinkOptions;
use wattle_mesh::core::membership::Standing;
use wattle_mesh::core::routing::{self, Candidate, Share};

use super::Calling;
use crate::machine::table::Target;
use crate::machine::{Cx, Machine};

impl Machine {
    /// Where a call goes, and how its link wants it made.
    pub(super) fn resolve(
        &mut self,
        calling: &Calling,
        cx: &mut Cx<'_>,
    ) -> Result<(ComponentId, LinkOptions), ErrorKind> {
        let Some(from) = &calling.from else {
            let to = calling.to.clone().ok_or(ErrorKind::NotLinked)?;
            self.table.target(&to).ok_or(ErrorKind::NotLinked)?;
            return Ok((to, LinkOptions::ONCE));
        };
        let import = self.table.links.get(from, &calling.contract).ok_or(ErrorKind::NotLinked)?;
        let shares = import.targets().iter().map(|link| Share {
            weight: link.options.weight,
            callable: self.answers_here(&link.to, &link.options)
                || !self.serving(&link.to, &link.options, &[]).is_empty(),
        });
        let shares: Vec<Share> = shares.collect();
        let drawn = routing::draw(&shares, cx.rng).and_then(|at| import.targets().get(at));
        let link = drawn.ok_or(ErrorKind::Internal)?;
        Ok((link.to.clone(), LinkOptions::clone(&link.options)))
    }

    /// Whether this node serves the target and the link lets it.
    pub(super) fn answers_here(&self, target: &ComponentId, options: &LinkOptions) -> bool {
        self.serves_here(target)
            && (!options.chooses_nodes() || {
                let mut all = self.serving(target, options, &[]);
                all.push(self.me);
                routing::narrow(options, all, |node| self.labels_of(*node)).contains(&self.me)
            })
    }

    /// The nodes, other than this one, that could be called now, as the link wants them.
    fn serving(
        &self,
        target: &ComponentId,
        options: &LinkOptions,
        tried: &[NodeId],
    ) -> Vec<NodeId> {
        let Some(wanted) = self.table.target(target) else { return Vec::new() };
        let serves = |node: &NodeId| match &wanted {
            Target::Component => {
                self.runs_of(*node).is_some_and(|runs| runs.components.contains_key(target))
            }
            Target::Provider(spec) => routing::provides(spec, *node, self.labels_of(*node)),
        };
        let others = self.everybody().filter(|node| *node != self.me);
        let reachable = others.filter(|node| self.is_reachable(*node) && !tried.contains(node));
        let mut serving: Vec<NodeId> = reachable.filter(serves).collect();
        let current = self.table.declared(target);
        routing::prefer(&mut serving, |node| {
            let runs = self.runs_of(*node).and_then(|runs| runs.components.get(target));
            runs.map(|declaration| declaration.app) == current
        });
        routing::narrow(options, serving, |node| self.labels_of(*node))
    }

    pub(super) fn choose(
        &mut self,
        target: &ComponentId,
        options: &LinkOptions,
        tried: &[NodeId],
        cx: &mut Cx<'_>,
    ) -> Option<NodeId> {
        let mut serving = self.serving(target, options, tried);
        routing::prefer(&mut serving, |node| self.standing_of(*node) == Some(Standing::Alive));
        let candidates: Vec<Candidate> = serving
            .into_iter()
            .map(|node| Candidate {
                node,
                rtt: self.round_trip(node),
                detour: self.links.via(node).is_some(),
                busy: 0,
            })
            .collect();
        self.calls.router.pick(cx.now, &candidates, cx.rng)
    }
}
