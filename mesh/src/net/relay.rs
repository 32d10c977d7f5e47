//! Calls that are passed on, because their caller and their callee don't reach each other.
//!
//! A relay is a call in the one direction and a call in the other: what is streamed, cancelled or
//! too late on one side is so on the other, and each side's limits hold. What may be passed on is
//! decided by [`Passing`].

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use wattle_contracts::call::{CallError, CallHeader, ErrorKind, Relay};
use wattle_contracts::id::NodeId;

use super::body::BodyStream;
use super::metrics::Metrics;
use super::peers::{Peers, Way};
use super::service::Reply;
use crate::core::routing::relay::{Passing, Refusal};

/// Passes on calls of others.
#[derive(Debug)]
pub(super) struct Relays {
    node: NodeId,
    /// Weak, because the links hold this.
    peers: Weak<Peers>,
    metrics: Arc<Metrics>,
    passing: Mutex<Passing>,
    /// The number of this node's next call that others pass on.
    next: AtomicU64,
}

impl Relays {
    pub(super) fn new(node: NodeId, peers: &Arc<Peers>, metrics: &Arc<Metrics>) -> Self {
        let (peers, metrics) = (Arc::downgrade(peers), metrics.clone());
        let next = AtomicU64::new(SmallRng::from_os_rng().random());
        Self { node, peers, metrics, passing: Mutex::default(), next }
    }

    /// The way of a call of this node that is to go to `to` through another one.
    pub(super) fn first(&self, to: NodeId) -> Relay {
        self.metrics.calls_detoured.one();
        Relay { to, call: self.next.fetch_add(1, Ordering::Relaxed), path: Vec::new() }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// Passes a call that `from` has handed over on towards its target.
    pub(super) async fn pass_on(
        &self,
        from: NodeId,
        mut header: CallHeader,
        payload: Bytes,
        body: Option<BodyStream>,
    ) -> Result<Reply, CallError> {
        let Some(relay) = header.relay.as_deref_mut() else {
            return Err(CallError::new(ErrorKind::Internal, "a call that is not for another node"));
        };
        let to = relay.to;
        let begun = self.passing.lock().unwrap_or_else(PoisonError::into_inner).begin(from, relay);
        let id = begun.map_err(|refusal| self.refuse(refusal, to))?;
        let _under_way = UnderWay { relays: self, id };
        let way = self.peers.upgrade().and_then(|peers| peers.way(to));
        let link = match way {
            Some(Way::Direct(link)) => link,
            Some(Way::Through(link)) if relay.path.len() < Relay::MAX => link,
            _ => return Err(self.refuse(Refusal::NoWay, to)),
        };
        if relay.path.contains(&link.peer()) {
            return Err(self.refuse(Refusal::GoesRound, to));
        }
        header.hops = header.hops.saturating_add(1);
        self.metrics.calls_relayed.one();
        link.call(header, payload, body).await
    }

    fn refuse(&self, refusal: Refusal, to: NodeId) -> CallError {
        self.metrics.relays_refused.one();
        let text = format!(
            "node {} was to pass the call on to {to}, and did not: {refusal}; the call was not begun",
            self.node.short()
        );
        CallError::new(refusal.kind(), text)
    }
}

/// A call that is being passed on; not any more when this is dropped.
struct UnderWay<'a> {
    relays: &'a Relays,
    id: (NodeId, u64),
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.relays.passing.lock().unwrap_or_else(PoisonError::into_inner).end(self.id);
    }
}
