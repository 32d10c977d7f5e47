//! `relay` and `echo` composed ahead of time, run by wasmtime alone.

use anyhow::Context as _;
use wasm_compose::graph::{Component as Part, CompositionGraph, EncodeOptions};
use wasmparser::Validator;
use wasmtime::component::{Component, ComponentExportIndex, Instance, InstancePre, Linker};
use wasmtime::{Engine, Result, Store};

use crate::{places, plain_engine};

const ECHO: &str = "wattle:bench/echo@0.1.0";
const RELAY: &str = "wattle:bench/relay@0.1.0";

/// The composed component, ready for instances.
pub(crate) struct Composed {
    engine: Engine,
    instances: InstancePre<()>,
    relay: ComponentExportIndex,
    many: ComponentExportIndex,
}

impl Composed {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Self::of(&compose()?).map_err(plain_engine::failure)
    }

    fn of(component: &[u8]) -> Result<Self> {
        let engine = plain_engine::make()?;
        let component = Component::new(&engine, component)?;
        let mut linker = Linker::<()>::new(&engine);
        // It is imported for `timed`, which is not called here.
        let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
        clock.func_wrap("now", |_, (): ()| Ok((0_u64,)))?;
        let interface = component.get_export_index(None, RELAY);
        let function = |name| {
            let interface = interface.as_ref()?;
            component.get_export_index(Some(interface), name)
        };
        let missing = "the composed component does not export `relay`: run `cargo xtask guests`";
        let missing = || wasmtime::format_err!(missing);
        let relay = function("relay").ok_or_else(missing)?;
        let many = function("many").ok_or_else(missing)?;
        let instances = linker.instantiate_pre(&component)?;
        Ok(Self { engine, instances, relay, many })
    }

    /// One call in a store and an instance of its own.
    pub(crate) async fn relay(&self, payload: &[u8]) -> Result<usize> {
        let (mut store, instance) = self.instance().await?;
        let function = instance.get_typed_func::<(&[u8],), (Vec<u8>,)>(&mut store, self.relay)?;
        let (echoed,) = function.call_async(&mut store, (payload,)).await?;
        Ok(echoed.len())
    }

    /// The same with so many inner calls.
    pub(crate) async fn many(&self, calls: u32, payload: &[u8]) -> Result<u64> {
        let (mut store, instance) = self.instance().await?;
        let function = instance.get_typed_func::<(u32, &[u8]), (u64,)>(&mut store, self.many)?;
        let (bytes,) = function.call_async(&mut store, (calls, payload)).await?;
        Ok(bytes)
    }

    async fn instance(&self) -> Result<(Store<()>, Instance)> {
        let mut store = Store::new(&self.engine, ());
        store.set_epoch_deadline(plain_engine::NEVER);
        let instance = self.instances.instantiate_async(&mut store).await?;
        Ok((store, instance))
    }
}

/// One component of both, whose `relay` calls its own `echo`.
fn compose() -> anyhow::Result<Vec<u8>> {
    let mut validator = Validator::new();
    let mut graph = CompositionGraph::new();
    let echo = Part::from_bytes(&mut validator, "echo", places::guest("echo")?)?;
    let relay = Part::from_bytes(&mut validator, "relay", places::guest("relay")?)?;
    let (export, ..) = echo.export_by_name(ECHO).context("echo.wasm has no echo")?;
    let (import, ..) = relay.import_by_name(ECHO).context("relay.wasm wants no echo")?;
    let (echo, relay) = (graph.add_component(echo)?, graph.add_component(relay)?);
    let (echo, relay) = (graph.instantiate(echo)?, graph.instantiate(relay)?);
    graph.connect(echo, Some(export), relay, import)?;
    graph.encode(EncodeOptions { define_components: true, export: Some(relay), validate: true })
}
