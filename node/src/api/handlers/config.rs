//! Configuration: `/v1/config`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use wattle_contracts::id::{ComponentId, IdError};
use wattle_mesh::core::links::Origin;

use super::links::change_failure;
use super::{Shared, failure};
use crate::api::types::*;
use crate::daemon::{ConfigRequest, Node, Table};

pub(super) async fn list(State(shared): State<Shared>) -> Json<ConfigReply> {
    Json(all(&shared.node))
}

pub(super) async fn change(
    State(shared): State<Shared>,
    Path((app, component)): Path<(String, String)>,
    request: Result<Json<ConfigRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    let component: Result<ComponentId, IdError> = format!("{app}/{component}").parse();
    let component = match component {
        Ok(component) => component,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let changed = request.values.keys().map(|name| format!("{component}/{name}")).collect();
    match shared.node.put_config(component, request).await {
        Ok(notes) => Json(ChangeReply { changed, notes }).into_response(),
        Err(error) => change_failure(&error),
    }
}

/// Every value that a component reads, and those of components that nobody has declared (yet).
fn all(node: &Node) -> ConfigReply {
    let table = node.table();
    let mut values: BTreeMap<(ComponentId, String), ConfigInfo> = BTreeMap::new();
    for info in of_apps(&table) {
        values.insert((info.component.clone(), info.name.clone()), info);
    }
    for (component, name, setting) in table.settings().iter() {
        let info = ConfigInfo {
            component: component.clone(),
            name: name.to_string(),
            value: setting.value.clone(),
            origin: Origin::Record.name().into(),
            writer: setting.version.writer,
            at: setting.version.at.millis,
            instead_of: setting.instead_of.clone(),
        };
        values.insert((component.clone(), name.to_string()), info);
    }
    ConfigReply { values: values.into_values().collect() }
}

fn of_apps(table: &Table) -> impl Iterator<Item = ConfigInfo> {
    table.apps().flat_map(move |app| {
        let version = table.version(&app.name);
        app.components.iter().flat_map(move |(local, spec)| {
            let component = ComponentId::new(app.name.clone(), local.clone());
            spec.config.iter().filter_map(move |(name, value)| {
                let version = version?;
                Some(ConfigInfo {
                    component: component.clone(),
                    name: name.clone(),
                    value: value.clone(),
                    origin: Origin::Manifest.name().into(),
                    writer: version.writer,
                    at: version.at.millis,
                    instead_of: None,
                })
            })
        })
    })
}
