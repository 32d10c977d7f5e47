//! Somebody with an operator's key.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use wattle_contracts::key::SigningKey;

use crate::command::{self, Answer};
use crate::mesh::TestMesh;
use crate::node::TestNode;

/// An operator: a key in the folder of a mesh.
#[derive(Debug, Clone)]
pub struct Operator {
    name: String,
    folder: PathBuf,
    public: String,
}

impl Operator {
    /// A new key of somebody called `name`, who may nothing yet.
    pub async fn new(mesh: &TestMesh, name: &str) -> Self {
        let folder = mesh.folder().to_owned();
        let out = folder.join(format!("{name}.key"));
        let new = ["operator", "new", "--out"].map(OsStr::new);
        let public = command::wattle(new.into_iter().chain([out.as_os_str()])).await.ok();
        Self { name: name.into(), folder, public: public.trim().into() }
    }

    /// A new operator, made one through `node` with the key in `by`, and with these flags.
    pub async fn added(
        mesh: &TestMesh,
        (node, by): (&TestNode, &Path),
        name: &str,
        flags: &[&str],
    ) -> Self {
        let new = Self::new(mesh, name).await;
        let add = ["operator", "add", &new.public, "--name", name];
        let add = add.iter().chain(flags).map(OsStr::new);
        node.verb(add.chain(["--key".as_ref(), by.as_os_str()])).await.ok();
        new
    }

    /// The public half of the key.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// Where the private half is.
    pub fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.key", self.name))
    }

    /// The private half.
    pub fn key(&self) -> SigningKey {
        let text = std::fs::read_to_string(self.file()).expect("the key is where it was put");
        SigningKey::from_text(&text).expect("it is a key")
    }

    /// A token for the mesh of `node`.
    pub async fn token(&self, node: &TestNode, flags: &[&str]) -> String {
        let verb = ["token", "--operator-key"].map(OsString::from);
        let more = flags.iter().map(OsString::from);
        let args = verb.into_iter().chain([self.file().into_os_string()]).chain(more);
        node.verb(args).await.ok().trim().into()
    }

    /// Runs a verb that speaks to the API at `url` with `token`, and signs with this key, from a
    /// machine where there is nothing else.
    pub async fn verb(&self, url: &str, token: &str, args: &[&str]) -> Answer {
        let nowhere = self.folder.join("elsewhere");
        let args = args.iter().map(OsString::from);
        let there = ["--node", url, "--token", token, "--data"].map(OsString::from);
        let with = ["--operator-key".into(), self.file().into_os_string()];
        command::wattle(args.chain(there).chain([nowhere.into_os_string()]).chain(with)).await
    }
}
