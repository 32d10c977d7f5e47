//! `wattle` as a person runs it: one verb, one answer.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::paths;

/// No verb but `up` and `logs -f` may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a verb answered.
#[derive(Debug)]
pub struct Answer {
    command: String,
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// Runs `wattle` with `args` to its end.
pub async fn wattle<I>(args: I) -> Answer
where
    I: IntoIterator<Item: AsRef<OsStr>>,
{
    let mut command = Command::new(paths::wattle());
    command.args(args);
    without_settings(&mut command);
    run(command).await
}

/// Takes out what the person who runs the tests has set for verbs that speak to a node.
pub(crate) fn without_settings(command: &mut Command) {
    for name in ["WATTLE_OPERATOR_KEY", "WATTLE_NODE", "WATTLE_TOKEN"] {
        command.env_remove(name);
    }
}

/// Runs `wattle up` with `args`, which must end by itself: it is to fail. The log is off, so that
/// all it writes is what a person is told.
pub async fn failing_up<I>(args: I) -> Answer
where
    I: IntoIterator<Item: AsRef<OsStr>>,
{
    let mut command = Command::new(paths::wattle());
    command.arg("up").args(args).env("WATTLE_LOG", "off");
    run(command).await
}

/// Runs a prepared `wattle` to its end.
pub async fn run(mut command: Command) -> Answer {
    let line = format!("{:?}", command.as_std());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .unwrap_or_else(|_| panic!("{line} did not end within {PATIENCE:?}"))
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    Answer {
        command: line,
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("standard output is text"),
        stderr: String::from_utf8(output.stderr).expect("standard error is text"),
    }
}

impl Answer {
    /// What it wrote, where it must have succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// The same, read as JSON.
    pub fn json<T: DeserializeOwned>(self) -> T {
        let command = self.command.clone();
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{command}: {error}\n{text}"))
    }

    /// What it said on standard error, where it must have failed as verbs fail.
    pub fn refused(self) -> String {
        assert_eq!(self.code, Some(1), "{self:#?}");
        assert!(self.stderr.starts_with("wattle: "), "{self:#?}");
        self.stderr
    }

    /// The same, where that must be one line.
    pub fn refused_in_one_line(self) -> String {
        let said = self.refused();
        assert_eq!(said.lines().count(), 1, "expected one line, got\n{said}");
        said
    }
}
