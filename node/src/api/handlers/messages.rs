//! Messages: publishing them, and what waits for whom.

use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wattle_contracts::call::ErrorKind;
use wattle_contracts::message::Group;
use wattle_mesh::net::{Messenger, StoreError};
use wattle_runtime::PublishError;

use super::{Shared, failure};
use crate::api::types::*;
use crate::providers::messaging::Publication;

/// The paths of messages.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/messages", post(publish))
        .route("/v1/outbox", get(outbox))
        .route("/v1/outbox/parked", get(parked))
        .route("/v1/outbox/parked/{app}/{group}", delete(drop_parked))
        .route("/v1/outbox/parked/{app}/{group}/retry", post(retry))
}

async fn publish(
    State(shared): State<Shared>,
    request: Result<Json<PublishRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    let body = match STANDARD.decode(&request.body) {
        Ok(body) => body,
        Err(error) => {
            return failure(StatusCode::BAD_REQUEST, format!("the body is not base64: {error}"));
        }
    };
    let PublishRequest { subject, durable, .. } = request;
    let publication = Publication { subject, body, durable };
    match shared.node.publish_for_operator(publication).await {
        Ok(id) => Json(PublishReply { id: id.map(|id| id.to_string()) }).into_response(),
        Err(error) => refused(&error),
    }
}

fn refused(error: &PublishError) -> Response {
    let (status, kind) = match error {
        PublishError::BadSubject(_) => (StatusCode::BAD_REQUEST, None),
        PublishError::NotAllowed(_) => (StatusCode::FORBIDDEN, Some(ErrorKind::NotAllowed)),
        PublishError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, None),
        PublishError::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, Some(ErrorKind::Overloaded)),
        PublishError::Other(_) => (StatusCode::INTERNAL_SERVER_ERROR, Some(ErrorKind::Internal)),
    };
    (status, Json(ApiError { error: error.to_string(), kind })).into_response()
}

fn starting() -> Response {
    failure(StatusCode::SERVICE_UNAVAILABLE, "this node is still starting")
}

async fn outbox(State(shared): State<Shared>) -> Response {
    let Some(messenger) = shared.node.messenger() else { return starting() };
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let groups = messenger.status().into_iter().map(|status| OutboxGroup {
        group: status.group,
        waiting: status.waiting as u64,
        bytes: status.bytes,
        oldest_millis: status.oldest.map(millis),
        parked: status.parked as u64,
        expired: status.expired,
        node: status.node,
        problem: status.problem,
    });
    Json(OutboxReply { groups: groups.collect() }).into_response()
}

async fn parked(State(shared): State<Shared>) -> Response {
    let Some(messenger) = shared.node.messenger() else { return starting() };
    let messages = messenger.parked().into_iter().map(|message| ParkedInfo {
        group: message.group,
        sequence: message.sequence,
        subject: message.subject,
        age_millis: u64::try_from(message.age.as_millis()).unwrap_or(u64::MAX),
        why: message.why,
    });
    Json(ParkedReply { messages: messages.collect() }).into_response()
}

async fn retry(State(shared): State<Shared>, Path(path): Path<(String, String)>) -> Response {
    change(&shared, path, async |messenger, group| messenger.retry_parked(group).await).await
}

async fn drop_parked(State(shared): State<Shared>, Path(path): Path<(String, String)>) -> Response {
    change(&shared, path, async |messenger, group| messenger.drop_parked(group).await).await
}

async fn change(
    shared: &Shared,
    (app, group): (String, String),
    change: impl AsyncFnOnce(&Messenger, &Group) -> Result<usize, StoreError>,
) -> Response {
    let group: Group = match format!("{app}/{group}").parse() {
        Ok(group) => group,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let Some(messenger) = shared.node.messenger() else { return starting() };
    match change(messenger, &group).await {
        Ok(count) => Json(ParkedChange { group, messages: count as u64 }).into_response(),
        Err(error) => failure(StatusCode::INSUFFICIENT_STORAGE, error),
    }
}
