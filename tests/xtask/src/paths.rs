//! Where things are.

use std::env;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub(crate) fn root() -> PathBuf {
    // Cargo says at run time where the package is now; the compiled-in place is for a binary started by hand.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), Into::into);
    package.ancestors().nth(2).map_or_else(|| package.clone(), Path::to_path_buf)
}

/// What is built for this machine.
pub(crate) fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// The finished components. Manifests name this folder, so it does not move with `CARGO_TARGET_DIR`.
pub(crate) fn guests() -> PathBuf {
    root().join("target/guests")
}

/// The package of the fuzz targets.
pub(crate) fn fuzz() -> PathBuf {
    root().join("fuzz")
}

/// What is kept between two builds of the guests.
pub(crate) fn guests_build() -> PathBuf {
    root().join("target/guests-build")
}

/// Tools that are not part of the machine.
pub(crate) fn tools() -> PathBuf {
    root().join("target/tools")
}
