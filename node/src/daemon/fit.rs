//! Whether a link fits: its source imports the contract, its target has what is imported, and the
//! functions that it names are there. By what the records say of the components, which every node
//! has.

use wattle_contracts::id::{ComponentId, ContractId, LocalName};
use wattle_contracts::record::{ComponentSpec, ImportSpec, LinkOptions, plain};
use wattle_runtime::{Component, Interface};

use super::apply::is_built_in;

/// What of a component's imports there must be links for.
pub(super) fn imports(component: &Component) -> Vec<ImportSpec> {
    // An interface without functions only names types: there is nothing to call.
    let called = |import: &&wattle_runtime::Interface| {
        !import.functions.is_empty() && !is_built_in(&import.contract)
    };
    let one = |import: &wattle_runtime::Interface| ImportSpec {
        contract: import.contract.clone(),
        functions: import.functions.iter().map(|function| function.name.clone()).collect(),
    };
    component.imports().iter().filter(called).map(one).collect()
}

/// Those that a link of `contract` is for.
pub(super) fn covered<'i>(imports: &'i [ImportSpec], contract: &ContractId) -> Vec<&'i ImportSpec> {
    imports.iter().filter(|import| contract.covers(&import.contract)).collect()
}

/// Whether `from` imports anything that a link of `contract` is for.
pub(super) fn check_source(
    from: &ComponentId,
    imports: &[ImportSpec],
    contract: &ContractId,
) -> Result<(), String> {
    if imports.iter().any(|import| contract.covers(&import.contract)) {
        return Ok(());
    }
    let all = listed(imports.iter().map(|import| import.contract.to_string()));
    Err(format!("`{from}` does not import `{contract}`; what it imports by links is {all}"))
}

/// Whether the component `to` exports everything of `covered`, which `from` imports.
pub(super) fn check_target(
    from: &ComponentId,
    covered: &[&ImportSpec],
    to: &ComponentId,
    target: &ComponentSpec,
) -> Result<(), String> {
    let has = |wanted: &ContractId| target.exports.iter().any(|export| export.covers(wanted));
    let missing: Vec<String> = covered
        .iter()
        .filter(|import| !has(&import.contract))
        .map(|import| import.contract.to_string())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let all = listed(target.exports.iter().map(ToString::to_string));
    Err(format!(
        "`{to}` does not export {}, which `{from}` imports; it exports {all}",
        listed(missing)
    ))
}

/// Whether each function that `options` names is one of `covered`, the interfaces of `contract`
/// that `from` imports.
pub(super) fn check_functions(
    from: &ComponentId,
    contract: &ContractId,
    covered: &[&ImportSpec],
    options: &LinkOptions,
) -> Result<(), String> {
    let known = || covered.iter().flat_map(|import| &import.functions);
    let Some(name) = options.idempotent.iter().find(|name| !known().any(|other| other == *name))
    else {
        return Ok(());
    };
    let all = listed(known().cloned());
    Err(format!(
        "`idempotent` names `{name}`, and `{contract}` has no such function, as far as `{from}` \
         imports it; it has {all}"
    ))
}

/// Whether the component `to` exports each function that a link of `contract` grants. (Its source
/// may know fewer: what it does not call is left out of it.)
pub(super) fn check_granted(
    contract: &ContractId,
    to: &LocalName,
    exports: &[Interface],
    options: &LinkOptions,
) -> Result<(), String> {
    let exports = || exports.iter().filter(|export| contract.covers(&export.contract));
    let known = || exports().flat_map(|export| &export.functions).map(|f| plain(&f.name));
    let Some(name) = options.grant.functions.iter().find(|name| !known().any(|f| f == *name))
    else {
        return Ok(());
    };
    let all = listed(known().map(Into::into));
    Err(format!(
        "its link of `{contract}` grants the function `{name}`, and `{to}` exports no such one; it \
         has {all}"
    ))
}

fn listed(all: impl IntoIterator<Item = String>) -> String {
    let all: Vec<String> = all.into_iter().map(|text| format!("`{text}`")).collect();
    if all.is_empty() { "nothing".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wattle_contracts::id::{Digest, PublisherKey};
    use wattle_contracts::record::{Labels, LimitSpec};

    use super::*;

    fn contract(text: &str) -> ContractId {
        text.parse().unwrap()
    }

    #[test]
    fn a_link_is_for_what_its_source_imports_and_names_functions_of_that() {
        let import = |text: &str, functions: &[&str]| ImportSpec {
            contract: contract(text),
            functions: functions.iter().map(|name| (*name).to_string()).collect(),
        };
        let imports = [
            import("a:shop/price@1.2.0", &["get", "set"]),
            import("a:shop/stock@1.0.0", &["count"]),
        ];
        let from: ComponentId = "shop/basket".parse().unwrap();
        for fits in ["a:shop", "a:shop/price", "a:shop@1.0.0", "a:shop/price@1.9.0"] {
            check_source(&from, &imports, &contract(fits)).unwrap();
        }
        for other in ["a:shop/prices", "b:shop", "a:shop@2.0.0"] {
            let why = check_source(&from, &imports, &contract(other)).unwrap_err();
            assert!(
                why.contains(other) && why.contains("`a:shop/price@1.2.0`, `a:shop/s"),
                "{why}"
            );
        }
        let check = |link: &str, names: &[&str]| {
            let idempotent = names.iter().map(|name| (*name).to_string()).collect();
            let options = LinkOptions { idempotent, ..LinkOptions::default() };
            let link = contract(link);
            check_functions(&from, &link, &covered(&imports, &link), &options)
        };
        check("a:shop", &["get", "count"]).unwrap();
        check("a:shop/price", &["get", "set"]).unwrap();
        let why = check("a:shop/price", &["get", "count"]).unwrap_err();
        assert!(why.contains("names `count`") && why.contains("it has `get`, `set`"), "{why}");
    }

    #[test]
    fn a_target_has_everything_that_its_source_imports_along_the_link() {
        let import = |text: &str| ImportSpec { contract: contract(text), functions: Vec::new() };
        let imports = [import("a:shop/price@1.2.0"), import("a:shop/stock@1.0.0")];
        let target = |exports: &[&str]| ComponentSpec {
            digest: Digest::of(b""),
            publisher: PublisherKey::from_bytes([0; 32]),
            size: 0,
            exports: exports.iter().map(|text| contract(text)).collect(),
            imports: Vec::new(),
            replicas: 1,
            on: Labels::new(),
            config: BTreeMap::new(),
            limits: LimitSpec::default(),
        };
        let (from, to) = ("shop/basket".parse().unwrap(), "shop/desk".parse().unwrap());
        let check = |link: &str, exports: &[&str]| {
            let covered = covered(&imports, &contract(link));
            check_target(&from, &covered, &to, &target(exports))
        };
        check("a:shop", &["a:shop/price@1.3.0", "a:shop/stock@1.0.0"]).unwrap();
        check("a:shop/price", &["a:shop/price@1.3.0"]).unwrap();
        for exports in [&["a:shop/price@1.3.0"][..], &["a:shop/price@1.3.0", "a:shop/stock@2.0.0"]]
        {
            let why = check("a:shop", exports).unwrap_err();
            assert!(why.contains("does not export `a:shop/stock@1.0.0`, which `shop/b"), "{why}");
        }
    }
}
