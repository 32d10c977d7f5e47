//! A disk that is small or can't be written to. What that needs of the machine,
//! [`mounts`](crate::requirement::mounts) asks for.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::mesh::TestMesh;

/// A mounted file system of a bounded size, unmounted when this is dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// A new disk of `kib` KiB in the mesh's folder.
    pub fn new(mesh: &TestMesh, name: &str, kib: u32) -> Self {
        let folder = mesh.folder().join(name);
        std::fs::create_dir(&folder).expect("the mesh's folder can be written to");
        let size = format!("size={kib}k");
        mount(&["-t", "tmpfs", "-o", &size, "wattle-test"], &folder);
        Self { folder }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = File::create(self.filler()).expect("a file can be made");
        let zeros = vec![0; 4096];
        while file.write_all(&zeros).is_ok() {}
    }

    /// Fills it, and leaves so many KiB.
    pub fn fill_but(&self, kib: u64) {
        self.fill();
        let file = File::options().write(true).open(self.filler()).expect("the file is there");
        let length = file.metadata().expect("a file has a length").len();
        file.set_len(length.saturating_sub(kib * 1024)).expect("a file can be cut");
    }

    /// Gives the space back.
    pub fn empty(&self) {
        // Cut first: a process that another test is just starting may have inherited the file.
        File::create(self.filler()).expect("a file can be cut");
        std::fs::remove_file(self.filler()).expect("a file can be removed");
    }

    /// Lets nobody write to it any more.
    pub fn make_read_only(&self) {
        mount(&["-o", "remount,ro"], &self.folder);
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node that is just being killed may still have a file open.
        let done = Command::new("umount").arg("--lazy").arg(&self.folder).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("{} is still mounted", self.folder.display());
        }
    }
}

fn mount(options: &[&str], folder: &Path) {
    let status = Command::new("mount").args(options).arg(folder).status();
    let status = status.unwrap_or_else(|error| panic!("mount: {error}"));
    assert!(status.success(), "mount {options:?} {}: {status}", folder.display());
}
