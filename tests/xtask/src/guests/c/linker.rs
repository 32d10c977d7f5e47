//! Objects to a core module, with the linker that comes with Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command;

/// Gives back the module's bytes.
pub(crate) fn link(objects: &[PathBuf], module: &Path) -> Result<Vec<u8>> {
    let mut link = linker();
    link.args([
        "--no-entry",
        "--gc-sections",
        "--strip-all",
        "--stack-first",
        "-z",
        "stack-size=65536",
    ]);
    command::run(link.arg("-o").arg(module).args(objects)).context(
        "linking the C guest (Debian's `lld` has a linker if Rust came without its own)",
    )?;
    fs::read(module).with_context(|| format!("reading {}", module.display()))
}

fn linker() -> Command {
    let Some(rust_lld) = rust_lld().filter(|path| path.is_file()) else {
        return Command::new("wasm-ld");
    };
    let mut linker = Command::new(rust_lld);
    linker.args(["-flavor", "wasm"]);
    linker
}

fn rust_lld() -> Option<PathBuf> {
    let sysroot = command::ask(Command::new("rustc").args(["--print", "sysroot"]))?;
    let version = command::ask(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    Some(Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/rust-lld"))
}
