//! Fuzzing: any bytes, guided by what they reach, for everything that reads what others wrote.

mod outcome;
mod target;

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use crate::command;
use crate::paths;
use outcome::Outcome;
use target::Target;

/// A decoder that takes this much memory for one input does not keep to its bounds, in MiB.
const MEMORY_MIB: u32 = 1024;

/// One that takes so long for one input does not either, in seconds.
const TIMEOUT_SECONDS: u32 = 10;

/// What is missing from the time that a target is to have is not made up for when it is less than this.
const SHORTEST_ROUND: Duration = Duration::from_secs(2);

/// What `cargo xtask fuzz` takes.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Which targets; all, if none is named
    targets: Vec<String>,
    /// How long each is run, in seconds of CPU: on a machine that does other things as well it takes longer
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What else is looked for: `address` finds misuse of memory in unsafe code of others, and is slower
    #[arg(long, default_value = "none")]
    sanitizer: String,
    /// Afterwards, put the shortest inputs that together reach as much into `fuzz/corpus`
    #[arg(long)]
    keep: bool,
}

/// Builds and runs one target after the other, and says what came of each.
pub(crate) fn run(options: &Options) -> Result<()> {
    install()?;
    let targets = target::chosen(&options.targets)?;
    let mut outcomes = Vec::new();
    for target in targets {
        build(&target, &options.sanitizer)?;
        let outcome = fuzz(&target, options.seconds)?;
        if options.keep && outcome.found.is_none() {
            keep(&target)?;
        }
        outcomes.push((target, outcome));
    }
    println!("{}", Outcome::HEADING);
    for (target, outcome) in &outcomes {
        println!("{}", outcome.line(&target.name));
    }
    let found: Vec<String> = outcomes
        .iter()
        .filter_map(|(target, outcome)| Some(target.replay(outcome.found.as_ref()?)))
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    bail!("something does not hold. To see it again, in `fuzz/`:\n{}", found.join("\n"))
}

fn install() -> Result<()> {
    if command::ask(command::cargo().args(["fuzz", "--version"])).is_some() {
        return Ok(());
    }
    eprintln!("cargo-fuzz is not there, and is installed");
    command::run(command::cargo().args(["install", "--locked", "cargo-fuzz"]))
}

fn build(target: &Target, sanitizer: &str) -> Result<()> {
    let mut cargo = command::cargo();
    // Coverage counters and sanitizers are for nightly compilers only, but in every compiler.
    cargo.env("RUSTC_BOOTSTRAP", "1").args(["fuzz", "build", "--sanitizer", sanitizer]);
    if let Some(feature) = &target.feature {
        cargo.args(["--features", feature]);
    }
    command::run(cargo.arg(&target.name)).context("building it")
}

/// Runs a target until it has had so many seconds of CPU, or something was found.
fn fuzz(target: &Target, seconds: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let begun = used()?;
    loop {
        outcome.had = used()?.saturating_sub(begun);
        let left = Duration::from_secs(seconds).saturating_sub(outcome.had);
        if left < SHORTEST_ROUND || outcome.found.is_some() {
            return Ok(outcome);
        }
        outcome = outcome.and(round(target, left)?);
    }
}

/// How much CPU everything has had that was started from here and has ended.
fn used() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let microseconds = (usage.user_time() + usage.system_time()).num_microseconds();
    Ok(Duration::from_micros(u64::try_from(microseconds)?))
}

fn round(target: &Target, time: Duration) -> Result<Outcome> {
    let folders = target.folders()?;
    let seconds = time.as_secs();
    let mut fuzzer = Command::new(target.binary()?);
    fuzzer
        .current_dir(paths::fuzz())
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-timeout={TIMEOUT_SECONDS}"))
        .arg("-print_final_stats=1")
        .arg(format!("-artifact_prefix={}/", folders.artifacts.display()));
    if folders.dictionary.is_file() {
        fuzzer.arg(format!("-dict={}", folders.dictionary.display()));
    }
    // What is new goes into the first folder.
    fuzzer.args([&folders.found, &folders.corpus]);
    eprintln!("+ {} for {seconds} s", target.name);
    let output = fuzzer
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("the fuzz target `{}` could not be started", target.name))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let outcome = Outcome::read(&said);
    if !output.status.success() {
        eprintln!("{said}");
        if outcome.found.is_none() {
            bail!("the fuzz target `{}` failed ({})", target.name, output.status);
        }
    }
    Ok(outcome)
}

/// Chooses among all inputs a few that reach as much as all of them.
fn keep(target: &Target) -> Result<()> {
    let folders = target.folders()?;
    let kept = folders.found.with_extension("kept");
    let _ = std::fs::remove_dir_all(&kept);
    std::fs::create_dir_all(&kept)?;
    let merge = Command::new(target.binary()?)
        .current_dir(paths::fuzz())
        // By what is reached, not by how often: hundreds of inputs instead of thousands.
        .args(["-set_cover_merge=1", "-use_counters=0"])
        .args([&kept, &folders.corpus, &folders.found])
        .stderr(Stdio::null())
        .status()?;
    if !merge.success() {
        bail!("the inputs of `{}` could not be merged ({merge})", target.name);
    }
    std::fs::remove_dir_all(&folders.corpus)?;
    std::fs::create_dir_all(&folders.corpus)?;
    for file in std::fs::read_dir(&kept)? {
        let file = file?;
        std::fs::copy(file.path(), folders.corpus.join(file.file_name()))?;
    }
    Ok(())
}
