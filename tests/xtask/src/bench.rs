//! Measurements.

use anyhow::Result;

use crate::command;
use crate::guests;
use crate::setup;

/// What `cargo xtask bench` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Passed on to `cargo bench`
    #[arg(last = true)]
    args: Vec<String>,
}

/// Builds the node as it is shipped, then measures it.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::for_bench();
    guests::run(&guests::Options::default())?;
    // The same packages in both steps: cargo decides features by what is asked for, and would compile twice.
    let packages = ["--package", "wattle-node", "--package", "wattle-tests"];
    command::run(
        command::cargo().args(["build", "--release", "--bins", "--benches"]).args(packages),
    )?;
    command::run(
        command::cargo().args(["bench", "--bench", "*"]).args(packages).args(&options.args),
    )
}
