//! Goes over every limit that a node sets, one at a time and on request.

mod bindings {
    wit_bindgen::generate!({ path: "../wit/bench", world: "misbehaver" });
}

const MIB: usize = 1024 * 1024;

struct Misbehave;

impl bindings::exports::wattle::bench::misbehave::Guest for Misbehave {
    fn spin() {
        let mut turns = 0_u64;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
        }
    }

    fn grow(mib: u32) -> u32 {
        (0..mib).take_while(|_| hold_one_mib()).count() as u32
    }

    #[allow(clippy::panic, reason = "this is what was asked for")]
    fn panic(message: String) {
        panic!("{message}");
    }

    fn recurse(depth: u32) -> u32 {
        descend(depth)
    }
}

/// Whether another MiB could be had. Every page of it is written to and none given back.
fn hold_one_mib() -> bool {
    let mut block = Vec::new();
    if block.try_reserve_exact(MIB).is_err() {
        return false;
    }
    block.resize(MIB, 1_u8);
    std::hint::black_box(block).leak();
    true
}

/// The two operations on the way back do not commute, so that no compiler makes a loop of this.
#[inline(never)]
fn descend(depth: u32) -> u32 {
    if depth == 0 {
        return 1;
    }
    descend(depth - 1).rotate_left(1) ^ depth
}

bindings::export!(Misbehave with_types_in bindings);
