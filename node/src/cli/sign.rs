//! `wattle sign`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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
    /// Leave the component as it is, and write the signature beside it: to FILE.sig, if no --out
    /// is given. `wattle apply` takes both.
    #[arg(long)]
    detached: bool,
}

impl Sign {
    pub(super) fn run(self) -> Result<()> {
        let key = home::read_key(&self.key)?;
        let name = self.file.display();
        let component = std::fs::read(&self.file).with_context(|| format!("can't read {name}"))?;
        let failed = || format!("can't sign {name}");
        let (out, signed) = if self.detached {
            let out = self.out.unwrap_or_else(|| beside(&self.file));
            let detached = artifact::sign_detached(&component, &key).with_context(failed)?;
            home::replace_file(&out, &detached)?;
            (out, artifact::attach(&component, &detached).with_context(failed)?)
        } else {
            let signed = artifact::sign(&component, &key).with_context(failed)?;
            let out = self.out.unwrap_or(self.file.clone());
            home::replace_file(&out, &signed)?;
            (out, signed)
        };
        print(&format!(
            "{}\nsigned by {}\n{}\n",
            out.display(),
            PublisherKey::from_bytes(key.public()),
            Digest::of(&signed)
        ))
    }
}

/// The file with the signature beside a component.
fn beside(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// A component as it travels: with the signature that stands in a file beside it, if there is one.
pub(super) fn read(component: &Path) -> Result<Vec<u8>> {
    let name = component.display();
    let bytes = std::fs::read(component).with_context(|| format!("can't read {name}"))?;
    let detached = beside(component);
    match std::fs::read(&detached) {
        Ok(signature) => artifact::attach(&bytes, &signature)
            .with_context(|| format!("{} does not go with {name}", detached.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(bytes),
        Err(error) => Err(error).with_context(|| format!("can't read {}", detached.display())),
    }
}
