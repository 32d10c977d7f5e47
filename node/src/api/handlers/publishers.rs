//! Publishers: `/v1/publishers`.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use wattle_contracts::id::PublisherKey;

use super::links::change_failure;
use super::{Shared, failure};
use crate::api::types::*;
use crate::daemon::{ChangeError, PublisherRequest};

pub(super) async fn list(State(shared): State<Shared>) -> Json<PublishersReply> {
    let table = shared.node.table();
    let publishers = table.publishers().iter().map(|(key, publisher, version)| PublisherInfo {
        key: *key,
        publisher: publisher.clone(),
        writer: version.writer,
        at: version.at.millis,
    });
    let (publishers, own) = (publishers.collect(), shared.node.trusted().to_vec());
    Json(PublishersReply { publishers, own })
}

pub(super) async fn put(
    State(shared): State<Shared>,
    Path(key): Path<String>,
    request: Result<Json<PublisherRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    match key.parse::<PublisherKey>() {
        Ok(key) => answer(key, shared.node.put_publisher(key, request).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, error),
    }
}

pub(super) async fn remove(State(shared): State<Shared>, Path(key): Path<String>) -> Response {
    match key.parse::<PublisherKey>() {
        Ok(key) => answer(key, shared.node.remove_publisher(key).await),
        Err(error) => failure(StatusCode::BAD_REQUEST, error),
    }
}

fn answer(key: PublisherKey, outcome: Result<Vec<String>, ChangeError>) -> Response {
    match outcome {
        Ok(notes) => Json(ChangeReply { changed: vec![key.to_string()], notes }).into_response(),
        Err(error) => change_failure(&error),
    }
}
