//! Secrets: `/v1/secrets`. Values come sealed, and never go out.

use axum::Json;
use axum::Router;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use wattle_contracts::id::{ComponentId, IdError};
use wattle_contracts::record::{ConfigKey, Record, RecordBody, RecordKey};

use super::links::change_failure;
use super::{Shared, failure};
use crate::api::types::*;
use crate::daemon::SecretRequest;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/secrets", get(list))
        .route("/v1/secrets/{app}/{component}", get(nodes))
        .route("/v1/secrets/{app}/{component}/{*name}", put(change))
}

async fn list(State(shared): State<Shared>) -> Json<SecretsReply> {
    let node = &shared.node;
    let records = node.mesh().map(|mesh| mesh.records()).unwrap_or_default();
    let info = |record: &Record| {
        let (RecordKey::Secret(about), RecordBody::Secret(secret)) = (&record.key, &record.body)
        else {
            return None;
        };
        let may = node.secret_nodes(&about.component).unwrap_or_default();
        Some(SecretInfo {
            component: about.component.clone(),
            name: about.name.to_string(),
            writer: record.version.writer,
            at: record.version.at.millis,
            sealed_to: secret.keys.iter().map(|key| key.node).collect(),
            not_sealed_to: may.into_iter().filter(|node| !secret.is_for(*node)).collect(),
        })
    };
    Json(SecretsReply { secrets: records.iter().filter_map(info).collect() })
}

/// To whom a secret of this component is to be sealed.
async fn nodes(
    State(shared): State<Shared>,
    Path((app, component)): Path<(String, String)>,
) -> Response {
    let component: Result<ComponentId, IdError> = format!("{app}/{component}").parse();
    match component {
        Ok(component) => match shared.node.secret_nodes(&component) {
            Ok(nodes) => Json(SecretNodes { nodes }).into_response(),
            Err(error) => change_failure(&error),
        },
        Err(error) => failure(StatusCode::BAD_REQUEST, error),
    }
}

async fn change(
    State(shared): State<Shared>,
    Path((app, component, name)): Path<(String, String, String)>,
    request: Result<Json<SecretRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    let about: ConfigKey = match format!("{app}/{component}/{name}").parse() {
        Ok(about) => about,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let changed = vec![about.to_string()];
    match shared.node.put_secret(about, request.secret).await {
        Ok(notes) => Json(ChangeReply { changed, notes }).into_response(),
        Err(error) => change_failure(&error),
    }
}
