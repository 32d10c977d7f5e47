//! That a call which comes over the mesh is the person's who is said to have made it.
//!
//! A person is at some node, and what is called runs at another. That one would have to believe
//! the first one that somebody stands behind it. So the person signs the call, for the node that
//! is to answer it alone, and with everything that decides what it does; each is taken once
//! (`wattle_mesh::core::routing::once`). The key never leaves the person's machine.

use std::str;

use serde::{Deserialize, Serialize};

use crate::id::{ComponentId, ContractId, Digest, MeshId, NodeId, OperatorKey};
use crate::key::{Purpose, Signature, SigningKey};
use crate::trust::UnixMillis;
use crate::wire::{self, WireError};

/// What a person asks for, where, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PersonAsks<'a> {
    /// The mesh.
    pub mesh: MeshId,
    /// The node that is to answer.
    pub to: NodeId,
    /// What is called there.
    pub target: &'a ComponentId,
    /// The contract of the function.
    pub contract: &'a ContractId,
    /// The function.
    pub function: &'a str,
    /// The arguments, in WAVE.
    pub arguments: &'a str,
}

/// A person's signature of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonProof {
    /// Whose.
    pub key: OperatorKey,
    /// Tells the call from all others; drawn at random.
    pub nonce: [u8; 16],
    /// When it was signed, by the person's clock.
    pub at: UnixMillis,
    signature: Signature,
}

impl PersonProof {
    /// Signs a call.
    pub fn sign(
        key: &SigningKey,
        nonce: [u8; 16],
        at: UnixMillis,
        asks: &PersonAsks<'_>,
    ) -> Result<Self, WireError> {
        let statement = statement(nonce, at, asks)?;
        let signature = key.sign(Purpose::Person, &statement);
        Ok(Self { key: OperatorKey::from_bytes(key.public()), nonce, at, signature })
    }

    /// Whether the holder of its key has signed this call.
    pub fn proves(&self, asks: &PersonAsks<'_>) -> bool {
        statement(self.nonce, self.at, asks).is_ok_and(|statement| {
            self.signature.verifies(self.key.as_bytes(), Purpose::Person, &statement)
        })
    }

    /// The payload of a call with [`Encoding::Signed`](super::Encoding::Signed): the length of the
    /// proof (`u16`, little-endian), the proof, and the arguments as they are.
    pub fn with(&self, arguments: &str) -> Result<Vec<u8>, WireError> {
        let proof = wire::encode(self)?;
        let length = u16::try_from(proof.len()).map_err(|_| WireError::TooLong {
            length: proof.len(),
            limit: usize::from(u16::MAX),
        })?;
        Ok([&length.to_le_bytes(), proof.as_slice(), arguments.as_bytes()].concat())
    }

    /// Reads what [`PersonProof::with`] wrote.
    pub fn read(payload: &[u8]) -> Result<(Self, &str), WireError> {
        let malformed = |why: &str| WireError::Malformed(why.into());
        let (length, rest) =
            payload.split_first_chunk().ok_or_else(|| malformed("a call without a signature"))?;
        let length = usize::from(u16::from_le_bytes(*length));
        let (proof, arguments) = rest
            .split_at_checked(length)
            .ok_or_else(|| malformed("a call whose signature is cut short"))?;
        let arguments =
            str::from_utf8(arguments).map_err(|_| malformed("arguments that are no text"))?;
        Ok((wire::decode(proof)?, arguments))
    }
}

fn statement(nonce: [u8; 16], at: UnixMillis, asks: &PersonAsks<'_>) -> Result<Vec<u8>, WireError> {
    let PersonAsks { mesh, to, target, contract, function, arguments } = asks;
    let arguments = Digest::of(arguments.as_bytes());
    wire::encode(&(mesh, to, target, contract, function, arguments, nonce, at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed([2; 32]).unwrap()
    }

    #[test]
    fn nobody_on_the_way_can_make_another_call_of_it() {
        let (target, other): (ComponentId, ComponentId) =
            ("shop/basket".parse().unwrap(), "shop/till".parse().unwrap());
        let (contract, another): (ContractId, ContractId) =
            ("wattle:any".parse().unwrap(), "example:shop/till".parse().unwrap());
        let asks = PersonAsks {
            mesh: MeshId::from_bytes([1; 32]),
            to: NodeId::from_bytes([9; 32]),
            target: &target,
            contract: &contract,
            function: "cheapest",
            arguments: "[]",
        };
        let proof = PersonProof::sign(&key(), [7; 16], UnixMillis(5), &asks).unwrap();
        assert!(proof.proves(&asks));
        for changed in [
            PersonAsks { mesh: MeshId::from_bytes([2; 32]), ..asks },
            PersonAsks { to: NodeId::from_bytes([8; 32]), ..asks },
            PersonAsks { target: &other, ..asks },
            PersonAsks { contract: &another, ..asks },
            PersonAsks { function: "clear", ..asks },
            PersonAsks { arguments: "[1]", ..asks },
        ] {
            assert!(!proof.proves(&changed), "{changed:?}");
        }
        for changed in [
            PersonProof { key: OperatorKey::from_bytes([3; 32]), ..proof.clone() },
            PersonProof { nonce: [8; 16], ..proof.clone() },
            PersonProof { at: UnixMillis(6), ..proof.clone() },
        ] {
            assert!(!changed.proves(&asks));
        }
    }

    proptest! {
        #[test]
        fn a_signed_call_survives_its_bytes(arguments in ".*", nonce in any::<[u8; 16]>()) {
            let (target, contract) = ("a/b".parse().unwrap(), "a:b/c".parse().unwrap());
            let asks = PersonAsks {
                mesh: MeshId::from_bytes([1; 32]),
                to: NodeId::from_bytes([9; 32]),
                target: &target,
                contract: &contract,
                function: "f",
                arguments: &arguments,
            };
            let proof = PersonProof::sign(&key(), nonce, UnixMillis(5), &asks).unwrap();
            let bytes = proof.with(&arguments).unwrap();
            prop_assert_eq!(PersonProof::read(&bytes).unwrap(), (proof, arguments.as_str()));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = PersonProof::read(&bytes);
        }
    }
}
