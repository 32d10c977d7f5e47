//! `wattle apply`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use wattle_contracts::id::{AppName, Digest};
use wattle_contracts::manifest::Manifest;

use super::NodeArgs;
use super::output::{notes, print, print_json};
use crate::api::{ApplyReply, AppsReply, ArtifactReply, Client};
use crate::daemon::{ApplyRequest, Status};

#[derive(Args)]
pub(super) struct Apply {
    /// The manifest.
    #[arg(value_name = "APP.toml")]
    manifest: PathBuf,
    /// How long to wait until its components run, in seconds; 0 for not at all.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
    #[command(flatten)]
    node: NodeArgs,
}

impl Apply {
    pub(super) async fn run(self) -> Result<()> {
        let client = self.node.client()?;
        let reply = send(&client, &self.manifest).await?;
        if self.wait > 0 {
            until_running(&client, &reply.app, Duration::from_secs(self.wait)).await?;
        }
        if self.node.json {
            return print_json(&reply);
        }
        print(&format!("applied {}\n{}", reply.app, notes(&reply.notes)))
    }
}

/// Waits until every component of `app` runs as often as it should, by what the nodes say.
async fn until_running(client: &Client, app: &AppName, patience: Duration) -> Result<()> {
    let begun = Instant::now();
    loop {
        let reply: AppsReply = client.get("/v1/apps").await?;
        let declared = reply.apps.iter().find(|info| info.name == *app);
        let Some(declared) = declared else {
            bail!("`{app}` was taken back while it was starting")
        };
        let lacking: Vec<_> = declared
            .components
            .iter()
            .filter(|component| component.running.len() < component.replicas as usize)
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        // A first try may fail for an artifact that is still on its way.
        let failing = lacking.iter().find_map(|component| {
            let (node, why) = component.failing.first_key_value()?;
            Some((&component.id, node, why))
        });
        if let Some((id, node, why)) = failing.filter(|_| begun.elapsed() > SETTLING) {
            bail!("`{app}` is declared, and {id} can't start on {}: {why}", node.short());
        }
        // Labels that nobody carries will not be carried by waiting.
        let hopeless = lacking.iter().find(|component| component.shortfall.is_some());
        if let Some(component) = hopeless.filter(|_| begun.elapsed() > SETTLING) {
            let why = component.shortfall.as_deref().unwrap_or_default();
            bail!(
                "`{app}` is declared, and {} can't run everywhere it should: {why}",
                component.id
            );
        }
        if begun.elapsed() > patience {
            let names: Vec<String> = lacking
                .iter()
                .map(|component| match &component.here {
                    Some(Status::Failed(why)) => format!("{} ({why})", component.id),
                    _ => component.id.to_string(),
                })
                .collect();
            bail!(
                "`{app}` is declared, and after {patience:?} these do not run yet: {}; see: \
                 wattle apps",
                names.join(", ")
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How long nodes may take to see each other before a lack of labels is taken for what it is.
const SETTLING: Duration = Duration::from_secs(3);

/// Sends a manifest and its components to a node. Nothing is sent of a manifest with an error.
pub(crate) async fn send(client: &Client, path: &Path) -> Result<ApplyReply> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("can't read {file}"))?;
    let manifest = Manifest::parse(&file, &text)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut files = Vec::new();
    for (name, component) in &manifest.components {
        let wasm = folder.join(&component.wasm);
        let (line, column) = component.position;
        let bytes = match super::sign::read(&wasm) {
            Ok(bytes) => bytes,
            Err(error) => bail!("{file}:{line}:{column}: component `{name}`: {error:#}"),
        };
        files.push((name.clone(), wasm, bytes));
    }
    let mut artifacts = BTreeMap::new();
    for (name, wasm, bytes) in files {
        let digest = Digest::of(&bytes);
        let _: ArtifactReply = client
            .put(&format!("/v1/artifacts/{digest}"), bytes.into())
            .await
            .with_context(|| format!("{} is refused", wasm.display()))?;
        artifacts.insert(name, digest);
    }
    let request = ApplyRequest { file, manifest: text, artifacts };
    Ok(client.post("/v1/apps", &request).await?)
}
