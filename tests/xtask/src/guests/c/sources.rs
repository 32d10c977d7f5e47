//! What people wrote.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::paths;

/// Every file of the C guest with its text, in a fixed order.
#[derive(Hash)]
pub(crate) struct Sources(Vec<(PathBuf, Vec<u8>)>);

impl Sources {
    pub(crate) fn read() -> Result<Self> {
        let mut files = Vec::new();
        for part in ["libc", "src"] {
            let folder = folder().join(part);
            for entry in
                fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
            {
                let path = entry?.path();
                let text =
                    fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
                files.push((path, text));
            }
        }
        files.sort();
        Ok(Self(files))
    }

    pub(crate) fn c_files(&self) -> impl Iterator<Item = PathBuf> {
        let paths = self.0.iter().map(|(path, _)| path);
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "c")).cloned()
    }
}

pub(crate) fn folder() -> PathBuf {
    paths::root().join("tests/guests/counter-c")
}
