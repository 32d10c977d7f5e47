//! Where the things under test are.

use std::env;
use std::path::{Path, PathBuf};

/// The `wattle` that was built with the tests: it lies beside the folder of their executables.
pub fn wattle() -> PathBuf {
    let test = env::current_exe().expect("a test knows its own executable");
    let profile = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    let wattle = profile.join("wattle");
    assert!(
        wattle.is_file(),
        "there is no {}; build it: cargo build -p wattle-node",
        wattle.display()
    );
    wattle
}

/// A component made from `tests/guests`, not signed.
pub fn guest(name: &str) -> PathBuf {
    let file = guest_file(name);
    assert!(file.is_file(), "there is no {}; build it: cargo xtask guests", file.display());
    file
}

/// Whether that guest was built: one of them needs a C compiler.
pub fn has_guest(name: &str) -> bool {
    guest_file(name).is_file()
}

/// A file of the repository.
pub fn in_repository(path: &str) -> PathBuf {
    root().join(path)
}

fn guest_file(name: &str) -> PathBuf {
    root().join("target/guests").join(format!("{name}.wasm"))
}

fn root() -> PathBuf {
    // Cargo says at run time where the package is now; the compiled-in place is for an executable
    // that is started by hand.
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().expect("the tests are a folder of the repository").to_path_buf()
}
