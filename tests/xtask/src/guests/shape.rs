//! Whether a component imports and exports what it should, read from its own bytes.

use anyhow::{Context as _, Result, bail};
use wit_bindgen_core::wit_parser::{Resolve, WorldItem, WorldKey};
use wit_component::DecodedWasm;

use super::table::Guest;

/// Gives back how many interfaces are imported.
pub(crate) fn check(guest: &Guest, component: &[u8]) -> Result<usize> {
    let decoded = wit_component::decode(component)
        .with_context(|| format!("{} is not a component", guest.file))?;
    let DecodedWasm::Component(resolve, world) = decoded else {
        bail!("{} is a WIT package, not a component", guest.file);
    };
    let world = resolve.worlds.get(world).context("a component without a world")?;
    let imports = names(&resolve, &world.imports);
    let exports = names(&resolve, &world.exports);
    for import in &imports {
        if !guest.may_import.iter().any(|start| import.starts_with(start)) {
            bail!(
                "{} imports `{import}`, and should not: see tests/xtask/src/guests/table.rs",
                guest.file
            );
        }
    }
    if exports != guest.exports {
        bail!("{} exports {exports:?}, and should export {:?}", guest.file, guest.exports);
    }
    Ok(imports.len())
}

fn names<'a>(
    resolve: &Resolve,
    items: impl IntoIterator<Item = (&'a WorldKey, &'a WorldItem)>,
) -> Vec<String> {
    items.into_iter().map(|(key, _)| resolve.name_world_key(key)).collect()
}
