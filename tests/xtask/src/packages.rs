//! Debian packages.

use std::io::IsTerminal as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;

/// Installs them, as the administrator that this is or through `sudo`.
pub(crate) fn install(names: &[&str]) -> Result<()> {
    if command::ask(Command::new("apt-get").arg("--version")).is_none() {
        bail!("this machine has no apt-get: install {} in its own way", names.join(", "));
    }
    // A new machine has no lists yet. When they can't be renewed, older ones may still do.
    if let Err(error) = command::run(apt_get()?.arg("update")) {
        eprintln!("{error:#}");
    }
    command::run(apt_get()?.args(["install", "--yes", "--no-install-recommends"]).args(names))
        .with_context(|| {
            format!(
                "installing {}: try `apt-get install {}` yourself",
                names.join(", "),
                names.join(" ")
            )
        })
}

fn apt_get() -> Result<Command> {
    if is_root() {
        let mut apt_get = Command::new("apt-get");
        apt_get.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
        return Ok(apt_get);
    }
    let mut sudo = Command::new("sudo");
    // Where nobody is there to type a password, asking for one would wait for ever.
    if !std::io::stdin().is_terminal() {
        if command::ask(Command::new("sudo").args(["-n", "true"])).is_none() {
            bail!("this needs an administrator, and sudo is not there or asks for a password");
        }
        sudo.arg("-n");
    }
    sudo.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet"]);
    Ok(sudo)
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    command::ask(Command::new("id").arg("-u")).is_some_and(|id| id == "0")
}
