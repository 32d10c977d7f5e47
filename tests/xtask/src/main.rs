//! The chores of this repository: `cargo xtask --help`.

mod bench;
mod check;
mod command;
mod fuzz;
mod guests;
mod packages;
mod paths;
mod setup;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the WebAssembly components that tests, benchmarks and examples use
    Guests(guests::Options),
    /// Install the Debian packages that tests and benchmarks use
    Setup,
    /// Everything that must pass: set-up, guests, tests, and the demo
    Test(test::Options),
    /// Measure, with the release profile
    Bench(bench::Options),
    /// Try any bytes on everything that reads what others wrote
    Fuzz(fuzz::Options),
    /// Formatting, lints and licences
    Check,
}

fn main() -> ExitCode {
    match run(&Cli::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: &Verb) -> Result<()> {
    match verb {
        Verb::Guests(options) => guests::run(options),
        Verb::Setup => setup::run(),
        Verb::Test(options) => test::run(options),
        Verb::Bench(options) => bench::run(options),
        Verb::Fuzz(options) => fuzz::run(options),
        Verb::Check => check::run(),
    }
}
