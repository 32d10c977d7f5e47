//! Signed components on disk, one file each, named by their digest.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use wattle_contracts::artifact::{self, ArtifactError, MAX_ARTIFACT};
use wattle_contracts::id::{Digest, PublisherKey};
use wattle_runtime::open_plain;

use crate::home;

/// The artifacts this node holds.
#[derive(Debug, Clone)]
pub(crate) struct ArtifactStore {
    folder: PathBuf,
}

/// Why an artifact was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreArtifactError {
    /// Nobody trusted has signed it, or it is no component.
    #[error(transparent)]
    Refused(#[from] ArtifactError),
    /// It is something else than what was asked for.
    #[error("asked for {wanted}, got {found}")]
    WrongDigest { wanted: Digest, found: Digest },
    /// The disk failed.
    #[error("{0:#}")]
    Disk(anyhow::Error),
}

/// An artifact's bytes, and who has signed them.
pub(crate) type Verified = (Vec<u8>, Vec<PublisherKey>);

impl ArtifactStore {
    /// The store in `folder`.
    pub(crate) fn open(folder: PathBuf) -> Result<Self> {
        home::make_private_folder(&folder)
            .with_context(|| format!("can't make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Verifies and keeps an artifact that one of `trusted` has signed, and says who of them.
    /// Nothing that is not trusted touches the disk.
    pub(crate) fn put(
        &self,
        wanted: Digest,
        bytes: &[u8],
        trusted: &[PublisherKey],
    ) -> Result<Vec<PublisherKey>, StoreArtifactError> {
        let publishers = check(wanted, bytes, trusted)?;
        if !self.holds(wanted) {
            home::replace_file(&self.path(wanted), bytes).map_err(StoreArtifactError::Disk)?;
        }
        Ok(publishers)
    }

    /// The artifact with this digest, and who of `trusted` has signed it; verified anew: a file may
    /// have been changed under us, and who is trusted changes.
    pub(crate) fn load(
        &self,
        wanted: Digest,
        trusted: &[PublisherKey],
    ) -> Result<Option<Verified>, StoreArtifactError> {
        let path = self.path(wanted);
        let read = open_plain(&path, MAX_ARTIFACT as u64).and_then(|(size, mut file)| {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let context = format!("can't read {}", path.display());
                return Err(StoreArtifactError::Disk(anyhow::Error::new(error).context(context)));
            }
        };
        match check(wanted, &bytes, trusted) {
            Ok(publishers) => Ok(Some((bytes, publishers))),
            Err(StoreArtifactError::WrongDigest { .. }) => {
                tracing::warn!(file = %path.display(), "a damaged artifact is thrown away; it will be fetched again");
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!(file = %path.display(), %error, "it can't be removed");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The file, to send it to a neighbour (who verifies it).
    pub(crate) fn file(&self, digest: Digest) -> Option<(u64, File)> {
        open_plain(&self.path(digest), MAX_ARTIFACT as u64).ok()
    }

    pub(crate) fn holds(&self, digest: Digest) -> bool {
        fs::symlink_metadata(self.path(digest)).is_ok_and(|file| file.is_file())
    }

    /// Every digest held.
    pub(crate) fn list(&self) -> Vec<Digest> {
        let names = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        names
            .filter_map(|entry| {
                let name = entry.file_name();
                format!("sha256:{}", name.to_str()?.strip_suffix(".wasm")?).parse().ok()
            })
            .collect()
    }

    /// Throws away what `needed` does not name and nobody has put here for `grace`: an artifact
    /// comes before the app that needs it.
    pub(crate) fn prune(&self, needed: impl Fn(Digest) -> bool, grace: Duration) {
        for digest in self.list().into_iter().filter(|digest| !needed(*digest)) {
            let written = fs::metadata(self.path(digest)).and_then(|file| file.modified());
            let age = written.ok().and_then(|written| written.elapsed().ok());
            if age.is_none_or(|age| age < grace) {
                continue;
            }
            tracing::info!(%digest, "removing an artifact that no app needs");
            if let Err(error) = fs::remove_file(self.path(digest)) {
                tracing::warn!(%digest, %error, "an artifact nobody needs can't be removed");
            }
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.wasm", digest.hex()))
    }
}

fn check(
    wanted: Digest,
    bytes: &[u8],
    trusted: &[PublisherKey],
) -> Result<Vec<PublisherKey>, StoreArtifactError> {
    let found = Digest::of(bytes);
    if found != wanted {
        return Err(StoreArtifactError::WrongDigest { wanted, found });
    }
    Ok(artifact::verify_all(bytes, trusted)?)
}

#[cfg(test)]
mod tests {
    use wattle_contracts::key::SigningKey;

    use super::*;

    const COMPONENT: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

    #[test]
    fn only_what_is_trusted_is_kept_and_damage_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed([1; 32]).unwrap();
        let trusted = vec![PublisherKey::from_bytes(key.public())];
        let store = ArtifactStore::open(folder.path().join("a")).unwrap();
        let unsigned = store.put(Digest::of(&COMPONENT), &COMPONENT, &trusted);
        assert!(matches!(unsigned, Err(StoreArtifactError::Refused(_))));
        assert!(store.list().is_empty());

        let signed = artifact::sign(&COMPONENT, &key).unwrap();
        let digest = Digest::of(&signed);
        store.put(digest, &signed, &trusted).unwrap();
        assert_eq!(store.list(), [digest]);
        assert_eq!(
            store.load(digest, &trusted).unwrap().unwrap(),
            (signed.clone(), trusted.clone())
        );
        // Who is not trusted any more has signed for nobody.
        assert!(store.load(digest, &[]).is_err());

        store.prune(|needed| needed == digest, Duration::ZERO);
        store.prune(|_| false, Duration::from_secs(3600));
        assert!(store.holds(digest));

        let mut damaged = signed.clone();
        damaged.push(0);
        fs::write(store.path(digest), damaged).unwrap();
        assert!(store.load(digest, &trusted).unwrap().is_none());
        assert!(!store.holds(digest));

        store.put(digest, &signed, &trusted).unwrap();
        store.prune(|_| false, Duration::ZERO);
        assert!(store.list().is_empty());
    }

    #[test]
    fn a_link_or_a_pipe_in_an_artifacts_place_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path().join("a")).unwrap();
        let key = SigningKey::from_seed([1; 32]).unwrap();
        let trusted = vec![PublisherKey::from_bytes(key.public())];
        let signed = artifact::sign(&COMPONENT, &key).unwrap();
        let digest = Digest::of(&signed);
        // Even to what would be right: nobody is sent what lies elsewhere.
        let elsewhere = folder.path().join("node.key");
        fs::write(&elsewhere, &signed).unwrap();
        std::os::unix::fs::symlink(&elsewhere, store.path(digest)).unwrap();
        assert!(store.file(digest).is_none() && !store.holds(digest));
        assert!(matches!(store.load(digest, &trusted), Err(StoreArtifactError::Disk(_))));
        // It gives way to what is fetched, and what it led to stays.
        store.put(digest, &signed, &trusted).unwrap();
        assert!(store.holds(digest) && elsewhere.is_file());

        fs::remove_file(store.path(digest)).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, store.path(digest), 0o600.into()).unwrap();
        assert!(store.file(digest).is_none() && !store.holds(digest));
        assert!(matches!(store.load(digest, &trusted), Err(StoreArtifactError::Disk(_))));
    }
}
