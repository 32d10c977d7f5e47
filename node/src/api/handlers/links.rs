//! Links: `/v1/links`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use wattle_contracts::record::LinkKey;

use super::describe::running;
use super::{Shared, failure};
use crate::api::types::*;
use crate::daemon::{ChangeError, LinkRequest, Node};

/// A link's place in the API: app, component, name, contract.
type At = Path<(String, String, String, String)>;

pub(super) async fn list(State(shared): State<Shared>) -> Json<LinksReply> {
    Json(all(&shared.node))
}

pub(super) async fn put(
    State(shared): State<Shared>,
    at: At,
    request: Result<Json<LinkRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    match key(at) {
        Ok(key) => answer(&key, shared.node.put_link(key.clone(), request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, error),
    }
}

pub(super) async fn remove(State(shared): State<Shared>, at: At) -> Response {
    match key(at) {
        Ok(key) => answer(&key, shared.node.remove_link(key.clone()).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, error),
    }
}

fn key(Path((app, component, name, contract)): At) -> Result<LinkKey, impl ToString> {
    format!("{app}/{component}/{contract}/{name}").parse::<LinkKey>()
}

fn answer(key: &LinkKey, outcome: Result<Vec<String>, ChangeError>) -> Response {
    match outcome {
        Ok(notes) => Json(ChangeReply { changed: vec![key.to_string()], notes }).into_response(),
        Err(error) => change_failure(&error),
    }
}

pub(super) fn change_failure(error: &ChangeError) -> Response {
    let status = match error {
        ChangeError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
        ChangeError::Unknown(_) => StatusCode::CONFLICT,
        ChangeError::NotThere(_) => StatusCode::NOT_FOUND,
        ChangeError::Node(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    failure(status, error)
}

fn all(node: &Node) -> LinksReply {
    let table = node.table();
    let view = node.mesh().map(|mesh| mesh.view()).unwrap_or_default();
    let links = table.links().iter().map(|(from, contract, target)| LinkInfo {
        from: from.clone(),
        contract: contract.clone(),
        name: target.name.clone(),
        to: target.to.clone(),
        options: target.options.as_ref().clone(),
        origin: target.origin.name().into(),
        writer: target.version.writer,
        at: target.version.at.millis,
        instead_of: target.instead_of.clone(),
        served_by: running(&view, &table, &target.to),
    });
    LinksReply { links: links.collect() }
}
