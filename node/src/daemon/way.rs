//! The way of one imported function of a component: found along its link, and remembered until the
//! links, the components of this node or the other nodes change.
//!
//! Links change while components run, so every call asks. But between two changes the answer is
//! the same, and finding it (two lookups by name, all nodes that serve the target, the call's
//! header) took a third of this node's part of a call.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use wattle_contracts::call::{CallError, CallRoute, Encoding, Source};
use wattle_contracts::id::{ComponentId, ContractId, NodeId};
use wattle_contracts::record::LinkOptions;
use wattle_mesh::core::routing::Candidate;
use wattle_mesh::net::View;
use wattle_runtime::{Actor, CallContext, Destination, Remote, Way};

use super::invoke::repeats;
use super::node::Node;
use super::table::Table;

/// An imported function. Holds everything weakly: the node holds the components, and one component
/// must not keep another that was stopped.
pub(super) struct LinkedImport {
    node: Weak<Node>,
    source: ComponentId,
    contract: ContractId,
    function: String,
    found: Mutex<Option<Found>>,
}

/// Where the last call went, and while what stays as it is the next one goes there too.
struct Found {
    table: Weak<Table>,
    changes: u64,
    to: To,
}

enum To {
    Here(Weak<Actor>),
    Elsewhere(Arc<Elsewhere>),
}

impl LinkedImport {
    pub(super) fn new(
        node: Weak<Node>,
        source: &ComponentId,
        contract: &ContractId,
        function: &str,
    ) -> Self {
        let (source, contract) = (source.clone(), contract.clone());
        Self { node, source, contract, function: function.into(), found: Mutex::default() }
    }

    fn elsewhere(&self, to: &ComponentId, options: &Arc<LinkOptions>) -> Arc<Elsewhere> {
        let route = CallRoute {
            source: Source::Component(self.source.clone()),
            target: to.clone(),
            contract: self.contract.clone(),
            function: self.function.clone(),
            encoding: Encoding::Values,
        };
        Arc::new(Elsewhere {
            node: Weak::clone(&self.node),
            repeats: repeats(options, &self.function),
            options: Arc::clone(options),
            route: Arc::new(route),
            serving: Mutex::default(),
        })
    }
}

impl Way for LinkedImport {
    fn destination(&self) -> Result<Destination, CallError> {
        let node = Node::of(&self.node)?;
        // Before it is looked what runs: what changes meanwhile is then seen by the next call.
        let (table, changes) = (node.table(), node.running().changes());
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = &*found
            && found.changes == changes
            && is(&found.table, &table)
        {
            match &found.to {
                To::Here(actor) => {
                    if let Some(actor) = actor.upgrade() {
                        return Ok(Destination::Local(actor));
                    }
                }
                To::Elsewhere(elsewhere) => {
                    return Ok(Destination::Remote(Arc::clone(elsewhere) as Arc<dyn Remote>));
                }
            }
        }
        *found = None;
        let import = table.import(&self.source, &self.contract).inspect_err(|error| {
            let source = Source::Component(self.source.clone());
            node.note_denied(&source, None, &self.contract.to_string(), error);
        })?;
        let link = node.draw(&table, import)?;
        let here = node.running().actor(&link.to).filter(|_| node.answers(&table, link));
        let (destination, to) = match here {
            Some(actor) => {
                let to = To::Here(Arc::downgrade(&actor));
                (Destination::Local(actor), to)
            }
            None => {
                let elsewhere = self.elsewhere(&link.to, &link.options);
                (Destination::Remote(elsewhere.clone()), To::Elsewhere(elsewhere))
            }
        };
        // Where there is a choice, each call makes its own.
        if import.targets().len() == 1 && !link.options.chooses_nodes() {
            *found = Some(Found { table: Arc::downgrade(&table), changes, to });
        }
        Ok(destination)
    }
}

/// Whether `known` is `now`. A weak reference keeps the place in memory, so no other can have
/// taken it.
fn is<T>(known: &Weak<T>, now: &Arc<T>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(now))
}

/// A component that does not run here, or is not to be called here.
struct Elsewhere {
    node: Weak<Node>,
    options: Arc<LinkOptions>,
    /// Whether calls may be made more than once.
    repeats: bool,
    route: Arc<CallRoute>,
    serving: Mutex<Option<Serving>>,
}

/// The nodes that could answer, by what this node knew then.
struct Serving {
    view: Weak<View>,
    table: Weak<Table>,
    candidates: Arc<[Candidate]>,
}

impl Elsewhere {
    fn choose(&self, node: &Node) -> Result<NodeId, CallError> {
        let (view, table) = (node.view()?, node.table());
        let mut serving = self.serving.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = match &*serving {
            Some(known) if is(&known.view, &view) && is(&known.table, &table) => {
                Arc::clone(&known.candidates)
            }
            _ => {
                let target = &self.route.target;
                let found = node.candidates(&table, &view, target, &self.options, &[])?;
                let candidates: Arc<[Candidate]> = found.into();
                *serving = Some(Serving {
                    view: Arc::downgrade(&view),
                    table: Arc::downgrade(&table),
                    candidates: Arc::clone(&candidates),
                });
                candidates
            }
        };
        drop(serving);
        node.pick(&table, &view, &self.route.target, &candidates)
    }
}

#[async_trait]
impl Remote for Elsewhere {
    async fn call(
        &self,
        context: CallContext,
        _source: &ComponentId,
        _contract: &ContractId,
        _function: &str,
        arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let node = Node::of(&self.node)?;
        let header = node.header_along(&context, Arc::clone(&self.route));
        let reply = if self.repeats {
            // In a box of its own: every call's future would else have room for this one's.
            Box::pin(node.send_again(&self.options, header, arguments.into())).await?
        } else {
            let to = self.choose(&node)?;
            node.send_to(to, header, arguments.into(), None).await?
        };
        Ok(reply.payload.into())
    }
}
