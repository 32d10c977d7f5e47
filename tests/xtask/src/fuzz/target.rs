//! The fuzz targets that there are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command;
use crate::paths;

/// A fuzz target.
pub(crate) struct Target {
    pub(crate) name: String,
    /// The feature of the fuzz package that brings what it tries.
    pub(crate) feature: Option<String>,
}

/// Where the inputs of a target are.
pub(crate) struct Folders {
    /// Those that are in the repository.
    pub(crate) corpus: PathBuf,
    /// Those that were found on this machine.
    pub(crate) found: PathBuf,
    /// Those for which something did not hold.
    pub(crate) artifacts: PathBuf,
    /// Words of its language, where there are some.
    pub(crate) dictionary: PathBuf,
}

/// The targets with these names, or all.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Target>> {
    let folder = paths::fuzz().join("fuzz_targets");
    let mut all = Vec::new();
    let files = fs::read_dir(&folder);
    for file in files.with_context(|| format!("the targets in {}", folder.display()))? {
        all.extend(read(&file?.path())?);
    }
    all.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|one| one.name == **name)) {
        let all: Vec<String> = all.into_iter().map(|target| target.name).collect();
        bail!("there is no fuzz target `{unknown}`; there are {}", all.join(", "));
    }
    all.retain(|target| names.is_empty() || names.contains(&target.name));
    Ok(all)
}

/// What a target tries stands in it: `wattle_fuzz::mesh::gossip::holds` is of the mesh.
fn read(file: &Path) -> Result<Option<Target>> {
    let Some(name) = file.file_stem().filter(|_| file.extension().is_some_and(|e| e == "rs"))
    else {
        return Ok(None);
    };
    let text = fs::read_to_string(file)?;
    let part = text.split("wattle_fuzz::").nth(1).and_then(|rest| rest.split("::").next());
    let part = part.with_context(|| format!("{} calls nothing", file.display()))?;
    let feature = (part != "contracts").then(|| part.to_owned());
    Ok(Some(Target { name: name.to_string_lossy().into_owned(), feature }))
}

impl Target {
    /// What `cargo fuzz build` has made of it.
    pub(crate) fn binary(&self) -> Result<PathBuf> {
        let version =
            command::ask(Command::new("rustc").arg("-vV")).context("rustc is not there")?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc does not say what it compiles for")?;
        Ok(paths::fuzz().join("target").join(host).join("release").join(&self.name))
    }

    /// Its folders, made where they are not there.
    pub(crate) fn folders(&self) -> Result<Folders> {
        let fuzz = paths::fuzz();
        let folders = Folders {
            corpus: fuzz.join("corpus").join(&self.name),
            found: fuzz.join("target/found").join(&self.name),
            artifacts: fuzz.join("artifacts").join(&self.name),
            dictionary: fuzz.join("dictionaries").join(format!("{}.dict", self.name)),
        };
        for folder in [&folders.corpus, &folders.found, &folders.artifacts] {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        Ok(folders)
    }

    /// The command that tries one input.
    pub(crate) fn replay(&self, input: &Path) -> String {
        let fuzz = format!("{}/", paths::fuzz().display());
        let input = input.display().to_string().replace(&fuzz, "");
        let feature = self.feature.as_ref().map(|feature| format!(" --features {feature}"));
        let name = &self.name;
        format!(
            "    RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none{} {name} {input}",
            feature.unwrap_or_default()
        )
    }
}
