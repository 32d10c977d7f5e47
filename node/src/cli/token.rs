//! `wattle token`, and how one is read.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use wattle_contracts::id::{MeshId, NodeId, OperatorKey};
use wattle_contracts::trust::{AccessBody, AccessToken};
use wattle_mesh::net::WallClock;

use super::invite::span;
use super::output::{print, when};
use crate::home::{self, Home, OPERATOR_KEY};

/// Makes a token by which somebody counts as an operator at a node's API, for a while. Needs the
/// operator's private key and no network.
#[derive(Args)]
pub(super) struct Token {
    /// The private key of the operator. If it is left out, `operator.key` in the data folder.
    #[arg(long, value_name = "FILE", env = "WATTLE_OPERATOR_KEY")]
    operator_key: Option<PathBuf>,
    /// How long it is valid: 30m, 8h, 7d; 30d at most. It can't be taken back but with its key.
    #[arg(long = "for", value_name = "TIME", default_value = "8h", value_parser = span)]
    life: Duration,
    /// For looking only, whatever the key may.
    #[arg(long)]
    read_only: bool,
    /// The node that it is for; every one, if it is left out.
    #[arg(long, value_name = "NODE-ID")]
    at: Option<NodeId>,
    /// The mesh that it is for. If it is left out, that of the node with this data folder.
    #[arg(long, value_name = "MESH")]
    mesh: Option<MeshId>,
    /// The data folder.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Home::default_root())]
    data: PathBuf,
    /// Where to write it, for nobody else to read. It is printed, if this is left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Token {
    pub(super) fn run(self) -> Result<()> {
        let path = self.operator_key.clone().unwrap_or_else(|| self.data.join(OPERATOR_KEY));
        let key = home::read_key(&path).context("whose token is it? Say --operator-key")?;
        let issued = WallClock::default().now();
        let body = AccessBody {
            mesh: self.mesh()?,
            key: OperatorKey::from_bytes(key.public()),
            issued,
            expires: issued.plus(self.life),
            read_only: self.read_only,
            node: self.at,
        };
        let (operator, expires) = (body.key, body.expires);
        let text = AccessToken::sign(&key, body)?.to_text()? + "\n";
        match &self.out {
            Some(out) => home::write_private(out, text.as_bytes())?,
            None => print(&text)?,
        }
        // Apart from the token, so that that can be piped on.
        eprintln!(
            "for {operator}, until {}; whoever has it counts as that operator{}",
            when(expires.0),
            if self.read_only { " who looks" } else { "" }
        );
        Ok(())
    }

    fn mesh(&self) -> Result<MeshId> {
        if let Some(mesh) = self.mesh {
            return Ok(mesh);
        }
        let paper = match self.data.exists() {
            true => Home::open(&self.data)?.paper()?,
            false => None,
        };
        match paper {
            Some(paper) => Ok(paper.body.mesh),
            None => bail!(
                "which mesh is it for? There is no node in {}: say --mesh (wattle nodes --json on \
                 any node shows it)",
                self.data.display()
            ),
        }
    }
}

/// A token that is said itself, or is in a file, or (`-`) on standard input; in its text form.
pub(super) fn read(said: &str) -> Result<String> {
    let text = match said {
        "-" => {
            let mut text = String::new();
            let mut input = std::io::stdin().lock().take(AccessToken::MAX_TEXT as u64 + 1);
            input.read_to_string(&mut text).context("can't read the token from standard input")?;
            text
        }
        _ if said.starts_with("wattle-token:") => said.into(),
        path => std::fs::read_to_string(Path::new(path))
            .with_context(|| format!("`{path}` is neither a token nor a file with one"))?,
    };
    Ok(AccessToken::from_text(&text).context("this token can't be used")?.to_text()?)
}
