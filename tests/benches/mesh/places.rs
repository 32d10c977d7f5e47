//! Where things are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    // Cargo says at run time where the package is now; the compiled-in place is for a binary started by hand.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or_else(|| package.clone(), Path::to_path_buf)
}

/// A folder on the disk that the repository is on: what is for temporary files may be in memory.
pub(crate) fn on_disk(name: &str) -> Result<TempDir> {
    let (prefix, parent) = (format!("bench-{name}-"), root().join("target"));
    let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(&parent);
    made.with_context(|| format!("can't make a folder in {}", parent.display()))
}

/// The node's binary, built with the same profile as this.
pub(crate) fn wattle() -> Result<PathBuf> {
    let own = env::current_exe().context("can't tell where this program is")?;
    // target/release/deps/mesh-0123, and target/release/wattle.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("wattle"));
    match found.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!(
            "the node's binary is not there: run `cargo build --release`, or `cargo xtask bench`, which does it"
        ),
    }
}

/// A component that `cargo xtask guests` builds.
pub(crate) fn guest(name: &str) -> Result<Vec<u8>> {
    let path = guest_path(name);
    fs::read(&path)
        .with_context(|| format!("can't read {}: run `cargo xtask guests`", path.display()))
}

pub(crate) fn guest_path(name: &str) -> PathBuf {
    root().join("target/guests").join(name).with_extension("wasm")
}
