//! `wattle secret`.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use wattle_contracts::id::{ComponentId, ConfigName};
use wattle_contracts::record::{ConfigKey, RecordBody, RecordKey, Secret};
use wattle_contracts::secret;
use zeroize::Zeroizing;

use super::NodeArgs;
use super::output::{changed, print, print_json, short_ids, table, when};
use crate::api::{ChangeReply, SecretInfo, SecretNodes, SecretsReply};
use crate::daemon::SecretRequest;

#[derive(Subcommand)]
pub(super) enum SecretVerb {
    /// Gives a component a secret: read from standard input, sealed here to the nodes that may run
    /// the component, and opened only there, when it asks for it (`wattle:secrets`).
    ///
    /// Put again, it takes the place of the one before, and the component has the new one with the
    /// next time that it asks: nothing is restarted.
    Put(Put),
    /// Takes a secret back.
    Rm(Rm),
    /// Lists which secrets there are, and who can open them. Their values are never shown.
    Ls(Ls),
}

#[derive(Args)]
pub(super) struct Put {
    /// The component: app/component.
    #[arg(value_name = "COMPONENT")]
    component: ComponentId,
    /// The name under which it asks for it.
    #[arg(value_name = "NAME")]
    name: ConfigName,
    /// Take what is in this file, as it is, and not standard input (of which a line feed at the end
    /// is taken off).
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Rm {
    /// The component: app/component.
    #[arg(value_name = "COMPONENT")]
    component: ComponentId,
    /// The name under which it asks for it.
    #[arg(value_name = "NAME")]
    name: ConfigName,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Ls {
    #[command(flatten)]
    node: NodeArgs,
}

impl SecretVerb {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Put(verb) => verb.run().await,
            Self::Rm(Rm { component, name, node }) => {
                let about = ConfigKey { component, name };
                let reply = change(&node, &about, None).await?;
                changed(&reply, "took back secret", node.json)
            }
            Self::Ls(verb) => verb.run().await,
        }
    }
}

impl Put {
    async fn run(self) -> Result<()> {
        let Self { component, name, file, node } = self;
        let about = ConfigKey { component, name };
        let value = match file {
            Some(path) => Zeroizing::new(
                std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?,
            ),
            None => from_input(&about)?,
        };
        let path = format!("/v1/secrets/{}", about.component);
        let SecretNodes { nodes } = node.client()?.get(&path).await?;
        let sealed = secret::seal(&about, &value, &nodes)
            .with_context(|| format!("can't seal secret `{about}`"))?;
        let reply = change(&node, &about, Some(sealed)).await?;
        changed(&reply, "put secret", node.json)?;
        match node.json {
            true => Ok(()),
            false => print(&format!("sealed to {}\n", short_ids(&nodes))),
        }
    }
}

/// The secret from standard input. Never from the command line, which others on this machine see.
fn from_input(about: &ConfigKey) -> Result<Zeroizing<Vec<u8>>> {
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        bail!(
            "nothing to put as secret `{about}`: write it to standard input, which must not be a \
             terminal (wattle secret put … < FILE), or name a file with --file"
        );
    }
    // Room for all of it at once: growing would leave copies behind.
    let mut value = Zeroizing::new(Vec::with_capacity(Secret::MAX_VALUE + 2));
    let most = Secret::MAX_VALUE as u64 + 2;
    input.by_ref().take(most).read_to_end(&mut value).context("can't read the secret")?;
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    Ok(value)
}

async fn change(node: &NodeArgs, about: &ConfigKey, secret: Option<Secret>) -> Result<ChangeReply> {
    let name = utf8_percent_encode(about.name.as_str(), NON_ALPHANUMERIC);
    let path = format!("/v1/secrets/{}/{name}", about.component);
    let body = match &secret {
        Some(secret) => RecordBody::Secret(Box::new(secret.clone())),
        None => RecordBody::Tombstone,
    };
    let (expected, request) = ((RecordKey::Secret(about.clone()), body), SecretRequest { secret });
    Ok(node.client()?.declare(Method::PUT, &path, &request, expected).await?)
}

impl Ls {
    async fn run(self) -> Result<()> {
        let reply: SecretsReply = self.node.client()?.get("/v1/secrets").await?;
        if self.node.json {
            return print_json(&reply);
        }
        if reply.secrets.is_empty() {
            return print("no secrets\n");
        }
        let rows: Vec<_> = reply.secrets.iter().map(row).collect();
        let header = ["COMPONENT", "NAME", "SEALED TO", "HANDED OVER TO", "THROUGH", "AT"];
        print(&table(header, &rows))
    }
}

fn row(info: &SecretInfo) -> [String; 6] {
    [
        info.component.to_string(),
        info.name.clone(),
        short_ids(&info.sealed_to),
        short_ids(&info.not_sealed_to),
        info.writer.short(),
        when(info.at),
    ]
}
