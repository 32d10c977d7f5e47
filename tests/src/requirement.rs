//! What some tests need of the machine. Where it is missing they say so, loudly, and end.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether networks of one's own can be made here: as root, with iproute2 and nftables, and not
/// inside a container that forbids it. If not, it is said that `test` was left out, and why.
pub fn networks(test: &str) -> bool {
    // Tests run beside each other.
    static PROBES: AtomicU32 = AtomicU32::new(0);
    let number = PROBES.fetch_add(1, Ordering::Relaxed);
    let name = format!("wattle-{}-probe-{number}", std::process::id());
    root_with(test, &["ip", "nft"], || {
        let made = succeeds("ip", ["netns", "add", &name]);
        let used = made && succeeds("ip", ["netns", "exec", &name, "nft", "list", "ruleset"]);
        made && succeeds("ip", ["netns", "delete", &name]) && used
    })
}

/// Whether file systems can be mounted here. If not, it is said that `test` was left out.
pub fn mounts(test: &str) -> bool {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let path = folder.path().as_os_str();
    let mount = ["-t", "tmpfs", "wattle-probe"].map(OsStr::new);
    root_with(test, &["mount", "umount"], || {
        succeeds("mount", mount.into_iter().chain([path])) && succeeds("umount", [path])
    })
}

/// Says that `test` is left out.
pub fn left_out(test: &str, why: &str) {
    // Not by `eprintln!`, which the test runner keeps to itself when a test passes.
    let _ = writeln!(std::io::stderr(), "\nLEFT OUT: {test}: {why}\n");
}

fn root_with(test: &str, programs: &[&str], probe: impl FnOnce() -> bool) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| !is_there(name)).collect();
    let why = if !rustix::process::getuid().is_root() {
        "it needs root".into()
    } else if !missing.is_empty() {
        format!("this machine has no {}", missing.join(", "))
    } else if !probe() {
        format!("this machine does not let root use {}", programs.join(", "))
    } else {
        return true;
    };
    left_out(test, &why);
    false
}

fn is_there(program: &str) -> bool {
    quiet(program).arg("--version").status().is_ok()
}

fn succeeds<I>(program: &str, args: I) -> bool
where
    I: IntoIterator<Item: AsRef<OsStr>>,
{
    quiet(program).args(args).status().is_ok_and(|status| status.success())
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
