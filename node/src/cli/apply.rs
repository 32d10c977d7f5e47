//! `wattle apply`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use wattle_contracts::id::Digest;
use wattle_contracts::manifest::Manifest;

use super::NodeArgs;
use super::output::{print, print_json};
use crate::api::{ApplyReply, ArtifactReply, Client};
use crate::daemon::ApplyRequest;

#[derive(Args)]
pub(super) struct Apply {
    /// The manifest.
    #[arg(value_name = "APP.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    node: NodeArgs,
}

impl Apply {
    pub(super) async fn run(self) -> Result<()> {
        let reply = send(&self.node.client(), &self.manifest).await?;
        if self.node.json {
            return print_json(&reply);
        }
        print(&format!("applied {}\n", reply.app))
    }
}

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
        let bytes = match std::fs::read(&wasm) {
            Ok(bytes) => bytes,
            Err(error) => bail!(
                "{file}:{line}:{column}: component `{name}`: can't read {}: {error}",
                wasm.display()
            ),
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
