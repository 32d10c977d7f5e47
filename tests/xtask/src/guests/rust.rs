//! The guests written in Rust: one workspace, compiled by the cargo that is here.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;
use crate::paths;

/// What the guests are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";

/// Compiles what changed.
pub(crate) fn build() -> Result<()> {
    install_target()?;
    command::run(cargo().args(["build", "--release", "--locked", "--workspace"]))
        .context("compiling the guests in tests/guests")
}

/// The bytes of a guest that was built.
pub(crate) fn component(package: &str) -> Result<Vec<u8>> {
    let path = paths::guests_build().join(TARGET).join("release").join(format!("{package}.wasm"));
    fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// A cargo in the guests' workspace.
pub(crate) fn cargo() -> Command {
    let mut cargo = command::cargo();
    cargo.current_dir(folder());
    cargo.env("CARGO_BUILD_TARGET", TARGET).env("CARGO_TARGET_DIR", paths::guests_build());
    // Flags for this machine's own code say nothing about WebAssembly, so they are replaced and not added to.
    cargo.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", without_places());
    cargo
}

/// Downloads the target's standard library when it is missing.
pub(crate) fn install_target() -> Result<()> {
    let sysroot =
        command::ask(Command::new("rustc").args(["--print", "sysroot"])).map(PathBuf::from);
    let installed = |sysroot: &Path| sysroot.join("lib/rustlib").join(TARGET).join("lib").is_dir();
    if sysroot.as_deref().is_some_and(installed) {
        return Ok(());
    }
    command::run(Command::new("rustup").args(["target", "add", TARGET])).with_context(|| {
        format!("the Rust target {TARGET} is missing: install Rust with rustup, then run `rustup target add {TARGET}`")
    })
}

/// Compiler flags that keep the names of this machine's folders out of the components: panics name source files.
fn without_places() -> String {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let mut places = vec![(paths::root(), "wattle")];
    places.extend(home.map(|home| (home, "cargo")));
    let flag =
        |(place, name): (PathBuf, &str)| format!("--remap-path-prefix={}={name}", place.display());
    places.into_iter().map(flag).collect::<Vec<_>>().join("\u{1f}")
}

fn folder() -> PathBuf {
    paths::root().join("tests/guests")
}
