//! What becomes of records, for the log, the counters and the audit log.

use wattle_contracts::audit::Happening;
use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Record, RecordKey};

use super::{Plane, WARNINGS, WARNINGS_EACH};
use crate::core::records::Refusal;

impl Plane {
    /// Writes down what is declared now. Not summaries of cells, which nobody declares.
    pub(super) fn note_change(&self, key: &RecordKey) {
        let Some(record) = self.set.as_ref().and_then(|set| set.get(key)) else { return };
        if matches!(key, RecordKey::Cell(_)) {
            return;
        }
        self.audit.note(Happening::RecordTaken {
            key: key.to_string(),
            writer: record.version.writer,
            written: record.version.at.millis,
            deletes: record.is_tombstone(),
        });
    }

    /// Tells of a record that was dropped, because its writer turned out not to be entitled to it.
    pub(super) fn note_void(&self, key: &RecordKey, previous: Option<&Record>) {
        let current = self.set.as_ref().and_then(|set| set.version(key));
        if let Some(previous) = previous
            && current.is_none_or(|current| current < previous.version)
        {
            self.metrics.records_voided.one();
            let writer = previous.version.writer;
            tracing::warn!(%key, %writer, "a record does not count any more: its writer may not say it");
        }
    }

    /// What was refused is counted, and told in the log: as much as a person can read.
    pub(super) fn report(&mut self, from: Option<NodeId>, reason: &Refusal) {
        self.metrics.records_refused.one();
        if matches!(reason, Refusal::TooFarAhead { .. }) {
            self.metrics.records_held_back.one();
        }
        self.audit.note(Happening::RecordRefused { from, why: reason.to_string() });
        let from = from.map(tracing::field::display);
        if self.now().since(self.warned.0) >= WARNINGS_EACH {
            self.warned = (self.now(), 0);
        }
        self.warned.1 += 1;
        match self.warned.1 {
            1..WARNINGS => tracing::warn!(from, %reason, "a record was refused"),
            WARNINGS => tracing::warn!(
                from,
                %reason,
                "a record was refused; more in the next minute are only counted (records_refused)"
            ),
            _ => tracing::debug!(from, %reason, "a record was refused"),
        }
    }
}
