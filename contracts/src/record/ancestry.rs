//! What the writer of a record knew of its key: enough to tell an edit that was replaced on
//! purpose from one that was made at the same time and lost.
//!
//! A version vector per key (Parker et al., "Detection of mutual inconsistency in distributed
//! systems", 1983), with the record's own version apart from it, as in dotted version vectors
//! (Preguiça et al., 2010). Writers are nodes, and a node's readings of its clock only grow, so
//! one reading for each writer says all.

use serde::{Deserialize, Serialize};

use super::{Hlc, Version};
use crate::id::NodeId;

/// What a writer knew of a key when it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ancestry {
    /// The latest record of each other writer that led to this one, in the order of the writers.
    pub seen: Vec<(NodeId, Hlc)>,
}

impl Ancestry {
    /// How many other writers are named; the earliest are left out. What they wrote may then be
    /// shown as lost although it was replaced: a trace too many, never one too few.
    pub const MAX_SEEN: usize = 16;

    /// The ancestry of a record of this `version` that takes the place of `previous`.
    pub(super) fn after(previous: Option<(Version, &Self)>, version: Version) -> Self {
        let Some((before, ancestry)) = previous else {
            return Self::default();
        };
        let mut seen = ancestry.seen.clone();
        seen.push((before.writer, before.at));
        seen.retain(|(writer, _)| *writer != version.writer);
        // The latest first.
        seen.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        seen.truncate(Self::MAX_SEEN);
        seen.sort();
        Self { seen }
    }

    /// Whether the writer of `own` knew `other`.
    pub(super) fn covers(&self, own: Version, other: Version) -> bool {
        let same_writer = own.writer == other.writer && own.at >= other.at;
        same_writer
            || self.seen.iter().any(|(writer, at)| *writer == other.writer && *at >= other.at)
    }

    /// Whether a record of this version can have this ancestry.
    pub(super) fn check(&self, own: Version) -> Result<(), &'static str> {
        if self.seen.len() > Self::MAX_SEEN {
            return Err("names too many earlier writers");
        }
        if self.seen.iter().any(|(writer, at)| *writer == own.writer || *at >= own.at) {
            return Err("claims to follow a later one");
        }
        let in_order = self.seen.is_sorted_by(|(one, _), (next, _)| one < next);
        if in_order { Ok(()) } else { Err("names earlier writers out of order") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;
    use crate::record::{Record, RecordBody, RecordKey};

    fn write(writer: u8, millis: u64, previous: Option<&Record>, body: RecordBody) -> Record {
        let key = SigningKey::from_seed([writer; 32]).unwrap();
        let at = Hlc { millis, counter: 0 };
        let about = RecordKey::App("counter".parse().unwrap());
        let record = Record::sign_after(&key, about, at, previous, body).unwrap();
        record.verify().unwrap();
        record
    }

    fn app() -> RecordBody {
        RecordBody::App(Box::new(crate::record::App::new("counter".parse().unwrap())))
    }

    #[test]
    fn a_record_knows_what_led_to_it_and_nothing_else() {
        let first = write(1, 10, None, app());
        let second = write(2, 20, Some(&first), app());
        let aside = write(3, 25, Some(&first), app());
        let third = write(1, 30, Some(&second), app());
        assert!(second.knew(first.version) && third.knew(first.version));
        assert!(third.knew(second.version) && third.knew(third.version));
        assert!(!third.knew(aside.version) && !aside.knew(second.version));
        assert!(!first.knew(third.version));
    }

    #[test]
    fn who_declares_a_key_after_it_was_deleted_knew_what_was_before() {
        let first = write(1, 10, None, app());
        let deleted = write(1, 20, Some(&first), RecordBody::Tombstone);
        let again = write(2, 30, Some(&deleted), app());
        assert!(again.knew(first.version) && again.knew(deleted.version));
    }

    #[test]
    fn of_many_writers_the_latest_are_named() {
        let mut last = write(1, 1, None, app());
        for writer in 2..=40u8 {
            last = write(writer, writer.into(), Some(&last), app());
        }
        assert_eq!(last.ancestry.seen.len(), Ancestry::MAX_SEEN);
        assert!(last.ancestry.seen.iter().all(|(_, at)| at.millis >= 24));
    }

    #[test]
    fn an_ancestry_that_can_not_be_is_refused() {
        let own =
            Version { at: Hlc { millis: 9, counter: 0 }, writer: NodeId::from_bytes([9; 32]) };
        let seen = |writer, millis| (NodeId::from_bytes([writer; 32]), Hlc { millis, counter: 0 });
        let with = |seen| Ancestry { seen };
        with(vec![seen(1, 5), seen(2, 8)]).check(own).unwrap();
        for bad in [
            with(vec![seen(1, 9)]),
            with(vec![seen(9, 5)]),
            with(vec![seen(2, 5), seen(1, 5)]),
            with(vec![seen(1, 5), seen(1, 6)]),
            with((10..27).map(|writer| seen(writer, 5)).collect()),
        ] {
            assert!(bad.check(own).is_err(), "{bad:?}");
        }
    }
}
