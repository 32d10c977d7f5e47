//! Where a log lies on the disk: a folder of files, each with a header and the entries of a
//! stretch, named by the number of its first entry; and beside them what the node last signed.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use wattle_contracts::audit::{Head, Header};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::{Signature, SigningKey};

use crate::home;

/// The folder of a log.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// How far a log reached, signed by its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedHead {
    pub(crate) node: NodeId,
    #[serde(flatten)]
    pub(crate) head: Head,
    pub(crate) signature: Signature,
}

impl SignedHead {
    pub(crate) fn new(key: &SigningKey, head: Head) -> Option<Self> {
        let node = home::node_id(key);
        Some(Self { node, head, signature: head.sign(key)? })
    }

    /// What it says, if its node signed it.
    pub(crate) fn genuine(&self) -> Option<Head> {
        self.head.is_signed(self.node, &self.signature).then_some(self.head)
    }
}

impl Folder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn make(&self) -> Result<()> {
        home::make_private_folder(&self.path)
            .with_context(|| format!("can't make the folder {}", self.path.display()))
    }

    /// The files of the log, the oldest first.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let failed = || format!("can't read the audit log's folder {}", self.path.display());
        let listed = match fs::read_dir(&self.path) {
            Ok(listed) => listed,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(failed),
        };
        let mut files = Vec::new();
        for file in listed {
            let path = file.with_context(failed)?.path();
            if first_of(&path).is_some() {
                files.push(path);
            }
        }
        // The names have as many digits as there are.
        files.sort_unstable();
        Ok(files)
    }

    /// Begins a file whose first entry is the one after `header.after`.
    pub(super) fn begin(&self, header: &Header) -> Result<(File, u64)> {
        let path = self.path.join(format!("{:020}.log", header.after.number.saturating_add(1)));
        let text = format!("{header}\n");
        if path.exists() {
            // What has its place can't be read, or it would have been gone on with.
            fs::rename(&path, path.with_extension("damaged"))?;
        }
        home::write_private(&path, text.as_bytes())?;
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.seek(SeekFrom::End(0))?;
        Ok((file, text.len() as u64))
    }

    /// What the node last signed.
    pub(crate) fn signed(&self) -> Result<Option<SignedHead>> {
        let path = self.path.join("head");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(error).with_context(|| format!("can't read {}", path.display()));
            }
        };
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("{} is damaged", path.display()))
    }

    pub(super) fn keep_signed(&self, signed: &SignedHead) -> Result<()> {
        home::replace_file(&self.path.join("head"), serde_json::to_string(signed)?.as_bytes())
    }
}

/// The number of the first entry of the file at `path`, if it is one of a log.
pub(super) fn first_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}
