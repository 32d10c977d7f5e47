//! Manifests: those of the examples, changed where a test needs it.

use std::path::{Path, PathBuf};

use crate::mesh::TestMesh;
use crate::paths;

/// The text of a manifest.
#[derive(Debug, Clone)]
pub struct ManifestText(String);

impl ManifestText {
    /// The manifest of an example, as people read it.
    pub fn of_example(name: &str) -> Self {
        let path = paths::in_repository(&format!("examples/{name}/app.toml"));
        let text = std::fs::read_to_string(&path);
        Self(text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// A manifest of the test's own.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// With `to` in the place of `from`, which must be there.
    #[must_use]
    pub fn with(self, from: &str, to: &str) -> Self {
        assert!(self.0.contains(from), "there is no `{from}` in\n{}", self.0);
        Self(self.0.replacen(from, to, 1))
    }

    /// With the app called `name`.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let old = self.0.lines().find(|line| line.starts_with("app = "));
        let old = old.expect("a manifest names its app").to_owned();
        self.with(&old, &format!("app = \"{name}\""))
    }

    /// With the component or provider under `heading` on nodes whose label `name` is `node`.
    #[must_use]
    pub fn on(self, heading: &str, node: &str) -> Self {
        let heading = format!("[{heading}]");
        self.with(&heading, &format!("{heading}\non = {{ name = \"{node}\" }}"))
    }

    /// With its first HTTP route for one host alone.
    #[must_use]
    pub fn at_host(self, host: &str) -> Self {
        self.with("[[http]]", &format!("[[http]]\nhost = \"{host}\""))
    }

    /// Writes it into the mesh's folder, with each guest signed by the mesh's publisher.
    pub async fn write(self, mesh: &TestMesh, file: &str) -> PathBuf {
        let mut text = String::new();
        for line in self.0.lines() {
            match guest_of(line) {
                Some(guest) => {
                    let signed = mesh.signed(&guest).await;
                    text.push_str(&format!("wasm = \"{}\"\n", signed.display()));
                }
                None => text.push_str(&format!("{line}\n")),
            }
        }
        mesh.write(file, text)
    }
}

/// The guest that a line names: `wasm = ".../counter.wasm"`.
fn guest_of(line: &str) -> Option<String> {
    let path = line.strip_prefix("wasm = \"")?.strip_suffix('"')?;
    Some(Path::new(path).file_stem()?.to_str()?.to_owned())
}
