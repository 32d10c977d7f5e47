//! Nodes witness each other's logs. Each tells how far its own reaches, in gossip, signed. A few
//! others, which everybody can name without asking, write that into theirs; and every node notices
//! when a log holds less than it did.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wattle_contracts::audit::{Happening, Head};
use wattle_contracts::id::{Digest, NodeId};
use wattle_mesh::net::{Mesh, View};

use super::Audit;

/// How often this node looks what the others say, and says how far its own log reaches.
const EACH: Duration = Duration::from_secs(10);

/// How often one log's head is written into another, while it grows.
const WRITTEN: Duration = Duration::from_secs(30);

/// So many nodes are the witnesses of each.
const WITNESSES: usize = 3;

/// Witnesses, and is witnessed, until `stop`.
pub(crate) async fn witness(audit: Arc<Audit>, mesh: Mesh, stop: CancellationToken) {
    let mut heads = Heads::new(mesh.node_id(), audit.witnessed().clone());
    let mut said = None;
    let mut tick = tokio::time::interval(EACH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let head = *audit.head().borrow();
        if said != Some(head) && head.number > 0 {
            match mesh.say_audit(&head) {
                Ok(()) => said = Some(head),
                Err(error) => {
                    tracing::debug!(%error, "the audit log's head was not told this time")
                }
            }
        }
        for happening in heads.look(&mesh.view(), Instant::now()) {
            if let Happening::WitnessFailed { node, why } = &happening {
                tracing::error!(%node, why, "a node's audit log is not what it was");
            }
            audit.note(happening);
        }
    }
}

/// The heads of the others' logs, as this node knows them.
struct Heads {
    me: NodeId,
    known: BTreeMap<NodeId, Known>,
}

struct Known {
    head: Head,
    /// Up to where it was written down, and when.
    written: Option<(u64, Instant)>,
}

impl Heads {
    fn new(me: NodeId, remembered: BTreeMap<NodeId, Head>) -> Self {
        let known = |(node, head)| (node, Known { head, written: None });
        Self { me, known: remembered.into_iter().map(known).collect() }
    }

    /// What there is to write down of what the others say.
    fn look(&mut self, view: &View, now: Instant) -> Vec<Happening> {
        let mut news = Vec::new();
        let nodes: Vec<NodeId> = view.alive().map(|node| node.id).collect();
        for other in view.nodes.values().filter(|other| !other.is_self) {
            let (node, Some(says)) = (other.id, other.audit) else { continue };
            let known = self.known.entry(node).or_insert(Known { head: says, written: None });
            if let Some(why) = contradiction(known.head, says) {
                news.push(Happening::WitnessFailed { node, why });
            }
            known.head = says;
            let is_due = known.written.is_none_or(|(number, at)| {
                number != says.number && now.saturating_duration_since(at) >= WRITTEN
            });
            if is_due && is_witness(self.me, node, &nodes) {
                known.written = Some((says.number, now));
                news.push(Happening::Witnessed { node, number: says.number, hash: says.hash });
            }
        }
        news
    }
}

/// What shows that a log that reached `before` does not hold that any more, as it says `now`.
fn contradiction(before: Head, now: Head) -> Option<String> {
    if now.number < before.number {
        let (now, before) = (now.number, before.number);
        return Some(format!("it reaches entry {now}, and had reached entry {before}"));
    }
    (now.number == before.number && now.hash != before.hash)
        .then(|| format!("its entry {} is another one than it was", now.number))
}

/// Whether `me` is one of the witnesses of `node`: those of the `others` that come first by a hash
/// of both names (rendezvous hashing: Thaler and Ravishankar, 1998).
fn is_witness(me: NodeId, node: NodeId, others: &[NodeId]) -> bool {
    let rank = |witness: NodeId| {
        let bytes = [b"witness".as_slice(), node.as_bytes(), witness.as_bytes()].concat();
        Reverse((*Digest::of(&bytes).as_bytes(), witness))
    };
    let mine = rank(me);
    let before = others.iter().filter(|other| **other != node && **other != me);
    before.filter(|other| rank(**other) < mine).count() < WITNESSES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> NodeId {
        NodeId::from_bytes([byte; 32])
    }

    fn head(number: u64, text: &str) -> Head {
        Head { number, hash: Digest::of(text.as_bytes()) }
    }

    #[test]
    fn every_log_has_its_witnesses_and_no_more() {
        let all: Vec<NodeId> = (0..20).map(id).collect();
        for node in &all {
            let of = all.iter().filter(|me| *me != node && is_witness(**me, *node, &all));
            assert_eq!(of.count(), WITNESSES);
        }
        assert!(is_witness(id(1), id(2), &[id(1), id(2)]));
    }

    #[test]
    fn a_log_that_goes_back_or_is_another_one_is_noticed() {
        assert_eq!(contradiction(head(4, "a"), head(5, "b")), None);
        assert_eq!(contradiction(head(4, "a"), head(4, "a")), None);
        assert!(contradiction(head(4, "a"), head(3, "c")).unwrap().contains("had reached entry 4"));
        assert!(contradiction(head(4, "a"), head(4, "b")).unwrap().contains("another one"));
    }
}
