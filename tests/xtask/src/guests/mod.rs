//! The components under `tests/guests`: compiled, checked, and put into `target/guests`.

mod c;
pub(crate) mod rust;
mod shape;
mod table;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::paths;

/// What `cargo xtask guests` takes.
#[derive(clap::Args, Default)]
pub(crate) struct Options {
    /// Also put the new counter into the `wattle demo` binary's source
    #[arg(long)]
    update_demo: bool,
    /// Leave out the guest that needs a C compiler
    #[arg(long)]
    without_c: bool,
}

impl Options {
    /// All of them, or all but the one that needs a C compiler.
    pub(crate) fn without_c(without_c: bool) -> Self {
        Self { without_c, ..Self::default() }
    }
}

/// Builds every guest. Quick when nothing changed.
pub(crate) fn run(options: &Options) -> Result<()> {
    rust::build()?;
    for guest in table::GUESTS {
        let component = match guest.made_by {
            table::MadeBy::Rust(package) => rust::component(package)?,
            table::MadeBy::C if options.without_c => continue,
            table::MadeBy::C => c::component()?,
        };
        let imports = shape::check(guest, &component)?;
        let path = paths::guests().join(guest.file);
        put(&path, &component)?;
        println!(
            "{:<16} {:>4} KiB, {imports} imported interfaces",
            guest.file,
            component.len().div_ceil(1024)
        );
    }
    if options.update_demo {
        let counter =
            fs::read(paths::guests().join("counter.wasm")).context("reading the counter")?;
        put(&paths::root().join("node/src/demo/counter.wasm"), &counter)?;
    }
    Ok(())
}

/// Writes a file only when that changes it, so that whatever depends on it is not built again.
fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}
