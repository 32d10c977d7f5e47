//! A mesh of the test's own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::command;
use crate::node::TestNode;
use crate::paths;
use crate::publisher::Publisher;
use crate::up::Up;

/// A mesh with its key, a publisher whom its nodes trust, and a temporary folder for all of it.
#[derive(Debug)]
pub struct TestMesh {
    site: Arc<Site>,
}

/// An invitation.
#[derive(Debug, Clone)]
pub struct Invite {
    /// By which it is revoked.
    pub id: String,
    /// What a new node is told.
    pub token: String,
}

/// What the nodes of a mesh share; it stays until the last of them is gone.
#[derive(Debug)]
pub struct Site {
    folder: TempDir,
    mesh_key: PathBuf,
    publisher: Publisher,
}

impl TestMesh {
    /// A new mesh without nodes.
    pub async fn new() -> Self {
        // A short name: the path of a socket must fit into 107 bytes.
        let folder = tempfile::Builder::new().prefix("wattle-").tempdir();
        let folder = folder.expect("there is a folder for temporary files");
        let mesh_key = folder.path().join("mesh.key");
        let args = ["mesh", "init", "--out"].map(Into::into);
        command::wattle(args.into_iter().chain([mesh_key.clone()])).await.ok();
        let publisher = Publisher::new(folder.path().join("publisher.key")).await;
        Self { site: Arc::new(Site { folder, mesh_key, publisher }) }
    }

    /// A node called `name`, to be started.
    pub fn node(&self, name: &str) -> Up {
        Up::new(Arc::clone(&self.site), name)
    }

    /// The folder that is removed when the mesh and its nodes are gone.
    pub fn folder(&self) -> &Path {
        self.site.folder()
    }

    /// The file with the mesh's private key.
    pub fn key(&self) -> &Path {
        self.site.mesh_key()
    }

    /// The publisher whom the nodes trust.
    pub fn publisher(&self) -> &Publisher {
        self.site.publisher()
    }

    /// An invitation, made with these flags.
    pub async fn invite<I>(&self, flags: I) -> Invite
    where
        I: IntoIterator<Item: Into<OsString>>,
    {
        let key: [OsString; 3] = ["invite".into(), "--key".into(), self.key().into()];
        let answer =
            command::wattle(key.into_iter().chain(flags.into_iter().map(Into::into))).await;
        let (id, _) = answer.stderr.split_once(": ").expect("it says which invitation it is");
        let id = id.to_owned();
        Invite { id, token: answer.ok().trim().to_owned() }
    }

    /// Makes a new key an admin through `node`. Gives back where the private half is.
    pub async fn admin(&self, node: &TestNode) -> PathBuf {
        let key = self.folder().join("admin.key");
        let made = command::wattle([
            OsStr::new("operator"),
            "new".as_ref(),
            "--out".as_ref(),
            key.as_ref(),
        ]);
        let public = made.await.ok();
        let args = ["operator", "add", public.trim(), "--name", "ops", "--admin", "--key"];
        node.verb(args.map(OsStr::new).into_iter().chain([self.key().as_os_str()])).await.ok();
        key
    }

    /// The guest `name` signed by that publisher, in the mesh's folder.
    pub async fn signed(&self, name: &str) -> PathBuf {
        let signed = self.folder().join(format!("{name}.wasm"));
        if !signed.exists() {
            self.publisher().sign(&paths::guest(name), &signed).await;
        }
        signed
    }

    /// Writes a file into the mesh's folder.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, content).unwrap_or_else(|error| panic!("{name}: {error}"));
        path
    }
}

impl Site {
    /// The folder of everything.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn mesh_key(&self) -> &Path {
        &self.mesh_key
    }

    pub(crate) fn publisher(&self) -> &Publisher {
        &self.publisher
    }
}
