//! wasmtime alone, set up as `runtime/src/engine.rs` sets up a node's.

use wasmtime::{Config, Enabled, OptLevel, PoolingAllocationConfig, Result};

/// The memory that an instance can be given.
const MEMORY: usize = 64 << 20;

const INSTANCES: u32 = 1_000;

const KEEP_RESIDENT: usize = 256 << 10;

/// Ticks after which a store is interrupted. Nothing ticks here, but the code looks.
pub(crate) const NEVER: u64 = 1 << 60;

pub(crate) fn make() -> Result<wasmtime::Engine> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES)
        .total_core_instances(INSTANCES * 4)
        .total_memories(INSTANCES)
        .total_tables(INSTANCES * 2)
        .total_stacks(INSTANCES)
        .max_core_instances_per_component(16)
        .max_memories_per_component(4)
        .max_tables_per_component(8)
        .max_memories_per_module(4)
        .max_tables_per_module(4)
        .max_memory_size(MEMORY)
        .table_elements(20_000)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .memory_reservation(MEMORY as u64)
        .memory_guard_size(0)
        .signals_based_traps(false)
        .guard_before_linear_memory(false)
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20)
        .allocation_strategy(pool);
    wasmtime::Engine::new(&config)
}

/// What wasmtime says went wrong, for whoever does not speak wasmtime.
pub(crate) fn failure(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("wasmtime: {error:#}")
}
