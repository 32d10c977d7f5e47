//! The command line: one file for each verb.

mod apply;
mod apps;
mod audit;
mod call;
mod compile;
mod config;
mod demo;
mod history;
mod inspect;
mod invite;
mod keys;
mod leave;
mod links;
mod logs;
mod mesh;
mod metrics;
mod node_args;
mod nodes;
mod operator;
mod outbox;
mod output;
mod publish;
mod publishers;
mod revoke;
mod rm;
mod rotate_key;
mod rotate_mesh;
mod secret;
mod sign;
mod signing;
mod sim;
mod token;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

pub(crate) use apply::send as send_app;
pub(crate) use signing::{Expected, sign_draft};

use node_args::NodeArgs;

use crate::threads::Threads;

/// A brokerless mesh that runs signed WebAssembly components.
#[derive(Parser)]
#[command(name = "wattle", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs a node until it is told to stop.
    Up(Box<up::Up>),
    /// Makes a mesh, and admits nodes to it.
    #[command(subcommand)]
    Mesh(mesh::MeshVerb),
    /// Makes an invitation to a mesh.
    Invite(Box<invite::Invite>),
    /// Takes back what a node's, an invitation's, a publisher's or an operator's key is worth.
    Revoke(revoke::Revoke),
    /// Says who may change what.
    #[command(subcommand)]
    Operator(operator::OperatorVerb),
    /// Makes a token for the API of a node elsewhere.
    Token(token::Token),
    /// Shows this node's id, which is made now if there is none.
    Id(keys::Id),
    /// Gives a node that is stopped a new key, with all that it keeps.
    RotateKey(rotate_key::RotateKey),
    /// Makes publishers' keys.
    #[command(subcommand)]
    Key(keys::KeyVerb),
    /// Says whose components may run in the mesh, and which.
    #[command(subcommand)]
    Publisher(publishers::PublisherVerb),
    /// Signs a component.
    Sign(sign::Sign),
    /// Shows who signed a component, and what it imports and exports.
    Inspect(inspect::Inspect),
    /// Shows the nodes of the mesh.
    Nodes(nodes::Nodes),
    /// Stops a node: it finishes the calls under way and tells the others that it leaves.
    Leave(leave::Leave),
    /// Declares an app in the mesh.
    Apply(apply::Apply),
    /// Shows the declared apps, where they run, and why not where they should.
    Apps(apps::Apps),
    /// Shows where imports go, and sends them elsewhere.
    #[command(subcommand)]
    Link(links::LinkVerb),
    /// Shows what components read as their configuration, and changes it.
    #[command(subcommand)]
    Config(config::ConfigVerb),
    /// Gives components secrets, which only the nodes that may run them can open.
    #[command(subcommand)]
    Secret(secret::SecretVerb),
    /// Calls a function of a component.
    Call(call::Call),
    /// Publishes a message to whoever subscribes to its subject.
    Publish(publish::Publish),
    /// Shows which messages wait on this node, and for whom.
    Outbox(outbox::Outbox),
    /// Takes an app back.
    Rm(rm::Rm),
    /// Shows the changes of a key: the current one, and those that lost against it.
    History(history::History),
    /// Shows what this node's components log.
    Logs(logs::LogsVerb),
    /// Shows, checks and exports what a node has written down: who was let in or refused, what was
    /// declared, and what was run.
    #[command(subcommand)]
    Audit(audit::AuditVerb),
    /// Shows this node's counters.
    Metrics(metrics::Metrics),
    /// Compiles a component for the node that has started this process.
    #[command(hide = true)]
    Compile(compile::Compile),
    /// Rehearses a mesh in virtual time: its cuts, crashes and bad disks, before they happen.
    #[command(subcommand)]
    Sim(sim::SimVerb),
    /// Shows a mesh at work on this machine: three nodes, an app, a cut, a heal.
    Demo(demo::Demo),
}

/// Runs the verb that the process was started with.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Before there are threads: what it may use holds for all of them.
    if let Verb::Compile(verb) = &cli.verb {
        return verb.run();
    }
    // Keys and secrets pass through most of these: nothing of it goes to a file in a crash. A node has its own
    // moment for that, and who only runs components opens their page map.
    if !matches!(cli.verb, Verb::Up(_) | Verb::Inspect(_) | Verb::Sim(_) | Verb::Demo(_)) {
        let _ =
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
    match run(cli.verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wattle: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    output::start_log(&verb);
    let threads = Threads::start(matches!(verb, Verb::Up(_)))?;
    let done = |outcome: Result<()>| outcome.map(|()| ExitCode::SUCCESS);
    threads.network.block_on(async {
        match verb {
            Verb::Up(verb) => done(verb.run(threads.work()).await),
            Verb::Mesh(verb) => done(verb.run().await),
            Verb::Invite(verb) => done(verb.run()),
            Verb::Revoke(verb) => done(verb.run().await),
            Verb::Operator(verb) => done(verb.run().await),
            Verb::Token(verb) => done(verb.run()),
            Verb::Id(verb) => done(verb.run()),
            Verb::RotateKey(verb) => done(verb.run()),
            Verb::Key(verb) => done(verb.run()),
            Verb::Publisher(verb) => done(verb.run().await),
            Verb::Sign(verb) => done(verb.run()),
            Verb::Inspect(verb) => done(verb.run()),
            Verb::Nodes(verb) => done(verb.run().await),
            Verb::Leave(verb) => done(verb.run().await),
            Verb::Apply(verb) => done(verb.run().await),
            Verb::Apps(verb) => done(verb.run().await),
            Verb::Link(verb) => done(verb.run().await),
            Verb::Config(verb) => done(verb.run().await),
            Verb::Secret(verb) => done(verb.run().await),
            Verb::Call(verb) => done(verb.run().await),
            Verb::Publish(verb) => done(verb.run().await),
            Verb::Outbox(verb) => done(verb.run().await),
            Verb::Rm(verb) => done(verb.run().await),
            Verb::History(verb) => done(verb.run().await),
            Verb::Logs(verb) => done(verb.run().await),
            Verb::Metrics(verb) => done(verb.run().await),
            Verb::Audit(verb) => verb.run(),
            Verb::Compile(verb) => Ok(verb.run()),
            Verb::Sim(verb) => verb.run().await,
            Verb::Demo(verb) => verb.run().await,
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
