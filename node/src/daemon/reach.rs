//! From a name to a node: which nodes could answer a call, which of them gets it, and what the
//! caller is told when none can.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;
use wattle_contracts::call::{CallError, CallHeader, CallRoute, Encoding, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId, NodeId};
use wattle_contracts::record::{Labels, LinkOptions};
use wattle_mesh::core::placement::{self, Candidate as Home};
use wattle_mesh::core::routing::{self, Candidate, Router};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::{BodyStream, Mesh, NodeView, Reply, Standing, View};
use wattle_runtime::CallContext;

use super::node::Node;
use super::table::{Table, Target};

/// What is asked of a node that answers a call along no link: nothing.
pub(super) static ANYWHERE: LinkOptions = LinkOptions::ONCE;

/// The router of this node, and its source of randomness.
pub(super) struct Routes {
    pub(super) state: Mutex<(Router, SmallRng)>,
}

impl Routes {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new((Router::new(), SmallRng::from_os_rng())) }
    }
}

/// A call under way, as the router counts it. A caller that goes away without an answer has not
/// learned anything about the node.
struct UnderWay<'a> {
    caller: &'a Node,
    callee: NodeId,
    outcome: Result<(), ErrorKind>,
}

impl<'a> UnderWay<'a> {
    fn begin(caller: &'a Node, callee: NodeId) -> Self {
        let mut state = caller.routes().state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.began(callee);
        Self { caller, callee, outcome: Err(ErrorKind::Cancelled) }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let now = self.caller.now();
        let mut state = self.caller.routes().state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.ended(now, self.callee, self.outcome);
    }
}

impl Node {
    /// The head of a call that this node passes on or begins.
    pub(crate) fn header(
        &self,
        context: &CallContext,
        target: &ComponentId,
        contract: &ContractId,
        function: &str,
        encoding: Encoding,
    ) -> CallHeader {
        let route = CallRoute {
            source: context.source.clone(),
            target: target.clone(),
            contract: contract.clone(),
            function: function.into(),
            encoding,
        };
        self.header_along(context, Arc::new(route))
    }

    /// The same, where it is known already who calls what.
    pub(super) fn header_along(&self, context: &CallContext, route: Arc<CallRoute>) -> CallHeader {
        CallHeader {
            time_left: context.deadline.saturating_duration_since(Instant::now()),
            trace: context.trace,
            route,
            hops: context.hops.saturating_add(1),
            relay: None,
        }
    }

    /// Calls the header's target on the best of the nodes that a link wants called.
    pub(crate) async fn send_along(
        &self,
        options: &LinkOptions,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let to = self.choose(&header.route.target, options, &[])?;
        self.send_to(to, header, payload, body).await
    }

    /// Calls the header's target on `to`.
    pub(crate) async fn send_to(
        &self,
        to: NodeId,
        header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let mesh = self.mesh_started()?;
        let mut call = UnderWay::begin(self, to);
        let route = Arc::clone(&header.route);
        let outcome = mesh.call(to, header, payload, body).await;
        call.outcome = outcome.as_ref().map(drop).map_err(|error| error.kind);
        outcome.map_err(|error| name_target(error, &route.target, to))
    }

    /// Notes that these nodes have let others answer first.
    pub(super) fn outpaced(&self, nodes: &[NodeId]) {
        let now = self.now();
        let mut state = self.routes().state.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.iter().for_each(|node| state.0.outpaced(now, *node));
    }

    /// The best node that serves `target`, but for those in `tried`.
    pub(super) fn choose(
        &self,
        target: &ComponentId,
        options: &LinkOptions,
        tried: &[NodeId],
    ) -> Result<NodeId, CallError> {
        let (table, view) = (self.table(), self.view()?);
        let candidates = self.candidates(&table, &view, target, options, tried)?;
        self.pick(&table, &view, target, &candidates)
    }

    /// The nodes among which a call of `target` along a link with `options` may choose, but for
    /// those in `tried`.
    pub(super) fn candidates(
        &self,
        table: &Table,
        view: &View,
        target: &ComponentId,
        options: &LinkOptions,
        tried: &[NodeId],
    ) -> Result<Vec<Candidate>, CallError> {
        let wanted = table.target(target)?;
        let mut serving: Vec<&NodeView> = view
            .nodes
            .values()
            .filter(|node| !node.is_self && node.is_reachable() && serves(node, target, &wanted))
            .filter(|node| !tried.contains(&node.id))
            .collect();
        // Those that serve the current declaration; while it is on its way, those that serve an
        // earlier one.
        let current = table.declaration(target);
        routing::prefer(&mut serving, |node| node.runs.components.get(target) == current.as_ref());
        let asked = serving.len();
        let mut serving = routing::narrow(options, serving, |node| &node.about.labels);
        if serving.is_empty() && asked > 0 {
            return Err(CallError::new(ErrorKind::Unreachable, unwanted(target, options)));
        }
        // One that has fallen silent just now may be back in a moment, and till then others serve.
        routing::prefer(&mut serving, |node| node.standing == Standing::Alive);
        let candidate = |node: &NodeView| Candidate {
            node: node.id,
            rtt: node.rtt,
            detour: node.via.is_some(),
            busy: node.load.components.get(target).copied().unwrap_or(0),
        };
        Ok(serving.into_iter().map(candidate).collect())
    }

    /// The best of `candidates`, which were found in `table` and `view`.
    pub(super) fn pick(
        &self,
        table: &Table,
        view: &View,
        target: &ComponentId,
        candidates: &[Candidate],
    ) -> Result<NodeId, CallError> {
        let now = self.now();
        let picked = {
            let mut state = self.routes().state.lock().unwrap_or_else(PoisonError::into_inner);
            let (router, random) = &mut *state;
            router.pick(now, candidates, random)
        };
        picked.ok_or_else(|| {
            let serves = |node: &NodeView| {
                table.target(target).is_ok_and(|wanted| serves(node, target, &wanted))
            };
            CallError::new(ErrorKind::Unreachable, explain(target, table, view, serves))
        })
    }

    /// What this node knows of the others now.
    pub(super) fn view(&self) -> Result<Arc<View>, CallError> {
        Ok(self.mesh_started()?.view())
    }

    pub(super) fn mesh_started(&self) -> Result<&Mesh, CallError> {
        let starting = || CallError::new(ErrorKind::Unreachable, "this node is still starting");
        self.mesh().ok_or_else(starting)
    }

    /// What of `table` belongs on this node now.
    pub(super) fn share(&self, table: &Table) -> Vec<ComponentId> {
        match self.mesh() {
            Some(mesh) => {
                let view = mesh.view();
                placement::share(self.id(), table.apps(), &homes(&view))
            }
            None => Vec::new(),
        }
    }

    /// The node that shall hold the state of a provider, chosen when its app is declared.
    pub(super) fn choose_home(&self, provider: &ComponentId, on: &Labels) -> Option<NodeId> {
        let view = self.mesh()?.view();
        placement::choose_home(provider, on, &homes(&view))
    }

    pub(super) fn now(&self) -> Time {
        Time::since_start(self.started().elapsed())
    }
}

/// The nodes that something may be placed on.
pub(crate) fn homes(view: &View) -> Vec<Home<'_>> {
    view.alive().map(|node| Home { node: node.id, labels: &node.about.labels }).collect()
}

/// Whether `node` says that it serves `target`, which is declared as `wanted`.
pub(super) fn serves(node: &NodeView, target: &ComponentId, wanted: &Target<'_>) -> bool {
    match wanted {
        Target::Component(_) => node.runs.components.contains_key(target),
        Target::Provider(spec) => routing::provides(spec, node.id, &node.about.labels),
    }
}

/// Why nobody is called although somebody could be, for a person.
pub(super) fn unwanted(target: &ComponentId, options: &LinkOptions) -> String {
    let labels: Vec<String> =
        options.require.iter().map(|(key, value)| format!("{key}={value}")).collect();
    format!(
        "`{target}` runs on no node that can be reached from here now and carries {}, which the \
         link requires",
        labels.join(", ")
    )
}

/// Why nobody can be called, for a person.
fn explain(
    target: &ComponentId,
    table: &Table,
    view: &View,
    serves: impl Fn(&NodeView) -> bool,
) -> String {
    let away: Vec<String> = view
        .nodes
        .values()
        .filter(|node| !node.is_self && serves(node))
        .map(|node| format!("{} ({})", node.id.short(), node.standing.name()))
        .collect();
    if !away.is_empty() {
        return format!(
            "`{target}` is on {}, which can't be reached from here now",
            away.join(", ")
        );
    }
    let placed = match table.target(target) {
        Ok(Target::Component(spec)) => {
            let placement = placement::place(target, spec, &homes(view));
            match placement.reason {
                Some(shortfall) => shortfall.to_string(),
                None => "it is being started".into(),
            }
        }
        Ok(Target::Provider(spec)) => match spec.node {
            Some(home) => format!("its home {} is not known here", home.short()),
            None => "no node that is known carries its labels".into(),
        },
        Err(error) => error.message,
    };
    format!("`{target}` runs on no node that is known here: {placed}")
}

/// Says which target and node an error of the way there was about; an error of the callee itself
/// speaks for itself.
fn name_target(error: CallError, target: &ComponentId, node: NodeId) -> CallError {
    match error.kind {
        ErrorKind::Unreachable | ErrorKind::Overloaded | ErrorKind::Deadline
            if !error.message.contains(&target.to_string()) =>
        {
            let message = format!("`{target}` on {}: {}", node.short(), error.message);
            CallError::new(error.kind, message)
        }
        _ => error,
    }
}
