//! The pool from which instances get their memory, and what all components share of it.

use wasmtime::PoolingAllocationConfig;

use super::{
    CORE_INSTANCES_PER_COMPONENT, EngineConfig, MEMORIES_PER_COMPONENT, TABLES_PER_COMPONENT,
    common,
};

/// Elements that one table may have: the engines of JavaScript and Python have tens of thousands
/// of functions in theirs.
const TABLE_ELEMENTS: usize = 100_000;

/// Tables in the pool for each instance in it: a program's own, and that of its adapters.
const TABLES_PER_INSTANCE: u32 = 2;

/// How much of a freed memory or table is wiped in place rather than given back to the kernel:
/// system calls and page faults cost more than clearing what a short call has touched.
const KEEP_RESIDENT: usize = 256 << 10;

/// What all components of an engine share. Instances that are allocated on demand share the same:
/// what runs on one machine runs on another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Component instances, and stacks for their calls.
    pub(crate) instances: u32,
    /// Core memories.
    pub(crate) memories: u32,
    /// Core tables.
    pub(crate) tables: u32,
}

impl Pool {
    pub(super) fn of(instances: u32) -> Self {
        let tables = instances.saturating_mul(TABLES_PER_INSTANCE);
        Self { instances, memories: instances, tables }
    }
}

/// An engine with a pool, if there is room for it.
pub(super) fn pooled(config: &EngineConfig) -> wasmtime::Result<wasmtime::Engine> {
    let Pool { instances, memories, tables } = Pool::of(config.instances);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        // As many as there could be: a number that is counted, for which nothing is reserved. With
        // fewer, some components could take all of them, of which nobody can say beforehand how
        // many they need.
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_COMPONENT))
        .total_memories(memories)
        .total_tables(tables)
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .max_memory_size(config.memory)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(wasmtime::Enabled::Auto);
    let mut config = common(config);
    config.allocation_strategy(pool);
    wasmtime::Engine::new(&config)
}
