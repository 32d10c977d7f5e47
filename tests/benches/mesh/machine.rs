//! What was measured on.

use std::fmt;
use std::fs;
use std::process::Command;

/// A machine in words. What can't be found out is left out.
pub(crate) struct Machine {
    pub(crate) date: String,
    cpu: String,
    cores: usize,
    memory: String,
    kernel: String,
    rustc: String,
    nats: Option<String>,
    /// How many tasks wanted to run when the measurement began.
    load: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        Self {
            date: said_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"]).unwrap_or_default(),
            cpu: line_of("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".into()),
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory: line_of("/proc/meminfo", "MemTotal").map_or_else(String::new, gibibytes),
            kernel: said_by("uname", &["-sr"]).unwrap_or_default(),
            rustc: said_by("rustc", &["--version"]).unwrap_or_default(),
            nats: crate::nats::server().and_then(|server| said_by(&server, &["--version"])),
            load: load_average().unwrap_or_else(|| "unknown".into()),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, cores, memory, kernel, rustc, load, .. } = self;
        write!(f, "{cpu}, {cores} cores{memory}; {kernel}; {rustc}")?;
        if let Some(nats) = &self.nats {
            write!(f, "; {nats}")?;
        }
        write!(f, "; load average when it began: {load}")
    }
}

/// The average over the last minute.
pub(crate) fn load_average() -> Option<String> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next().map(Into::into)
}

fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The value of the first line `key : value`.
fn line_of(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) = text.lines().find(|line| line.starts_with(key))?.split_once(':')?;
    Some(value.trim().into())
}

fn gibibytes(kibibytes: String) -> String {
    let number = kibibytes.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    number.map_or_else(String::new, |number| format!(", {:.0} GiB", number / f64::from(1 << 20)))
}
