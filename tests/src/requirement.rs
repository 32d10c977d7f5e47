//! What some tests need of the machine. Where it is missing they say so, loudly, and end.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Whether this is the administrator, with all of `programs` at hand. If not, it is said that
/// `test` was left out, and why.
pub fn root_with(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<&str> = programs.iter().copied().filter(|name| !is_there(name)).collect();
    if !rustix::process::getuid().is_root() {
        left_out(test, "it needs root");
        return false;
    }
    if !missing.is_empty() {
        left_out(test, &format!("this machine has no {}", missing.join(", ")));
        return false;
    }
    true
}

/// Says that `test` is left out.
pub fn left_out(test: &str, why: &str) {
    // Not by `eprintln!`, which the test runner keeps to itself when a test passes.
    let _ = writeln!(std::io::stderr(), "\nLEFT OUT: {test}: {why}\n");
}

fn is_there(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok()
}
