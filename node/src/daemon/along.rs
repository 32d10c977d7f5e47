//! Which of an import's links takes a call, and whether it is answered here.

use std::sync::PoisonError;

use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{ComponentId, NodeId};
use wattle_mesh::core::links::{Import, Target as Link};
use wattle_mesh::core::routing::{self, Share};
use wattle_mesh::net::{NodeView, View};

use super::grants::Leaving;
use super::node::Node;
use super::reach::{serves, unwanted};
use super::table::{Table, Target};

impl Node {
    /// The link that takes the next call of `import`, of those that grant it.
    pub(super) fn draw<'t>(
        &self,
        table: &Table,
        import: &'t Import,
        leaving: &Leaving<'_>,
    ) -> Result<&'t Link, CallError> {
        let mut missing = None;
        let mut links: Vec<&Link> = Vec::with_capacity(import.targets().len());
        for link in import.targets() {
            match leaving.fits(link) {
                Ok(()) => links.push(link),
                Err(why) => missing = Some((why, &link.to)),
            }
        }
        if let Some((missing, target)) = missing.filter(|_| links.is_empty()) {
            return Err(self.not_leaving(leaving, target, &missing));
        }
        let drawn = match links.as_slice() {
            [only] => Some(*only),
            links => {
                let view = self.mesh().map(|mesh| mesh.view()).unwrap_or_default();
                let share = |link: &Link| Share {
                    weight: link.options.weight,
                    callable: !self.callable(table, &view, link).is_empty(),
                };
                let shares: Vec<Share> = links.iter().map(|link| share(link)).collect();
                let mut routes = self.routes().state.lock().unwrap_or_else(PoisonError::into_inner);
                let drawn = routing::draw(&shares, &mut routes.1);
                drawn.and_then(|drawn| links.get(drawn).copied())
            }
        };
        let nowhere = || CallError::new(ErrorKind::Internal, "an import without any link");
        drawn.ok_or_else(nowhere)
    }

    /// Whether `link` lets this node answer, which serves its target.
    pub(super) fn answers(&self, table: &Table, link: &Link) -> bool {
        if !link.options.chooses_nodes() {
            return true;
        }
        let view = self.mesh().map(|mesh| mesh.view()).unwrap_or_default();
        self.callable(table, &view, link).iter().any(|node| node.is_self)
    }

    /// Refuses where `home`, which alone can serve it, is none of the nodes that `link` requires.
    pub(super) fn check_home(&self, link: &Link, home: NodeId) -> Result<(), CallError> {
        if link.options.require.is_empty() {
            return Ok(());
        }
        let view = self.mesh().map(|mesh| mesh.view()).unwrap_or_default();
        let carries = |node: &NodeView| routing::carries(&node.about.labels, &link.options.require);
        match view.node(home).is_some_and(carries) {
            true => Ok(()),
            false => {
                let message = unwanted(&link.to, &link.options);
                Err(CallError::new(ErrorKind::Unreachable, message))
            }
        }
    }

    /// The nodes that could be called along `link` now, this one among them.
    fn callable<'v>(&self, table: &Table, view: &'v View, link: &Link) -> Vec<&'v NodeView> {
        let Ok(wanted) = table.target(&link.to) else { return Vec::new() };
        let nodes = view.nodes.values().filter(|node| match node.is_self {
            true => self.serves_here(node, &link.to, &wanted),
            false => node.is_reachable() && serves(node, &link.to, &wanted),
        });
        routing::narrow(&link.options, nodes.collect(), |node| &node.about.labels)
    }

    /// What this node says of itself may lag behind what it does.
    fn serves_here(&self, me: &NodeView, target: &ComponentId, wanted: &Target<'_>) -> bool {
        match wanted {
            Target::Component(_) => self.running().actor(target).is_some(),
            Target::Provider(_) => serves(me, target, wanted),
        }
    }
}
