//! What the nodes of a rehearsed mesh are to do: a call for each link, a request for each way in
//! from outside, a message for each subscription.

use http::Uri;
use wattle_contracts::id::{ComponentId, SubjectPattern};
use wattle_contracts::manifest::{Manifest, quoted};
use wattle_contracts::record::{App, HttpRoute, ImportSpec, LinkSpec};

use super::topology::Topology;

/// The load of one app.
pub(super) fn text(app: &App, manifest: &Manifest, topology: &Topology) -> String {
    let id = |name| ComponentId::new(app.name.clone(), name);
    let mut text = String::new();
    for link in &manifest.links {
        let (contract, function) = called(app, link);
        text += &format!(
            "\n[[call]]\nfrom = {}\ncontract = {}\nfunction = {}\nevery = \"5s\"\n",
            quoted(&id(link.from.clone()).to_string()),
            quoted(&contract),
            quoted(&function),
        );
    }
    for route in &manifest.http {
        text += &request(route, topology);
    }
    for subscription in &manifest.subscriptions {
        for pattern in &subscription.subjects {
            let subject = quoted(&subject(pattern));
            text += &format!("\n[[publish]]\nsubject = {subject}\nevery = \"10s\"\n");
        }
    }
    if text.is_empty() {
        for name in manifest.components.keys() {
            let to = quoted(&id(name.clone()).to_string());
            text += &format!("\n[[call]]\nto = {to}\nfunction = \"call\"\nevery = \"5s\"\n");
        }
    }
    text
}

/// A request for a route, at whoever has a gateway.
fn request(route: &HttpRoute, topology: &Topology) -> String {
    let host = route.host.as_deref();
    let asked = Uri::builder().scheme("http").authority(host.unwrap_or("localhost"));
    let asked = asked.path_and_query(route.path.as_str()).build();
    if !asked.is_ok_and(|uri| uri.path() == route.path) {
        return format!("\n# No request can be for the route {}.\n", route.path.escape_debug());
    }
    let mut text = format!("\n[[request]]\npath = {}\n", quoted(&route.path));
    text += &host.map(|host| format!("host = {}\n", quoted(host))).unwrap_or_default();
    let on = topology.gateway().map(|group| format!("on = {}\n", quoted(&group.name)));
    text += &on.unwrap_or_default();
    text + "every = \"5s\"\n"
}

/// What is called along a link: what the component imports, as far as it is known.
fn called(app: &App, link: &LinkSpec) -> (String, String) {
    let imports = app.components.get(&link.from).map(|spec| spec.imports.as_slice());
    let mut imports = imports.unwrap_or_default().iter();
    let import: Option<&ImportSpec> = imports.find(|import| link.contract.covers(&import.contract));
    let contract = import.map_or(&link.contract, |import| &import.contract).to_string();
    let functions = import.map(|import| import.functions.as_slice()).unwrap_or_default();
    // Those of resources need one of it first: `[method]bucket.get`.
    let plain = functions.iter().find(|name| !name.starts_with('['));
    let function = plain.or(functions.first()).cloned().unwrap_or_else(|| "call".into());
    (contract, function)
}

/// A subject that fits.
fn subject(pattern: &SubjectPattern) -> String {
    let token = |token: &str| if matches!(token, "*" | ">") { "any" } else { token }.to_string();
    let tokens: Vec<String> = pattern.as_str().split('.').map(token).collect();
    tokens.join(".")
}

/// Changes by hand, what must hold, and how to let something go wrong.
pub(super) fn rest(topology: &Topology, no_apps: bool) -> String {
    let group = topology.groups.first().map_or("all", |group| group.name.as_str());
    // Who may be cut off from whom is up to whoever rehearses.
    let place = if no_apps { "" } else { "place = \"60s\"     # until everything runs again\n" };
    format!(
        "\n# Somebody changes a configuration value, or takes one back.\n[[edit]]\nevery = \
         \"15s\"\nkeys = 10\ndeletes = \"10%\"\n\n# What goes wrong: without the `#`, {group} is \
         cut off for two minutes.\n# [[fault]]\n# at = \"3min\"\n# for = \"2min\"\n# cut = \
         {}\n\n# What must hold, so long after the last fault.\n[expect]\nconverge = \"30s\"  # \
         until all have the same records\ndeliver = \"60s\"   # until every message is \
         handled\n{place}",
        quoted(group)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_fits_its_pattern() {
        for text in [">", "orders.>", "a.*.c", "a.b"] {
            let pattern: SubjectPattern = text.parse().unwrap();
            assert!(pattern.matches(&subject(&pattern).parse().unwrap()), "{text}");
        }
    }
}
