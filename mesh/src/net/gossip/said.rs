//! How far the numbers of this node's statements may have gone, in its data folder.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// `said` in the node's data folder: one number, as text.
#[derive(Debug)]
pub(super) struct SaidFile {
    path: PathBuf,
}

impl SaidFile {
    pub(super) fn new(data: &Path) -> Self {
        Self { path: data.join("said") }
    }

    /// What was written last. Without it, a node whose clock was set back is not believed about itself
    /// until its clock is where it was: no reason not to start.
    pub(super) fn read(&self) -> u64 {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return 0,
            Err(error) => {
                let path = self.path.display();
                tracing::warn!(%path, %error, "can't be read; going by the clock");
                return 0;
            }
        };
        text.trim().parse().unwrap_or_else(|_| {
            tracing::warn!(path = %self.path.display(), "is damaged; going by the clock");
            0
        })
    }

    pub(super) fn write(&self, number: u64) -> io::Result<()> {
        let draft = self.path.with_extension("new");
        let mut file = File::create(&draft)?;
        file.write_all(number.to_string().as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = SaidFile::new(folder.path());
        assert_eq!(file.read(), 0);
        file.write(7).unwrap();
        file.write(1_800_000_000_000).unwrap();
        assert_eq!(file.read(), 1_800_000_000_000);
        fs::write(folder.path().join("said"), b"\xFF").unwrap();
        assert_eq!(file.read(), 0);
    }
}
