//! The one compiler and allocator of instances that all components of a process share.

mod apart;
mod cache;
mod pool;
mod ticker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use wasmtime::{Config, OptLevel};
use wattle_contracts::id::Digest;

use self::apart::CompileError;
pub use self::apart::{CompilerProcess, serve as serve_compiler};
use self::cache::Cache;
use self::pool::{Pool, pooled};
use self::ticker::Ticker;
pub(crate) use self::ticker::Ticking;

/// The native stack of one call. Host code runs on it too, and when a component calls another one
/// of this node the host's part of the callee runs on the caller's stack.
const CALL_STACK: usize = 2 << 20;

/// The part of it that WebAssembly may use: a recursion deeper than this traps.
const WASM_STACK: usize = 512 << 10;

/// Core instances in one component instance: a program, its adapters and shims; an interpreted
/// language brings its libraries as instances of their own.
pub(crate) const CORE_INSTANCES_PER_COMPONENT: u32 = 64;

/// Core memories and tables in one component instance.
pub(crate) const MEMORIES_PER_COMPONENT: u32 = 4;
pub(crate) const TABLES_PER_COMPONENT: u32 = 8;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// How many component instances may live at the same time.
    pub instances: u32,
    /// The most linear memory that an instance can be given, in bytes; limits of single components
    /// are at most this.
    pub memory: usize,
    /// Where compiled code is kept between runs; `None` compiles anew each time.
    pub cache: Option<CacheConfig>,
    /// Where components are compiled; `None` compiles in this process, for as long as it takes.
    pub compiler: Option<CompilerProcess>,
    /// The threads on which a component goes on after it has begun its HTTP response; `None`
    /// takes those of its caller.
    pub work: Option<Handle>,
    /// For rehearsals: the same calls do the same on every machine. Time is what was computed,
    /// counted as fuel, and not what a clock says: every [`Engine::STEP`] units a call gives way
    /// to whoever polls it, and how long it may take is up to them. Instances are made one by one,
    /// each for one call, and every not-a-number has the same bits.
    pub deterministic: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            instances: 1_000,
            memory: 64 << 20,
            cache: None,
            compiler: None,
            work: None,
            deterministic: false,
        }
    }
}

/// Where compiled code is kept, and how it is guarded.
#[derive(Clone)]
pub struct CacheConfig {
    /// A directory that only this user can write.
    pub directory: PathBuf,
    /// What the files in it may take together, in bytes; the longest unused go first.
    pub limit: u64,
    /// Signs the files, so that who can only write the directory can't make this process run
    /// their code. Derive it from something private, like the node's key.
    pub secret: [u8; 32],
}

impl CacheConfig {
    /// The usual `limit`: 1 GiB.
    pub const LIMIT: u64 = 1 << 30;
}

impl std::fmt::Debug for CacheConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the secret: configurations get logged.
        f.debug_struct("CacheConfig")
            .field("directory", &self.directory)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// How instances get their memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocator {
    /// From a pool reserved at the start: fast.
    Pooling {
        /// How many instances fit.
        instances: u32,
    },
    /// From the operating system, each time: slower, and needs no large address space.
    OnDemand {
        /// Why there is no pool.
        why: String,
    },
}

/// Why an engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The compiler does not work on this machine.
    #[error("the WebAssembly engine can't start on this machine: {0:#}")]
    Engine(wasmtime::Error),
    /// The directory of the cache can't be made.
    #[error("can't use {path} for compiled code: {error}; create it, or name another directory")]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The pipes of the process that compiles broke.
    #[error("the process that compiles can't read or answer: {0}")]
    Compiler(std::io::Error),
    /// The thread that counts time can't be started.
    #[error("can't start the thread that interrupts components: {0}")]
    Ticker(std::io::Error),
}

/// Compiles components and runs them. Cheap to clone; the clones share everything.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    engine: wasmtime::Engine,
    allocator: Allocator,
    pool: Pool,
    memory: usize,
    cache: Option<Cache>,
    compiler: Option<CompilerProcess>,
    /// What took too much to compile. It would again.
    given_up: Mutex<BTreeSet<Digest>>,
    work: Option<Handle>,
    deterministic: bool,
    /// Ends with the engine.
    ticker: Option<Ticker>,
}

impl Engine {
    /// After so much fuel, which is about so many instructions of WebAssembly, a call on a
    /// deterministic engine gives way.
    pub const STEP: u64 = 1_000_000;

    /// An engine as `config` says. Where no pool of that size can be reserved, instances are
    /// allocated on demand, and [`Engine::allocator`] says why.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        let made = match config.deterministic {
            true => Err(wasmtime::format_err!("a rehearsal has none")),
            false => pooled(&config),
        };
        let (engine, allocator) = match made {
            Ok(engine) => (engine, Allocator::Pooling { instances: config.instances }),
            Err(error) => {
                let why = format!(
                    "a pool for {} instances of {} MiB can't be reserved: {error:#}",
                    config.instances,
                    config.memory >> 20,
                );
                if !config.deterministic {
                    tracing::warn!(%why, "allocating WebAssembly instances on demand");
                }
                let engine =
                    wasmtime::Engine::new(&common(&config)).map_err(EngineError::Engine)?;
                (engine, Allocator::OnDemand { why })
            }
        };
        let cache = config.cache.map(|cache| Cache::open(cache, &engine)).transpose()?;
        let ticker = (!config.deterministic).then(|| Ticker::start(&engine)).transpose();
        let inner = Inner {
            engine,
            allocator,
            pool: Pool::of(config.instances),
            memory: config.memory,
            cache,
            compiler: config.compiler,
            given_up: Mutex::default(),
            work: config.work,
            deterministic: config.deterministic,
            ticker: ticker.map_err(EngineError::Ticker)?,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether it is for rehearsals.
    pub fn is_deterministic(&self) -> bool {
        self.inner.deterministic
    }

    /// A call begins, and is under way as long as what this gives back is there.
    pub(crate) fn tick_on(&self) -> Option<Ticking> {
        self.inner.ticker.as_ref().map(Ticker::tick_on)
    }

    /// How instances get their memory.
    pub fn allocator(&self) -> &Allocator {
        &self.inner.allocator
    }

    /// What its components share.
    pub(crate) fn pool(&self) -> Pool {
        self.inner.pool
    }

    /// The most memory that an instance can be given, in bytes.
    pub fn memory(&self) -> usize {
        self.inner.memory
    }

    /// How many component instances live now; `None` where there is no pool that counts them.
    pub fn live_instances(&self) -> Option<u64> {
        self.inner.engine.pooling_allocator_metrics().map(|metrics| metrics.component_instances())
    }

    /// Runs what a component still does when its caller has been answered.
    pub(crate) fn go_on(&self, rest: impl Future<Output = ()> + Send + 'static) {
        match &self.inner.work {
            Some(work) => work.spawn(rest),
            None => tokio::spawn(rest),
        };
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.engine
    }

    /// The code of a component: from the cache if it is there and sound, else compiled.
    pub(crate) fn compile(
        &self,
        digest: &Digest,
        bytes: &[u8],
    ) -> wasmtime::Result<wasmtime::component::Component> {
        let engine = &self.inner.engine;
        if let Some(component) =
            self.inner.cache.as_ref().and_then(|cache| cache.load(engine, digest))
        {
            return Ok(component);
        }
        let component = match &self.inner.compiler {
            Some(compiler) => self.compile_apart(compiler, digest, bytes)?,
            None => wasmtime::component::Component::from_binary(engine, bytes)?,
        };
        if let Some(cache) = &self.inner.cache {
            cache.store(digest, &component);
        }
        Ok(component)
    }
}

impl Engine {
    /// Has another process compile. What took too much is not tried again by this engine: others
    /// wait for their turn.
    fn compile_apart(
        &self,
        compiler: &CompilerProcess,
        digest: &Digest,
        bytes: &[u8],
    ) -> wasmtime::Result<wasmtime::component::Component> {
        let given_up = || self.inner.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up().contains(digest) {
            return Err(wasmtime::format_err!("{}", CompileError::TooMuch(compiler.time)));
        }
        let code = compiler.compile(self.inner.memory, bytes).map_err(|error| {
            if matches!(error, CompileError::TooMuch(_)) {
                given_up().insert(*digest);
            }
            wasmtime::format_err!("{error}")
        })?;
        #[expect(
            unsafe_code,
            reason = "this program's own compiler has just written it, over a pipe to this process"
        )]
        // SAFETY: the bytes come from `Engine::precompile_component` of the same version with the
        // same settings, in a process that this one has started from its own program, and nobody
        // else has the other end of the pipe.
        let component =
            unsafe { wasmtime::component::Component::deserialize(&self.inner.engine, &code) };
        component
    }
}

/// What holds with and without a pool, so that compiled code serves both.
fn common(config: &EngineConfig) -> Config {
    let memory = config.memory as u64;
    let mut common = Config::new();
    common
        .wasm_component_model(true)
        // Which proposals are on is a decision, not the default of a library's version:
        // docs/decisions/0017.
        .wasm_multi_value(true)
        .wasm_bulk_memory(true)
        .wasm_simd(true)
        .wasm_extended_const(true)
        .wasm_tail_call(true)
        .wasm_multi_memory(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .wasm_shared_everything_threads(false)
        .wasm_stack_switching(false)
        .wasm_gc(false)
        .wasm_component_model_error_context(false)
        .wasm_component_model_gc(false)
        .wasm_component_model_map(false)
        .wasm_component_model_memory64(false)
        .wasm_component_model_fixed_length_lists(false)
        .wasm_component_model_implements(false)
        // Calls are five times cheaper without it, and nothing in WASI 0.2 needs it.
        .concurrency_support(false)
        .epoch_interruption(!config.deterministic)
        .consume_fuel(config.deterministic)
        .cranelift_nan_canonicalization(config.deterministic)
        .relaxed_simd_deterministic(config.deterministic)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        // Explicit bounds checks for the sake of a small reservation: 4 GiB for each instance, as
        // needed to leave them out, don't fit into the address space of small machines.
        .memory_reservation(memory)
        // No guards, and no signals in their place: with explicit checks they have nothing to
        // catch, and they cost two `mprotect` calls for each instance, a third of a short call.
        .memory_guard_size(0)
        .signals_based_traps(false)
        .guard_before_linear_memory(false)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(CALL_STACK);
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_the_default_and_knows_how_many_live() {
        let engine =
            Engine::new(EngineConfig { instances: 10, ..EngineConfig::default() }).unwrap();
        assert_eq!(engine.allocator(), &Allocator::Pooling { instances: 10 });
        assert_eq!(engine.live_instances(), Some(0));
    }

    #[test]
    fn without_room_for_a_pool_instances_are_allocated_on_demand() {
        // 4 billion slots of 64 GiB each: more than any address space.
        let config =
            EngineConfig { instances: u32::MAX, memory: 64 << 30, ..EngineConfig::default() };
        let engine = Engine::new(config).unwrap();
        let Allocator::OnDemand { why } = engine.allocator() else { panic!("a pool was made") };
        assert!(why.contains("can't be reserved"), "{why}");
        assert_eq!(engine.live_instances(), None);
    }
}
