//! What is counted. Counters only grow, and start at zero with the process.

use std::sync::atomic::{AtomicU64, Ordering};

use wattle_contracts::call::ErrorKind;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a running mesh node.
        #[derive(Debug, Default)]
        pub(super) struct Metrics {
            $(pub(super) $name: Counter,)*
            pub(super) calls_out: Outcomes,
            pub(super) calls_in: Outcomes,
        }

        /// The counters of a mesh node at one moment.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct MetricsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Calls from here to other nodes that ended.
            pub calls_out: OutcomesSnapshot,
            /// Calls from other nodes that ended here.
            pub calls_in: OutcomesSnapshot,
        }

        impl Metrics {
            pub(super) fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot {
                    $($name: self.$name.value(),)*
                    calls_out: self.calls_out.snapshot(),
                    calls_in: self.calls_in.snapshot(),
                }
            }
        }
    };
}

counters! {
    /// Peers that this node refused to admit.
    papers_refused,
    /// Admissions that this node was refused.
    refused_by_peers,
    /// Connections closed because the peer does not belong any more: revoked, or its paper ran out.
    cut_off,
    /// Papers that this node renewed.
    papers_renewed,
    /// Connections from an address that had made too many, closed before anything was read.
    turned_away,
    /// Records dropped because their writer turned out not to be entitled to them.
    records_voided,
    /// Admissions that broke off or took too long.
    admissions_failed,
    /// Connections that were admitted.
    connections_opened,
    /// Connections that ended.
    connections_closed,
    /// Streams closed because of what arrived on them.
    malformed_streams,
    /// Dials begun.
    dials,
    /// Dials that failed.
    dials_failed,
    /// Dials at the same moment as the other side, because neither can be dialled otherwise.
    dials_together,
    /// Messages of gossip sent to peers.
    gossip_sent,
    /// Greetings of gossip not sent, because as much was said as a round may cost.
    gossip_spared,
    /// Messages of gossip dropped: for nobody connected, or with a queue full.
    gossip_dropped,
    /// Messages of gossip refused, for what they claim.
    gossip_refused,
    /// How often gossip had to be started anew.
    gossip_restarts,
    /// Facts refused: not genuine, or older than what is known.
    facts_refused,
    /// Control messages dropped because a peer's queue was full.
    control_dropped,
    /// Calls of this node that went through another one, because their target is not reached
    /// directly.
    calls_detoured,
    /// Calls of others that were passed on here.
    calls_relayed,
    /// Calls of others that were not passed on: over their limit, or going round.
    relays_refused,
    /// Calls that were passed on to this node, and are not shown to be of the node they name.
    calls_forged,
    /// Records taken over from peers.
    records_taken,
    /// Records from peers, and messages about records, that were refused.
    records_refused,
    /// Among them, records from the future, held back until their time has come.
    records_held_back,
    /// Messages about records from peers that had sent too many bad ones.
    records_ignored,
    /// Changes that lost against one made at the same time, and went into the history.
    records_lost,
    /// Records that were on this node's disk and could not be read, or were not genuine.
    records_damaged,
    /// How often this node became an ambassador of its cell.
    ambassador_terms,
    /// Summaries of its cell that this node wrote.
    summaries_written,
    /// Summaries of cells that their writers are not in.
    summaries_refused,
    /// Bytes of control messages to nodes of other cells: records, goodbyes and probes.
    cell_bytes_sent,
    /// The same, from them.
    cell_bytes_received,
    /// Artifacts sent to peers.
    artifacts_served,
    /// Artifacts fetched from peers.
    artifacts_fetched,
    /// Artifacts passed on between two others that don't reach each other.
    artifacts_relayed,
}

/// One counter.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of how calls ended.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    succeeded: Counter,
    failed: [Counter; ErrorKind::ALL.len()],
}

impl Outcomes {
    pub(super) fn count<T>(&self, outcome: Result<T, ErrorKind>) {
        match outcome {
            Ok(_) => self.succeeded.one(),
            Err(kind) => {
                if let Some(at) = ErrorKind::ALL.iter().position(|known| *known == kind) {
                    self.failed.get(at).map(Counter::one).unwrap_or_default();
                }
            }
        }
    }

    fn snapshot(&self) -> OutcomesSnapshot {
        let failed = ErrorKind::ALL.into_iter().zip(self.failed.iter().map(Counter::value));
        OutcomesSnapshot { succeeded: self.succeeded.value(), failed: failed.collect() }
    }
}

/// How many calls ended in which way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutcomesSnapshot {
    /// With a result.
    pub succeeded: u64,
    /// With an error, by its kind.
    pub failed: Vec<(ErrorKind, u64)>,
}

impl OutcomesSnapshot {
    /// How many ended with an error of this kind.
    pub fn failed_with(&self, kind: ErrorKind) -> u64 {
        self.failed.iter().filter(|(known, _)| *known == kind).map(|(_, count)| count).sum()
    }
}
