//! Calls that a link allows to be made more than once: again elsewhere when no answer comes, or
//! twice when it comes late.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::Instant;
use wattle_contracts::call::{CallError, CallHeader, ErrorKind};
use wattle_contracts::id::{ComponentId, NodeId};
use wattle_contracts::record::LinkOptions;
use wattle_mesh::core::invoke::{Budget, Budgets, Call, Step, Verdict};
use wattle_mesh::net::{Reply, Standing, View};

use super::node::Node;

/// Whether a link allows calls of `function` to be made more than once.
pub(super) fn repeats(options: &LinkOptions, function: &str) -> bool {
    options.idempotent.iter().any(|covered| covered == function)
}

/// What repeated calls share.
pub(crate) struct Repeats {
    state: Mutex<(Budgets, SmallRng)>,
    retried: AtomicU64,
    hedged: AtomicU64,
}

impl Repeats {
    pub(super) fn new() -> Self {
        let state = Mutex::new((Budgets::default(), SmallRng::from_os_rng()));
        Self { state, retried: AtomicU64::new(0), hedged: AtomicU64::new(0) }
    }

    /// How many calls were made again because no answer came, and because it came late.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        [("calls_retried", &self.retried), ("calls_hedged", &self.hedged)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    fn with<T>(
        &self,
        target: &ComponentId,
        what: impl FnOnce(&mut Budget, &mut SmallRng) -> T,
    ) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (budgets, random) = &mut *state;
        what(budgets.of(target), random)
    }
}

impl Node {
    /// Calls the header's target on the best node that serves it; if no answer comes, on the next
    /// best, within the deadline.
    pub(super) async fn send_again(
        &self,
        options: &LinkOptions,
        header: CallHeader,
        payload: Bytes,
    ) -> Result<Reply, CallError> {
        let (target, repeats) = (header.route.target.clone(), self.repeats());
        let deadline = Instant::now() + header.time_left;
        let hedge = options.hedge_millis.map(|millis| Duration::from_millis(millis.into()));
        let mut call = Call::new(self.now(), self.now().plus(header.time_left), hedge);
        let (mut tried, mut waiting): (Vec<NodeId>, Vec<NodeId>) = (Vec::new(), Vec::new());
        let mut under_way = FuturesUnordered::new();
        let mut failed = None;
        let mut view = self.mesh().map(|mesh| mesh.watch_view());
        let mut silent: Vec<NodeId> = Vec::new();
        loop {
            match repeats.with(&target, |budget, _| call.next(self.now(), budget)) {
                Step::Begin { attempt, hedge } => {
                    let to = match self.choose(&target, options, &tried) {
                        Err(_) if hedge => {
                            repeats.with(&target, |budget, _| call.skipped(budget));
                            continue;
                        }
                        // All were tried: perhaps one of them is back.
                        Err(_) if !tried.is_empty() => self.choose(&target, options, &[]),
                        chosen => chosen,
                    };
                    match (attempt, hedge) {
                        (0, _) => {}
                        (_, false) => _ = repeats.retried.fetch_add(1, Ordering::Relaxed),
                        (_, true) => _ = repeats.hedged.fetch_add(1, Ordering::Relaxed),
                    }
                    tried.extend(to.as_ref().ok());
                    waiting.extend(to.as_ref().ok());
                    let mut header = header.clone();
                    header.time_left = deadline.saturating_duration_since(Instant::now());
                    let payload = payload.clone();
                    under_way.push(async {
                        let node = to.as_ref().ok().copied();
                        let outcome = match to {
                            Ok(to) => self.send_to(to, header, payload, None).await,
                            Err(error) => Err(error),
                        };
                        (node, outcome)
                    });
                }
                Step::Wait(until) => {
                    let until = self.started() + until.elapsed();
                    let (node, outcome) = tokio::select! {
                        Some(ended) = under_way.next() => ended,
                        () = tokio::time::sleep_until(until) => continue,
                        view = changed(&mut view) => {
                            let gone = |node: &NodeId| is_silent(&view, *node);
                            if silent != waiting && waiting.iter().all(gone) {
                                silent.clone_from(&waiting);
                                call.unheard(self.now());
                            }
                            continue;
                        }
                    };
                    waiting.retain(|other| Some(*other) != node);
                    let kind = outcome.as_ref().map(drop).map_err(|error| error.kind);
                    let verdict =
                        repeats.with(&target, |_, random| call.ended(self.now(), kind, random));
                    match (verdict, outcome) {
                        (Verdict::GoesOn, Err(error)) => failed = Some(error),
                        (_, outcome) => {
                            // What else is under way is given up with this.
                            if outcome.is_ok() {
                                self.outpaced(&waiting);
                            }
                            return outcome;
                        }
                    }
                }
                Step::GiveUp => {
                    return Err(failed.unwrap_or_else(|| {
                        let text = format!("`{target}`: no answer in time; it may still have run");
                        CallError::new(ErrorKind::Deadline, text)
                    }));
                }
            }
        }
    }
}

/// The next view of the mesh.
async fn changed(view: &mut Option<watch::Receiver<Arc<View>>>) -> Arc<View> {
    if let Some(view) = view
        && view.changed().await.is_ok()
    {
        return Arc::clone(&view.borrow_and_update());
    }
    std::future::pending().await
}

/// Whether a node that was called does not answer by itself any more.
fn is_silent(view: &View, node: NodeId) -> bool {
    view.node(node).is_none_or(|node| node.standing != Standing::Alive)
}
