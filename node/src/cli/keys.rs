//! `wattle id` and `wattle key new`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use wattle_contracts::id::PublisherKey;
use wattle_contracts::key::SigningKey;

use super::output::print;
use crate::home::{self, Home};

#[derive(Args)]
pub(super) struct Id {
    /// The node's data folder, made if it is not there.
    #[arg(long, value_name = "FOLDER", default_value_os_t = Home::default_root())]
    data: PathBuf,
}

impl Id {
    pub(super) fn run(self) -> Result<()> {
        let key = Home::open(&self.data)?.node_key()?;
        print(&format!("{}\n", home::node_id(&key)))
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
