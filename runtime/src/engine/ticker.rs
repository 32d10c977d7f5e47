//! The clock of CPU-bound components: a thread that advances the engine's epoch.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// How often a component that does not wait for anything gives way to others, and has its
/// deadline checked.
const TICK: Duration = Duration::from_millis(10);

/// A running clock, which ends when this is dropped.
pub(super) struct Ticker {
    /// Nothing is ever sent: the thread notices that it is gone.
    _alive: Sender<()>,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let (alive, stop) = mpsc::channel::<()>();
        let engine = engine.weak();
        thread::Builder::new().name("wasm-epoch".into()).spawn(move || {
            while stop.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                let Some(engine) = engine.upgrade() else { return };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { _alive: alive })
    }
}
