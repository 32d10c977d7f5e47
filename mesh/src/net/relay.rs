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
use wattle_contracts::call::{CallError, CallHeader, CallProof, ErrorKind, Relay, Source};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::wire::WireError;

use super::body::BodyStream;
use super::config::WallClock;
use super::metrics::Metrics;
use super::peers::{Peers, Way};
use super::service::Reply;
use crate::core::routing::relay::{Passing, Refusal};
use crate::core::routing::replay::Taken;

/// Passes on calls of others.
#[derive(Debug)]
pub(super) struct Relays {
    node: NodeId,
    key: Arc<SigningKey>,
    clock: WallClock,
    /// Of this node's calls, by which they are told from those of its earlier runs.
    run: u64,
    /// Calls of others that were passed on to this node.
    taken: Mutex<Taken>,
    /// Weak, because the links hold this.
    peers: Weak<Peers>,
    metrics: Arc<Metrics>,
    passing: Mutex<Passing>,
    /// The number of this node's next call that others pass on.
    next: AtomicU64,
}

impl Relays {
    pub(super) fn new(
        node: NodeId,
        (key, clock): (Arc<SigningKey>, WallClock),
        peers: &Arc<Peers>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let (peers, metrics) = (Arc::downgrade(peers), metrics.clone());
        let mut random = SmallRng::from_os_rng();
        // Far from where the numbers end.
        let next = AtomicU64::new(random.random::<u64>() >> 1);
        let (run, taken, passing) = (random.random(), Mutex::default(), Mutex::default());
        Self { node, key, clock, run, taken, peers, metrics, passing, next }
    }

    /// The way of a call of this node that is to go to `to` through another one.
    pub(super) fn first(&self, to: NodeId) -> Relay {
        self.metrics.calls_detoured.one();
        let call = self.next.fetch_add(1, Ordering::Relaxed);
        Relay { to, call, path: Vec::new(), proof: None }
    }

    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    pub(super) fn clock(&self) -> WallClock {
        self.clock
    }

    /// Signs a call of this node that goes through another one.
    pub(super) fn prove(&self, header: &mut CallHeader, payload: &[u8]) -> Result<(), WireError> {
        let Some(relay) = header.relay.as_mut().filter(|_| signs(&header.route.source)) else {
            return Ok(());
        };
        let at = self.clock.now();
        let proof = CallProof::sign(&self.key, self.run, at, relay, &header.route, payload)?;
        relay.proof = Some(Box::new(proof));
        Ok(())
    }

    /// Whether a call that has come to this node through others is that of the node that it names,
    /// and has not come before.
    pub(super) fn check(
        &self,
        from: NodeId,
        header: &CallHeader,
        payload: &[u8],
    ) -> Result<(), CallError> {
        let for_me = |relay: &&Relay| relay.to == self.node && signs(&header.route.source);
        let Some(relay) = header.relay.as_deref().filter(for_me) else { return Ok(()) };
        let Some(caller) = relay.path.first() else { return Ok(()) };
        let refuse = |why: &str| {
            self.metrics.calls_forged.one();
            let text = format!(
                "node {} does not take the call that {from} brought from {caller}: {why}",
                self.node.short()
            );
            Err(CallError::new(ErrorKind::NotAllowed, text))
        };
        let Some(proof) = &relay.proof else {
            return refuse("it is not signed by that node (rule: speaker)");
        };
        if !proof.is_by(*caller, relay, &header.route, payload) {
            return refuse("the signature is not that node's, or of another call (rule: speaker)");
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        match taken.take(self.clock.now(), *caller, proof.run, proof.at, relay.call) {
            Ok(()) => Ok(()),
            Err(refusal) => refuse(&format!("{refusal} (rule: speaker)")),
        }
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

/// Whether calls of `source` are signed when they are passed on. Messages are by themselves.
fn signs(source: &Source) -> bool {
    *source != Source::Messages
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
