//! A C compiler for WebAssembly: the machine's clang, or else one out of a Python package, which needs no
//! administrator, or else Debian's.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::packages;
use crate::paths;

/// The Python package whose one program is, among other things, a clang.
const ZIG: &str = "ziglang==0.15.2";

/// What may be set to name a clang.
const VARIABLE: &str = "CLANG";

pub(crate) enum Compiler {
    Clang(PathBuf),
    Zig(PathBuf),
}

impl Compiler {
    pub(crate) fn find_or_install() -> Result<Self> {
        if let Some(found) = Self::clang().or_else(Self::zig) {
            return Ok(found);
        }
        eprintln!("no clang here that knows WebAssembly: fetching the Python package {ZIG}");
        let fetched = install_zig();
        if let Some(found) = Self::zig() {
            return Ok(found);
        }
        if let Err(error) = fetched {
            eprintln!("that failed ({error:#}): trying Debian's clang");
        }
        let installed = packages::install(&["clang"]);
        if let Some(found) = Self::clang() {
            return Ok(found);
        }
        let why = installed.err().map(|error| format!(" ({error:#})")).unwrap_or_default();
        bail!(
            "the C guest needs a C compiler that knows WebAssembly{why}. Install one of these and try again: Debian's \
             `clang`; Debian's `python3-pip`, with which {ZIG} is fetched; any clang, named by the variable {VARIABLE}. \
             Or leave that guest out: `cargo xtask guests --without-c`"
        )
    }

    pub(crate) fn compile(&self, source: &Path, headers: &[PathBuf], object: &Path) -> Result<()> {
        if let Some(folder) = object.parent() {
            fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
        }
        let mut compile = self.command();
        compile.args([
            "-c",
            "-Oz",
            "-std=c11",
            "-Wall",
            "-Wextra",
            "-Wno-unused-parameter",
            "-mbulk-memory",
        ]);
        // There is no C library: the few functions that the bindings call are the guest's own.
        compile.args(["-ffreestanding", "-fno-builtin", "-nostdlib"]);
        for folder in headers {
            compile.arg("-I").arg(folder);
        }
        command::run(compile.arg("-o").arg(object).arg(source))
            .context("compiling the C guest in tests/guests/counter-c")
    }

    fn command(&self) -> Command {
        match self {
            Self::Clang(path) => {
                let mut clang = Command::new(path);
                clang.arg("--target=wasm32-unknown-unknown");
                clang
            }
            Self::Zig(path) => {
                let cache = paths::tools().join("zig-cache");
                let mut zig = Command::new(path);
                zig.args(["cc", "--target=wasm32-freestanding"]);
                zig.env("ZIG_GLOBAL_CACHE_DIR", &cache).env("ZIG_LOCAL_CACHE_DIR", cache);
                zig
            }
        }
    }

    /// Not every clang was built with WebAssembly in it.
    fn clang() -> Option<Self> {
        let path = env::var_os(VARIABLE).map_or_else(|| PathBuf::from("clang"), PathBuf::from);
        let targets = command::ask(Command::new(&path).arg("--print-targets"))?;
        targets.contains("wasm32").then_some(Self::Clang(path))
    }

    fn zig() -> Option<Self> {
        let path = zig_folder().join("ziglang/zig");
        path.is_file().then_some(Self::Zig(path))
    }
}

/// Into a folder of its own: no environment, virtual or not, is touched.
fn install_zig() -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--target"]);
    command::run(pip.arg(zig_folder()).arg(ZIG))
}

fn zig_folder() -> PathBuf {
    paths::tools().join(ZIG.replace("==", "-"))
}
