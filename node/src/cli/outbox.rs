//! `wattle outbox`.

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};
use wattle_contracts::message::Group;

use super::NodeArgs;
use super::output::{print, print_json, table};
use crate::api::{OutboxReply, ParkedChange, ParkedReply};

/// Shows which messages wait on this node, for whom; and looks after those that are parked
/// because their handler failed too often.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Outbox {
    #[command(subcommand)]
    verb: Option<OutboxVerb>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Subcommand)]
enum OutboxVerb {
    /// Lists the messages that are parked, and how their handlers failed.
    Parked(Parked),
    /// Puts what is parked for a group at the end of its queue.
    Retry(Change),
    /// Gives up what is parked for a group.
    Drop(Change),
}

#[derive(Args)]
struct Parked {
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
struct Change {
    /// The group: app/group, or the app where the group has its name.
    #[arg(value_name = "APP/GROUP")]
    group: Group,
    #[command(flatten)]
    node: NodeArgs,
}

impl Outbox {
    pub(super) async fn run(self) -> Result<()> {
        match self.verb {
            None => show(&self.node).await,
            Some(OutboxVerb::Parked(verb)) => parked(&verb.node).await,
            Some(OutboxVerb::Retry(verb)) => {
                let Group { app, name } = &verb.group;
                let path = format!("/v1/outbox/parked/{app}/{name}/retry");
                let done: ParkedChange = verb.node.client()?.post(&path, &()).await?;
                changed(&verb.node, &done, "tried again")
            }
            Some(OutboxVerb::Drop(verb)) => {
                let Group { app, name } = &verb.group;
                let path = format!("/v1/outbox/parked/{app}/{name}");
                let done: ParkedChange = verb.node.client()?.delete(&path).await?;
                changed(&verb.node, &done, "dropped")
            }
        }
    }
}

async fn show(node: &NodeArgs) -> Result<()> {
    let reply: OutboxReply = node.client()?.get("/v1/outbox").await?;
    if node.json {
        return print_json(&reply);
    }
    if reply.groups.is_empty() {
        return print("nothing ever waited here\n");
    }
    let rows: Vec<_> = reply
        .groups
        .iter()
        .map(|group| {
            [
                group.group.to_string(),
                group.waiting.to_string(),
                group.bytes.to_string(),
                group.oldest_millis.map_or("-".into(), age),
                group.parked.to_string(),
                group.expired.to_string(),
                group.node.map_or("-".into(), |node| node.short()),
                group.problem.clone().unwrap_or("-".into()),
            ]
        })
        .collect();
    let header = ["GROUP", "WAITING", "BYTES", "OLDEST", "PARKED", "EXPIRED", "TO", "PROBLEM"];
    print(&table(header, &rows))
}

async fn parked(node: &NodeArgs) -> Result<()> {
    let reply: ParkedReply = node.client()?.get("/v1/outbox/parked").await?;
    if node.json {
        return print_json(&reply);
    }
    if reply.messages.is_empty() {
        return print("nothing is parked\n");
    }
    let rows: Vec<_> = reply
        .messages
        .iter()
        .map(|message| {
            [
                message.group.to_string(),
                message.sequence.to_string(),
                message.subject.to_string(),
                age(message.age_millis),
                message.why.clone(),
            ]
        })
        .collect();
    print(&table(["GROUP", "SEQUENCE", "SUBJECT", "AGE", "WHY"], &rows))
}

fn changed(node: &NodeArgs, done: &ParkedChange, what: &str) -> Result<()> {
    if node.json {
        return print_json(done);
    }
    print(&format!("{} of {} {what}\n", done.messages, done.group))
}

fn age(millis: u64) -> String {
    let age = Duration::from_millis(millis).as_secs();
    match age {
        0..60 => format!("{age}s"),
        60..3600 => format!("{}min", age / 60),
        3600..86_400 => format!("{}h", age / 3600),
        _ => format!("{}d", age / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_short() {
        let ages = [999, 59_999, 60_000, 7_200_000, 172_800_000].map(age);
        assert_eq!(ages, ["0s", "59s", "1min", "2h", "2d"]);
    }
}
