//! How nodes on one machine find each other: a folder with one file per living node.
//!
//! A node holds a lock on its own file for as long as it lives. A file that nobody holds was left
//! behind by a node that crashed, and is not looked at.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use wattle_contracts::id::{MeshId, NodeId};

use super::canonical;
use crate::net::config::HostDirectory;
use crate::net::error::MeshError;

/// A file longer than this is not one of ours, in bytes.
const MAX_FILE: u64 = 16 * 1024;

/// More files are not looked at in one round.
const MAX_FILES: usize = 1024;

/// What a crash left behind is removed after so long.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// All files are looked at so often where the folder does not change.
const AGAIN: Duration = Duration::from_secs(10);

/// A change that is older than this is another one than the next.
const COARSE: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    node: NodeId,
    addresses: Vec<Multiaddr>,
}

/// The folder, and this node's file in it.
#[derive(Debug)]
pub(in crate::net) struct HostFiles {
    folder: PathBuf,
    node: NodeId,
    /// The living file: the lock is on it.
    own: Option<File>,
    /// When all files were last looked at, and when the folder had changed then.
    looked: Option<(Instant, SystemTime)>,
}

impl HostFiles {
    /// The folder of `mesh` for this user, made if need be.
    pub(in crate::net) fn open(
        place: &HostDirectory,
        mesh: MeshId,
        node: NodeId,
    ) -> Result<Option<Self>, MeshError> {
        let root = match place {
            HostDirectory::Off => return Ok(None),
            HostDirectory::At(root) => root.clone(),
            HostDirectory::Default => default_root(),
        };
        // A mesh id holds a `:`, which some tools take for a separator.
        let folder = root.join(mesh.to_string().replace(':', "-"));
        private_folder(&root).and_then(|()| private_folder(&folder)).map_err(|source| {
            let path = folder.display().to_string();
            MeshError::File { what: "the host-local directory", path, source }
        })?;
        Ok(Some(Self { folder, node, own: None, looked: None }))
    }

    /// Says where this node is reached.
    pub(in crate::net) fn announce(&mut self, addresses: &[Multiaddr]) -> io::Result<()> {
        let entry = Entry { node: self.node, addresses: addresses.to_vec() };
        let text = serde_json::to_vec(&entry)?;
        // The lock comes before the name: nobody ever sees the file without it.
        let draft = self.folder.join(format!(".{}.{}", self.node, std::process::id()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.lock()?;
        file.write_all(&text)?;
        fs::rename(&draft, self.own_path())?;
        self.own = Some(file);
        Ok(())
    }

    /// Whether this node's file is still the one that it wrote.
    pub(in crate::net) fn is_announced(&self) -> bool {
        let same = |own: &File| -> io::Result<bool> {
            Ok(own.metadata()?.ino() == fs::metadata(self.own_path())?.ino())
        };
        self.own.as_ref().is_some_and(|own| same(own).unwrap_or(false))
    }

    /// Those of [`HostFiles::others`], if somebody may have come since this was last asked, and else
    /// now and then: with many nodes, opening all of their files every second is what an idle node
    /// does most. Who comes, or comes back, puts a file there, which changes the folder.
    pub(in crate::net) fn news(&mut self) -> io::Result<Vec<(NodeId, Vec<Multiaddr>)>> {
        let changed = fs::metadata(&self.folder)?.modified()?;
        // Times of files are as coarse as the kernel's clock: what changed just now may change again
        // within the same time.
        let is_settled = changed.elapsed().is_ok_and(|age| age > COARSE);
        let is_known =
            |(at, then): &(Instant, SystemTime)| at.elapsed() < AGAIN && *then == changed;
        if is_settled && self.looked.as_ref().is_some_and(is_known) {
            return Ok(Vec::new());
        }
        let others = self.others()?;
        self.looked = is_settled.then(|| (Instant::now(), changed));
        Ok(others)
    }

    /// The other living nodes.
    fn others(&self) -> io::Result<Vec<(NodeId, Vec<Multiaddr>)>> {
        let mut found = Vec::new();
        for file in fs::read_dir(&self.folder)?.take(MAX_FILES) {
            let path = file?.path();
            let is_entry = path.extension().is_some_and(|ending| ending == "json");
            if !is_entry || path == self.own_path() {
                continue;
            }
            // One file that can't be read must not hide the others.
            if let Ok(Some(entry)) = read(&path) {
                found.push((entry.node, entry.addresses.iter().filter_map(canonical).collect()));
            }
        }
        Ok(found)
    }

    /// Takes this node's file away.
    pub(in crate::net) fn withdraw(&mut self) {
        if self.is_announced() {
            let _ = fs::remove_file(self.own_path());
        }
        self.own = None;
    }

    fn own_path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.node))
    }
}

impl Drop for HostFiles {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The entry of a living node.
fn read(path: &Path) -> io::Result<Option<Entry>> {
    let file = File::open(path)?;
    match file.try_lock_shared() {
        // Nobody holds it: its node is gone.
        Ok(()) => {
            let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > STALE {
                fs::remove_file(path)?;
            }
            return Ok(None);
        }
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

fn default_root() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty()) {
        Some(runtime) => PathBuf::from(runtime).join("wattle"),
        None => std::env::temp_dir().join(format!("wattle-{}", rustix::process::getuid().as_raw())),
    }
}

/// Makes the folder for this user alone, or makes sure that it is this user's: below a temporary
/// folder anybody could have put one of that name there.
fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let metadata = fs::symlink_metadata(path)?;
    let own = metadata.uid() == rustix::process::getuid().as_raw();
    match metadata.is_dir() && own {
        true => Ok(()),
        false => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it belongs to another user or is no folder",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(root: &Path, node: u8) -> HostFiles {
        let place = HostDirectory::At(root.to_owned());
        let mesh = MeshId::from_bytes([1; 32]);
        HostFiles::open(&place, mesh, NodeId::from_bytes([node; 32])).unwrap().unwrap()
    }

    fn address(port: u16) -> Multiaddr {
        format!("/ip4/127.0.0.1/udp/{port}/quic-v1").parse().unwrap()
    }

    #[test]
    fn living_nodes_see_each_other_and_not_the_dead() {
        let root = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (files(root.path(), 1), files(root.path(), 2));
        one.announce(&[address(1)]).unwrap();
        two.announce(&[address(2)]).unwrap();
        assert_eq!(one.others().unwrap(), [(two.node, vec![address(2)])]);
        assert_eq!(two.others().unwrap(), [(one.node, vec![address(1)])]);

        // A new address takes the place of the old one, without a moment in between.
        two.announce(&[address(3)]).unwrap();
        assert_eq!(one.others().unwrap(), [(two.node, vec![address(3)])]);

        // A crash leaves the file, but not the lock.
        two.own = None;
        assert!(two.own_path().exists());
        assert!(one.others().unwrap().is_empty());
    }

    #[test]
    fn who_comes_is_news_at_once_and_who_is_there_now_and_then() {
        let root = tempfile::tempdir().unwrap();
        let (mut one, mut two) = (files(root.path(), 1), files(root.path(), 2));
        two.announce(&[address(2)]).unwrap();
        let there = [(two.node, vec![address(2)])];
        // As long as the folder may change unseen, it is looked into each time.
        assert_eq!(one.news().unwrap(), there);
        assert_eq!(one.news().unwrap(), there);
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        let settle = || File::open(&one.folder).unwrap().set_modified(long_ago).unwrap();
        settle();
        assert_eq!(one.news().unwrap(), there);
        assert_eq!(one.news().unwrap(), []);
        let mut three = files(root.path(), 3);
        three.announce(&[address(3)]).unwrap();
        assert_eq!(one.news().unwrap().len(), 2);
        File::open(&one.folder).unwrap().set_modified(long_ago).unwrap();
        one.news().unwrap();
        one.looked = one.looked.map(|(at, changed)| (at - AGAIN, changed));
        assert_eq!(one.news().unwrap().len(), 2);
    }

    #[test]
    fn a_node_notices_that_its_file_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let mut one = files(root.path(), 1);
        one.announce(&[address(1)]).unwrap();
        assert!(one.is_announced());
        fs::remove_file(one.own_path()).unwrap();
        assert!(!one.is_announced());
    }

    #[test]
    fn rubbish_in_the_folder_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let (one, mut two) = (files(root.path(), 1), files(root.path(), 2));
        two.announce(&[address(2)]).unwrap();
        let rubbish = File::create(one.folder.join("x.json")).unwrap();
        rubbish.lock().unwrap();
        (&rubbish).write_all(b"{]").unwrap();
        assert_eq!(one.others().unwrap().len(), 1);
    }

    #[test]
    fn the_folder_is_private() {
        let root = tempfile::tempdir().unwrap();
        let one = files(root.path(), 1);
        assert_eq!(fs::metadata(&one.folder).unwrap().mode() & 0o777, 0o700);
    }
}
