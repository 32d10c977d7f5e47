//! What became of the changes of one key.

use wattle_contracts::record::{Record, RecordBody, RecordKey};

use crate::api::types::{Change, HistoryReply};
use crate::daemon::Node;

pub(super) fn history(node: &Node, key: &RecordKey) -> HistoryReply {
    let records = node.mesh().map(|mesh| mesh.records()).unwrap_or_default();
    HistoryReply {
        key: key.to_string(),
        current: records.get(key).map(change),
        lost: records.lost(key).map(change).collect(),
        held_back: records.held_back().filter(|held| held.key == *key).map(change).collect(),
    }
}

fn change(record: &Record) -> Change {
    let body = match &record.body {
        RecordBody::Tombstone => None,
        body => serde_json::to_value(body).ok(),
    };
    Change {
        at_millis: record.version.at.millis,
        counter: record.version.at.counter,
        writer: record.version.writer,
        is_delete: record.is_tombstone(),
        body,
    }
}
