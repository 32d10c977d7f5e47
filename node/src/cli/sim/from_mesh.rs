//! `wattle sim from-mesh`: a running mesh written down as a scenario.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use wattle_contracts::id::NodeId;
use wattle_contracts::manifest::quoted;
use wattle_contracts::record::{App, RecordBody};
use wattle_sim::Scenario;

use super::super::NodeArgs;
use super::super::output::{notes, print, print_json};
use super::load;
use super::topology::{Measured, Topology};
use super::undeclare::{Around, undeclare};
use crate::api::{AppsReply, Client, ConfigReply, HistoryReply, LinksReply, NodesReply};

#[derive(Args)]
pub(in crate::cli) struct FromMesh {
    /// Where the scenario goes; the apps' manifests are put beside it.
    #[arg(long, value_name = "FILE.toml", default_value = "mesh.toml")]
    out: PathBuf,
    /// The data folder of one more node on this machine, asked for the round trips that it has
    /// measured. May be said several times.
    #[arg(long, value_name = "FOLDER")]
    also: Vec<PathBuf>,
    /// Write over files that are there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    node: NodeArgs,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    scenario: PathBuf,
    manifests: Vec<PathBuf>,
    nodes: usize,
    /// Pairs of nodes whose round trip was measured.
    measured: usize,
    notes: Vec<String>,
}

impl FromMesh {
    pub(super) async fn run(self) -> Result<()> {
        let client = self.node.client()?;
        let reply: NodesReply = client.get("/v1/nodes").await?;
        let measured = self.measured(&reply).await?;
        let topology = Topology::of(&reply.nodes, &measured);
        let AppsReply { apps: declared } = client.get("/v1/apps").await?;
        let LinksReply { links } = client.get("/v1/links").await?;
        let ConfigReply { values } = client.get("/v1/config").await?;
        let around = Around {
            links: &links,
            values: &values,
            nodes: topology.nodes(),
            artifacts: &artifacts(&self.node.data),
        };
        let stem = self.out.file_stem().and_then(|stem| stem.to_str()).unwrap_or("mesh");
        let mut notes = topology.notes();
        let mut files = BTreeMap::new();
        let mut text = topology.text(&reply.mesh);
        for info in &declared {
            let app = declaration(&client, info.name.as_str()).await?;
            let (manifest, more) = undeclare(&app, &around);
            notes.extend(more);
            let name = format!("{stem}-{}.toml", app.name);
            write!(text, "\n[[app]]\nmanifest = {}\n", quoted(&name))?;
            text += &load::text(&app, &manifest, &topology);
            files.insert(name, manifest.to_string());
        }
        text += &load::rest(&topology, declared.is_empty());
        notes.sort();
        let said: String = notes.iter().map(|note| format!("# - {note}\n")).collect();
        if !said.is_empty() {
            text = format!("# What is otherwise than in the mesh:\n{said}\n{text}");
        }
        self.check(&text, &files)?;
        let manifests = self.write(&text, &files)?;
        let written = Written {
            scenario: self.out.clone(),
            manifests,
            nodes: topology.nodes().len(),
            measured: measured.pairs(),
            notes,
        };
        if self.node.json { print_json(&written) } else { print(&told(&written)) }
    }

    /// Every round trip that the nodes asked have measured.
    async fn measured(&self, reply: &NodesReply) -> Result<Measured> {
        let mut measured = Measured::default();
        measured.add(&reply.nodes);
        for folder in &self.also {
            let other: NodesReply = Client::new(&folder.join("api.sock"), None)
                .get("/v1/nodes")
                .await
                .with_context(|| format!("can't ask the node of --also {}", folder.display()))?;
            if other.mesh != reply.mesh {
                bail!(
                    "the node of --also {} is of another mesh, {}, and this is about {}",
                    folder.display(),
                    other.mesh,
                    reply.mesh
                );
            }
            measured.add(&other.nodes);
        }
        Ok(measured)
    }

    /// What is written must run: it is read as `sim run` reads it.
    fn check(&self, text: &str, files: &BTreeMap<String, String>) -> Result<()> {
        let file = self.out.display().to_string();
        let read = |name: &str| match files.get(name) {
            Some(text) => Ok((name.to_string(), text.clone())),
            None => Err(format!("there is no {name}")),
        };
        Scenario::parse(&file, text, &read)
            .map(drop)
            .context("this mesh can't be written down as a scenario; nothing was written")
    }

    /// The manifests first: a scenario that is there can be run.
    fn write(&self, text: &str, files: &BTreeMap<String, String>) -> Result<Vec<PathBuf>> {
        let folder = self.out.parent().unwrap_or(Path::new(""));
        let manifests: Vec<PathBuf> = files.keys().map(|name| folder.join(name)).collect();
        let paths = || manifests.iter().chain([&self.out]);
        if let Some(there) = paths().find(|path| path.exists() && !self.force) {
            bail!("{} is there already; --force writes over it", there.display());
        }
        for (path, text) in paths().zip(files.values().map(String::as_str).chain([text])) {
            std::fs::write(path, text)
                .with_context(|| format!("can't write {}", path.display()))?;
        }
        Ok(manifests)
    }
}

/// Where the node keeps components, as other programs find it.
fn artifacts(data: &Path) -> PathBuf {
    let folder = data.join("artifacts");
    folder.canonicalize().unwrap_or(folder)
}

/// An app as it is declared now.
async fn declaration(client: &Client, name: &str) -> Result<App> {
    let history: HistoryReply = client.get(&format!("/v1/history/app/{name}")).await?;
    let body = history.current.and_then(|change| change.body);
    let body = body.with_context(|| format!("the app `{name}` was taken back just now; again?"))?;
    match serde_json::from_value(body) {
        Ok(RecordBody::App(app)) => Ok(*app),
        Ok(_) => bail!("the node tells of something else where the app `{name}` should be"),
        Err(error) => Err(error).with_context(|| format!("the app `{name}` can't be read")),
    }
}

fn told(written: &Written) -> String {
    let Written { scenario, manifests, nodes, measured, notes: more } = written;
    let mut text = format!("{}: {nodes} nodes", scenario.display());
    text += &match measured {
        0 => "; no round trip was measured\n".to_string(),
        1 => ", one round trip measured\n".to_string(),
        more => format!(", {more} round trips measured\n"),
    };
    for manifest in manifests {
        text += &format!("{}\n", manifest.display());
    }
    text + &notes(more) + &format!("Rehearse it: wattle sim run {}\n", scenario.display())
}

/// A pair of nodes, whoever is named first.
pub(super) fn pair(one: NodeId, other: NodeId) -> (NodeId, NodeId) {
    (one.min(other), one.max(other))
}
