//! `wasi:config/store` over the configuration of the component.

use wasmtime::component::{HasData, Linker};

use self::wasi::config::store;
use crate::state::State;

wasmtime::component::bindgen!({
    path: "../contracts/wit/wasi-config-0.2.0-rc.1",
    world: "wasi:config/imports",
    imports: { default: trappable },
});

/// The version of the text that the bindings are made from.
pub(super) const VERSION: &str = "0.2.0-rc.1";

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasState>(linker, |state| state)
}

struct HasState;

impl HasData for HasState {
    type Data<'a> = &'a mut State;
}

impl store::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, store::Error>> {
        Ok(Ok(self.actor().config.get(&key).cloned()))
    }

    fn get_all(&mut self) -> wasmtime::Result<Result<Vec<(String, String)>, store::Error>> {
        let config = self.actor().config.iter();
        Ok(Ok(config.map(|(key, value)| (key.clone(), value.clone())).collect()))
    }
}
