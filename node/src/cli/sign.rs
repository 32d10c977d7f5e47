//! `wattle sign`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use wattle_contracts::artifact;
use wattle_contracts::id::{Digest, PublisherKey};

use super::output::print;
use crate::home;

#[derive(Args)]
pub(super) struct Sign {
    /// The component.
    file: PathBuf,
    /// The publisher's private key.
    #[arg(long, value_name = "FILE", default_value = "publisher.key")]
    key: PathBuf,
    /// Where to write the signed component; in the place of the unsigned one if it is left out.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Sign {
    pub(super) fn run(self) -> Result<()> {
        let key = home::read_key(&self.key)?;
        let name = self.file.display();
        let component = std::fs::read(&self.file).with_context(|| format!("can't read {name}"))?;
        let signed =
            artifact::sign(&component, &key).with_context(|| format!("can't sign {name}"))?;
        let out = self.out.as_ref().unwrap_or(&self.file);
        home::replace_file(out, &signed)?;
        print(&format!(
            "{}\nsigned by {}\n{}\n",
            out.display(),
            PublisherKey::from_bytes(key.public()),
            Digest::of(&signed)
        ))
    }
}
