//! Passes calls on to `echo`, which may run on another node: what is measured is the way there.
#![no_std]

extern crate alloc;

use alloc::vec::Vec;

mod bindings {
    wit_bindgen::generate!({ path: "../wit/bench", world: "relayer", generate_all });
}

use bindings::wasi::clocks::monotonic_clock;
use bindings::wattle::bench::echo;

lean::stand!();

struct Relay;

impl bindings::exports::wattle::bench::relay::Guest for Relay {
    fn relay(payload: Vec<u8>) -> Vec<u8> {
        echo::echo(&payload)
    }

    fn many(calls: u32, payload: Vec<u8>) -> u64 {
        (0..calls).map(|_| echo::echo(&payload).len() as u64).sum()
    }

    fn timed(calls: u32, payload: Vec<u8>) -> Vec<u64> {
        (0..calls)
            .map(|_| {
                let begun = monotonic_clock::now();
                echo::echo(&payload);
                monotonic_clock::now() - begun
            })
            .collect()
    }
}

bindings::export!(Relay with_types_in bindings);
