//! Makes true on this node what the records and the placement say: what belongs here runs here,
//! and nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wattle_contracts::audit::Happening;
use wattle_contracts::id::{ComponentId, Digest, PublisherKey};
use wattle_contracts::record::{ComponentSpec, SignedComponent};
use wattle_mesh::net::{Failure, Load, Mesh, Runs};
use wattle_runtime::{Actor, ActorConfig, Component, Limits};

use super::fetch::{Failing, fetch};
use super::node::{INSTANCES, INSTANCES_OF_ONE, Node, memory_of_one, resident_memory};
use super::outside::NodeOutside;
use super::publishers::contracts;
use super::running::Status;
use super::table::Table;

/// What failed for the first time is tried again after so long: an artifact may be on its way.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// What failed again waits longer.
const RETRY: Duration = Duration::from_secs(5);
/// How much of a failure the others are told, in characters.
const MAX_WHY: usize = 400;
/// How often the load is looked at; it is told when it is another one.
const LOAD: Duration = Duration::from_secs(2);

/// How often it is told all the same.
const SAME_LOAD: Duration = Duration::from_secs(60);

/// By how much memory changes before that is news, in bytes: every allocation changes it, and each
/// telling is a signature that every node of the cell checks.
const MORE_MEMORY: u64 = 8 * 1024 * 1024;

/// How many components are fetched, compiled and started at once. What stops waits for none of them.
const STARTS: usize = 4;

/// How often artifacts that no app needs are looked for, and how long each is kept all the same.
const PRUNE: Duration = Duration::from_secs(3600);

/// Keeps this node at its share until `stop`.
pub(crate) async fn run(node: Arc<Node>, mesh: Mesh, stop: CancellationToken) {
    let mut view = mesh.watch_view();
    let mut load = tokio::time::interval(LOAD);
    load.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut prune = tokio::time::interval(PRUNE);
    let mut share = Share::new();
    let mut said = None;
    loop {
        share.settle(&node, &mesh);
        let retry_at = share.retry_at();
        let retry = async {
            match retry_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(retry);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = view.changed() => if changed.is_err() { return } else { break },
                () = node.woken() => break,
                () = &mut retry => break,
                Some(started) = share.starts.join_next() => {
                    share.started(&node, started);
                    break;
                }
                _ = load.tick() => say_load(&node, &mesh, &mut said),
                _ = prune.tick() => prune_artifacts(&node),
            }
        }
    }
}

/// Keeps this node's table of apps at what is declared, until `stop`. Apart from the scheduler,
/// which may be fetching and compiling for a while: calls must not wait for that.
pub(crate) async fn follow_records(node: Arc<Node>, mesh: Mesh, stop: CancellationToken) {
    let mut records = mesh.watch_records();
    loop {
        records.mark_unchanged();
        node.refresh_table(&mesh);
        node.wake_scheduler();
        tokio::select! {
            () = stop.cancelled() => return,
            changed = records.changed() => if changed.is_err() { return },
        }
    }
}

/// What the scheduler remembers between two looks.
struct Share {
    /// What is being started, as it is declared, by tasks of their own.
    starts: JoinSet<Start>,
    starting: BTreeMap<ComponentId, (ComponentSpec, AbortHandle)>,
    places: Arc<Semaphore>,
    /// From whom nothing came when it was asked for an artifact, and how often: asked last.
    failing: Arc<Failing>,
    /// What could not be started, as it was declared then, and when it is tried again. The mesh
    /// may change every second; a component that fails is not to be fetched as often.
    failed: BTreeMap<ComponentId, (ComponentSpec, Instant)>,
    /// What the others were told last.
    said: Option<Runs>,
    /// When that is to be tried again, if it did not go out.
    say_again: Option<Instant>,
}

/// What came of starting a component.
struct Start {
    id: ComponentId,
    spec: ComponentSpec,
    outcome: Result<(), String>,
}

impl Share {
    fn new() -> Self {
        Self {
            starts: JoinSet::new(),
            starting: BTreeMap::new(),
            places: Arc::new(Semaphore::new(STARTS)),
            failing: Arc::default(),
            failed: BTreeMap::new(),
            said: None,
            say_again: None,
        }
    }

    /// When there is something to be tried again.
    fn retry_at(&self) -> Option<Instant> {
        self.failed.values().map(|(_, at)| *at).chain(self.say_again).min()
    }

    /// Brings this node to its share, as far as that needs no waiting: what is to run is being started.
    fn settle(&mut self, node: &Arc<Node>, mesh: &Mesh) {
        let table = node.table();
        let share: BTreeSet<ComponentId> = node.share(&table).into_iter().collect();
        for gone in node.running().retain(|id| share.contains(id)) {
            tracing::info!(component = %gone, "stopped");
            node.audit().note(Happening::ComponentStopped { component: gone });
        }
        node.paces().retain(|id| table.target(id).is_ok());
        self.failed.retain(|id, _| share.contains(id));
        self.starting.retain(|id, (_, task)| {
            let stays = share.contains(id);
            if !stays {
                task.abort();
            }
            stays
        });
        for id in share {
            let app = table.app(&id.app);
            if let Some(spec) = app.and_then(|app| app.components.get(&id.name)) {
                self.ensure(node, mesh, id, spec);
            }
        }
        self.say(mesh, runs(node, &table));
    }

    /// Starts a component, unless it runs already or failed a moment ago.
    fn ensure(&mut self, node: &Arc<Node>, mesh: &Mesh, id: ComponentId, spec: &ComponentSpec) {
        if let Err(why) = node.may_run_as(&node.table(), &id, spec) {
            // Nothing to be tried again before a record changes.
            self.failed.remove(&id);
            node.forbid(&id, spec, &why);
            return;
        }
        let waits =
            |(failed, at): &(ComponentSpec, Instant)| failed == spec && Instant::now() < *at;
        if node.running().is_current(&id, spec) {
            // Perhaps a declaration that failed was taken back: nothing is left to be tried.
            if self.failed.remove(&id).is_some() {
                node.running().set_status(id, Status::Running);
            }
            return;
        }
        if self.failed.get(&id).is_some_and(waits) {
            return;
        }
        match self.starting.get(&id) {
            Some((starting, _)) if starting == spec => return,
            Some((_, task)) => task.abort(),
            None => {}
        }
        node.running().set_status(id.clone(), Status::Starting);
        let (node, mesh, spec) = (Arc::clone(node), mesh.clone(), spec.clone());
        let (places, failing) = (Arc::clone(&self.places), Arc::clone(&self.failing));
        let (starts, declared) = (id.clone(), spec.clone());
        let task = self.starts.spawn(async move {
            let _place = places.acquire_owned().await;
            let outcome = start(&node, &mesh, &failing, &starts, &spec).await;
            Start { id: starts, spec, outcome }
        });
        self.starting.insert(id, (declared, task));
    }

    /// Takes note of what came of starting a component.
    fn started(&mut self, node: &Arc<Node>, started: Result<Start, JoinError>) {
        let Start { id, spec, outcome } = match started {
            Ok(started) => started,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                // Which it was can't be told: all are looked at again, and begun anew if they are not at work.
                tracing::error!(%error, "starting a component failed (a fault)");
                self.starting.retain(|_, (_, task)| !task.is_finished());
                return;
            }
        };
        // Of one that was begun anew since, the older comes to nothing.
        if self.starting.get(&id).is_none_or(|(starting, _)| *starting != spec) {
            return;
        }
        self.starting.remove(&id);
        match outcome {
            Ok(()) => {
                self.failed.remove(&id);
                tracing::info!(component = %id, digest = %spec.digest, "started");
                let (digest, publisher) = (spec.digest, spec.publisher);
                node.audit().note(Happening::ComponentStarted { component: id, digest, publisher });
            }
            Err(why) => {
                tracing::warn!(component = %id, why, "can't start; trying again");
                node.audit().note(Happening::ComponentFailed {
                    component: id.clone(),
                    digest: spec.digest,
                    why: why.clone(),
                });
                node.running().set_status(id.clone(), Status::Failed(why));
                // Soon at first, since what is missing may be on its way; then less often.
                let again = match self.failed.get(&id) {
                    Some((failed, _)) if *failed == spec => RETRY,
                    _ => FIRST_RETRY,
                };
                self.failed.insert(id, (spec, Instant::now() + again));
            }
        }
    }

    fn say(&mut self, mesh: &Mesh, runs: Runs) {
        if self.said.as_ref() == Some(&runs) {
            self.say_again = None;
            return;
        }
        self.say_again = match mesh.say_runs(&runs) {
            Ok(()) => {
                self.said = Some(runs);
                None
            }
            Err(error) => {
                tracing::warn!(%error, "can't tell the others what runs here; trying again");
                Some(Instant::now() + FIRST_RETRY)
            }
        };
    }
}

/// What this node tells the others that it runs and holds.
fn runs(node: &Node, table: &Table) -> Runs {
    let here = node.id();
    let declared = |id: &ComponentId| table.declaration(id).unwrap_or_default();
    let mut components = BTreeMap::new();
    for app in table.apps() {
        for (name, spec) in &app.components {
            let id = ComponentId::new(app.name.clone(), name.clone());
            if node.running().is_current(&id, spec) {
                let declaration = declared(&id);
                components.insert(id, declaration);
            }
        }
        for (name, _) in app.providers.iter().filter(|(_, spec)| spec.node == Some(here)) {
            let id = ComponentId::new(app.name.clone(), name.clone());
            let declaration = declared(&id);
            components.insert(id, declaration);
        }
    }
    // What still runs as it was declared before.
    for id in node.running().ids() {
        components.entry(id).or_default();
    }
    let mut artifacts = node.artifacts().list();
    artifacts.sort();
    // Each was tried, or found to be what failed before, by this very table.
    let failing = node.running().statuses().into_iter().filter_map(|(id, status)| match status {
        Status::Failed(why) => {
            let why = why.chars().take(MAX_WHY).collect();
            let declaration = declared(&id);
            Some((id, Failure { declaration, why }))
        }
        Status::Starting | Status::Running => None,
    });
    Runs { components, artifacts, failing: failing.collect() }
}

fn prune_artifacts(node: &Node) {
    let table = node.table();
    let specs = table.apps().flat_map(|app| app.components.values());
    let needed: BTreeSet<Digest> = specs.map(|spec| spec.digest).collect();
    node.artifacts().prune(|digest| needed.contains(&digest), PRUNE);
}

/// Tells the load, unless it is much as what was `said` last.
fn say_load(node: &Node, mesh: &Mesh, said: &mut Option<(Instant, Load)>) {
    let components = node.running().load();
    let load = Load {
        busy: components.values().sum(),
        capacity: INSTANCES,
        memory_bytes: resident_memory(),
        components,
    };
    let is_known = |(at, said): &(Instant, Load)| at.elapsed() < SAME_LOAD && is_like(said, &load);
    if said.as_ref().is_some_and(is_known) {
        return;
    }
    match mesh.say_load(&load) {
        Ok(()) => *said = Some((Instant::now(), load)),
        Err(error) => tracing::debug!(%error, "the load was not told this time"),
    }
}

/// Whether who chooses between nodes would choose the same.
fn is_like(said: &Load, now: &Load) -> bool {
    let Load { busy, capacity, memory_bytes, components } = said;
    (busy, capacity, components) == (&now.busy, &now.capacity, &now.components)
        && memory_bytes.abs_diff(now.memory_bytes) < MORE_MEMORY
}

async fn start(
    node: &Arc<Node>,
    mesh: &Mesh,
    failing: &Failing,
    id: &ComponentId,
    spec: &ComponentSpec,
) -> Result<(), String> {
    let component = match node.running().component(id, spec.digest, spec.publisher) {
        // Only what is around it has changed: its configuration, for instance.
        Some(component) => component,
        None => obtain(node, mesh, failing, id, spec).await?,
    };
    let mut limits = limits(spec);
    limits.concurrency = limits.concurrency.min(component.instances_within(INSTANCES_OF_ONE));
    let config = ActorConfig { id: id.clone(), config: spec.config.clone(), limits };
    let outside = Arc::new(NodeOutside { node: Arc::downgrade(node) });
    let actor = Actor::new(&component, config, outside).map_err(|error| error.to_string())?;
    node.running().insert(id.clone(), spec.clone(), actor);
    Ok(())
}

/// A verified and compiled component: from this node's disk, else from whoever holds it.
async fn obtain(
    node: &Arc<Node>,
    mesh: &Mesh,
    failing: &Failing,
    id: &ComponentId,
    spec: &ComponentSpec,
) -> Result<Component, String> {
    let (digest, publisher) = (spec.digest, spec.publisher);
    if let Some(found) = load(node, id, digest, &[publisher]).await? {
        return Ok(found.component);
    }
    fetch(node, mesh, failing, id, spec).await?;
    let found = load(node, id, digest, &[publisher])
        .await?
        .ok_or("its file vanished from this node's disk")?;
    Ok(found.component)
}

/// A component that is verified and compiled.
pub(super) struct Loaded {
    pub(super) component: Component,
    pub(super) publisher: PublisherKey,
    pub(super) size: u64,
}

/// Verifies and compiles the artifact `digest`, if this node holds it, to be run as `id`. One of
/// `publishers` must have signed it, and be trusted with that.
pub(super) async fn load(
    node: &Arc<Node>,
    id: &ComponentId,
    digest: Digest,
    publishers: &[PublisherKey],
) -> Result<Option<Loaded>, String> {
    let (node, id, publishers) = (Arc::clone(node), id.clone(), publishers.to_vec());
    let work = move || {
        let Some((bytes, signers)) =
            node.artifacts().load(digest, &publishers).map_err(|error| error.to_string())?
        else {
            return Ok(None);
        };
        let table = node.table();
        let first = |signers: &[PublisherKey], component: SignedComponent<'_>| {
            let mut why = String::new();
            for signer in signers {
                match node.may_run(&table, *signer, &component) {
                    Ok(()) => return Ok(*signer),
                    Err(refused) => why = refused,
                }
            }
            Err(why)
        };
        // What its rules do not let run is not compiled; what it imports is only known afterwards.
        first(&signers, SignedComponent { id: &id, digest, contracts: None })?;
        let component =
            Component::load(node.engine(), &digest, &bytes).map_err(|error| error.to_string())?;
        let contracts = contracts(&component);
        let contracts = Some(contracts.iter().collect());
        let publisher = first(&signers, SignedComponent { id: &id, digest, contracts })?;
        Ok(Some(Loaded { component, publisher, size: bytes.len() as u64 }))
    };
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}

/// The limits of a component: what it declares, else the runtime's defaults.
pub(super) fn limits(spec: &ComponentSpec) -> Limits {
    let defaults = Limits::default();
    let declared = &spec.limits;
    Limits {
        memory: declared
            .memory_bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(defaults.memory),
        memory_together: memory_of_one(),
        time: declared.time.unwrap_or(defaults.time),
        concurrency: declared.concurrency.map_or(defaults.concurrency, |count| count as usize),
        reuse: declared.reuse.unwrap_or(defaults.reuse),
        ..defaults
    }
}
