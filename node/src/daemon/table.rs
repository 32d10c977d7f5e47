//! The declared apps as this node sees them now: looked at on each call, replaced as a whole
//! when a record changes.

use std::collections::BTreeMap;

use wattle_contracts::call::{CallError, ErrorKind, Source};
use wattle_contracts::id::{AppName, ComponentId, ContractId};
use wattle_contracts::record::{
    App, ComponentSpec, Hlc, HttpRoute, ProviderSpec, Record, RecordBody, RecordKey,
};

/// Every declared app.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// Each with the version of its record.
    apps: BTreeMap<AppName, (App, Hlc)>,
    /// Every HTTP route with the component that answers it, the most exact first.
    routes: Vec<(HttpRoute, ComponentId)>,
}

/// What a name within an app stands for.
pub(crate) enum Target<'a> {
    Component(&'a ComponentSpec),
    Provider(&'a ProviderSpec),
}

impl Table {
    /// The apps that `records` declare.
    pub(crate) fn new<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut apps = BTreeMap::new();
        for record in records {
            if let (RecordKey::App(name), RecordBody::App(app)) = (&record.key, &record.body) {
                apps.insert(name.clone(), (App::clone(app), record.version.at));
            }
        }
        let mut routes: Vec<_> = apps
            .values()
            .flat_map(|(app, _)| {
                app.http.iter().map(|route| {
                    (route.clone(), ComponentId::new(app.name.clone(), route.component.clone()))
                })
            })
            .collect();
        // Stable: of two routes that are equally exact, the app that comes first by name wins,
        // on every node.
        routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.exactness()));
        Self { apps, routes }
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &App> {
        self.apps.values().map(|(app, _)| app)
    }

    pub(crate) fn app(&self, name: &AppName) -> Option<&App> {
        self.apps.get(name).map(|(app, _)| app)
    }

    /// The version of an app's record: which declaration of it this is.
    pub(crate) fn version(&self, name: &AppName) -> Option<Hlc> {
        self.apps.get(name).map(|(_, version)| *version)
    }

    /// What `id` stands for.
    pub(crate) fn target(&self, id: &ComponentId) -> Result<Target<'_>, CallError> {
        let not_linked = |message: String| CallError::new(ErrorKind::NotLinked, message);
        let app = self
            .app(&id.app)
            .ok_or_else(|| not_linked(format!("no app `{}` is declared in this mesh", id.app)))?;
        let component = app.components.get(&id.name).map(Target::Component);
        component.or_else(|| app.providers.get(&id.name).map(Target::Provider)).ok_or_else(|| {
            not_linked(format!("app `{}` has no component or provider `{}`", id.app, id.name))
        })
    }

    /// Where `source`'s import of `contract` is linked to.
    pub(crate) fn link(
        &self,
        source: &ComponentId,
        contract: &ContractId,
    ) -> Result<ComponentId, CallError> {
        let link = self.app(&source.app).and_then(|app| app.link_for(&source.name, contract));
        let link = link.ok_or_else(|| {
            let message = format!(
                "`{source}` imports `{contract}`, and no link says where that goes; add a [[link]] \
                 with from = \"{}\" and contract = \"{}\" to the app",
                source.name,
                contract.unversioned()
            );
            CallError::new(ErrorKind::NotLinked, message)
        })?;
        Ok(ComponentId::new(source.app.clone(), link.to.clone()))
    }

    /// Whether `source` may call `contract` of `target`: a component only along a link, a gateway
    /// only what a route names, an operator anything.
    pub(crate) fn check_call(
        &self,
        source: &Source,
        target: &ComponentId,
        contract: &ContractId,
    ) -> Result<(), CallError> {
        let allowed = match source {
            Source::Component(caller) => {
                self.link(caller, contract).is_ok_and(|linked| linked == *target)
            }
            Source::Gateway => self.routes.iter().any(|(_, component)| component == target),
            Source::Operator => true,
        };
        if allowed {
            return Ok(());
        }
        let message = format!("no link or route lets {source} call `{contract}` of `{target}`");
        Err(CallError::new(ErrorKind::NotAllowed, message))
    }

    /// The component that answers a request for `path` at `host`.
    pub(crate) fn route(&self, host: &str, path: &str) -> Option<&ComponentId> {
        let found = self.routes.iter().find(|(route, _)| route.matches(host, path));
        found.map(|(_, component)| component)
    }
}

#[cfg(test)]
mod tests {
    use wattle_contracts::key::SigningKey;
    use wattle_contracts::record::{Hlc, LinkSpec};

    use super::*;

    fn table() -> Table {
        let mut app = App::new("shop".parse().unwrap());
        app.links.push(LinkSpec {
            from: "basket".parse().unwrap(),
            contract: "example:shop/pricing".parse().unwrap(),
            to: "pricing".parse().unwrap(),
        });
        for (host, path, component) in
            [(None, "/", "any"), (Some("h"), "/", "host"), (None, "/a", "a")]
        {
            app.http.push(HttpRoute {
                host: host.map(Into::into),
                path: path.into(),
                component: component.parse().unwrap(),
            });
        }
        let key = SigningKey::from_seed([1; 32]).unwrap();
        let about = RecordKey::App(app.name.clone());
        let at = Hlc { millis: 1, counter: 0 };
        Table::new([&Record::sign(&key, about, at, RecordBody::App(Box::new(app))).unwrap()])
    }

    #[test]
    fn the_most_exact_route_answers() {
        let table = table();
        let route = |host, path| table.route(host, path).unwrap().to_string();
        assert_eq!(route("x", "/b"), "shop/any");
        assert_eq!(route("x", "/a/b"), "shop/a");
        assert_eq!(route("h", "/a/b"), "shop/host");
    }

    #[test]
    fn a_component_may_call_what_it_is_linked_to_and_nothing_else() {
        let table = table();
        let id = |text: &str| text.parse::<ComponentId>().unwrap();
        let contract = "example:shop/pricing@0.1.0".parse().unwrap();
        let basket = Source::Component(id("shop/basket"));
        table.check_call(&basket, &id("shop/pricing"), &contract).unwrap();
        let other = "example:shop/other@0.1.0".parse().unwrap();
        for (source, target, contract) in [
            (&basket, "shop/any", &contract),
            (&basket, "shop/pricing", &other),
            (&Source::Component(id("shop/pricing")), "shop/pricing", &contract),
            (&Source::Gateway, "shop/pricing", &contract),
        ] {
            let refused = table.check_call(source, &id(target), contract).unwrap_err();
            assert_eq!(refused.kind, ErrorKind::NotAllowed);
        }
        table.check_call(&Source::Gateway, &id("shop/any"), &contract).unwrap();
    }

    #[test]
    fn what_is_not_declared_is_named() {
        let table = table();
        let error = table.target(&"none/x".parse().unwrap()).err().unwrap();
        assert!(error.message.contains("`none`"));
        let error = table
            .link(&"shop/basket".parse().unwrap(), &"a:b/c@1.0.0".parse().unwrap())
            .unwrap_err();
        assert!(error.message.contains("contract = \"a:b/c\""), "{error}");
    }
}
