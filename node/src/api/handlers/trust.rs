//! Who belongs and who may change what.

use std::collections::BTreeSet;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::BodyExt as _;
use wattle_contracts::id::{NodeId, OperatorKey};
use wattle_contracts::record::{Print, Record, RecordBody, RecordKey, Revoked};
use wattle_contracts::trust::Paper;
use wattle_mesh::net::{Mesh, Records, WallClock};

use super::{Shared, apply_failure, failure};
use crate::api::caller::Caller;
use crate::api::trust::*;
use crate::daemon::drafting;

/// The paths of trust.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/records", post(take))
        .route("/v1/stamps/{*key}", get(stamp))
        .route("/v1/prints/{*of}", get(prints))
        .route("/v1/operators", get(operators))
        .route("/v1/papers", get(papers).post(paper))
}

/// A client that signs itself gets drafts of what it asks for, in the place of having it done. Over
/// the network nobody gets anything else: the node signs nothing for whoever is there.
pub(super) async fn draft(request: Request, next: Next) -> Response {
    let signs = request.extensions().get().is_some_and(Caller::signs);
    if !signs && !request.headers().contains_key(DRAFT) {
        return next.run(request).await;
    }
    let (response, drafts) = drafting(next.run(request)).await;
    if response.status() != StatusCode::OK || drafts.is_empty() {
        return response;
    }
    let internal = |error: String| failure(StatusCode::INTERNAL_SERVER_ERROR, error);
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return internal(error.to_string()),
    };
    let reply = match serde_json::from_slice(&body) {
        Ok(reply) => reply,
        Err(error) => return internal(error.to_string()),
    };
    match drafts.iter().map(Wired::of).collect() {
        Ok(drafts) => (StatusCode::ACCEPTED, Json(DraftsReply { drafts, reply })).into_response(),
        Err(error) => internal(error.to_string()),
    }
}

/// Takes a record that somebody signed beside this node.
async fn take(
    State(shared): State<Shared>,
    request: Result<Json<RecordRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    let record: Record = match request.record.read() {
        Ok(record) => record,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let key = record.key.to_string();
    match shared.node.take(record).await {
        Ok(()) => Json(RecordReply { key }).into_response(),
        Err(error) => apply_failure(&error),
    }
}

async fn stamp(State(shared): State<Shared>, Path(key): Path<String>) -> Response {
    let key: RecordKey = match key.parse() {
        Ok(key) => key,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let Some(mesh) = shared.node.mesh() else { return starting() };
    let stamp = match mesh.stamp(key).await {
        Ok(stamp) => Wired::of(&stamp),
        Err(error) => return failure(StatusCode::INTERNAL_SERVER_ERROR, error),
    };
    match stamp {
        Ok(stamp) => Json(StampReply { mesh: mesh.mesh_id(), stamp }).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// What stays: when operators come, what nodes had declared; when a key is revoked, what it signed
/// and who came by it, as far as this node knows.
async fn prints(State(shared): State<Shared>, Path(of): Path<String>) -> Response {
    let Some(mesh) = shared.node.mesh() else { return starting() };
    let records = mesh.records();
    let prints = match (of.as_str(), of.parse::<Revoked>()) {
        ("charter", _) => of_declarations(mesh, &records),
        ("authority", _) => of_authority(mesh, &records),
        (_, Ok(Revoked::Node(node))) => {
            let mut all = of_writer(&records, node);
            all.extend(of_renewer(&records, node));
            // Who follows it stays, if it was the node's old key that is revoked.
            let successor = mesh.rights().successor(node);
            all.extend(successor.map(|node| Print::of_member(node.as_bytes())));
            all
        }
        (_, Ok(Revoked::Renewer(node))) => of_renewer(&records, node),
        (_, Ok(Revoked::Operator(key) | Revoked::Admin(key))) => {
            of_writer(&records, NodeId::from_bytes(*key.as_bytes()))
        }
        (_, Ok(Revoked::Invitation(_))) => members(&records, &of),
        (_, Ok(Revoked::Publisher(_))) => BTreeSet::new(),
        (_, Err(error)) => return failure(StatusCode::BAD_REQUEST, error),
    };
    match Wired::of(&prints) {
        Ok(prints) => Json(PrintsReply { prints }).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// What the key signed that the authority has now, and what those signed whom it invited.
fn of_authority(mesh: &Mesh, records: &Records) -> BTreeSet<Print> {
    let (id, authority) = (mesh.mesh_id(), mesh.rights().authority());
    let mut all = of_writer(records, NodeId::from_bytes(*authority.as_bytes()));
    let is_invited = |record: &&Record| match &record.body {
        RecordBody::Operator(operator) => {
            let by = operator.invitation.as_ref().map(|by| by.handovers.leads_to(id));
            by == Some(authority)
        }
        _ => false,
    };
    let invited = records.iter().filter(is_invited);
    all.extend(invited.filter_map(|record| Print::of_record(record).ok()));
    all
}

fn of_declarations(mesh: &Mesh, records: &Records) -> BTreeSet<Print> {
    let rights = mesh.rights();
    let is_declared = |record: &&Record| {
        let key = &record.key;
        !rights.is_of_authority(record.version.writer)
            && !key.is_for_good()
            && !matches!(key, RecordKey::Cell(_))
    };
    records.iter().filter(is_declared).filter_map(|record| Print::of_record(record).ok()).collect()
}

fn of_writer(records: &Records, writer: NodeId) -> BTreeSet<Print> {
    let is_its = |record: &&Record| {
        record.version.writer == writer && !matches!(record.key, RecordKey::Cell(_))
    };
    let lost = records.iter().flat_map(|record| records.lost(&record.key));
    let all = records.iter().chain(lost).filter(is_its);
    all.filter_map(|record| Print::of_record(record).ok()).collect()
}

/// The papers that a node has renewed.
fn of_renewer(records: &Records, renewer: NodeId) -> BTreeSet<Print> {
    let renewed = |record: &Record| match &record.body {
        RecordBody::Renewed(paper) => {
            let is_its = paper.renewal.as_ref()?.renewer() == renewer;
            Print::of_renewal(paper).ok().flatten().filter(|_| is_its)
        }
        _ => None,
    };
    records.iter().filter_map(renewed).collect()
}

fn members(records: &Records, invitation: &str) -> BTreeSet<Print> {
    let member = |record: &Record| match (&record.key, &record.body) {
        (RecordKey::Admitted(node), RecordBody::Admitted(admitted)) => {
            let by = admitted.came.invitation.as_ref()?.body.key;
            (by.to_string() == invitation).then(|| Print::of_member(node.as_bytes()))
        }
        (RecordKey::Operator(key), RecordBody::Operator(operator)) => {
            let by = operator.invitation.as_ref()?.body.key;
            (by.to_string() == invitation).then(|| Print::of_member(key.as_bytes()))
        }
        _ => None,
    };
    records.iter().filter_map(member).collect()
}

async fn operators(State(shared): State<Shared>) -> Response {
    let Some(mesh) = shared.node.mesh() else { return starting() };
    let (records, rights) = (mesh.records(), mesh.rights());
    let info = |key: &OperatorKey, name: &str, apps: Option<Vec<String>>| {
        let (role, revoked) = match &apps {
            None => ("admin", Revoked::Admin(*key)),
            Some(apps) if apps.is_empty() => ("viewer", Revoked::Operator(*key)),
            Some(_) => ("operator", Revoked::Operator(*key)),
        };
        OperatorInfo {
            key: key.to_string(),
            name: name.into(),
            role: role.into(),
            apps: apps.unwrap_or_default(),
            revoked: rights.revoked(&revoked),
        }
    };
    let operators = records.iter().filter_map(|record| match (&record.key, &record.body) {
        (RecordKey::Admin(key), RecordBody::Admin(admin)) => Some(info(key, &admin.name, None)),
        (RecordKey::Operator(key), RecordBody::Operator(operator)) => {
            let apps = operator.apps.iter().map(ToString::to_string).collect();
            Some(info(key, &operator.name, Some(apps)))
        }
        _ => None,
    });
    let renewers = records.iter().filter_map(|record| match (&record.key, &record.body) {
        (RecordKey::Renewer(node), RecordBody::Renewer(delegation)) => Some(RenewerInfo {
            node: *node,
            papers_secs: delegation.body.papers.as_secs(),
            until: delegation.body.expires.0,
            revoked: rights.renewer(*node).is_none(),
        }),
        _ => None,
    });
    let revoked = records.iter().filter_map(|record| match (&record.key, &record.body) {
        (RecordKey::Revocation(key), RecordBody::Revocation(revocation)) => {
            Some(RevokedInfo { key: key.to_string(), reason: revocation.reason.clone() })
        }
        _ => None,
    });
    let former = rights.former_authorities();
    Json(OperatorsReply {
        authority: rights.authority(),
        former_authorities: former
            .map(|(key, until)| FormerAuthority { key, until: until.0 })
            .collect(),
        only_operators: rights.has_operators(),
        operators: operators.collect(),
        renewers: renewers.collect(),
        revoked: revoked.collect(),
    })
    .into_response()
}

/// The papers that count of all who belong.
async fn papers(State(shared): State<Shared>) -> Response {
    let Some(mesh) = shared.node.mesh() else { return starting() };
    match mesh.papers(WallClock::default().now()).iter().map(Paper::to_text).collect() {
        Ok(papers) => Json(PapersReply { papers }).into_response(),
        Err(error) => failure(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// Hands a new paper on to the node that it is for.
async fn paper(
    State(shared): State<Shared>,
    request: Result<Json<PaperRequest>, JsonRejection>,
) -> Response {
    let request = match request {
        Ok(Json(request)) => request,
        Err(error) => return failure(error.status(), error.body_text()),
    };
    let paper = match Paper::from_text(&request.paper) {
        Ok(paper) => paper,
        Err(error) => return failure(StatusCode::BAD_REQUEST, error),
    };
    let Some(mesh) = shared.node.mesh() else { return starting() };
    let key = RecordKey::Renewed(paper.node());
    match mesh.put_record(key.clone(), RecordBody::Renewed(Box::new(paper))).await {
        Ok(_) => Json(RecordReply { key: key.to_string() }).into_response(),
        Err(error) => failure(StatusCode::FORBIDDEN, error),
    }
}

fn starting() -> Response {
    failure(StatusCode::SERVICE_UNAVAILABLE, "this node is still starting")
}
