//! That a call which a third node passes on is its caller's.
//!
//! Over a connection of its own, a node is known by that. One that passes a call on could say that
//! it is anybody's. So the caller's node signs each call that goes through another one: for the
//! callee's node alone, with everything that decides what the call does. Whoever passes it on can
//! neither change it nor make one of its own, and the callee's node takes each once
//! (`wattle_mesh::core::routing::replay`).
//!
//! Not signed are the time that is left and what is streamed after the payload.

use serde::{Deserialize, Serialize};

use super::{CallRoute, Relay};
use crate::id::{Digest, NodeId};
use crate::key::{Purpose, Signature, SigningKey};
use crate::trust::UnixMillis;
use crate::wire::{self, WireError};

/// The caller's signature of a call that another node passes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallProof {
    /// Drawn at random when the caller's node started: its calls are numbered anew.
    pub run: u64,
    /// When it was signed, by the caller's clock.
    pub at: UnixMillis,
    signature: Signature,
}

impl CallProof {
    /// Signs a call with the key of its caller's node.
    pub fn sign(
        key: &SigningKey,
        run: u64,
        at: UnixMillis,
        relay: &Relay,
        route: &CallRoute,
        payload: &[u8],
    ) -> Result<Self, WireError> {
        let statement = statement(run, at, relay, route, payload)?;
        Ok(Self { run, at, signature: key.sign(Purpose::Call, &statement) })
    }

    /// Whether `caller` has signed this call.
    pub fn is_by(&self, caller: NodeId, relay: &Relay, route: &CallRoute, payload: &[u8]) -> bool {
        statement(self.run, self.at, relay, route, payload).is_ok_and(|statement| {
            self.signature.verifies(caller.as_bytes(), Purpose::Call, &statement)
        })
    }
}

fn statement(
    run: u64,
    at: UnixMillis,
    relay: &Relay,
    route: &CallRoute,
    payload: &[u8],
) -> Result<Vec<u8>, WireError> {
    wire::encode(&(relay.to, relay.call, run, at, route, Digest::of(payload)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Encoding, Source};

    #[test]
    fn whoever_passes_a_call_on_can_not_change_it() {
        let key = SigningKey::from_seed([2; 32]).unwrap();
        let caller = NodeId::from_bytes(key.public());
        let route = CallRoute {
            source: Source::Component("shop/basket".parse().unwrap()),
            target: "shop/pricing".parse().unwrap(),
            contract: "example:shop/pricing@0.1.0".parse().unwrap(),
            function: "price".into(),
            encoding: Encoding::Values,
        };
        let to = NodeId::from_bytes([9; 32]);
        let relay = Relay { to, call: 7, path: vec![caller], proof: None };
        let proof = CallProof::sign(&key, 3, UnixMillis(5), &relay, &route, b"arguments").unwrap();
        assert!(proof.is_by(caller, &relay, &route, b"arguments"));
        // Who passes it on is written down on the way.
        let path = vec![caller, NodeId::from_bytes([8; 32])];
        assert!(proof.is_by(caller, &Relay { path, ..relay.clone() }, &route, b"arguments"));

        let elsewhere = Relay { to: NodeId::from_bytes([8; 32]), ..relay.clone() };
        assert!(!proof.is_by(caller, &elsewhere, &route, b"arguments"));
        assert!(!proof.is_by(caller, &Relay { call: 8, ..relay.clone() }, &route, b"arguments"));
        assert!(!proof.is_by(caller, &relay, &route, b"argument"));
        assert!(!proof.is_by(NodeId::from_bytes([8; 32]), &relay, &route, b"arguments"));
        let other = CallRoute { function: "discount".into(), ..route.clone() };
        assert!(!proof.is_by(caller, &relay, &other, b"arguments"));
        let other = CallRoute { source: Source::Operator, ..route.clone() };
        assert!(!proof.is_by(caller, &relay, &other, b"arguments"));
        for other in [
            CallProof { run: 4, ..proof.clone() },
            CallProof { at: UnixMillis(6), ..proof.clone() },
        ] {
            assert!(!other.is_by(caller, &relay, &route, b"arguments"));
        }
    }
}
