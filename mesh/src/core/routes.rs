//! Which component answers a request over HTTP: of all routes that are declared, the most exact one
//! that fits.

use wattle_contracts::id::ComponentId;
use wattle_contracts::record::{App, HttpRoute};

/// Every HTTP route with the component that answers it, the most exact first.
#[derive(Debug, Clone, Default)]
pub struct Routes(Vec<(HttpRoute, ComponentId)>);

impl Routes {
    /// The routes of these apps, which come in the order of their names.
    pub fn new<'a>(apps: impl Iterator<Item = &'a App>) -> Self {
        let of = |app: &'a App| {
            app.http.iter().map(|route| {
                (route.clone(), ComponentId::new(app.name.clone(), route.component.clone()))
            })
        };
        let mut routes: Vec<_> = apps.flat_map(of).collect();
        // Stable: of two routes that are equally exact, the app that comes first by name wins,
        // on every node.
        routes.sort_by_key(|(route, _)| std::cmp::Reverse(route.exactness()));
        Self(routes)
    }

    /// The component that answers a request for `path` at `host`.
    pub fn find(&self, host: &str, path: &str) -> Option<&ComponentId> {
        let found = self.0.iter().find(|(route, _)| route.matches(host, path));
        found.map(|(_, component)| component)
    }

    /// Whether one of them leads to `target`.
    pub fn lead_to(&self, target: &ComponentId) -> bool {
        self.0.iter().any(|(_, component)| component == target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(name: &str, routes: &[(Option<&str>, &str, &str)]) -> App {
        let mut app = App::new(name.parse().unwrap());
        let route = |(host, path, component): &(Option<&str>, &str, &str)| HttpRoute {
            host: host.map(Into::into),
            path: (*path).into(),
            component: component.parse().unwrap(),
        };
        app.http = routes.iter().map(route).collect();
        app
    }

    #[test]
    fn the_most_exact_route_is_taken_and_of_equals_that_of_the_first_app() {
        let one = app("a", &[(None, "/", "any"), (None, "/long", "long")]);
        let other = app("b", &[(None, "/", "other"), (Some("h"), "/", "host")]);
        let routes = Routes::new([&one, &other].into_iter());
        let found = |host, path| routes.find(host, path).map(ToString::to_string);
        assert_eq!(found("x", "/y").as_deref(), Some("a/any"));
        assert_eq!(found("x", "/long/y").as_deref(), Some("a/long"));
        assert_eq!(found("h", "/long/y").as_deref(), Some("b/host"));
        assert!(routes.lead_to(&"b/other".parse().unwrap()));
        assert!(!routes.lead_to(&"a/other".parse().unwrap()));
        assert_eq!(Routes::default().find("x", "/"), None);
    }
}
