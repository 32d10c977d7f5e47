//! Has a secret, and tells which one it is without saying it.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/secrets", world: "guest", generate_all });
}

use bindings::exports::example::secrets::keeper::Guest;
use bindings::wattle::secrets::store::{self, Error};

struct Keeper;

impl Guest for Keeper {
    fn fingerprint(name: String) -> Result<Option<String>, String> {
        let secret = store::get(&name).map_err(|Error::Unavailable(why)| why)?;
        Ok(secret.map(|secret| format!("{} {:016x}", secret.len(), fnv1a(&secret))))
    }
}

/// The Fowler-Noll-Vo hash, variant 1a, of 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

bindings::export!(Keeper with_types_in bindings);
