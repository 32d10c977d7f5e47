//! The components that run on this node, and how those that should are doing.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use wattle_contracts::id::{ComponentId, Digest, PublisherKey};
use wattle_contracts::record::ComponentSpec;
use wattle_runtime::{Actor, Component};

/// How a component that belongs on this node is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "why")]
pub(crate) enum Status {
    /// Being fetched, verified or compiled.
    Starting,
    /// Answering calls.
    Running,
    /// It could not be started; it is tried again.
    Failed(String),
}

struct Entry {
    actor: Arc<Actor>,
    spec: ComponentSpec,
}

/// The running components. Looked at on each call.
#[derive(Default)]
pub(crate) struct Running {
    actors: RwLock<HashMap<ComponentId, Entry>>,
    /// How often an actor has come or gone.
    changes: AtomicU64,
    statuses: RwLock<BTreeMap<ComponentId, Status>>,
}

impl Running {
    pub(crate) fn actor(&self, id: &ComponentId) -> Option<Arc<Actor>> {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        actors.get(id).map(|entry| Arc::clone(&entry.actor))
    }

    /// Another number after each change of what [`Running::actor`] finds.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Whether `id` runs as `spec` says.
    pub(crate) fn is_current(&self, id: &ComponentId, spec: &ComponentSpec) -> bool {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        actors.get(id).is_some_and(|entry| entry.spec == *spec)
    }

    /// What `id` runs, if it was made from this artifact, of which was verified that this publisher has
    /// signed it.
    pub(crate) fn component(
        &self,
        id: &ComponentId,
        digest: Digest,
        publisher: PublisherKey,
    ) -> Option<Component> {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        let is_that =
            |entry: &&Entry| (entry.spec.digest, entry.spec.publisher) == (digest, publisher);
        let entry = actors.get(id).filter(is_that)?;
        Some(entry.actor.component().clone())
    }

    /// Puts an actor in the place of an earlier one of the same name. Calls under way in that
    /// one are finished by it.
    pub(crate) fn insert(&self, id: ComponentId, spec: ComponentSpec, actor: Arc<Actor>) {
        self.set_status(id.clone(), Status::Running);
        let mut actors = self.actors.write().unwrap_or_else(PoisonError::into_inner);
        actors.insert(id, Entry { actor, spec });
        self.changes.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn set_status(&self, id: ComponentId, status: Status) {
        self.statuses.write().unwrap_or_else(PoisonError::into_inner).insert(id, status);
    }

    /// Stops what `keep` does not want, and says what that was.
    pub(crate) fn retain(&self, keep: impl Fn(&ComponentId) -> bool) -> Vec<ComponentId> {
        let mut actors = self.actors.write().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = actors.keys().filter(|id| !keep(id)).cloned().collect();
        actors.retain(|id, _| keep(id));
        self.changes.fetch_add(1, Ordering::Release);
        self.statuses.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| keep(id));
        gone
    }

    /// Stops `id` because it may not run, and says whether it ran. Calls under way are finished.
    pub(crate) fn refuse(&self, id: &ComponentId, why: &str) -> bool {
        let mut actors = self.actors.write().unwrap_or_else(PoisonError::into_inner);
        let ran = actors.remove(id).is_some();
        self.changes.fetch_add(1, Ordering::Release);
        drop(actors);
        self.set_status(id.clone(), Status::Failed(why.into()));
        ran
    }

    /// What each component that runs was declared as.
    pub(crate) fn specs(&self) -> Vec<(ComponentId, ComponentSpec)> {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        actors.iter().map(|(id, entry)| (id.clone(), entry.spec.clone())).collect()
    }

    pub(crate) fn ids(&self) -> Vec<ComponentId> {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<_> = actors.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// How many calls are under way in each component.
    pub(crate) fn load(&self) -> BTreeMap<ComponentId, u32> {
        let actors = self.actors.read().unwrap_or_else(PoisonError::into_inner);
        let busy = |actor: &Actor| u32::try_from(actor.in_flight()).unwrap_or(u32::MAX);
        actors.iter().map(|(id, entry)| (id.clone(), busy(&entry.actor))).collect()
    }

    pub(crate) fn statuses(&self) -> BTreeMap<ComponentId, Status> {
        self.statuses.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
