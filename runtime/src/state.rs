//! What one instance carries while its one call runs.

use std::sync::Arc;
use std::time::Duration;

use rand_wasi::SeedableRng as _;
use rand_wasi::rngs::StdRng;
use tokio::time::Instant;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::clocks::{HostMonotonicClock, HostWallClock, WasiClocksView as _};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wattle_contracts::call::{CallError, ErrorKind, Source};

use crate::actor::Shared;
use crate::engine::{CORE_INSTANCES_PER_COMPONENT, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT};
use crate::host::{Clock, LogStream};
use crate::outside::{CallContext, LogLevel, Surroundings};

/// Resources of the host (streams, pollables, headers, buckets …) that one instance may hold at a
/// time: they live in the memory of the host, which no limit of the component counts.
pub(crate) const MAX_RESOURCES: usize = 1_000;

/// How large one set of HTTP fields may be that a component makes, in bytes, as the host holds it:
/// some hundreds of fields of usual length. Of all its resources, that makes at most 64 MiB.
const MAX_FIELDS: usize = 64 << 10;

/// The call, and what it may still do.
pub(crate) struct Call {
    pub(crate) actor: Arc<Shared>,
    pub(crate) context: CallContext,
    outbound_left: u32,
    begun: Instant,
    /// Calls of functions of the host.
    host_calls: u64,
    /// Held by each HTTP request that is under way.
    outstanding: Arc<()>,
    /// HTTP bodies that the component has begun to write.
    pub(crate) bodies: u32,
}

impl Call {
    pub(crate) fn new(actor: Arc<Shared>, context: CallContext) -> Self {
        Self {
            outbound_left: actor.limits.outbound,
            begun: Instant::now(),
            host_calls: 0,
            outstanding: Arc::default(),
            bodies: 0,
            actor,
            context,
        }
    }

    /// A place among the HTTP requests that are under way, as long as the answer is kept; `None`
    /// where there are as many as there may be.
    pub(crate) fn under_way(&self) -> Option<Arc<()>> {
        let under_way = Arc::strong_count(&self.outstanding) - 1;
        let most = self.actor.limits.outstanding as usize;
        (under_way < most).then(|| Arc::clone(&self.outstanding))
    }

    /// The context of one more call that the component makes.
    pub(crate) fn outbound(&mut self) -> Result<CallContext, CallError> {
        let Some(left) = self.outbound_left.checked_sub(1) else {
            let message = format!(
                "{} made more than {} calls for one call to it, its limit",
                self.actor.id, self.actor.limits.outbound
            );
            return Err(CallError::new(ErrorKind::Trapped, message));
        };
        self.outbound_left = left;
        let CallContext { deadline, trace, hops, depth, .. } = self.context;
        Ok(CallContext {
            source: Source::Component(self.actor.id.clone()),
            deadline,
            trace,
            hops,
            depth,
        })
    }
}

/// The data of a store. Made for each call, so it makes little: a WASI context only for a
/// component that uses one.
pub(crate) struct State {
    call: Call,
    table: ResourceTable,
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    memory_left: usize,
    elements_left: usize,
    /// Whether the component was refused memory: it may explain why it gave up.
    memory_refused: bool,
}

impl State {
    pub(crate) fn new(call: Call) -> Self {
        let limits = &call.actor.limits;
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS);
        Self {
            memory_left: limits.memory,
            elements_left: limits.table_elements,
            memory_refused: false,
            table,
            wasi: None,
            http,
            call,
        }
    }

    /// Another call begins, with what the instance has kept: its resources and its memory.
    pub(crate) fn begin(&mut self, call: Call) {
        self.call = call;
        self.memory_refused = false;
    }

    pub(crate) fn actor(&self) -> &Arc<Shared> {
        &self.call.actor
    }

    pub(crate) fn context(&self) -> &CallContext {
        &self.call.context
    }

    /// What the host's functions work with; asked for by each of them once.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        self.call.host_calls += 1;
        &mut self.table
    }

    /// Why the call must end, if it has called more functions of the host than it may: those of a
    /// second at once, and from then on as many as go by. Asked on each tick, so that none of them
    /// pays for it.
    pub(crate) fn flood(&self) -> Option<CallError> {
        let Call { actor, begun, host_calls, .. } = &self.call;
        let rate = actor.limits.host_calls;
        let seconds = begun.elapsed() + Duration::from_secs(1);
        if u128::from(*host_calls) * 1000 <= u128::from(rate) * seconds.as_millis() {
            return None;
        }
        let message = format!(
            "{} called functions of the host more than {rate} times a second, its limit",
            actor.id
        );
        Some(CallError::new(ErrorKind::Trapped, message))
    }

    pub(crate) fn memory_refused(&self) -> bool {
        self.memory_refused
    }

    /// Counts a function of the host that needs none of the above.
    pub(crate) fn count_host_call(&mut self) {
        self.call.host_calls += 1;
    }

    /// See [`Call::outbound`].
    pub(crate) fn outbound(&mut self) -> Result<CallContext, CallError> {
        self.call.host_calls += 1;
        self.call.outbound()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let actor = &self.call.actor;
        actor.give_memory_back(actor.limits.memory - self.memory_left);
    }
}

/// A clock of the host's, as WASI wants it.
struct Kept(Arc<dyn Surroundings>);

impl HostWallClock for Kept {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        self.0.wall()
    }
}

impl HostMonotonicClock for Kept {
    fn resolution(&self) -> u64 {
        1000
    }

    fn now(&self) -> u64 {
        self.0.monotonic()
    }
}

/// No arguments, environment, files or network; what it writes goes to the log.
fn wasi(actor: &Arc<Shared>) -> Box<WasiCtx> {
    let mut context = WasiCtx::builder();
    if let Some(kept) = actor.outside.surroundings() {
        let seed = kept.seed();
        context
            .secure_random(StdRng::seed_from_u64(seed))
            .insecure_random(StdRng::seed_from_u64(seed.rotate_left(1)))
            .insecure_random_seed(seed.into())
            .wall_clock(Kept(Arc::clone(&kept)))
            .monotonic_clock(Kept(kept));
    }
    let context = context
        .stdout(LogStream::new(actor.clone(), LogLevel::Info, "stdout"))
        .stderr(LogStream::new(actor.clone(), LogLevel::Warn, "stderr"))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build();
    Box::new(context)
}

impl State {
    pub(crate) fn clock(&mut self) -> Clock<'_> {
        let kept = self.actor().outside.surroundings();
        Clock { machine: self.clocks(), kept }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.call.host_calls += 1;
        let ctx = self.wasi.get_or_insert_with(|| wasi(&self.call.actor));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.call.host_calls += 1;
        WasiHttpCtxView { hooks: &mut self.call, table: &mut self.table, ctx: &mut self.http }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let left = self.memory_left.checked_sub(more);
        let left = left.filter(|_| self.call.actor.take_memory(more));
        match left {
            Some(left) => self.memory_left = left,
            None => self.memory_refused = true,
        }
        Ok(left.is_some())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let left = self.elements_left.checked_sub(desired.saturating_sub(current));
        if let Some(left) = left {
            self.elements_left = left;
        }
        Ok(left.is_some())
    }

    // The same as the pool has, so that a component which runs on one machine runs on another.
    fn instances(&self) -> usize {
        CORE_INSTANCES_PER_COMPONENT as usize
    }

    fn tables(&self) -> usize {
        TABLES_PER_COMPONENT as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_PER_COMPONENT as usize
    }
}
