//! The `wattle` binary.

use std::process::ExitCode;

/// A call makes a few dozen small allocations, many of them freed on another thread; with glibc's
/// allocator that is a tenth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    wattle_node::cli::main()
}
