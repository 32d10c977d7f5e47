//! `wattle publisher`.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use wattle_contracts::id::{ContractId, Digest, LocalName, PublisherKey};
use wattle_contracts::record::{Publisher, RecordBody, RecordKey};

use super::NodeArgs;
use super::output::{changed, print, print_json, table, when};
use super::signing::Expected;
use crate::api::{ChangeReply, PublishersReply};
use crate::daemon::PublisherRequest;

#[derive(Subcommand)]
pub(super) enum PublisherVerb {
    /// Trusts a publisher on every node, or changes what it is trusted with.
    Add(Box<Add>),
    /// Trusts a publisher no more: what it signed and runs is stopped on every node.
    Rm(Rm),
    /// Lists whose components may run, and which.
    Ls(Ls),
}

#[derive(Args)]
pub(super) struct Add {
    /// Its public key (publisher:…), as `wattle key show` prints it.
    #[arg(value_name = "PUBLISHER-KEY")]
    key: PublisherKey,
    /// What people call it.
    #[arg(long, value_name = "NAME")]
    name: LocalName,
    /// An app whose components it may sign; `store-*` for all that begin so. May be said several
    /// times; any app, if it is left out.
    #[arg(long = "app", value_name = "APP")]
    apps: Vec<String>,
    /// A component within those apps that it may sign. May be said several times.
    #[arg(long = "component", value_name = "COMPONENT")]
    components: Vec<String>,
    /// A signed file that may run, by its digest. May be said several times.
    #[arg(long = "digest", value_name = "DIGEST")]
    digests: Vec<Digest>,
    /// A contract that its components may import by links, or export. May be said several times.
    #[arg(long = "contract", value_name = "CONTRACT")]
    contracts: Vec<ContractId>,
    /// Nobody else may sign what these rules lead to.
    #[arg(long)]
    exclusive: bool,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Rm {
    /// Its public key, or its name.
    #[arg(value_name = "PUBLISHER")]
    publisher: String,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Ls {
    #[command(flatten)]
    node: NodeArgs,
}

impl PublisherVerb {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Add(verb) => verb.run().await,
            Self::Rm(verb) => verb.run().await,
            Self::Ls(verb) => verb.run().await,
        }
    }
}

impl Add {
    async fn run(self) -> Result<()> {
        let Self { key, name, apps, components, digests, contracts, exclusive, node } = self;
        let publisher = Publisher { name, apps, components, digests, contracts, exclusive };
        let body = RecordBody::Publisher(Box::new(publisher.clone()));
        let (path, expected) = at(key, body);
        let request = PublisherRequest { publisher };
        let reply: ChangeReply =
            node.client()?.declare(Method::PUT, &path, &request, expected).await?;
        changed(&reply, "trusted", node.json)
    }
}

impl Rm {
    async fn run(self) -> Result<()> {
        let client = self.node.client()?;
        let key = match self.publisher.parse::<PublisherKey>() {
            Ok(key) => key,
            Err(_) => {
                let reply: PublishersReply = client.get("/v1/publishers").await?;
                let named = |name: &LocalName| name.as_str() == self.publisher;
                let found = reply.publishers.iter().find(|info| named(&info.publisher.name));
                let Some(found) = found else {
                    bail!(
                        "`{}` is neither a publisher's key (publisher:…) nor the name of one; see: \
                         wattle publisher ls",
                        self.publisher
                    );
                };
                found.key
            }
        };
        let (path, expected) = at(key, RecordBody::Tombstone);
        let reply: ChangeReply = client.declare(Method::DELETE, &path, &(), expected).await?;
        changed(&reply, "trusted no more", self.node.json)
    }
}

/// Where a publisher is changed, and the record that comes of it.
fn at(key: PublisherKey, body: RecordBody) -> (String, Expected) {
    (format!("/v1/publishers/{key}"), (RecordKey::Publisher(key), body))
}

impl Ls {
    async fn run(self) -> Result<()> {
        let reply: PublishersReply = self.node.client()?.get("/v1/publishers").await?;
        if self.node.json {
            return print_json(&reply);
        }
        let own = reply.own.iter().map(|key| {
            let said_by = "this node (--trust)".into();
            ["-".into(), key.to_string(), "everything, on this node".into(), said_by, "-".into()]
        });
        let rows = reply.publishers.iter().map(|info| {
            let publisher = &info.publisher;
            [
                publisher.name.to_string(),
                info.key.to_string(),
                rules(publisher),
                info.writer.short(),
                when(info.at),
            ]
        });
        let rows: Vec<_> = rows.chain(own).collect();
        if rows.is_empty() {
            return print("no publisher is trusted; trust one with: wattle publisher add\n");
        }
        print(&table(["NAME", "KEY", "MAY SIGN", "THROUGH", "AT"], &rows))
    }
}

fn rules(publisher: &Publisher) -> String {
    let texts = |all: &[String]| all.join(",");
    let digests: Vec<String> =
        publisher.digests.iter().map(|digest| digest.hex().chars().take(12).collect()).collect();
    let contracts: Vec<String> = publisher.contracts.iter().map(ToString::to_string).collect();
    let lists = [
        ("apps", texts(&publisher.apps)),
        ("components", texts(&publisher.components)),
        ("digests", digests.join(",")),
        ("contracts", contracts.join(",")),
    ];
    let mut words: Vec<String> = lists
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(word, list)| format!("{word} {list}"))
        .collect();
    if words.is_empty() {
        words.push("everything".into());
    }
    if publisher.exclusive {
        words.push("nobody else may".into());
    }
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_publisher_may_sign_takes_one_line() {
        let publisher = |apps: &[&str], exclusive| Publisher {
            name: "acme".parse().unwrap(),
            apps: apps.iter().map(ToString::to_string).collect(),
            components: Vec::new(),
            digests: Vec::new(),
            contracts: Vec::new(),
            exclusive,
        };
        assert_eq!(rules(&publisher(&[], false)), "everything");
        assert_eq!(rules(&publisher(&["a", "b-*"], true)), "apps a,b-*; nobody else may");
    }
}
