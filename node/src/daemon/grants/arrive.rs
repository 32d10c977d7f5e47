//! Where a call arrives: whoever it says to speak for, this node goes by what it knows itself.
//!
//! The calls of one route are alike, and a stream names it once
//! ([`wattle_contracts::wire::FrameEncoder`]). So what is decided of a route is remembered with it,
//! until the records change, and for [`FRESH`] as far as it depends on who runs where.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use wattle_contracts::call::{CallError, CallHeader, CallRoute, Encoding, ErrorKind, Source};
use wattle_contracts::id::{ComponentId, ContractId, NodeId};
use wattle_contracts::provider::KeyValueRequest;
use wattle_contracts::record::{Asked, Missing, Rule};
use wattle_mesh::core::links::Target as Link;
use wattle_mesh::core::{placement, routing};

use super::{End, Granted};
use crate::daemon::node::Node;
use crate::daemon::reach::homes;
use crate::daemon::table::{Table, Target};
use crate::daemon::way::is;
use crate::providers::http_message::INCOMING;
use crate::providers::keyvalue;

/// How long a new link, or the news of what runs where, may take from the node that goes by it to
/// this one.
const NEWS: Duration = Duration::from_secs(2);

/// How long a decision is gone by before it is asked again who runs what.
const FRESH: Duration = Duration::from_secs(1);

/// How long a node may go on to speak for a component that it has run: what was begun there ends.
const GRACE: Duration = Duration::from_secs(60);

/// How many decisions are remembered.
const MAX_REMEMBERED: usize = 4096;

/// A call that may be answered.
#[derive(Clone)]
pub(crate) struct Admitted {
    pub(crate) table: Arc<Table>,
    /// The node that it comes from.
    pub(crate) origin: NodeId,
    /// The links that grant it, where it is a component's.
    links: Arc<[(ContractId, Link)]>,
}

/// What was decided.
#[derive(Default)]
pub(super) struct Remembered {
    /// By the node and the place of the route in memory.
    routes: HashMap<(NodeId, usize), Decision>,
    /// When a node was last seen to run a component that it has called for.
    speakers: BTreeMap<(NodeId, ComponentId), Instant>,
}

struct Decision {
    /// Keeps the place from being another route's.
    route: Weak<CallRoute>,
    table: Weak<Table>,
    until: Instant,
    links: Arc<[(ContractId, Link)]>,
}

impl Node {
    /// Lets a call in that `from` has handed over, or says which rule is missing. Its caller's node
    /// may have heard of a link, or begun to run a component, just before this one heard of it: so
    /// what is missing is waited for, [`NEWS`] at most.
    pub(crate) async fn admit(
        &self,
        from: NodeId,
        header: &mut CallHeader,
    ) -> Result<Admitted, CallError> {
        let origin = header.origin(from);
        let route = Arc::clone(&header.route);
        if let Some(admitted) = self.known(origin, &route) {
            return Ok(admitted);
        }
        let mut outcome = self.decide(origin, &route);
        let (Err(missing), Some(mesh)) = (&outcome, self.mesh()) else {
            return outcome.map_err(|missing| self.denied_route(End::In, &route, &missing));
        };
        if missing.rule == Rule::Operator {
            return Err(self.denied_route(End::In, &route, missing));
        }
        let asked = Instant::now();
        let until = asked + NEWS.min(header.time_left);
        let (mut records, mut view) = (mesh.watch_records(), mesh.watch_view());
        loop {
            self.refresh_table(mesh);
            outcome = self.decide(origin, &route);
            let news = async {
                tokio::select! {
                    news = changed(&mut records) => news,
                    news = changed(&mut view) => news,
                }
            };
            if outcome.is_ok() || !matches!(timeout_at(until, news).await, Ok(true)) {
                break;
            }
        }
        header.time_left = header.time_left.saturating_sub(asked.elapsed());
        outcome.map_err(|missing| self.denied_route(End::In, &route, &missing))
    }

    /// What was decided of the same route of the same node, as long as it holds.
    fn known(&self, origin: NodeId, route: &Arc<CallRoute>) -> Option<Admitted> {
        let table = self.table();
        let remembered = self.grants().remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let decision = remembered.routes.get(&(origin, Arc::as_ptr(route) as usize))?;
        let holds = is(&decision.route, route)
            && is(&decision.table, &table)
            && Instant::now() < decision.until;
        let links = holds.then(|| Arc::clone(&decision.links))?;
        drop(remembered);
        Some(Admitted { table, origin, links })
    }

    fn decide(&self, origin: NodeId, route: &Arc<CallRoute>) -> Result<Admitted, Missing> {
        let table = self.table();
        let links: Arc<[(ContractId, Link)]> = match &route.source {
            Source::Component(caller) => {
                let links = table.granted(caller, route)?;
                self.check_speaker(&table, origin, caller)?;
                links.into_iter().map(|(contract, link)| (contract.clone(), link.clone())).collect()
            }
            Source::Gateway => {
                table.check_gateway(route)?;
                self.check_gateway(origin)?;
                Arc::default()
            }
            Source::Operator => {
                self.check_operator(&table, origin, route)?;
                Arc::default()
            }
            // A node delivers messages by its messenger, and calls nothing else so.
            Source::Messages => return Err(Missing::new(Rule::Contract, "messages call nothing")),
            // Answered before it is looked for links.
            Source::Secrets => {
                return Err(Missing::new(Rule::Contract, "no secret is handed over"));
            }
        };
        let decision = Decision {
            route: Arc::downgrade(route),
            table: Arc::downgrade(&table),
            until: Instant::now() + FRESH,
            links: Arc::clone(&links),
        };
        let mut remembered =
            self.grants().remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.routes.len() >= MAX_REMEMBERED {
            let now = Instant::now();
            remembered
                .routes
                .retain(|_, known| known.until > now && known.route.strong_count() > 0);
            if remembered.routes.len() >= MAX_REMEMBERED {
                // More routes in a second than this: each is decided anew.
                remembered.routes.clear();
            }
        }
        remembered.routes.insert((origin, Arc::as_ptr(route) as usize), decision);
        drop(remembered);
        Ok(Admitted { table, origin, links })
    }

    /// Whether `origin` may speak for the component `caller`: by what this node computes it belongs
    /// there, or the node has said, signed, that it runs it as it is declared now. In both cases it
    /// must carry the labels that the component is declared with.
    fn check_speaker(
        &self,
        table: &Table,
        origin: NodeId,
        caller: &ComponentId,
    ) -> Result<(), Missing> {
        if origin == self.id() {
            return Ok(());
        }
        let missing = |what: String| Missing::new(Rule::Speaker, what);
        let view = self.view().map_err(|error| missing(error.message))?;
        let Ok(Target::Component(spec)) = table.target(caller) else {
            return Err(missing(format!("`{caller}` is no component that is declared")));
        };
        // Who does not belong, or does not any more, speaks for nothing, whatever it ran before.
        let Some(node) = view.node(origin) else {
            let node = origin.short();
            return Err(missing(format!(
                "as far as is known here, no node of this mesh is {node}"
            )));
        };
        let current = table.declaration(caller);
        let says = current.is_some() && node.runs.components.get(caller) == current.as_ref();
        let runs = routing::carries(&node.about.labels, &spec.on)
            && (says || placement::place(caller, spec, &homes(&view)).nodes.contains(&origin));
        let now = Instant::now();
        let mut remembered =
            self.grants().remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let speakers = &mut remembered.speakers;
        let speaker = (origin, caller.clone());
        if runs {
            if speakers.len() >= MAX_REMEMBERED {
                speakers.retain(|_, seen| now.duration_since(*seen) < GRACE);
            }
            speakers.insert(speaker, now);
            return Ok(());
        }
        match speakers.get(&speaker) {
            Some(seen) if now.duration_since(*seen) < GRACE => Ok(()),
            _ => Err(missing(format!(
                "node {} does not run `{caller}` as it is declared, and it does not belong there",
                origin.short()
            ))),
        }
    }

    /// Whether `origin` has an HTTP server. What is known of a node of another cell does not say.
    fn check_gateway(&self, origin: NodeId) -> Result<(), Missing> {
        let view = self.view().map_err(|error| Missing::new(Rule::Route, error.message))?;
        let serves = view.node(origin).is_some_and(|node| node.told || node.about.http.is_some());
        match serves || origin == self.id() {
            true => Ok(()),
            false => {
                let what = format!("node {} has no HTTP gateway", origin.short());
                Err(Missing::new(Rule::Route, what))
            }
        }
    }

    /// People call components, by text, and nothing else. Whether they may do so through another
    /// node is up to this one. Where there are operators, who calls through another node has signed
    /// it: what is in the payload is checked when it is read ([`Node::person_arrives`]).
    fn check_operator(
        &self,
        table: &Table,
        origin: NodeId,
        route: &CallRoute,
    ) -> Result<(), Missing> {
        let missing = |what: &str| Err(Missing::new(Rule::Operator, what));
        if origin != self.id() && !self.grants().remote_operators {
            return missing("this node takes no calls of people through other nodes");
        }
        match route.encoding {
            Encoding::Signed => {}
            Encoding::Wave if origin == self.id() || !self.has_operators() => {}
            Encoding::Wave => {
                return missing("this mesh has operators, and none of them has signed the call");
            }
            _ => return missing("people call by text"),
        }
        match table.target(&route.target) {
            Ok(Target::Provider(_)) => missing("it is a provider, which people don't call"),
            _ => Ok(()),
        }
    }

    /// Counts a call of a component that has arrived, with so many bytes of arguments.
    pub(crate) fn arrives(
        &self,
        admitted: &Admitted,
        route: &CallRoute,
        bytes: usize,
    ) -> Result<(), CallError> {
        let Source::Component(caller) = &route.source else { return Ok(()) };
        let links = admitted.links.iter().map(|(contract, link)| (contract, link));
        let (asked, bytes) = (Asked::Function, bytes as u64);
        self.spend(Some(admitted.origin), caller, links, &route.function, &asked, bytes)
            .map(drop)
            .map_err(|missing| self.denied_route(End::In, route, &missing))
    }

    /// Counts an operation on a store that has arrived, and gives back the link that grants it.
    pub(crate) fn store_arrives<'t>(
        &self,
        admitted: &'t Admitted,
        route: &CallRoute,
        request: &KeyValueRequest,
    ) -> Result<&'t Link, CallError> {
        let caller = component(&route.source)?;
        let (contract, function, asked, bytes) = keyvalue::asked(request)?;
        let links = admitted.table.links_between(caller, &contract, &route.target);
        self.spend(Some(admitted.origin), caller, links, function, &asked, bytes).map_err(
            |missing| {
                let what = (function, &contract, &route.target);
                self.denied(End::In, &route.source, what, &missing)
            },
        )
    }

    /// Refuses a call that has come here for what its provider serves nobody.
    pub(crate) fn not_served(&self, route: &CallRoute, missing: &Missing) -> CallError {
        self.denied_route(End::In, route, missing)
    }

    /// Counts an HTTP request that has arrived on its way out of the mesh, and gives back the link
    /// that grants it.
    pub(crate) fn request_arrives<'t>(
        &self,
        admitted: &'t Admitted,
        route: &CallRoute,
        asked: &Asked<'_>,
        bytes: u64,
    ) -> Result<&'t Link, CallError> {
        let caller = component(&route.source)?;
        let links: Vec<Granted<'t>> =
            admitted.links.iter().map(|(contract, link)| (contract, link)).collect();
        self.spend(Some(admitted.origin), caller, links, &route.function, asked, bytes)
            .map_err(|missing| self.denied_route(End::In, route, &missing))
    }
}

impl Table {
    /// The links that grant the component `caller` the calls of a route, as far as the route says.
    fn granted(
        &self,
        caller: &ComponentId,
        route: &CallRoute,
    ) -> Result<Vec<Granted<'_>>, Missing> {
        let mut links: Vec<_> =
            self.links_between(caller, &route.contract, &route.target).collect();
        let fits = match (self.target(&route.target), route.encoding) {
            (Ok(Target::Component(_)), Encoding::Values)
            | (Ok(Target::Provider(_)), Encoding::Message) => true,
            (Ok(Target::Component(_)), Encoding::Message) => is_incoming(&route.contract),
            _ => false,
        };
        if links.is_empty() || !fits {
            let what = format!("no link grants `{}` of `{}`", route.contract, route.target);
            return Err(Missing::new(Rule::Contract, what));
        }
        // What is asked of a provider is in the call's payload.
        if let Ok(Target::Component(_)) = self.target(&route.target) {
            let mut missing = None;
            links.retain(|(_, link)| {
                let granted = link.options.grant.allows(&route.function, &Asked::Function, 0);
                granted.map_err(|why| missing = Some(why)).is_ok()
            });
            if let Some(missing) = missing.filter(|_| links.is_empty()) {
                return Err(missing);
            }
        }
        Ok(links)
    }

    /// Whether an HTTP route leads where a gateway calls.
    fn check_gateway(&self, route: &CallRoute) -> Result<(), Missing> {
        let fits = route.encoding == Encoding::Message && is_incoming(&route.contract);
        match fits && self.answers_http(&route.target) {
            true => Ok(()),
            false => {
                let what = format!("no [[http]] route leads to `{}`", route.target);
                Err(Missing::new(Rule::Route, what))
            }
        }
    }
}

fn is_incoming(contract: &ContractId) -> bool {
    contract.unversioned().to_string() == INCOMING
}

/// Providers are for components only.
fn component(source: &Source) -> Result<&ComponentId, CallError> {
    match source {
        Source::Component(caller) => Ok(caller),
        other => {
            let message = format!("{other} may not call a provider (rule: contract)");
            Err(CallError::new(ErrorKind::NotAllowed, message))
        }
    }
}

/// Whether there was news, and not the end.
async fn changed<T>(news: &mut watch::Receiver<T>) -> bool {
    news.changed().await.is_ok()
}

#[cfg(test)]
mod tests;
