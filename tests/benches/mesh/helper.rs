//! The other sides that need a process of their own: this program again, in another role.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::threads::Threads;
use crate::{framed, nats, plain_http};

/// A process that plays a role until this is dropped.
pub(crate) struct Helper {
    process: Child,
    /// The first line it said: where it can be reached.
    pub(crate) said: String,
}

impl Helper {
    /// Starts it, and waits until it says that it is ready.
    pub(crate) fn start(role: &str, threads: Threads, argument: Option<&str>) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--helper", role, threads.word()])
            .args(argument)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("can't start the {role}"))?;
        let mut said = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let helper = Self { process, said: said.trim().into() };
        if helper.said.is_empty() {
            bail!("the {role} ended before it was ready; what it said stands above");
        }
        Ok(helper)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a helper process does.
pub(crate) async fn play(role: &str, argument: Option<&str>) -> Result<()> {
    end_with_parent();
    match (role, argument) {
        (nats::RESPONDER, Some(address)) => nats::respond(address).await,
        (framed::SERVER, None) => framed::serve().await,
        (plain_http::SERVER, None) => plain_http::serve().await,
        _ => bail!("there is no helper `{role}`, or not with this argument"),
    }
}

/// Says to whoever started this helper that it is ready.
pub(crate) fn ready(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// Its standard input ends when the process at the other end does, however that dies.
fn end_with_parent() {
    std::thread::spawn(|| {
        let mut byte = [0];
        while std::io::stdin().read(&mut byte).is_ok_and(|read| read > 0) {}
        std::process::exit(0);
    });
}
