//! The data folder of a node: its key, its paper, and everything that it must find again after
//! a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{FlockOperation, flock};
use wattle_contracts::id::{MeshId, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::{Authority, Paper};

/// A node's data folder. Only its owner may look into it.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    root: PathBuf,
}

/// Held while a node runs on a folder: two on one would be one identity in two places.
pub(crate) struct HomeLock {
    _file: File,
}

impl Home {
    /// The folder at `root`, made if it is not there.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        make_private_folder(root)
            .with_context(|| format!("can't make the data folder {}", root.display()))?;
        let root = root
            .canonicalize()
            .with_context(|| format!("can't open the data folder {}", root.display()))?;
        Ok(Self { root })
    }

    /// Where a node's data is when nothing else is said: `$WATTLE_DATA`, or below the user's data
    /// folder (XDG Base Directory Specification).
    pub(crate) fn default_root() -> PathBuf {
        let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(root) = from("WATTLE_DATA") {
            return root.into();
        }
        if let Some(data) = from("XDG_DATA_HOME") {
            return PathBuf::from(data).join("wattle");
        }
        match from("HOME") {
            Some(home) => PathBuf::from(home).join(".local/share/wattle"),
            None => "wattle-data".into(),
        }
    }

    /// Keeps other nodes off this folder until the lock is dropped.
    pub(crate) fn lock(&self) -> Result<HomeLock> {
        let path = self.root.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("can't open {}", path.display()))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(HomeLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => bail!(
                "another node runs on the data folder {}; stop it, or name another folder with --data",
                self.root.display()
            ),
            Err(error) => Err(error).with_context(|| format!("can't lock {}", path.display())),
        }
    }

    /// The node's key, made now if there is none.
    pub(crate) fn node_key(&self) -> Result<SigningKey> {
        if self.root.join(NEXT_NODE_KEY).exists() {
            bail!(
                "a change of the key in {} was begun and not finished: wattle rotate-key",
                self.root.display()
            );
        }
        key_or_new(&self.root.join(NODE_KEY))
    }

    /// The node's key, also in the middle of a change.
    pub(crate) fn known_node_key(&self) -> Result<SigningKey> {
        read_key(&self.root.join(NODE_KEY))
    }

    /// The key that the node is to have, made now if there is none.
    pub(crate) fn next_node_key(&self) -> Result<SigningKey> {
        key_or_new(&self.root.join(NEXT_NODE_KEY))
    }

    /// Puts the next key in the place of the node's key.
    pub(crate) fn take_next_node_key(&self) -> Result<()> {
        let (from, to) = (self.root.join(NEXT_NODE_KEY), self.root.join(NODE_KEY));
        fs::rename(&from, &to).and_then(|()| File::open(&self.root)?.sync_all()).with_context(
            || format!("can't put {} in the place of {}", from.display(), to.display()),
        )
    }

    /// Keeps what only the key can open or check that the node had so far, in a folder of its own.
    pub(crate) fn put_former_aside(&self, former: NodeId) -> Result<()> {
        let folder = self.root.join(FORMER).join(former.to_string());
        make_private_folder(&folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
        let key = fs::read(self.root.join(NODE_KEY))?;
        replace_file(&folder.join(NODE_KEY), &key)?;
        let (from, to) = (Self::audit_of(&self.root), Self::audit_of(&folder));
        match from.exists() && !to.exists() {
            true => fs::rename(&from, &to)
                .with_context(|| format!("can't move {} to {}", from.display(), to.display())),
            false => Ok(()),
        }
    }

    /// The keys that the node had before.
    pub(crate) fn former_node_keys(&self) -> Result<Vec<SigningKey>> {
        let folder = self.root.join(FORMER);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("can't read {}", folder.display()));
            }
        };
        entries.map(|entry| read_key(&entry?.path().join(NODE_KEY))).collect()
    }

    /// The node's paper, if one was kept.
    pub(crate) fn paper(&self) -> Result<Option<Paper>> {
        let path = self.root.join("node.paper");
        match fs::read_to_string(&path) {
            Ok(text) => Paper::from_text(&text)
                .map(Some)
                .with_context(|| format!("can't use the paper in {}", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("can't read {}", path.display())),
        }
    }

    /// Whether `mesh` is one that was made for development.
    pub(crate) fn is_dev(&self, mesh: MeshId) -> bool {
        fs::read_to_string(self.root.join(DEV)).is_ok_and(|text| text.trim() == mesh.to_string())
    }

    /// Writes down that it is.
    pub(crate) fn mark_dev(&self, mesh: MeshId) -> Result<()> {
        replace_file(&self.root.join(DEV), format!("{mesh}\n").as_bytes())
    }

    /// Keeps `paper` for the next start.
    pub(crate) fn keep_paper(&self, paper: &Paper) -> Result<()> {
        replace_file(&self.root.join("node.paper"), paper.to_text()?.as_bytes())
    }

    /// Where the key of the operator who works with this node is, if it is in the folder. The node
    /// never reads it: the command line does.
    pub(crate) fn operator_key_path(&self) -> PathBuf {
        self.root.join(OPERATOR_KEY)
    }

    /// That key, made now if there is none.
    pub(crate) fn operator_key_or_new(&self) -> Result<SigningKey> {
        key_or_new(&self.operator_key_path())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("state.redb")
    }

    pub(crate) fn artifacts(&self) -> PathBuf {
        self.root.join("artifacts")
    }

    pub(crate) fn code_cache(&self) -> PathBuf {
        self.root.join("code")
    }

    /// Where the audit log of the node with the data folder `root` is.
    pub(crate) fn audit_of(root: &Path) -> PathBuf {
        root.join("audit")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("api.sock")
    }
}

/// The file in a data folder with the node's key, the one that it is to have, and the folder with
/// what it had before.
const NODE_KEY: &str = "node.key";
const NEXT_NODE_KEY: &str = "node.key.next";
const FORMER: &str = "former";

/// The file in a data folder that names a mesh which was made there by `wattle up --dev`.
const DEV: &str = "dev";

/// The file in a data folder with the key of an operator.
pub(crate) const OPERATOR_KEY: &str = "operator.key";

/// The key in a file, made now if there is none.
pub(crate) fn key_or_new(path: &Path) -> Result<SigningKey> {
    match read_key(path) {
        Ok(key) => Ok(key),
        Err(error) if is_missing(&error) => {
            let key = SigningKey::generate()?;
            write_private(path, key.to_text().as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// The public identity in a data folder, made now if there is none.
pub(crate) fn node_id(key: &SigningKey) -> NodeId {
    NodeId::from_bytes(key.public())
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

pub(crate) fn make_private_folder(path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Reads a private key, and refuses one that others on this machine can read.
pub(crate) fn read_key(path: &Path) -> Result<SigningKey> {
    key_in(path, &private_text(path)?)
}

fn key_in(path: &Path, text: &str) -> Result<SigningKey> {
    SigningKey::from_text(text).with_context(|| format!("can't use the key {}", path.display()))
}

fn private_text(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("can't read the key {}", path.display()))?;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "the key {} can be read by others (mode {:o}); make it private: chmod 600 {}",
            path.display(),
            mode & 0o777,
            path.display()
        );
    }
    Ok(text)
}

/// Reads the key of a mesh's authority, with how it came to be that.
pub(crate) fn read_authority(path: &Path) -> Result<Authority> {
    let text = private_text(path)?;
    Authority::from_text(key_in(path, &text)?, &text)
        .with_context(|| format!("can't use the key {}", path.display()))
}

/// Writes a new file that only its owner can read. An existing one is never overwritten.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    let write = || -> std::io::Result<()> {
        // Named last: a disk that is full must not leave an empty key behind. The library makes
        // temporary files private.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("can't make {}", path.display()))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Replaces a file so that a crash leaves the old content or the new, never a part.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> Result<()> {
    let folder = folder_of(path);
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("can't write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("data")).unwrap();
        let first = home.node_key().unwrap().public();
        assert_eq!(home.node_key().unwrap().public(), first);
        let mode = |name| fs::metadata(home.root.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode("node.key"), 0o600);
        assert_eq!(mode(""), 0o700);
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_damaged_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        home.node_key().unwrap();
        let path = home.root.join("node.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(home.node_key().unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "wattle-private-key:xyz").unwrap();
        let error = format!("{:#}", home.node_key().unwrap_err());
        assert!(error.contains("node.key") && error.contains("not a key"), "{error}");
    }

    #[test]
    fn two_nodes_can_not_share_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        let lock = home.lock().unwrap();
        assert!(home.lock().is_err_and(|error| error.to_string().contains("another node")));
        drop(lock);
        home.lock().unwrap();
    }
}
