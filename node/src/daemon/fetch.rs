//! Brings artifacts here from the nodes that hold them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use wattle_contracts::artifact::MAX_ARTIFACT;
use wattle_contracts::id::{ComponentId, NodeId};
use wattle_contracts::record::{ComponentSpec, RecordKey};
use wattle_mesh::net::{Mesh, NodeView};

use super::node::Node;

/// How long a node that holds an artifact may take to begin, and how slowly it may go on, in bytes a
/// second: else another one is asked.
const FIRST_BYTES: Duration = Duration::from_secs(20);
const LEAST_RATE: u64 = 16 * 1024;

/// From whom nothing good came when it was asked, and how often: asked last.
#[derive(Debug, Default)]
pub(super) struct Failing(Mutex<BTreeMap<NodeId, u32>>);

impl Failing {
    fn count(&self, node: NodeId) -> u32 {
        self.counts().get(&node).copied().unwrap_or(0)
    }

    /// Of nodes that are not `known` any more nothing needs to be remembered.
    fn note(&self, node: NodeId, known: impl Fn(NodeId) -> bool) {
        let mut counts = self.counts();
        counts.retain(|node, _| known(*node));
        let count = counts.entry(node).or_default();
        *count = count.saturating_add(1);
    }

    fn forget(&self, node: NodeId) {
        self.counts().remove(&node);
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<NodeId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Brings an artifact here from whichever node holds it.
pub(super) async fn fetch(
    node: &Arc<Node>,
    mesh: &Mesh,
    failing: &Failing,
    id: &ComponentId,
    spec: &ComponentSpec,
) -> Result<(), String> {
    let digest = spec.digest;
    let view = mesh.view();
    // Whoever declared the app held it then, and the record is here before the gossip of who
    // holds what.
    let records = mesh.records();
    let writer = records.get(&RecordKey::App(id.app.clone())).map(|record| record.version.writer);
    let holds = |other: &&NodeView| {
        // Of those in other cells it is only known what they run.
        let runs = other.told && other.runs.components.contains_key(id);
        Some(other.id) == writer || runs || other.runs.artifacts.contains(&digest)
    };
    let mut holders: Vec<_> = view
        .nodes
        .values()
        .filter(|other| !other.is_self && other.is_reachable())
        .filter(holds)
        .map(|other| (failing.count(other.id), !other.connected, other.via.is_some(), other.id))
        .collect();
    // From another cell, or through another node, only if nobody else has it; and from who failed before
    // only if everybody did.
    holders.sort_unstable();
    let mut why = format!("no node that can be reached holds {digest}");
    for (.., holder) in holders {
        match fetch_from(node, mesh, holder, spec).await {
            Ok(()) => {
                failing.forget(holder);
                return Ok(());
            }
            Err(error) => {
                failing.note(holder, |node| view.node(node).is_some());
                why = error;
            }
        }
    }
    Err(why)
}

async fn fetch_from(
    node: &Arc<Node>,
    mesh: &Mesh,
    holder: NodeId,
    spec: &ComponentSpec,
) -> Result<(), String> {
    let (digest, publisher) = (spec.digest, spec.publisher);
    let source = timeout(FIRST_BYTES, mesh.fetch_artifact(holder, digest, MAX_ARTIFACT as u64));
    let late = |_| format!("fetching {digest} from {holder} failed: no answer in {FIRST_BYTES:?}");
    let source = source.await.map_err(late)?.map_err(|error| error.to_string())?;
    let bytes = read_in_time(source)
        .await
        .map_err(|why| format!("fetching {digest} from {holder} failed: {why}"))?;
    let node = Arc::clone(node);
    let keep = move || node.artifacts().put(digest, &bytes, &[publisher]).map(drop);
    tokio::task::spawn_blocking(keep)
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}

/// Reads to the end, as long as it goes on at [`LEAST_RATE`].
async fn read_in_time(mut source: impl AsyncRead + Unpin) -> Result<Vec<u8>, String> {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    loop {
        let allowed = FIRST_BYTES + Duration::from_secs(bytes.len() as u64 / LEAST_RATE);
        let read = timeout_at(begun + allowed, source.read_buf(&mut bytes)).await;
        match read {
            Ok(Ok(0)) => return Ok(bytes),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => {
                let (count, elapsed) = (bytes.len(), begun.elapsed());
                return Err(format!("only {count} bytes came in {elapsed:.0?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// What comes of `bytes` at once, and again each second, `seconds` times.
    async fn arrives(bytes: usize, seconds: usize) -> Result<Vec<u8>, String> {
        let (mut sender, receiver) = tokio::io::duplex(1 << 20);
        tokio::spawn(async move {
            for _ in 0..seconds {
                if sender.write_all(&vec![7; bytes]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        read_in_time(receiver).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_a_byte_at_a_time_is_given_up_and_a_slow_line_is_not() {
        let begun = Instant::now();
        let why = arrives(1, 100_000).await.unwrap_err();
        assert!(why.contains("bytes came in"), "{why}");
        assert!(begun.elapsed() < FIRST_BYTES + Duration::from_secs(2), "{:?}", begun.elapsed());
        let slow = LEAST_RATE as usize;
        assert_eq!(arrives(slow, 300).await.map(|bytes| bytes.len()), Ok(300 * slow));
    }

    #[test]
    fn who_failed_is_asked_last_until_it_does_not() {
        let [one, two] = [1, 2].map(|byte| NodeId::from_bytes([byte; 32]));
        let failing = Failing::default();
        failing.note(one, |_| true);
        failing.note(one, |_| true);
        assert_eq!((failing.count(one), failing.count(two)), (2, 0));
        failing.note(two, |node| node == two);
        assert_eq!((failing.count(one), failing.count(two)), (0, 1), "the one is gone");
        failing.forget(two);
        assert_eq!(failing.count(two), 0);
    }
}
