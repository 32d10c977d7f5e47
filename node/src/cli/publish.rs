//! `wattle publish`.

use std::io::{BufRead as _, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::{PublishReply, PublishRequest};

/// Publishes a message to whoever subscribes to its subject.
#[derive(Args)]
pub(super) struct Publish {
    /// What it is about: tokens between dots, such as orders.eu.placed.
    subject: String,
    /// What it says. Without it, standard input is read to its end.
    #[arg(conflicts_with_all = ["file", "lines"])]
    message: Option<String>,
    /// Take what it says from a file.
    #[arg(long, value_name = "FILE", conflicts_with = "lines")]
    file: Option<PathBuf>,
    /// Publish each line of standard input as a message of its own, one after the other.
    #[arg(long)]
    lines: bool,
    /// Keep it on the node's disk until every group that subscribes has handled it, and print its
    /// name once it is there. Otherwise whoever can be reached now gets it, at most once.
    #[arg(long)]
    durable: bool,
    #[command(flatten)]
    node: NodeArgs,
}

impl Publish {
    pub(super) async fn run(self) -> Result<()> {
        if self.lines {
            for line in std::io::stdin().lock().lines() {
                self.publish(line?.as_bytes()).await?;
            }
            return Ok(());
        }
        let body = match (&self.message, &self.file) {
            (Some(message), _) => message.clone().into_bytes(),
            (None, Some(file)) => std::fs::read(file)
                .with_context(|| format!("can't read the message {}", file.display()))?,
            (None, None) => {
                let mut body = Vec::new();
                std::io::stdin().lock().read_to_end(&mut body)?;
                body
            }
        };
        self.publish(&body).await
    }

    async fn publish(&self, body: &[u8]) -> Result<()> {
        let request = PublishRequest {
            subject: self.subject.clone(),
            body: STANDARD.encode(body),
            durable: self.durable,
        };
        let reply: Result<PublishReply, _> =
            self.node.client()?.post("/v1/messages", &request).await;
        match reply {
            Ok(reply) if self.node.json => print_json(&reply),
            Ok(PublishReply { id: Some(id) }) => print(&format!("{id}\n")),
            Ok(PublishReply { id: None }) => Ok(()),
            Err(error) => self.node.failed(error),
        }
    }
}
