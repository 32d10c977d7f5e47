//! Wattle beside others, in one run: `cargo xtask bench`.
//!
//! Every comparison alternates between the two sides in rounds and takes medians, because what a
//! machine can do changes while it is measured. Nothing here fails because something is slow: a
//! full run writes what it found into `docs/performance.md`, reached or not.

mod across;
mod commands;
mod composed;
mod durable;
mod first_call;
mod framed;
mod hello;
mod helper;
mod idle;
mod jetstream;
mod load;
mod machine;
mod nats;
mod node;
mod outside;
mod places;
mod plain_engine;
mod plain_http;
mod report;
mod same_node;
mod statistics;
mod threads;

use std::process::ExitCode;

use anyhow::Result;

use self::commands::{Command, Options};
use self::machine::Machine;
use self::report::Report;
use self::threads::Threads;

fn main() -> ExitCode {
    let outcome = Command::read(std::env::args().skip(1)).and_then(|command| match command {
        Command::Help => {
            println!("{}", commands::HELP);
            Ok(())
        }
        Command::Helper { role, threads, argument } => {
            threads.runtime()?.block_on(helper::play(&role, argument.as_deref()))
        }
        Command::Measure(options) => Threads::PerCore.runtime()?.block_on(measure(&options)),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(options: &Options) -> Result<()> {
    let machine = Machine::look();
    eprintln!("{machine}\n");
    let mut report = Report::default();
    if options.wants("across") {
        across::measure(options, &mut report).await?;
    }
    if options.wants("same-node") {
        same_node::measure(options, &mut report).await?;
    }
    if options.wants("http") {
        hello::measure(options, &mut report).await?;
    }
    if options.wants("durable") {
        durable::measure(options, &mut report).await?;
    }
    if options.wants("first-call") {
        first_call::measure(options, &mut report).await?;
    }
    if options.wants("idle") {
        idle::measure(options, &mut report).await?;
    }
    println!("\n{}", report.tables());
    if options.is_complete() {
        let path = places::root().join("docs/performance.md");
        report.write(&path, &machine)?;
        println!("written to docs/performance.md");
    } else {
        println!("docs/performance.md is left as it is: only a full run writes it");
    }
    Ok(())
}
