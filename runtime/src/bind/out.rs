//! A call out of a component, to wherever its link goes now.

use std::sync::{Arc, OnceLock};

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Val};
use wattle_contracts::call::{CallError, ErrorKind};
use wattle_contracts::id::{ComponentId, ContractId};

use crate::actor::Shared;
use crate::outside::{Destination, Way};
use crate::state::State;
use crate::value::{PlainList, Signature, decode_plain};

/// One imported function.
pub(crate) struct Import {
    pub(crate) contract: ContractId,
    pub(crate) function: String,
    pub(crate) signature: Signature,
    /// Known from the first call on: when an import is bound, its component has no node yet.
    way: OnceLock<Arc<dyn Way>>,
}

impl Import {
    pub(crate) fn new(contract: ContractId, function: &str, signature: Signature) -> Self {
        Self { contract, function: function.into(), signature, way: OnceLock::new() }
    }

    fn destination(&self, caller: &Shared) -> Result<Destination, CallError> {
        let way = || caller.outside.way(&caller.id, &self.contract, &self.function);
        self.way.get_or_init(way).destination()
    }

    fn error(&self, source: &ComponentId, why: impl std::fmt::Display) -> CallError {
        let message = format!("{source} calls {}.{}: {why}", self.contract, self.function);
        CallError::new(ErrorKind::Internal, message)
    }
}

/// Defines `import` in its interface.
pub(super) fn define(
    interface: &mut LinkerInstance<'_, State>,
    import: Arc<Import>,
) -> wasmtime::Result<()> {
    interface.func_new_async(&import.function.clone(), move |store, _ty, arguments, results| {
        let import = import.clone();
        Box::new(async move { Ok(call(store, &import, arguments, results).await?) })
    })
}

/// Defines `import`, whose signature is that of these types, in its interface.
pub(super) fn define_plain<P: PlainList, R: PlainList>(
    interface: &mut LinkerInstance<'_, State>,
    import: Arc<Import>,
) -> wasmtime::Result<()> {
    interface.func_wrap_async(&import.function.clone(), move |store, arguments: P| {
        let import = import.clone();
        Box::new(async move { Ok(call_plain::<P, R>(store, &import, arguments).await?) })
    })
}

/// An error ends the caller, and stays a [`CallError`] on the way to the first caller.
async fn call(
    mut store: StoreContextMut<'_, State>,
    import: &Import,
    arguments: &[Val],
    results: &mut [Val],
) -> Result<(), CallError> {
    let context = store.data_mut().outbound()?;
    let caller = store.data().actor().clone();
    match import.destination(&caller)? {
        Destination::Local(callee) => {
            // In a box of its own: a call to another node would else carry the room for it about.
            Box::pin(callee.call_local(&caller, context, import, arguments, results)).await
        }
        Destination::Remote(remote) => {
            let (contract, function) = (&import.contract, &import.function);
            let arguments = import
                .signature
                .encode_arguments(arguments)
                .map_err(|error| import.error(&caller.id, error))?;
            let bytes = remote.call(context, &caller.id, contract, function, arguments).await?;
            import
                .signature
                .decode_results_into(&bytes, results)
                .map_err(|error| import.error(&caller.id, format_args!("the answer: {error}")))
        }
    }
}

/// [`call`] for types that are known.
async fn call_plain<P: PlainList, R: PlainList>(
    mut store: StoreContextMut<'_, State>,
    import: &Import,
    arguments: P,
) -> Result<R, CallError> {
    let context = store.data_mut().outbound()?;
    let caller = store.data().actor().clone();
    match import.destination(&caller)? {
        Destination::Local(callee) => {
            Box::pin(callee.call_plain_local(&caller, context, import, arguments)).await
        }
        Destination::Remote(remote) => {
            let (contract, function) = (&import.contract, &import.function);
            let arguments = import.signature.encode_plain_arguments(&arguments);
            let bytes = remote.call(context, &caller.id, contract, function, arguments).await?;
            decode_plain(&bytes)
                .map_err(|error| import.error(&caller.id, format_args!("the answer: {error}")))
        }
    }
}
