//! Who signs components.

use std::path::{Path, PathBuf};

use crate::command;

/// A publisher with a key of its own.
#[derive(Debug, Clone)]
pub struct Publisher {
    key: PathBuf,
    public: String,
}

impl Publisher {
    /// A new publisher whose private key is kept in `key`.
    pub async fn new(key: PathBuf) -> Self {
        let args = ["key", "new", "--out"].map(Into::into);
        let said = command::wattle(args.into_iter().chain([key.clone()])).await.ok();
        Self { key, public: said.trim().to_owned() }
    }

    /// The public key, as `--trust` takes it.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Signs the component `from` into the file `to`.
    pub async fn sign(&self, from: &Path, to: &Path) {
        let mut args: Vec<PathBuf> = vec!["sign".into(), from.into()];
        args.extend(["--key".into(), self.key.clone(), "--out".into(), to.into()]);
        command::wattle(args).await.ok();
    }
}
