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
use wattle_contracts::record::Asked;
use wattle_mesh::core::links::Target as Link;
use wattle_mesh::core::routing::Candidate;
use wattle_mesh::net::View;
use wattle_runtime::{Actor, CallContext, Destination, Remote, Way};

use super::grants::Leaving;
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
    /// With the link, where calls along it are counted.
    Here(Weak<Actor>, Option<Box<(ContractId, Link)>>),
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

    fn leaving(&self) -> Leaving<'_> {
        Leaving {
            source: &self.source,
            contract: &self.contract,
            function: &self.function,
            asked: Asked::Function,
        }
    }

    fn elsewhere(&self, written: &ContractId, link: &Link) -> Arc<Elsewhere> {
        let route = CallRoute {
            source: Source::Component(self.source.clone()),
            target: link.to.clone(),
            contract: self.contract.clone(),
            function: self.function.clone(),
            encoding: Encoding::Values,
        };
        Arc::new(Elsewhere {
            node: Weak::clone(&self.node),
            repeats: repeats(&link.options, &self.function),
            written: written.clone(),
            link: link.clone(),
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
                To::Here(actor, counted) => {
                    if let Some(actor) = actor.upgrade() {
                        if let Some((written, link)) = counted.as_deref() {
                            node.leaves(&self.leaving(), &link.to, [(written, link)], 0)?;
                        }
                        return Ok(Destination::Local(actor));
                    }
                }
                To::Elsewhere(elsewhere) => {
                    return Ok(Destination::Remote(Arc::clone(elsewhere) as Arc<dyn Remote>));
                }
            }
        }
        *found = None;
        let import = node.import(&table, &self.source, &self.contract)?;
        let link = node.draw(&table, import, &self.leaving())?;
        let here = node.running().actor(&link.to).filter(|_| node.answers(&table, link));
        let (destination, to) = match here {
            Some(actor) => {
                let counted = link.options.grant.is_metered();
                let counted = counted.then(|| Box::new((import.contract().clone(), link.clone())));
                if counted.is_some() {
                    // What passes no wire is not written down, and has no length.
                    node.leaves(&self.leaving(), &link.to, [(import.contract(), link)], 0)?;
                }
                let to = To::Here(Arc::downgrade(&actor), counted);
                (Destination::Local(actor), to)
            }
            None => {
                let elsewhere = self.elsewhere(import.contract(), link);
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
pub(super) fn is<T>(known: &Weak<T>, now: &Arc<T>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(now))
}

/// A component that does not run here, or is not to be called here.
struct Elsewhere {
    node: Weak<Node>,
    /// The link, and its contract as it is written.
    link: Link,
    written: ContractId,
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
                let found = node.candidates(&table, &view, target, &self.link.options, &[])?;
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
        source: &ComponentId,
        contract: &ContractId,
        function: &str,
        arguments: Vec<u8>,
    ) -> Result<Vec<u8>, CallError> {
        let node = Node::of(&self.node)?;
        let leaving = Leaving { source, contract, function, asked: Asked::Function };
        let bytes = arguments.len() as u64;
        node.leaves(&leaving, &self.link.to, [(&self.written, &self.link)], bytes)?;
        let header = node.header_along(&context, Arc::clone(&self.route));
        let reply = if self.repeats {
            // In a box of its own: every call's future would else have room for this one's.
            Box::pin(node.send_again(&self.link.options, header, arguments.into())).await?
        } else {
            let to = self.choose(&node)?;
            node.send_to(to, header, arguments.into(), None).await?
        };
        Ok(reply.payload.into())
    }
}
