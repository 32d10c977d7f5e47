//! Signatures that are known when this is compiled: those through which bulk data goes.
//!
//! Everything works without them, byte by byte. To add one, write a line in [`ALL`]; a contract's
//! own record needs a Rust type that derives wasmtime's `ComponentType`, `Lift` and `Lower`, and
//! implements [`crate::value::Plain`].

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};

use wasmtime::component::LinkerInstance;
use wattle_contracts::call::CallError;

use super::out::{self, Import};
use crate::actor::{Actor, Export};
use crate::outside::CallContext;
use crate::state::State;
use crate::value::{PlainList, Signature};

/// How the calls of one such signature are made.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// Defines an import of it.
    pub(super) define: fn(&mut LinkerInstance<'_, State>, Arc<Import>) -> wasmtime::Result<()>,
    /// Calls an export of it with encoded arguments, for the encoded results.
    pub(crate) call: for<'a> fn(&'a Actor, CallContext, &'a Export, &'a [u8]) -> Encoded<'a>,
}

/// Encoded results to come.
pub(crate) type Encoded<'a> = Pin<Box<dyn Future<Output = Result<Vec<u8>, CallError>> + Send + 'a>>;

impl Known {
    /// How calls of `signature` are made, if it is one of those.
    pub(crate) fn find(signature: &Signature) -> Option<Self> {
        let (known, found) = ALL.get(&signature.fingerprint())?;
        (known == signature).then_some(*found)
    }
}

type Bytes = Vec<u8>;

static ALL: LazyLock<HashMap<u64, (Signature, Known)>> = LazyLock::new(|| {
    [
        known::<(), (Bytes,)>(),
        known::<(), (Option<Bytes>,)>(),
        known::<(), (Result<Bytes, String>,)>(),
        known::<(Bytes,), ()>(),
        known::<(Bytes,), (Bytes,)>(),
        known::<(Bytes,), (String,)>(),
        known::<(Bytes,), (Result<(), String>,)>(),
        known::<(Bytes,), (Result<Bytes, String>,)>(),
        known::<(String,), (Bytes,)>(),
        known::<(String,), (Option<Bytes>,)>(),
        known::<(String,), (Result<Bytes, String>,)>(),
        known::<(String,), (Result<Option<Bytes>, String>,)>(),
        known::<(String, Bytes), ()>(),
        known::<(String, Bytes), (Bytes,)>(),
        known::<(String, Bytes), (Result<(), String>,)>(),
        known::<(String, Bytes), (Result<Bytes, String>,)>(),
        known::<(String, String, Bytes), (Result<(), String>,)>(),
        known::<(String, String, Bytes), (Result<Bytes, String>,)>(),
    ]
    .into_iter()
    .map(|(signature, known)| (signature.fingerprint(), (signature, known)))
    .collect()
});

fn known<P: PlainList, R: PlainList>() -> (Signature, Known) {
    let known = Known {
        define: out::define_plain::<P, R>,
        call: |actor, context, export, arguments| {
            Box::pin(actor.call_plain_encoded::<P, R>(context, export, arguments))
        },
    };
    (Signature::new(P::shapes(), R::shapes()), known)
}
