//! The components of a scenario, compiled, and whether they can be what the scenario wants.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use wattle_contracts::id::{ComponentId, ContractId, Digest};
use wattle_contracts::record::{App, ComponentSpec};
use wattle_mesh::core::routes::Routes;
use wattle_runtime::{
    Actor, ActorConfig, BindError, Component, Engine, EngineConfig, EngineError, Function, Limits,
    LoadError,
};

use super::desk::Desk;
use crate::lattice::{CallPlan, RequestPlan};
use crate::scenario::{LoadKind, Scenario};

/// The most memory of an instance, in bytes: what a component may be given where that is declared.
const MEMORY: usize = 1 << 30;

/// The compiled components of a scenario's apps. Cheap to clone.
#[derive(Clone)]
pub struct Code {
    components: Arc<BTreeMap<(ComponentId, Digest), Component>>,
}

/// Why a scenario's components can't be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The engine does not work here.
    #[error("{0}")]
    Engine(#[from] EngineError),
    /// A file can't be read.
    #[error(
        "can't read {}, the component `{id}`: {error}. Its manifest names it relative to itself; \
         without --wasm no component is needed", .file.display()
    )]
    Read {
        /// Whose.
        id: ComponentId,
        /// Which.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file is no component that can be run.
    #[error("{}, the component `{id}`: {error}", .file.display())]
    Load {
        /// Whose.
        id: ComponentId,
        /// Which.
        file: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// A component imports what it can't be given.
    #[error("{0}")]
    Bind(#[from] BindError),
    /// A call of the scenario does not fit the component that it goes to.
    #[error("a [[call]] of `{function}` goes to `{id}`: {why}")]
    Call {
        /// To whom.
        id: ComponentId,
        /// Of what.
        function: String,
        /// What is wrong.
        why: String,
    },
    /// A request of the scenario is routed to a component that takes none.
    #[error(
        "a [[request]] for `{path}` is routed to `{id}`, which does not export \
         wasi:http/incoming-handler; it has {has}"
    )]
    Request {
        /// To whom.
        id: ComponentId,
        /// For what.
        path: String,
        /// What it has instead.
        has: String,
    },
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.components.keys().map(|(id, _)| id.to_string())).finish()
    }
}

impl Code {
    /// Reads and compiles every component of the scenario's apps, and checks its calls against
    /// them. No signature is asked for: nothing of it leaves this process.
    pub fn load(scenario: &Scenario) -> Result<Self, CodeError> {
        let config =
            EngineConfig { deterministic: true, memory: MEMORY, ..EngineConfig::default() };
        let engine = Engine::new(config)?;
        let mut components = BTreeMap::new();
        for declared in &scenario.apps {
            for (name, spec) in &declared.app.components {
                let id = ComponentId::new(declared.app.name.clone(), name.clone());
                let Some(file) = declared.files.get(name) else { continue };
                let bytes = std::fs::read(file);
                let (of, path) = (|| id.clone(), || file.clone());
                let bytes =
                    bytes.map_err(|error| CodeError::Read { id: of(), file: path(), error })?;
                let loaded = Component::load(&engine, &Digest::of(&bytes), &bytes);
                let component =
                    loaded.map_err(|error| CodeError::Load { id: of(), file: path(), error })?;
                // Whether it can be bound shows now, and not in the middle of a run.
                Desk::default().bind(&id, &component, spec)?;
                components.insert((id, spec.digest), component);
            }
        }
        let code = Self { components: Arc::new(components) };
        for load in &scenario.load {
            match &load.what {
                LoadKind::Call(plan) => code.check(scenario, plan)?,
                LoadKind::Request(plan) => code.check_request(scenario, plan)?,
                LoadKind::Publish { .. } | LoadKind::Edit { .. } => {}
            }
        }
        Ok(code)
    }

    /// The component that `id` is, as it is declared.
    pub(crate) fn component(&self, id: &ComponentId, spec: &ComponentSpec) -> Option<&Component> {
        self.components.get(&(id.clone(), spec.digest))
    }

    /// Whether all those to whom a call may go have what is called.
    fn check(&self, scenario: &Scenario, plan: &CallPlan) -> Result<(), CodeError> {
        for declared in &scenario.apps {
            let app = &declared.app;
            for id in targets(app, plan) {
                let Some(spec) = app.components.get(&id.name) else { continue };
                let Some(component) = self.component(&id, spec) else { continue };
                let wrong = |why| {
                    let (id, function) = (id.clone(), plan.function.clone());
                    Err(CodeError::Call { id, function, why })
                };
                if is_http(&plan.contract) {
                    return wrong(
                        "with --wasm a request over HTTP is written as [[request]]".into(),
                    );
                }
                let Some((_, function)) = export(component, &plan.contract, &plan.function) else {
                    return wrong(format!("it has no such function; it has {}", names(component)));
                };
                if plan.arguments.is_none() && !function.signature.starts_with("func()") {
                    let signature = &function.signature;
                    return wrong(format!(
                        "with --wasm it needs `arguments`, as for `wattle call`: it is {signature}"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Code {
    /// Whether the one that a request is for takes requests.
    fn check_request(&self, scenario: &Scenario, plan: &RequestPlan) -> Result<(), CodeError> {
        let routes = Routes::new(scenario.apps.iter().map(|declared| &declared.app));
        let Some(id) = routes.find(plan.host(), plan.path()) else { return Ok(()) };
        let declared = scenario.apps.iter().find(|declared| declared.app.name == id.app);
        let spec = declared.and_then(|declared| declared.app.components.get(&id.name));
        let component = spec.and_then(|spec| self.component(id, spec));
        match component {
            Some(component) if !answers_requests(component) => {
                let has = names(component);
                let path = plan.path().to_owned();
                Err(CodeError::Request { id: id.clone(), path, has })
            }
            _ => Ok(()),
        }
    }
}

/// Where a call of the scenario goes within an app.
fn targets(app: &App, plan: &CallPlan) -> Vec<ComponentId> {
    let id = |name| ComponentId::new(app.name.clone(), name);
    match (&plan.from, &plan.to) {
        (Some(from), _) if from.app == app.name => {
            let own = app.links.iter().filter(|link| link.from == from.name);
            let fits = own.filter(|link| link.contract.covers(&plan.contract));
            fits.map(|link| id(link.to.clone())).collect()
        }
        (None, Some(to)) if to.app == app.name => vec![to.clone()],
        _ => Vec::new(),
    }
}

/// Whether a component can ask somebody outside over HTTP.
pub(super) fn asks_outside(component: &Component) -> bool {
    component.imports().iter().any(|import| {
        is_http(&import.contract) && import.contract.interface() == Some("outgoing-handler")
    })
}

/// Whether it answers requests over HTTP.
fn answers_requests(component: &Component) -> bool {
    component.exports().iter().any(|export| {
        is_http(&export.contract) && export.contract.interface() == Some("incoming-handler")
    })
}

/// Whether calls of this contract are requests over HTTP: no values are their arguments.
pub(crate) fn is_http(contract: &ContractId) -> bool {
    contract.namespace() == "wasi" && contract.package() == "http"
}

/// The function that a call of `contract` means. Where no contract was named, it is looked for in
/// all interfaces, and first outside of them.
pub(super) fn export<'c>(
    component: &'c Component,
    contract: &ContractId,
    function: &str,
) -> Option<(Option<&'c ContractId>, &'c Function)> {
    let is_it = |one: &&Function| one.name == function;
    let fits = |own: &ContractId| own.covers(contract) || contract.covers(own);
    let mut exports = component.exports().iter();
    let named = exports
        .find(|export| fits(&export.contract))
        .and_then(|export| Some((Some(&export.contract), export.functions.iter().find(is_it)?)));
    let outside = || Some((None, component.functions().iter().find(is_it)?));
    let anywhere = || {
        component
            .exports()
            .iter()
            .find_map(|export| Some((Some(&export.contract), export.functions.iter().find(is_it)?)))
    };
    if contract.namespace() != "wattle" || contract.package() != "any" {
        return named;
    }
    outside().or_else(anywhere)
}

fn names(component: &Component) -> String {
    let own = component.functions().iter().map(|function| format!("`{}`", function.name));
    let all = component.exports().iter().flat_map(|export| {
        let contract = &export.contract;
        export.functions.iter().map(move |function| format!("`{}` of {contract}", function.name))
    });
    let all: Vec<String> = own.chain(all).collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

/// What the calls of a component may use: what it declares, else the runtime's defaults.
pub(crate) fn limits(spec: &ComponentSpec) -> Limits {
    let (usual, declared) = (Limits::default(), &spec.limits);
    let memory = declared.memory_bytes.and_then(|bytes| usize::try_from(bytes).ok());
    Limits {
        memory: memory.map_or(usual.memory, |bytes| bytes.min(MEMORY)),
        time: declared.time.unwrap_or(usual.time),
        concurrency: declared.concurrency.map_or(usual.concurrency, |count| count as usize),
        ..usual
    }
}

impl Desk {
    /// A component whose calls come to a desk.
    pub(super) fn bind(
        self,
        id: &ComponentId,
        component: &Component,
        spec: &ComponentSpec,
    ) -> Result<Arc<Actor>, BindError> {
        let config = spec.config.clone();
        let config = ActorConfig { id: id.clone(), config, limits: limits(spec) };
        Actor::new(component, config, Arc::new(super::desk::Shared::new(self)))
    }
}
