//! One link or one configuration value changed by hand, without declaring its app anew.
//!
//! What names something that this node does not know is refused with what there is: it is a slip
//! of the pen nearly always. But an app may have been declared on the far side of a cut, so
//! whoever says `ahead` is believed, and told what is missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wattle_contracts::id::{ComponentId, ConfigName, ContractId};
use wattle_contracts::record::{App, Config, ImportSpec, Link, LinkKey, LinkOptions};
use wattle_contracts::record::{ConfigKey, RecordBody, RecordKey};
use wattle_mesh::core::links::Origin;

use super::apply::{ApplyError, is_built_in, offers};
use super::fit;
use super::node::Node;
use super::table::{Table, Target};

/// Where a link shall go.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkRequest {
    pub(crate) to: ComponentId,
    #[serde(default)]
    pub(crate) options: LinkOptions,
    /// Whether what is not known here is expected to come.
    #[serde(default)]
    pub(crate) ahead: bool,
}

/// What values shall be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConfigRequest {
    /// By name; `null` takes a value of its own back.
    pub(crate) values: BTreeMap<String, Option<String>>,
    /// Whether what is not known here is expected to come.
    #[serde(default)]
    pub(crate) ahead: bool,
}

/// Why something is not changed. Nothing was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// It makes no sense, whatever is declared.
    #[error("{0}")]
    Invalid(String),
    /// It makes no sense by what is declared here.
    #[error("{0}")]
    Unknown(String),
    /// There is nothing to be taken back.
    #[error("{0}")]
    NotThere(String),
    /// This node failed.
    #[error("{0}")]
    Node(String),
}

/// What a person who has changed something should know.
pub(super) type Notes = Vec<String>;

impl Node {
    /// Makes the link `key` a record of its own.
    pub(crate) async fn put_link(
        &self,
        key: LinkKey,
        request: LinkRequest,
    ) -> Result<Notes, ChangeError> {
        let LinkRequest { to, options, ahead } = request;
        options.check().map_err(ChangeError::Invalid)?;
        let contract = &key.contract;
        if is_built_in(contract) {
            let why = format!(
                "every component has `{contract}` from the node that it runs on: it can't be linked"
            );
            return Err(ChangeError::Invalid(why));
        }
        let table = self.fresh_table();
        let mut problems = Vec::new();
        let kind = match table.target(&to) {
            Ok(Target::Provider(spec)) => Some(Some(&spec.kind)),
            Ok(Target::Component(_)) => Some(None),
            Err(_) => None,
        };
        if let Some(Err((_, why))) = kind.map(|kind| options.grant.check_for(kind)) {
            return Err(ChangeError::Invalid(why));
        }
        problems.extend(check_component(&table, &key.from).err());
        match check_target(&table, &to, contract) {
            Ok(()) => problems.extend(fits(&table, &key, &to, &options)),
            Err(problem) => problems.push(problem),
        }
        let mut notes = expected(problems, ahead)?;
        let others: Vec<String> = table
            .links()
            .more_exact(&key.from, contract)
            .map(|other| format!("`{other}`"))
            .collect();
        if !others.is_empty() {
            notes.push(format!(
                "`{}` has more exact links, which keep their calls: {}",
                key.from,
                others.join(", ")
            ));
        }
        let body = RecordBody::Link(Box::new(Link { to, options }));
        self.change(RecordKey::Link(Box::new(key)), body).await?;
        Ok(notes)
    }

    /// Takes back the link `key`, where it is a record of its own.
    pub(crate) async fn remove_link(&self, key: LinkKey) -> Result<Notes, ChangeError> {
        let table = self.fresh_table();
        let LinkKey { from, contract, name } = &key;
        let found = table.links().iter().find(|(other, written, target)| {
            (*other, *written, &target.name) == (from, contract, name)
        });
        let notes = match found.map(|(_, _, target)| target) {
            Some(target) if target.origin == Origin::Record => match &target.instead_of {
                Some(to) => vec![format!("the app's own link counts again: to `{to}`")],
                None => Vec::new(),
            },
            Some(_) => {
                return Err(ChangeError::NotThere(format!(
                    "the link `{name}` of `{contract}` from `{from}` is the app's own: change its \
                     manifest and apply it, or put another link in its place (wattle link put)"
                )));
            }
            None => {
                let all = table
                    .links()
                    .iter()
                    .filter(|(other, _, target)| *other == from && target.origin == Origin::Record);
                let all =
                    all.map(|(_, contract, target)| format!("`{contract}` ({})", target.name));
                return Err(ChangeError::NotThere(format!(
                    "`{from}` has no link `{name}` of `{contract}` of its own; it has {}",
                    or_none(all)
                )));
            }
        };
        self.change(RecordKey::Link(Box::new(key)), RecordBody::Tombstone).await?;
        Ok(notes)
    }

    /// Makes configuration values of `component` records of their own, or takes such back. All is
    /// checked before the first is changed; each is a record by itself.
    pub(crate) async fn put_config(
        &self,
        component: ComponentId,
        request: ConfigRequest,
    ) -> Result<Notes, ChangeError> {
        let table = self.fresh_table();
        let sets = request.values.values().any(Option::is_some);
        let problem = check_component(&table, &component).err().filter(|_| sets);
        let notes = expected(problem.into_iter().collect(), request.ahead)?;
        let mut changes = Vec::new();
        for (name, value) in request.values {
            let invalid = |why: String| ChangeError::Invalid(format!("`{component}`: {why}"));
            let parsed: ConfigName = name.parse().map_err(|why| invalid(format!("{why}")))?;
            let body = match value {
                Some(value) => {
                    Config::check(&value).map_err(|why| invalid(format!("{parsed}: {why}")))?;
                    RecordBody::Config(Config { value })
                }
                None => {
                    if table.settings().get(&component, &name).is_none() {
                        return Err(no_such_value(&table, &component, &parsed));
                    }
                    RecordBody::Tombstone
                }
            };
            let key = ConfigKey { component: component.clone(), name: parsed };
            changes.push((RecordKey::Config(key), body));
        }
        for (key, body) in changes {
            self.change(key, body).await?;
        }
        Ok(notes)
    }

    /// What counts in the place of what the manifest of `app` says, for whoever applies it.
    pub(crate) fn changed_by_hand(&self, app: &App) -> Notes {
        let table = self.table();
        let links = table
            .links()
            .iter()
            .filter(|(from, _, target)| from.app == app.name && target.origin == Origin::Record);
        let settings = table.settings().iter().filter(|(id, _, _)| id.app == app.name);
        let count = |count: usize, what: &str, verb: &str| match count {
            0 => None,
            1 => Some(format!("1 {what} put by hand counts before the manifest's; see: {verb}")),
            _ => Some(format!(
                "{count} {what}s put by hand count before the manifest's; see: {verb}"
            )),
        };
        let links = count(links.count(), "link", "wattle link ls");
        let settings = count(settings.count(), "configuration value", "wattle config ls");
        links.into_iter().chain(settings).collect()
    }

    pub(super) async fn change(&self, key: RecordKey, body: RecordBody) -> Result<(), ChangeError> {
        self.put(key, body).await.map_err(|error: ApplyError| ChangeError::Node(error.to_string()))
    }

    /// The table with all that this node has been told.
    pub(super) fn fresh_table(&self) -> std::sync::Arc<Table> {
        if let Some(mesh) = self.mesh() {
            self.refresh_table(mesh);
        }
        self.table()
    }
}

/// Problems are an error, unless what they miss is said to come.
fn expected(problems: Vec<String>, ahead: bool) -> Result<Notes, ChangeError> {
    if problems.is_empty() {
        return Ok(Vec::new());
    }
    let problems = problems.join("; ");
    match ahead {
        true => Ok(vec![format!("put ahead of what it needs: {problems}")]),
        false => Err(ChangeError::Unknown(format!(
            "{problems} (is that to come, for instance from the far side of a cut? then say --ahead)"
        ))),
    }
}

/// Whether `id` is a component that is declared.
fn check_component(table: &Table, id: &ComponentId) -> Result<(), String> {
    let app = app_of(table, id)?;
    if app.components.contains_key(&id.name) {
        return Ok(());
    }
    let components = or_none(app.components.keys().map(|name| format!("`{}/{name}`", app.name)));
    match app.providers.contains_key(&id.name) {
        true => Err(format!("`{id}` is a provider, which imports nothing; there is {components}")),
        false => {
            Err(format!("app `{}` has no component `{}`; it has {components}", id.app, id.name))
        }
    }
}

/// Whether `id` is declared and serves `contract`.
fn check_target(table: &Table, id: &ComponentId, contract: &ContractId) -> Result<(), String> {
    let app = app_of(table, id)?;
    let serves = match table.target(id) {
        Ok(Target::Component(spec)) => spec.exports.iter().any(|export| contract.covers(export)),
        Ok(Target::Provider(spec)) => {
            let provided = spec.kind.contract().parse::<ContractId>();
            provided.is_ok_and(|provided| provided.covers(contract))
        }
        Err(error) => return Err(format!("{}; it declares {}", error.message, offers(app))),
    };
    match serves {
        true => Ok(()),
        false => {
            Err(format!("`{id}` does not serve `{contract}`; its app declares {}", offers(app)))
        }
    }
}

/// What does not fit between the components that the link `key` joins, as far as they are known.
fn fits(table: &Table, key: &LinkKey, to: &ComponentId, options: &LinkOptions) -> Vec<String> {
    let LinkKey { from, contract, .. } = key;
    let Ok(Target::Component(source)) = table.target(from) else { return Vec::new() };
    if let Err(problem) = fit::check_source(from, &source.imports, contract) {
        return vec![problem];
    }
    let covered = fit::covered(&source.imports, contract);
    let mut problems = Vec::new();
    if let Ok(Target::Component(target)) = table.target(to) {
        // What a more exact link takes does not go along this one.
        let exact: Vec<&ContractId> = table.links().more_exact(from, contract).collect();
        let taken = |import: &ImportSpec| exact.iter().any(|link| link.covers(&import.contract));
        let own: Vec<_> = covered.iter().copied().filter(|import| !taken(import)).collect();
        problems.extend(fit::check_target(from, &own, to, target).err());
    }
    problems.extend(fit::check_functions(from, contract, &covered, options).err());
    problems
}

fn app_of<'t>(table: &'t Table, id: &ComponentId) -> Result<&'t App, String> {
    table.app(&id.app).ok_or_else(|| {
        let apps = or_none(table.apps().map(|app| format!("`{}`", app.name)));
        format!(
            "no app `{}` is declared in this mesh, as far as is known here; there is {apps}",
            id.app
        )
    })
}

fn no_such_value(table: &Table, component: &ComponentId, name: &ConfigName) -> ChangeError {
    let of_app = match table.target(component) {
        Ok(Target::Component(spec)) => spec.config.contains_key(name.as_str()),
        _ => false,
    };
    if of_app {
        return ChangeError::NotThere(format!(
            "`{name}` of `{component}` is the app's own: change its manifest and apply it, or put \
             another value in its place (wattle config put)"
        ));
    }
    let all = table.settings().iter().filter(|(id, _, _)| *id == component);
    let all = or_none(all.map(|(_, name, _)| format!("`{name}`")));
    ChangeError::NotThere(format!("`{component}` has no value `{name}` of its own; it has {all}"))
}

fn or_none(all: impl Iterator<Item = String>) -> String {
    let all: Vec<String> = all.collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}
