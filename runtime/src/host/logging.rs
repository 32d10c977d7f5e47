//! `wasi:logging/logging` to the node's log.

use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker};

use self::wasi::logging::logging::{self, Level};
use crate::outside::LogLevel;
use crate::state::State;

wasmtime::component::bindgen!({
    path: "../contracts/wit/wasi-logging-0.1.0-draft",
    world: "wasi:logging/imports",
    imports: { default: trappable },
});

/// The version of the text that the bindings are made from.
pub(super) const VERSION: &str = "0.1.0-draft";

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    logging::add_to_linker::<_, HasState>(linker, |state| state)?;
    // Guests in the wild also import it without a version, as the proposal was first published.
    linker.instance("wasi:logging/logging")?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, State>,
         (level, context, message): (Level, String, String)| {
            logging::Host::log(store.data_mut(), level, context, message)
        },
    )
}

struct HasState;

impl HasData for HasState {
    type Data<'a> = &'a mut State;
}

impl logging::Host for State {
    fn log(&mut self, level: Level, context: String, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
            Level::Critical => LogLevel::Critical,
        };
        let actor = self.actor();
        actor.log(level, &context, &message);
        self.count_host_call();
        Ok(())
    }
}
