//! Who can reach whom: what each node tells all others of the connections that it has.
//!
//! One node's own view can't tell a machine that is down from a cable that is cut, nor find a way
//! around the cut; the reports of the others can. A report travels as a signed fact on the topic
//! [`TOPIC`], so who relays one can't change it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wattle_contracts::id::NodeId;

use crate::core::time::Time;

/// The topic of the facts that hold reports.
pub const TOPIC: &str = "reach";

/// How many nodes one report speaks of, at most.
pub const MAX_REPORTED: usize = 512;

/// How a node is seen by the one that reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seen {
    /// It answers over a connection to it.
    Direct {
        /// The round trip, in whole milliseconds.
        rtt_millis: u16,
    },
    /// It answers through a third node only.
    Relayed,
    /// Its packets arrive, and the answers to them do not.
    OneWay,
    /// It is not connected, but alive by what gossip says.
    Heard,
    /// It may be gone.
    Suspect,
    /// Nobody hears from it.
    Unreachable,
    /// It has left.
    Left,
}

impl Seen {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Seen::Direct { .. } => "direct",
            Seen::Relayed => "relayed",
            Seen::OneWay => "one-way",
            Seen::Heard => "heard-of",
            Seen::Suspect => "suspect",
            Seen::Unreachable => "unreachable",
            Seen::Left => "left",
        }
    }

    /// Whether both say the same but for how fast.
    pub fn is_like(self, other: Seen) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }
}

/// How one node sees the others.
///
/// Nodes are named by the first eight bytes of their ids: with 512 nodes, two share them by chance
/// once in 10^14 meshes; and who takes the pains to make such a key gains a wrong line in a table
/// and calls that fail.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    seen: BTreeMap<u64, Seen>,
}

impl Report {
    /// The report that says this; of more than [`MAX_REPORTED`] nodes those that come first.
    pub fn new(seen: impl IntoIterator<Item = (NodeId, Seen)>) -> Self {
        let seen = seen.into_iter().take(MAX_REPORTED);
        Self { seen: seen.map(|(node, seen)| (short(node), seen)).collect() }
    }

    /// Says nothing of `node`.
    pub fn forget(&mut self, node: NodeId) {
        self.seen.remove(&short(node));
    }

    /// How it says that `node` is seen, if it speaks of it.
    pub fn of(&self, node: NodeId) -> Option<Seen> {
        self.seen.get(&short(node)).copied()
    }

    /// The round trip between the reporter and `node`, if it is connected to it.
    pub fn direct(&self, node: NodeId) -> Option<Duration> {
        match self.of(node)? {
            Seen::Direct { rtt_millis } => Some(Duration::from_millis(rtt_millis.into())),
            _ => None,
        }
    }

    /// The nodes that it says are connected, as it names them ([`short`]).
    pub fn connected(&self) -> impl Iterator<Item = u64> + '_ {
        let direct = self.seen.iter().filter(|(_, seen)| matches!(seen, Seen::Direct { .. }));
        direct.map(|(node, _)| *node)
    }

    /// Whether both say the same but for how fast.
    pub fn is_like(&self, other: &Report) -> bool {
        self.seen.len() == other.seen.len()
            && self.seen.iter().zip(&other.seen).all(|((node, seen), (other_node, other_seen))| {
                node == other_node && seen.is_like(*other_seen)
            })
    }

    /// Whether it is no larger than an honest one.
    pub fn is_bounded(&self) -> bool {
        self.seen.len() <= MAX_REPORTED
    }
}

/// Between two reports of who is reached.
const REPORT: Duration = Duration::from_millis(500);

/// Between two that differ in nothing but round trips.
const REFRESH: Duration = Duration::from_secs(30);

/// What a node last told the others of whom it reaches, and when it is to tell them again.
#[derive(Debug, Default)]
pub struct Reporter {
    told: Report,
    told_at: Time,
}

impl Reporter {
    /// Whether there was time enough since the last report to look at the next one.
    pub fn is_due(&self, now: Time) -> bool {
        now.since(self.told_at) >= REPORT
    }

    /// Before this, no report is news, if nothing has `moved` but round trips since the last look.
    pub fn due_at(&self, moved: bool) -> Time {
        self.told_at.plus(if moved { REPORT } else { REFRESH })
    }

    /// Whether the others are to be told this: soon what is new, and seldom another round trip.
    pub fn is_news(&self, now: Time, report: &Report) -> bool {
        let wait = now.since(self.told_at);
        wait >= REPORT && *report != self.told && (wait >= REFRESH || !report.is_like(&self.told))
    }

    /// The others were told this.
    pub fn told(&mut self, now: Time, report: Report) {
        (self.told, self.told_at) = (report, now);
    }
}

/// What a report calls a node.
pub fn short(node: NodeId) -> u64 {
    node.as_bytes().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use wattle_contracts::wire;

    use super::*;

    fn node(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    #[test]
    fn a_report_is_small_and_survives_the_wire() {
        let direct = |rtt_millis| Seen::Direct { rtt_millis };
        let report = Report::new((0..100).map(|byte| (node(byte), direct(u16::from(byte)))));
        let bytes = wire::encode(&report).unwrap();
        assert!(bytes.len() <= 1_150, "{} bytes", bytes.len());
        let read: Report = wire::decode(&bytes).unwrap();
        assert_eq!(read, report);
        assert_eq!(read.direct(node(7)), Some(Duration::from_millis(7)));
        assert_eq!(read.of(node(200)), None);
    }

    #[test]
    fn others_are_told_soon_what_is_new_and_seldom_another_round_trip() {
        let at = |millis| Time::since_start(Duration::from_millis(millis));
        let direct = |rtt_millis| Report::new([(node(1), Seen::Direct { rtt_millis })]);
        let mut reporter = Reporter::default();
        assert!(!reporter.is_due(at(499)) && !reporter.is_news(at(499), &direct(1)));
        assert!(reporter.is_due(at(500)) && reporter.is_news(at(500), &direct(1)));
        reporter.told(at(500), direct(1));
        assert_eq!((reporter.due_at(true), reporter.due_at(false)), (at(1_000), at(30_500)));
        assert!(!reporter.is_news(at(60_000), &direct(1)));
        assert!(
            !reporter.is_news(at(30_499), &direct(2)) && reporter.is_news(at(30_500), &direct(2))
        );
        let relayed = Report::new([(node(1), Seen::Relayed)]);
        assert!(reporter.is_news(at(1_000), &relayed));
    }

    #[test]
    fn another_round_trip_is_no_news() {
        let report = |seen| Report::new([(node(1), seen)]);
        let direct = |rtt_millis| report(Seen::Direct { rtt_millis });
        assert!(direct(1).is_like(&direct(9)));
        assert!(!direct(1).is_like(&report(Seen::Relayed)));
        assert!(!direct(1).is_like(&Report::default()));
    }
}
