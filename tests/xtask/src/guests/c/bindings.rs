//! The C side of a WIT world: a header, a source file, and an object file that carries the world's types.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use crate::paths;

/// The C guest's world is the Rust guest's.
const WORLD: &str = "counter";

pub(crate) fn generate() -> Result<Files> {
    let mut resolve = Resolve::default();
    let wit = paths::root().join("tests/guests/wit/http");
    let (package, _) =
        resolve.push_dir(&wit).with_context(|| format!("reading {}", wit.display()))?;
    let world = resolve
        .select_world(&[package], Some(WORLD))
        .with_context(|| format!("finding the world `{WORLD}`"))?;
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    generator.generate(&mut resolve, world, &mut files).context("generating C bindings")?;
    Ok(files)
}

pub(crate) fn write(files: &Files, folder: &Path) -> Result<()> {
    files.iter().try_for_each(|(name, bytes)| crate::guests::put(&folder.join(name), bytes))
}

/// Where the generated files of one kind are, once they are written.
pub(crate) fn with_extension(files: &Files, folder: &Path, extension: &str) -> Vec<PathBuf> {
    let paths = files.iter().map(|(name, _)| folder.join(name));
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use wit_bindgen_core::wit_parser::UnresolvedPackageGroup;

    use super::*;

    #[test]
    fn every_contract_folder_is_named_after_the_package_in_it() {
        let contracts = fs::read_dir(paths::root().join("contracts/wit")).unwrap();
        let folders = contracts.map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
        for folder in folders {
            let group = UnresolvedPackageGroup::parse_dir(folder.path()).unwrap();
            let package = &group.main.name;
            let version = package.version.as_ref().unwrap();
            let expected = format!("{}-{}-{version}", package.namespace, package.name);
            assert_eq!(folder.file_name().to_string_lossy(), expected);
        }
    }

    #[test]
    fn bindings_are_generated_from_the_contracts() {
        let files = generate().unwrap();
        let mut names: Vec<&str> = files.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, ["counter.c", "counter.h", "counter_component_type.o"]);
    }
}
