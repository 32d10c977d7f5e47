//! `wattle:secrets/store` over whatever the node keeps secrets in.

use wasmtime::component::{HasData, Linker};

use self::wattle::secrets::store;
use crate::state::State;

wasmtime::component::bindgen!({
    path: "../contracts/wit/wattle-secrets-0.1.0",
    world: "wattle:secrets/imports",
    imports: { default: async | trappable },
});

/// The version of the text that the bindings are made from.
pub(super) const VERSION: &str = "0.1.0";

pub(super) fn add(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    store::add_to_linker::<_, HasState>(linker, |state| state)
}

struct HasState;

impl HasData for HasState {
    type Data<'a> = &'a mut State;
}

/// The outer result ends the component, the inner one it sees.
type Outcome<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for State {
    async fn get(&mut self, name: String) -> Outcome<Option<Vec<u8>>> {
        let context = self.outbound()?;
        let actor = self.actor();
        let secret = actor.outside.secret(context, &actor.id, &name).await;
        Ok(secret.map_err(store::Error::Unavailable))
    }
}
