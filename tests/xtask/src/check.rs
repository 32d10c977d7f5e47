//! What can be said of the code without running it.

use std::process::Command;

use anyhow::Result;

use crate::command;
use crate::guests::rust;

/// Formatting, lints and licences; of the guests too, and the formatting of the fuzz targets.
pub(crate) fn run() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--check"]))?;
    command::run(rust::cargo().args(["fmt", "--all", "--check"]))?;
    let fuzz = crate::paths::fuzz().join("Cargo.toml");
    command::run(command::cargo().args(["fmt", "--check", "--manifest-path"]).arg(fuzz))?;
    command::run(command::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]))?;
    rust::install_target()?;
    command::run(rust::cargo().args([
        "clippy",
        "--release",
        "--workspace",
        "--",
        "-D",
        "warnings",
    ]))?;
    deny()
}

fn deny() -> Result<()> {
    if command::ask(Command::new("cargo-deny").arg("--version")).is_none() {
        eprintln!(
            "licences and advisories were not checked: `cargo install --locked cargo-deny` brings what does that"
        );
        return Ok(());
    }
    command::run(command::cargo().args(["deny", "check"]))
}
