//! Requests from outside of the mesh, and the hosts outside that its components ask.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use toml::Spanned;
use wattle_contracts::manifest::Text;
use wattle_contracts::record::App;
use wattle_mesh::core::routes::Routes;

use super::ScenarioError;
use super::quantity::{share, time_or};
use super::raw::{RawOutside, RawRequest};
use crate::lattice::RequestPlan;
use crate::machine::OutsideHost;
use crate::wasm::http::BODY;

type Written = Spanned<String>;

/// A request has so long, if nothing else is said: as at the gateway of a node.
const DEADLINE: Duration = Duration::from_secs(30);
/// A host outside takes so long, if nothing else is said.
const TAKES: Duration = Duration::from_millis(50);

/// The request that is made again and again, which one of the apps must have a route for.
pub(super) fn plan<'a>(
    at: Text<'_>,
    raw: &RawRequest,
    apps: impl Iterator<Item = &'a App> + Clone,
) -> Result<RequestPlan, ScenarioError> {
    let all = || raw.every.span();
    let span = |text: &Option<Written>| text.as_ref().map_or_else(all, Spanned::span);
    let or = |text: &Option<Written>, usual: &str| {
        text.as_ref().map_or_else(|| usual.to_owned(), |text| text.get_ref().clone())
    };
    let method: Method = or(&raw.method, "GET").parse().map_err(|_| {
        at.error(span(&raw.method), "expected a method such as \"GET\" or \"POST\"")
    })?;
    let (host, path) = (or(&raw.host, "localhost"), or(&raw.path, "/"));
    if host.is_empty() || host.contains(['/', '@', '?', '#']) {
        return Err(at.error(span(&raw.host), EXPECTED_HOST));
    }
    if !path.starts_with('/') {
        return Err(at.error(span(&raw.path), "expected a path that starts with `/`"));
    }
    let authority: http::uri::Authority =
        host.parse().map_err(|_| at.error(span(&raw.host), EXPECTED_HOST))?;
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(path.as_str());
    let uri = uri.build().map_err(|error| at.error(span(&raw.path), error.to_string()))?;
    let body = or(&raw.body, "").into_bytes();
    if body.len() > BODY {
        let message = format!("expected a body of at most {BODY} bytes");
        return Err(at.error(span(&raw.body), message));
    }
    let found = Routes::new(apps.clone()).find(uri.host().unwrap_or(""), uri.path()).cloned();
    if found.is_none() {
        let place = raw.path.as_ref().or(raw.host.as_ref());
        return Err(no_route(at, place.map_or_else(all, Spanned::span), &uri, apps));
    }
    let mut request = Request::builder().method(method).uri(uri).header(header::HOST, host);
    if !body.is_empty() {
        request = request.header(header::CONTENT_LENGTH, body.len());
    }
    for (name, value) in &raw.headers {
        let place = |text: &Written, what| at.error(text.span(), what);
        let key: HeaderName = name
            .get_ref()
            .parse()
            .map_err(|_| place(name, "expected the name of a header, such as \"accept\""))?;
        let value = HeaderValue::from_str(value.get_ref())
            .map_err(|_| place(value, "expected a header's value: visible characters"))?;
        request = request.header(key, value);
    }
    let time = time_or(at, &raw.deadline, DEADLINE)?;
    let wrong = |error: &dyn std::fmt::Display| at.error(all(), error.to_string());
    let request = request.body(body).map_err(|error| wrong(&error))?;
    RequestPlan::new(&request, time).map_err(|error| wrong(&error))
}

const EXPECTED_HOST: &str = "expected a host such as \"shop.example\"";

fn no_route<'a>(
    at: Text<'_>,
    place: Range<usize>,
    uri: &Uri,
    apps: impl Iterator<Item = &'a App>,
) -> ScenarioError {
    let routes = apps.flat_map(|app| {
        app.http.iter().map(|route| {
            let host = route.host.as_deref().unwrap_or("any host");
            format!("`{}` at {host}", route.path)
        })
    });
    let all: Vec<String> = routes.collect();
    let has = match all.is_empty() {
        true => "no app of this scenario has an [[http]] route".into(),
        false => format!("the apps have {}", all.join(", ")),
    };
    let (host, path) = (uri.host().unwrap_or(""), uri.path());
    at.error(place, format!("no route is for `{path}` at `{host}`: {has}"))
}

/// The hosts outside, by name.
pub(super) fn outside(
    at: Text<'_>,
    raw: &BTreeMap<Written, RawOutside>,
) -> Result<BTreeMap<String, OutsideHost>, ScenarioError> {
    let one = |(name, raw): (&Written, &RawOutside)| {
        let host = name.get_ref().to_ascii_lowercase();
        if host.is_empty() || host.contains(['/', ':', '*', ' ']) {
            let message = "expected the name of a host, such as \"bank.example\"";
            return Err(at.error(name.span(), message));
        }
        let status = match &raw.status {
            Some(status) if !(200..=599).contains(status.get_ref()) => {
                return Err(at.error(status.span(), "expected a status from 200 to 599"));
            }
            status => status.as_ref().map_or(200, |status| *status.get_ref()),
        };
        let there = OutsideHost {
            status,
            body: raw.body.clone(),
            takes: time_or(at, &raw.takes, TAKES)?,
            fails_ppm: raw.fails.as_ref().map_or(Ok(0), |text| share(at, text))?,
        };
        Ok((host, there))
    };
    raw.iter().map(one).collect()
}
