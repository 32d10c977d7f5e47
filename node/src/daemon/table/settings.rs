//! Configuration values that are records of their own, laid over those of the apps.

use std::collections::BTreeMap;

use wattle_contracts::id::{ComponentId, ConfigName, Digest};
use wattle_contracts::record::{App, Config, ConfigKey, Version};

/// Every such value.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    components: BTreeMap<ComponentId, Values>,
}

/// Those of one component.
#[derive(Debug, Default)]
struct Values {
    by_name: BTreeMap<ConfigName, Setting>,
    /// Over the names and versions; 0 as long as nothing declares the component.
    hash: u64,
}

/// A value that is a record of its own.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) value: String,
    pub(crate) version: Version,
    /// What the app says in its place.
    pub(crate) instead_of: Option<String>,
}

impl Settings {
    pub(super) fn insert(&mut self, key: &ConfigKey, config: &Config, version: Version) {
        let setting = Setting { value: config.value.clone(), version, instead_of: None };
        let values = self.components.entry(key.component.clone()).or_default();
        values.by_name.insert(key.name.clone(), setting);
    }

    /// Gives the components of `app` the values that count.
    pub(super) fn lay_over(&mut self, app: &mut App) {
        let name = app.name.clone();
        for (local, spec) in &mut app.components {
            let id = ComponentId::new(name.clone(), local.clone());
            let Some(values) = self.components.get_mut(&id) else { continue };
            for (name, setting) in &mut values.by_name {
                setting.instead_of = spec.config.insert(name.to_string(), setting.value.clone());
            }
            values.hash = values.hashed();
        }
    }

    /// A number for the values of `id` in their versions: another one for others, 0 for none.
    pub(super) fn hash(&self, id: &ComponentId) -> u64 {
        self.components.get(id).map_or(0, |values| values.hash)
    }

    /// The value of `id` under `name`.
    pub(crate) fn get(&self, id: &ComponentId, name: &str) -> Option<&Setting> {
        let values = self.components.get(id)?;
        let name = name.parse::<ConfigName>().ok()?;
        values.by_name.get(&name)
    }

    /// Every value: by component, then name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&ComponentId, &ConfigName, &Setting)> {
        self.components.iter().flat_map(|(id, values)| {
            values.by_name.iter().map(move |(name, setting)| (id, name, setting))
        })
    }
}

impl Values {
    fn hashed(&self) -> u64 {
        let mut bytes = Vec::new();
        for (name, setting) in &self.by_name {
            // A name never holds a zero byte, and what follows it is always as long.
            bytes.extend_from_slice(name.as_str().as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&setting.version.at.millis.to_le_bytes());
            bytes.extend_from_slice(&setting.version.at.counter.to_le_bytes());
            bytes.extend_from_slice(setting.version.writer.as_bytes());
        }
        let digest = Digest::of(&bytes);
        digest.as_bytes().first_chunk().map_or(0, |start| u64::from_le_bytes(*start)).max(1)
    }
}
