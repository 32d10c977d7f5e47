//! `wattle id` and `wattle key new`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use wattle_contracts::id::PublisherKey;
use wattle_contracts::key::SigningKey;
use wattle_mesh::net::WallClock;

use super::output::{print, when};
use crate::home::{self, Home};

#[derive(Args)]
pub(super) struct Id {
    /// The node's data folder, made if it is not there.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Home::default_root())]
    data: PathBuf,
}

impl Id {
    pub(super) fn run(self) -> Result<()> {
        let home = Home::open(&self.data)?;
        let id = home::node_id(&home.node_key()?);
        print(&format!("{id}\n"))?;
        let (paper, now) = (home.paper()?, WallClock::default().now());
        if let Some(term) = paper.and_then(|paper| paper.term()).filter(|term| term.is_late(now)) {
            // Apart from the id, so that that can be piped on.
            eprintln!(
                "its paper is valid until {} only: whoever keeps the mesh's key gives a new one: \
                 wattle mesh renew {id} (or lets a node do it: wattle mesh renewer)",
                when(term.until.0)
            );
        }
        Ok(())
    }
}

#[derive(Subcommand)]
pub(super) enum KeyVerb {
    /// Makes a publisher's key, to sign components with.
    New(New),
    /// Shows the public half of a publisher's key.
    Show(Show),
}

#[derive(Args)]
pub(super) struct New {
    /// Where to write the private key.
    #[arg(long, value_name = "FILE", default_value = "publisher.key")]
    out: PathBuf,
}

#[derive(Args)]
pub(super) struct Show {
    /// The private key.
    #[arg(value_name = "FILE", default_value = "publisher.key")]
    key: PathBuf,
}

impl KeyVerb {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::New(verb) => {
                let key = SigningKey::generate()?;
                home::write_private(&verb.out, key.to_text().as_bytes())?;
                print(&format!("{}\n", PublisherKey::from_bytes(key.public())))
            }
            Self::Show(verb) => {
                let key = home::read_key(&verb.key)?;
                print(&format!("{}\n", PublisherKey::from_bytes(key.public())))
            }
        }
    }
}
