//! What became of the changes of one key.

use wattle_contracts::id::OperatorKey;
use wattle_contracts::record::{Record, RecordBody, RecordKey};
use wattle_mesh::core::rights::Rights;
use wattle_mesh::net::Records;

use crate::api::types::{Change, HistoryReply};
use crate::daemon::Node;

pub(super) fn history(node: &Node, key: &RecordKey) -> HistoryReply {
    let records = node.mesh().map(|mesh| mesh.records()).unwrap_or_default();
    let rights = node.mesh().map(|mesh| mesh.rights());
    let change = |record: &Record| change(record, by(record, &records, rights.as_deref()));
    HistoryReply {
        key: key.to_string(),
        current: records.get(key).map(change),
        lost: records.lost(key).map(change).collect(),
        held_back: records.held_back().filter(|held| held.key == *key).map(change).collect(),
    }
}

/// Who signed a record, as people call them.
fn by(record: &Record, records: &Records, rights: Option<&Rights>) -> String {
    let writer = record.version.writer;
    let key = OperatorKey::from_bytes(*writer.as_bytes());
    if rights.is_some_and(|rights| rights.is_of_authority(writer)) {
        return "the authority".into();
    }
    let body = |about| records.get(&about).map(|record| &record.body);
    match (body(RecordKey::Admin(key)), body(RecordKey::Operator(key))) {
        (Some(RecordBody::Admin(admin)), _) => format!("{} ({key})", admin.name),
        (_, Some(RecordBody::Operator(operator))) => format!("{} ({key})", operator.name),
        _ => writer.to_string(),
    }
}

fn change(record: &Record, by: String) -> Change {
    let body = match &record.body {
        RecordBody::Tombstone => None,
        body => serde_json::to_value(body).ok(),
    };
    Change {
        at_millis: record.version.at.millis,
        counter: record.version.at.counter,
        writer: record.version.writer,
        by,
        is_delete: record.is_tombstone(),
        body,
    }
}
