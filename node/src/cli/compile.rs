//! `wattle compile`: the process in which a node has components compiled.

use std::process::ExitCode;

use clap::Args;
use rustix::process::{Resource, Rlimit, nice, setrlimit};

/// How much memory it may have, in bytes. Python's components, the largest, need a tenth of it.
const MEMORY: u64 = 4 << 30;

#[derive(Args)]
pub(super) struct Compile {
    /// How much time of a processor it may use, in seconds.
    #[arg(long)]
    seconds: u64,
}

impl Compile {
    /// Compiles what comes in, within bounds that the system keeps.
    pub(super) fn run(&self) -> ExitCode {
        let limit = |most| Rlimit { current: Some(most), maximum: Some(most) };
        // Where the system does not let it, the node still ends it when its time is up.
        let _ = setrlimit(Resource::Cpu, limit(self.seconds));
        let _ = setrlimit(Resource::As, limit(MEMORY));
        let _ = setrlimit(Resource::Core, limit(0));
        // What serves comes first.
        let _ = nice(10);
        match wattle_runtime::serve_compiler(&mut std::io::stdin(), &mut std::io::stdout()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("wattle: {error}");
                ExitCode::FAILURE
            }
        }
    }
}
