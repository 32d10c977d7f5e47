//! `wattle mesh`: a mesh's key, and the papers that it signs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use wattle_contracts::id::{MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{RecordBody, RecordKey};
use wattle_contracts::trust::{Delegation, DelegationBody, Paper, Signs as _};
use wattle_mesh::net::WallClock;

use super::NodeArgs;
use super::invite::span;
use super::operator::put;
use super::output::{print, when};
use super::rotate_mesh::Rotate;
use crate::api::{PaperRequest, RecordReply};
use crate::home;

#[derive(Subcommand)]
pub(super) enum MeshVerb {
    /// Makes a mesh: a private key that admits nodes. Keep it offline.
    Init(Init),
    /// Admits a node: signs its paper.
    Admit(Admit),
    /// Gives a node of the mesh a new paper, which finds its way to it.
    Renew(Renew),
    /// Lets a node renew the papers of those who belong, from now on, without this key.
    Renewer(Renewer),
    Rotate(Rotate),
}

#[derive(Args)]
pub(super) struct Init {
    /// Where to write the mesh's private key.
    #[arg(long, value_name = "FILE", default_value = "mesh.key")]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct Admit {
    /// The node's id, as `wattle id` shows it there.
    node: NodeId,
    /// The mesh's private key.
    #[arg(long, value_name = "FILE", default_value = "mesh.key")]
    key: PathBuf,
    /// Where to write the paper.
    #[arg(long, value_name = "FILE", default_value = "node.paper")]
    out: PathBuf,
    /// After how many days the paper runs out; never if it is left out.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: Option<u64>,
}

#[derive(Args)]
pub(super) struct Renew {
    /// The node's id.
    renewed: NodeId,
    /// The mesh's private key.
    #[arg(long, value_name = "FILE", default_value = "mesh.key")]
    key: PathBuf,
    /// After how many days the new paper runs out; never if it is left out.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=36_500))]
    days: Option<u64>,
    #[command(flatten)]
    node: NodeArgs,
}

#[derive(Args)]
pub(super) struct Renewer {
    /// The node's id.
    renewer: NodeId,
    /// The mesh's private key.
    #[arg(long, value_name = "FILE", default_value = "mesh.key")]
    key: PathBuf,
    /// How long a paper is valid that it renews: 30d, 90d.
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = span)]
    papers: Duration,
    /// How long it may renew papers. Whoever takes its key can prolong what members have as long.
    #[arg(long, value_name = "TIME", default_value = "365d", value_parser = span)]
    expires: Duration,
    #[command(flatten)]
    node: NodeArgs,
}

impl MeshVerb {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::Init(verb) => verb.run(),
            Self::Admit(verb) => verb.run(),
            Self::Renew(verb) => verb.run().await,
            Self::Renewer(verb) => verb.run().await,
            Self::Rotate(verb) => verb.run().await,
        }
    }
}

impl Init {
    fn run(self) -> Result<()> {
        let key = SigningKey::generate()?;
        home::write_private(&self.out, key.to_text().as_bytes())?;
        let mesh = MeshId::from_bytes(key.public());
        let out = self.out.display();
        print(&format!(
            "made {mesh}\nits private key is in {out}: whoever has it can admit nodes\n\
             start a node with: wattle up --mesh-key {out}\n"
        ))
    }
}

impl Admit {
    fn run(self) -> Result<()> {
        let paper = signed(&self.key, self.node, self.days)?;
        std::fs::write(&self.out, paper.to_text()?)
            .with_context(|| format!("can't write {}", self.out.display()))?;
        let out = self.out.display();
        print(&format!(
            "admitted {} to {}\nits paper is in {out}; there: wattle up --paper {out}\n",
            self.node, paper.body.mesh
        ))
    }
}

impl Renew {
    async fn run(self) -> Result<()> {
        let paper = signed(&self.key, self.renewed, self.days)?;
        let request = PaperRequest { paper: paper.to_text()? };
        let _: RecordReply = self.node.client()?.post("/v1/papers", &request).await?;
        print(&format!("{} has a new paper; it comes with the records\n", self.renewed))
    }
}

impl Renewer {
    async fn run(self) -> Result<()> {
        let authority = home::read_authority(&self.key)?;
        let issued = WallClock::default().now();
        let body = DelegationBody {
            mesh: authority.mesh(),
            renewer: self.renewer,
            papers: self.papers,
            issued,
            expires: issued.plus(self.expires),
        };
        let until = when(body.expires.0);
        let delegation = RecordBody::Renewer(Box::new(Delegation::sign(&authority, body)?));
        let key = RecordKey::Renewer(self.renewer);
        put(&self.node.client()?, authority.key(), key, delegation).await?;
        print(&format!(
            "{} renews the papers of those who belong, until {until}; to take that back: wattle \
             revoke renewer/{}\n",
            self.renewer, self.renewer
        ))
    }
}

/// A paper from now on.
fn signed(key: &Path, node: NodeId, days: Option<u64>) -> Result<Paper> {
    let authority = home::read_authority(key)?;
    let now = WallClock::default().now();
    let expires = days.map(|days| now.plus(Duration::from_secs(days * 24 * 3600)));
    Ok(Paper::issue(&authority, node, now, expires)?)
}
