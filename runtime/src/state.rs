//! What one instance carries while its one call runs.

use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use wattle_contracts::call::{CallError, ErrorKind, Source};

use crate::actor::Shared;
use crate::host::LogStream;
use crate::outside::{CallContext, LogLevel};

/// Resources of the host (streams, headers, buckets …) that one instance may hold at a time: they
/// live in the memory of the host, which no limit of the component counts.
const MAX_RESOURCES: usize = 10_000;

/// The call, and what it may still do.
pub(crate) struct Call {
    pub(crate) actor: Arc<Shared>,
    pub(crate) context: CallContext,
    outbound_left: u32,
}

impl Call {
    pub(crate) fn new(actor: Arc<Shared>, context: CallContext) -> Self {
        Self { outbound_left: actor.limits.outbound, actor, context }
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
        Self {
            memory_left: limits.memory,
            elements_left: limits.table_elements,
            memory_refused: false,
            table,
            wasi: None,
            http: WasiHttpCtx::new(),
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

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    pub(crate) fn memory_refused(&self) -> bool {
        self.memory_refused
    }

    /// See [`Call::outbound`].
    pub(crate) fn outbound(&mut self) -> Result<CallContext, CallError> {
        self.call.outbound()
    }
}

/// No arguments, environment, files or network; what it writes goes to the log.
fn wasi(actor: &Arc<Shared>) -> Box<WasiCtx> {
    let context = WasiCtx::builder()
        .stdout(LogStream::new(actor.clone(), LogLevel::Info, "stdout"))
        .stderr(LogStream::new(actor.clone(), LogLevel::Warn, "stderr"))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .build();
    Box::new(context)
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| wasi(&self.call.actor));
        WasiCtxView { ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
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
        let left = self.memory_left.checked_sub(desired.saturating_sub(current));
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
}
