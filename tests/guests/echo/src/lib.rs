//! Gives back what it was given: the shortest call that still carries a payload.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

mod bindings {
    wit_bindgen::generate!({ path: "../wit/bench", world: "echoer" });
}

lean::stand!();

struct Echo;

impl bindings::exports::wattle::bench::echo::Guest for Echo {
    fn echo(payload: Vec<u8>) -> Vec<u8> {
        payload
    }
}

bindings::export!(Echo with_types_in bindings);
