//! What tests and benchmarks use that is not a Rust crate.

use std::env;
use std::path::PathBuf;

use anyhow::Result;

use crate::packages;

/// Networks of their own for the tests' nodes. Without these, those tests say that they were left out.
const FOR_TESTS: &[(&str, &str)] =
    &[("ip", "iproute2"), ("iptables", "iptables"), ("nft", "nftables")];

/// What the benchmark compares with. Debian's package also starts it as a service, where there is systemd.
const FOR_BENCH: &[(&str, &str)] = &[("nats-server", "nats-server")];

/// Everything. Only what tests need must succeed.
pub(crate) fn run() -> Result<()> {
    optional(FOR_BENCH);
    install_missing(FOR_TESTS)
}

/// What tests use, as far as it can be had.
pub(crate) fn for_tests() {
    optional(FOR_TESTS);
}

/// What benchmarks use, as far as it can be had.
pub(crate) fn for_bench() {
    optional(FOR_TESTS);
    if env::var_os("WATTLE_NATS_SERVER").is_none() {
        optional(FOR_BENCH);
    }
}

fn optional(tools: &[(&str, &str)]) {
    if let Err(error) = install_missing(tools) {
        eprintln!("warning: {error:#}. What needs it is left out, and says so.");
    }
}

fn install_missing(tools: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> = tools
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    packages::install(&missing)
}

/// Also where only an administrator's `PATH` looks.
fn is_there(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(usual).any(|folder| folder.join(program).is_file())
}
