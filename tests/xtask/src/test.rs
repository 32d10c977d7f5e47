//! Everything that must pass, what fails fastest first.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::guests;
use crate::paths;
use crate::setup;

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave out the guest that needs a C compiler, and the tests that need the guest
    #[arg(long)]
    without_c: bool,
    /// Run only this: passed on to `cargo test --workspace`
    #[arg(last = true)]
    args: Vec<String>,
}

/// Prepares, then tests. With arguments, only the tests that they choose, and no demo.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::for_tests();
    guests::run(&guests::Options::without_c(options.without_c))?;
    // Everything at once and with the dependencies' features decided once, so that no step below compiles anything
    // of its own. The node's binary is among it: whole-node tests start it.
    command::run(command::cargo().args(["build", "--workspace", "--bins", "--tests"]))?;
    if !options.args.is_empty() {
        return command::run(command::cargo().args(["test", "--workspace"]).args(&options.args));
    }
    command::run(command::cargo().args(["test", "--workspace", "--lib", "--bins"]))
        .context("unit tests")?;
    command::run(command::cargo().args(["test", "--workspace", "--test", "*"]))
        .context("tests from outside")?;
    command::run(command::cargo().args(["test", "--workspace", "--doc"]))
        .context("examples in the documentation")?;
    demo()
}

/// What the README shows first, with the binary that was just tested.
fn demo() -> Result<()> {
    let wattle = paths::target().join("debug/wattle");
    command::run(Command::new(wattle).arg("demo")).context("the demo")
}
