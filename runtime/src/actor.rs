//! A component with an identity, a configuration and limits, ready to be called.

mod exports;
mod http;
mod instances;
mod messages;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};
use wasmtime::component::Val;
use wasmtime_wasi_http::p2::bindings::ProxyIndices;
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId};
use wattle_contracts::record::LimitSpec;

pub(crate) use self::exports::Export;
use self::exports::Exports;
use self::instances::{Instances, Seat};
pub(crate) use self::shared::Shared;
use crate::bind::{self, BindError, Import};
use crate::component::Component;
use crate::limits::Limits;
use crate::outside::{CallContext, LocalSpan, Outside};
use crate::trap;
use crate::value::PlainList;

/// Who a component is, and what it may use.
#[derive(Debug, Clone)]
pub struct ActorConfig {
    /// Its name in the mesh.
    pub id: ComponentId,
    /// What it reads through `wasi:config/store`.
    pub config: BTreeMap<String, String>,
    /// What its calls may use.
    pub limits: Limits,
}

/// A component that can be called. Each call gets an instance of its own, which is gone when the
/// call ends or its future is dropped, unless the component's limits let it be used again.
pub struct Actor {
    shared: Arc<Shared>,
    component: Component,
    exports: Exports,
    instances: Arc<Instances>,
    /// Where it takes HTTP requests.
    handler: Option<ProxyIndices>,
}

impl Actor {
    /// Binds the imports of `component`; what they reach is asked of `outside` on each call.
    pub fn new(
        component: &Component,
        config: ActorConfig,
        outside: Arc<dyn Outside>,
    ) -> Result<Arc<Self>, BindError> {
        let ActorConfig { id, config, mut limits } = config;
        limits.time = limits.time.min(LimitSpec::MAX_TIME);
        let most = component.engine().memory();
        if limits.memory > most {
            let (wanted, most) = (limits.memory >> 20, most >> 20);
            return Err(BindError::Memory { id, wanted, most });
        }
        let instances = bind::bind(&id, component)?;
        let exports = Exports::of(component);
        let handler = exports
            .takes_requests()
            .then(|| ProxyIndices::new(&instances))
            .transpose()
            .map_err(|error| BindError::Engine { id: id.clone(), error })?;
        let shared = Arc::new(Shared::new(id, config, limits, outside));
        let component = component.clone();
        let instances = Arc::new(Instances::new(instances, component.engine().clone()));
        Ok(Arc::new(Self { shared, component, exports, instances, handler }))
    }

    /// Its name in the mesh.
    pub fn id(&self) -> &ComponentId {
        &self.shared.id
    }

    /// What it was made from.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// What its calls may use.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// How many calls run in it now.
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// Calls `function` with arguments that [`crate::Remote::call`] on another node was given, and
    /// returns the encoded results.
    pub async fn call(
        &self,
        context: CallContext,
        contract: &ContractId,
        function: &str,
        arguments: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let export = self.export(Some(contract), function)?;
        if let Some(known) = export.known {
            return (known.call)(self, context, export, arguments).await;
        }
        let signature = export.signature(self.id())?;
        let arguments = signature
            .decode_arguments(arguments)
            .map_err(|error| export.undecodable(self.id(), error))?;
        let mut slots = [Val::Bool(false)];
        let results = slots.get_mut(..signature.results().len()).unwrap_or_default();
        self.run(context, export, &arguments, results).await?;
        signature.encode_results(results).map_err(|error| {
            let message = format!("{} answered {contract}#{function} badly: {error}", self.id());
            CallError::new(ErrorKind::Internal, message)
        })
    }

    /// Calls `function` with values, within this process.
    pub async fn call_values(
        &self,
        context: CallContext,
        contract: &ContractId,
        function: &str,
        arguments: &[Val],
    ) -> Result<Vec<Val>, CallError> {
        let export = self.export(Some(contract), function)?;
        let mut results = vec![Val::Bool(false); export.signature(self.id())?.results().len()];
        self.run(context, export, arguments, &mut results).await?;
        Ok(results)
    }

    /// Calls `function` with arguments written as WAVE text, like `"apple", 3` or `("apple", 3)`,
    /// and returns its result as such, empty where it returns nothing. Without a contract, a
    /// function that stands outside any interface is meant.
    pub async fn call_wave(
        &self,
        context: CallContext,
        contract: Option<&ContractId>,
        function: &str,
        arguments: &str,
    ) -> Result<String, CallError> {
        let export = self.export(contract, function)?;
        let arguments = export.parse_wave(self.id(), arguments)?;
        let mut slots = [Val::Bool(false)];
        let count = export.signature(self.id())?.results().len();
        let results = slots.get_mut(..count).unwrap_or_default();
        self.run(context, export, &arguments, results).await?;
        let texts: Result<Vec<String>, _> = results.iter().map(Val::to_wave).collect();
        texts.map(|texts| texts.join(", ")).map_err(|error| {
            let message = format!("{function}'s result can't be written as WAVE text: {error:#}");
            CallError::new(ErrorKind::Internal, message)
        })
    }

    /// A call from another component of this node.
    pub(crate) async fn call_local(
        &self,
        caller: &Shared,
        context: CallContext,
        import: &Import,
        arguments: &[Val],
        results: &mut [Val],
    ) -> Result<(), CallError> {
        let (export, context, end) = self.admit(caller, context, import)?;
        let outcome = self.run(context, export, arguments, results).await;
        ended(end, outcome)
    }

    /// [`Actor::call_local`] for a signature of types that are known.
    pub(crate) async fn call_plain_local<P: PlainList, R: PlainList>(
        &self,
        caller: &Shared,
        context: CallContext,
        import: &Import,
        arguments: P,
    ) -> Result<R, CallError> {
        let (export, context, end) = self.admit(caller, context, import)?;
        let outcome = self.run_plain(context, export, arguments).await;
        ended(end, outcome)
    }

    /// [`Actor::call`] for a signature of types that are known.
    pub(crate) async fn call_plain_encoded<P: PlainList, R: PlainList>(
        &self,
        context: CallContext,
        export: &Export,
        arguments: &[u8],
    ) -> Result<Vec<u8>, CallError> {
        let arguments: P = export
            .signature(self.id())?
            .decode_plain_arguments(arguments)
            .map_err(|error| export.undecodable(self.id(), error))?;
        let results: R = self.run_plain(context, export, arguments).await?;
        let mut bytes = Vec::with_capacity(64);
        results.encode(&mut bytes);
        Ok(bytes)
    }

    /// Checks a call from another component of this node before it begins.
    fn admit(
        &self,
        caller: &Shared,
        mut context: CallContext,
        import: &Import,
    ) -> Result<(&Export, CallContext, Option<EndOfSpan>), CallError> {
        let (contract, function) = (&import.contract, &import.function);
        let export = self.export(Some(contract), function)?;
        if export.signature(self.id())?.fingerprint() != import.signature.fingerprint() {
            return Err(export.other_definition(self.id()));
        }
        context.depth += 1;
        if context.depth > CallContext::MAX_DEPTH {
            let message = format!(
                "{} calls {contract}#{function} of {}: that would be more than {} components of \
                 this node calling each other; do they go round in circles?",
                caller.id,
                self.id(),
                CallContext::MAX_DEPTH
            );
            return Err(CallError::new(ErrorKind::NotAllowed, message));
        }
        let span = caller.outside.local_span(&context, self.id(), contract, function);
        let end = span.map(|LocalSpan { trace, end }| {
            context.trace = trace;
            end
        });
        Ok((export, context, end))
    }

    fn export(&self, contract: Option<&ContractId>, function: &str) -> Result<&Export, CallError> {
        self.exports.find(contract, function).ok_or_else(|| {
            let name = match contract {
                Some(contract) => format!("{contract}#{function}"),
                None => function.into(),
            };
            let message = format!("{} does not export {name}; it has {}", self.id(), self.exports);
            CallError::new(ErrorKind::NotLinked, message)
        })
    }

    /// One call, in an instance that it has for itself while it runs.
    async fn run(
        &self,
        context: CallContext,
        export: &Export,
        arguments: &[Val],
        results: &mut [Val],
    ) -> Result<(), CallError> {
        let _in_flight = self.shared.enter()?;
        let mut seat = self.instances.seat(&self.shared, context)?;
        let deadline = seat.store.data().context().deadline;
        let called = self.in_time(deadline, async {
            let instance = seat.instance(self.instances.pre()).await?;
            let function = instance
                .get_func(&mut seat.store, export.index)
                .ok_or_else(|| wasmtime::format_err!("the function is gone"))?;
            function.call_async(&mut seat.store, arguments, results).await
        });
        let called = called.await;
        self.outcome(seat, export, called)
    }

    /// [`Actor::run`] for a signature of types that are known.
    async fn run_plain<P: PlainList, R: PlainList>(
        &self,
        context: CallContext,
        export: &Export,
        arguments: P,
    ) -> Result<R, CallError> {
        let _in_flight = self.shared.enter()?;
        let mut seat = self.instances.seat(&self.shared, context)?;
        let deadline = seat.store.data().context().deadline;
        let called = self.in_time(deadline, async {
            let instance = seat.instance(self.instances.pre()).await?;
            let function = instance.get_typed_func::<P, R>(&mut seat.store, export.index)?;
            function.call_async(&mut seat.store, arguments).await
        });
        let called = called.await;
        self.outcome(seat, export, called)
    }

    /// What `call` gives, unless it is too late for that. Where time is not that of a clock, it is
    /// whoever polls who gives up.
    async fn in_time<T>(
        &self,
        deadline: Instant,
        call: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        match self.component.engine().is_deterministic() {
            true => Ok(call.await),
            false => timeout_at(deadline, call).await,
        }
    }

    fn outcome<T>(
        &self,
        seat: Seat,
        export: &Export,
        called: Result<wasmtime::Result<T>, Elapsed>,
    ) -> Result<T, CallError> {
        if let Some(fuel) = self.instances.used(&seat) {
            self.shared.outside.used(fuel);
        }
        match called {
            Ok(Ok(results)) => {
                self.instances.give_back(seat);
                Ok(results)
            }
            Ok(Err(error)) => Err(trap::failure(seat.store.data(), &export.name, &error)),
            Err(_) => Err(self.shared.too_late()),
        }
    }
}

/// Called when the call of a span has ended.
type EndOfSpan = Box<dyn FnOnce(Option<ErrorKind>) + Send>;

fn ended<T>(end: Option<EndOfSpan>, outcome: Result<T, CallError>) -> Result<T, CallError> {
    if let Some(end) = end {
        end(outcome.as_ref().err().map(|error| error.kind));
    }
    outcome
}

impl std::fmt::Debug for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Actor({})", self.id())
    }
}
