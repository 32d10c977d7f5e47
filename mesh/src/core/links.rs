//! Where imports go: the links of all apps, and those that are records of their own, as one table.
//!
//! Links are told apart by who imports, the contract as it is written, and the link's name. Of two
//! that agree in all three, one that is a record of its own counts, and the app's does not.
//!
//! An import takes the links with the most exact contract that covers it: one that names the
//! interface before one that names its package, and of these one that names a version before one
//! that names none, the highest version first. Several links with that contract, of different
//! names, are the targets among which [`super::routing::draw`] chooses.
//!
//! Looked at on each call. A lookup hashes the component once and then halves a sorted list twice,
//! so it hardly grows with the number of links, be they many components' or one's. With 10,000
//! links of 1,000 components, `mesh/benches/links.rs` found 0.16 to 0.28 µs for a lookup, and a
//! table of 6 MB; with as many of a single component 0.29 to 0.35 µs and 8 MB. The table is built
//! anew when a record changes, which took 7 to 16 ms there.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wattle_contracts::id::{ComponentId, ContractId, LinkName};
use wattle_contracts::record::{App, Link, LinkKey, LinkOptions, LinkSpec, Version};

/// Every link of a mesh.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// By name.
    components: Vec<(ComponentId, Vec<Import>)>,
    /// Where in `components`. Never walked.
    places: HashMap<ComponentId, usize>,
}

/// What one component imports by one contract, and where that goes.
#[derive(Debug, Clone)]
pub struct Import {
    contract: ContractId,
    /// By name; never empty.
    targets: Vec<Target>,
}

/// Where an import goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The link's name.
    pub name: LinkName,
    /// The component or provider that serves it.
    pub to: ComponentId,
    /// How calls along it are made.
    pub options: Arc<LinkOptions>,
    /// Who says so.
    pub origin: Origin,
    /// The version of the record that says so.
    pub version: Version,
    /// Where the app's own link of this name would go, if a record did not say otherwise.
    pub instead_of: Option<ComponentId>,
}

/// Who says where an import goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The app that declares the component.
    Manifest,
    /// A record of its own.
    Record,
}

impl Links {
    /// The links of `apps` and `records`, each with the version of its record.
    pub fn new<'a>(
        apps: impl IntoIterator<Item = (&'a App, Version)>,
        records: impl IntoIterator<Item = (&'a LinkKey, &'a Link, Version)>,
    ) -> Self {
        let mut targets = BTreeMap::new();
        for (app, version) in apps {
            for link in &app.links {
                let target = Target::of_app(app, link, version);
                targets.insert(key_of(app, link), target);
            }
        }
        for (key, link, version) in records {
            let beneath = targets.get(key).filter(|target| target.origin == Origin::Manifest);
            let instead_of = beneath.map(|target| target.to.clone());
            targets.insert(key.clone(), Target::of_record(key, link, version, instead_of));
        }
        let mut links = Self::default();
        for (LinkKey { from, contract, .. }, target) in targets {
            links.push(from, contract, target);
        }
        for (place, (component, imports)) in links.components.iter_mut().enumerate() {
            imports.sort_by(Import::before);
            links.places.insert(component.clone(), place);
        }
        links
    }

    /// Takes links in the order of their keys.
    fn push(&mut self, from: ComponentId, contract: ContractId, target: Target) {
        let imports = match self.components.last_mut() {
            Some((last, imports)) if *last == from => imports,
            _ => &mut self.components.push_mut((from, Vec::new())).1,
        };
        match imports.last_mut() {
            Some(import) if import.contract == contract => import.targets.push(target),
            _ => imports.push(Import { contract, targets: vec![target] }),
        }
    }

    /// Where `from`'s import of `wanted` goes; `None` where no link says so.
    pub fn get(&self, from: &ComponentId, wanted: &ContractId) -> Option<&Import> {
        let imports = self.imports(from);
        let interfaces = [wanted.interface(), None];
        // An import without an interface is one of a whole package, and is looked for once.
        let count = if wanted.interface().is_some() { 2 } else { 1 };
        interfaces.into_iter().take(count).find_map(|interface| {
            let place = (wanted.namespace(), wanted.package(), interface);
            let first = imports.partition_point(|import| import.place() < place);
            let alike = imports.iter().skip(first).take_while(|import| import.place() == place);
            alike.into_iter().find(|import| import.contract.covers(wanted))
        })
    }

    /// The contracts by which `from` links something that `contract` covers more exactly: their
    /// calls don't go along a link of `contract`.
    pub fn more_exact<'a>(
        &'a self,
        from: &ComponentId,
        contract: &'a ContractId,
    ) -> impl Iterator<Item = &'a ContractId> {
        let others = self.imports(from).iter().map(|import| &import.contract);
        let exactness =
            |contract: &ContractId| (contract.interface().is_some(), contract.version().is_some());
        let own = exactness(contract);
        others.filter(move |other| exactness(other) > own && contract.covers(other))
    }

    /// Every link: by component, then contract, then name.
    pub fn iter(&self) -> impl Iterator<Item = (&ComponentId, &ContractId, &Target)> {
        self.components.iter().flat_map(|(from, imports)| {
            imports.iter().flat_map(move |import| {
                import.targets.iter().map(move |target| (from, &import.contract, target))
            })
        })
    }

    /// How many links there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    fn imports(&self, from: &ComponentId) -> &[Import] {
        let place = self.places.get(from).and_then(|place| self.components.get(*place));
        place.map_or(&[], |(_, imports)| imports)
    }
}

impl Import {
    /// The contract, as the links write it.
    pub fn contract(&self) -> &ContractId {
        &self.contract
    }

    /// Its links, by name. There is at least one.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Whether one of its links goes to `id`.
    pub fn goes_to(&self, id: &ComponentId) -> bool {
        self.targets.iter().any(|target| target.to == *id)
    }

    /// The link called `name`, else the one called `default`, else the first by name: for what
    /// keeps state, and so can't be one thing now and another one with the next call.
    pub fn named(&self, name: &str) -> Option<&Target> {
        let called = |name: &str| self.targets.iter().find(|target| target.name.as_str() == name);
        called(name).or_else(|| called(LinkName::DEFAULT)).or_else(|| self.targets.first())
    }

    fn place(&self) -> (&str, &str, Option<&str>) {
        (self.contract.namespace(), self.contract.package(), self.contract.interface())
    }

    /// The order in which imports are kept: by place, and there the highest version first.
    fn before(&self, other: &Self) -> Ordering {
        let versions = || other.contract.version().cmp(&self.contract.version());
        self.place().cmp(&other.place()).then_with(versions)
    }
}

impl Target {
    fn of_app(app: &App, link: &LinkSpec, version: Version) -> Self {
        Self {
            name: link.name.clone(),
            to: ComponentId::new(app.name.clone(), link.to.clone()),
            options: Arc::new(link.options.clone()),
            origin: Origin::Manifest,
            version,
            instead_of: None,
        }
    }

    fn of_record(
        key: &LinkKey,
        link: &Link,
        version: Version,
        instead_of: Option<ComponentId>,
    ) -> Self {
        Self {
            name: key.name.clone(),
            to: link.to.clone(),
            options: Arc::new(link.options.clone()),
            origin: Origin::Record,
            version,
            instead_of,
        }
    }
}

impl Origin {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Origin::Manifest => "manifest",
            Origin::Record => "record",
        }
    }
}

fn key_of(app: &App, link: &LinkSpec) -> LinkKey {
    LinkKey {
        from: ComponentId::new(app.name.clone(), link.from.clone()),
        contract: link.contract.clone(),
        name: link.name.clone(),
    }
}

#[cfg(test)]
mod tests;
