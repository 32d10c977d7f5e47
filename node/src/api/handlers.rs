//! What each path of the API does.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use axum::{Extension, Json, Router};
use futures::StreamExt as _;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wattle_contracts::artifact::MAX_ARTIFACT;
use wattle_contracts::call::{CallError, Source};
use wattle_contracts::id::{AppName, ComponentId, Digest};
use wattle_contracts::record::RecordKey;
use wattle_runtime::CallContext;

use super::caller::Caller;
use super::calls::*;
use super::types::*;
use crate::daemon::{ApplyError, ApplyRequest, LogLine, Node};
use crate::state::StoreArtifactError;

mod config;
mod describe;
mod history;
mod links;
mod messages;
mod publishers;
mod secrets;
mod trust;

#[derive(Clone)]
struct Shared {
    node: Arc<Node>,
    stop: CancellationToken,
}

/// The API's paths.
pub(super) fn router(node: Arc<Node>, stop: CancellationToken) -> Router {
    Router::new()
        .route("/v1/nodes", get(nodes))
        .route("/v1/apps", get(apps).post(apply))
        .route("/v1/apps/{name}", delete(remove))
        .route("/v1/history/{*key}", get(changes))
        .route("/v1/links", get(links::list))
        .route(
            "/v1/links/{app}/{component}/{name}/{*contract}",
            put(links::put).delete(links::remove),
        )
        .route("/v1/config", get(config::list))
        .route("/v1/config/{app}/{component}", patch(config::change))
        .route("/v1/publishers", get(publishers::list))
        .route("/v1/publishers/{key}", put(publishers::put).delete(publishers::remove))
        .route("/v1/artifacts/{digest}", put(artifact))
        .route("/v1/calls", post(call))
        .route("/v1/calls/{app}/{component}", get(call_way))
        .route("/v1/logs", get(logs))
        .route("/v1/metrics", get(metrics))
        .route("/v1/leave", post(leave))
        .merge(messages::routes())
        .merge(secrets::routes())
        .merge(trust::routes())
        .fallback(async || failure(StatusCode::NOT_FOUND, "the API has no such path"))
        .layer(axum::middleware::from_fn(trust::draft))
        .layer(DefaultBodyLimit::max(MAX_ARTIFACT))
        .with_state(Shared { node, stop })
}

pub(super) fn failure(status: StatusCode, error: impl ToString) -> Response {
    (status, Json(ApiError { error: error.to_string(), kind: None })).into_response()
}

async fn nodes(State(shared): State<Shared>) -> Response {
    match describe::nodes(&shared.node) {
        Some(reply) => Json(reply).into_response(),
        None => failure(StatusCode::SERVICE_UNAVAILABLE, "this node is still starting"),
    }
}

async fn apps(State(shared): State<Shared>) -> Json<AppsReply> {
    Json(describe::apps(&shared.node))
}

async fn metrics(State(shared): State<Shared>) -> Json<MetricsReply> {
    Json(describe::metrics(&shared.node))
}

async fn leave(State(shared): State<Shared>) -> Json<LeaveReply> {
    shared.node.leave();
    Json(LeaveReply { node: shared.node.id() })
}

async fn artifact(
    State(shared): State<Shared>,
    Path(digest): Path<String>,
    bytes: Bytes,
) -> Response {
    let digest: Digest = match digest.parse() {
        Ok(digest) => digest,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let node = Arc::clone(&shared.node);
    let keep = move || {
        let trusted = node.table().publishers().keys(node.trusted());
        node.artifacts().put(digest, &bytes, &trusted)
    };
    let kept = tokio::task::spawn_blocking(keep).await;
    match kept {
        Ok(Ok(publishers)) => {
            // Others are told that it can be fetched here.
            shared.node.wake_scheduler();
            Json(ArtifactReply { digest, publishers }).into_response()
        }
        Ok(Err(error @ StoreArtifactError::Disk(_))) => {
            failure(StatusCode::INSUFFICIENT_STORAGE, error)
        }
        Ok(Err(error)) => failure(StatusCode::FORBIDDEN, error),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

async fn apply(
    State(shared): State<Shared>,
    request: Result<Json<ApplyRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    match shared.node.apply(&request).await {
        Ok(app) => {
            let notes = shared.node.changed_by_hand(&app);
            Json(ApplyReply { app: app.name, notes }).into_response()
        }
        Err(error) => apply_failure(&error),
    }
}

async fn remove(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let name: AppName = match name.parse() {
        Ok(name) => name,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    match shared.node.remove(&name).await {
        Ok(()) => Json(ApplyReply { app: name, notes: Vec::new() }).into_response(),
        Err(error) => apply_failure(&error),
    }
}

async fn changes(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Path(key): Path<String>,
) -> Response {
    match key.parse::<RecordKey>() {
        // Sealed as it is, it is for nobody who only looks.
        Ok(RecordKey::Secret(about)) if !caller.covers(&about.component.app) => {
            let why = format!("this token is not one of a deployer of `{}`", about.component.app);
            failure(StatusCode::FORBIDDEN, why)
        }
        Ok(key) => Json(history::history(&shared.node, &key)).into_response(),
        Err(error) => failure(StatusCode::BAD_REQUEST, error),
    }
}

fn apply_failure(error: &ApplyError) -> Response {
    let status = match error {
        ApplyError::Manifest(_) | ApplyError::Component { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        ApplyError::NoHome { .. } => StatusCode::CONFLICT,
        ApplyError::NoSuchApp(_) => StatusCode::NOT_FOUND,
        ApplyError::Node(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    failure(status, error)
}

async fn call(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    request: Result<Json<CallRequest>, JsonRejection>,
) -> Response {
    let mut request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    if !caller.covers(&request.target.app) {
        let why = format!("this token is not one of a deployer of `{}`", request.target.app);
        return failure(StatusCode::FORBIDDEN, why);
    }
    let signed = match request.signed.take().map(SignedCallRequest::read).transpose() {
        Ok(signed) => signed,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let deadline = Instant::now() + Duration::from_millis(request.timeout_millis);
    let context = CallContext::new(Source::Operator, deadline);
    let CallRequest { target, function, arguments, .. } = request;
    let node = Arc::clone(&shared.node);
    let called = target.clone();
    let call = async move { node.wave(context, &called, &function, &arguments, signed).await };
    match shared.node.paces().run(&target, call).await {
        Ok(result) => Json(CallReply { result }).into_response(),
        Err(error) => call_failure(error),
    }
}

fn call_failure(error: CallError) -> Response {
    let status = StatusCode::from_u16(error.kind.http_status()).unwrap_or_default();
    (status, Json(ApiError::from(error))).into_response()
}

/// For whom a person is to sign a call, so that it can be made now.
async fn call_way(
    State(shared): State<Shared>,
    Path((app, component)): Path<(String, String)>,
) -> Response {
    let target: ComponentId = match format!("{app}/{component}").parse() {
        Ok(target) => target,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    match shared.node.to_be_signed(&target) {
        Ok(way) => {
            let sign = way.map(|(mesh, to)| CallWay { mesh, to });
            Json(CallWayReply { sign }).into_response()
        }
        Err(error) => call_failure(error),
    }
}

#[derive(Deserialize)]
struct LogsQuery {
    /// How many old lines.
    #[serde(default = "default_lines")]
    lines: usize,
    /// Whether to wait for new ones.
    #[serde(default)]
    follow: bool,
    /// An app or a component; everything if it is left out.
    of: Option<String>,
}

fn default_lines() -> usize {
    100
}

async fn logs(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<LogsQuery>,
) -> Response {
    let asked = move |component: &ComponentId| match &query.of {
        None => true,
        Some(of) => component.app.as_str() == of || component.to_string() == *of,
    };
    let wanted = move |component: &ComponentId| caller.covers(&component.app) && asked(component);
    let (old, live) = shared.node.logs().follow(query.lines);
    let old: Vec<_> = old.into_iter().filter(|line| wanted(&line.component)).collect();
    let old = futures::stream::iter(old).map(|line| json_line(&line));
    if !query.follow {
        return ndjson(Body::from_stream(old.map(Ok::<_, std::convert::Infallible>)));
    }
    let live = futures::stream::unfold((live, wanted), async |(mut live, wanted)| {
        loop {
            match live.recv().await {
                Ok(line) if wanted(&line.component) => {
                    return Some((json_line(&line), (live, wanted)));
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    let live = live.take_until(shared.stop.cancelled_owned());
    ndjson(Body::from_stream(old.chain(live).map(Ok::<_, std::convert::Infallible>)))
}

fn json_line(line: &LogLine) -> String {
    serde_json::to_string(line).unwrap_or_default() + "\n"
}

fn ndjson(body: Body) -> Response {
    ([("content-type", "application/x-ndjson")], body).into_response()
}
