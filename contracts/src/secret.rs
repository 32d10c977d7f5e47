//! Seals a secret to the nodes that may open it, and opens it there.
//!
//! The value is encrypted once, by AES-256-GCM (NIST SP 800-38D) under a key that serves for
//! nothing else. That key is sealed to each node by HPKE (RFC 9180: DHKEM(X25519, HKDF-SHA256),
//! HKDF-SHA256, ChaCha20-Poly1305). A node's X25519 key is its Ed25519 key in Montgomery form
//! (RFC 7748, section 4.1); one key pair for both is sound (Thormarker, "On using the same key
//! pair for Ed25519 and an X25519 based KEM", IACR ePrint 2021/509). Both are bound to the name of
//! the secret: moved to another name, neither opens.

use curve25519_dalek::edwards::CompressedEdwardsY;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as KemTrait, X25519HkdfSha256};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA512, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use crate::id::NodeId;
use crate::key::SigningKey;
use crate::record::{ConfigKey, SealedKey, Secret};

type Kem = X25519HkdfSha256;

const INFO: &[u8] = b"wattle secret v1";

/// Why a secret can't be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// It is longer than a secret may be.
    #[error("the secret has {size} bytes, where at most {limit} are allowed")]
    TooLong {
        /// Its length, in bytes.
        size: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// There is nobody who could open it, or more than can be named.
    #[error("a secret is sealed to 1 to {limit} nodes, not to {nodes}")]
    Nodes {
        /// How many there are.
        nodes: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The system gave no random bytes.
    #[error("the system's random source gave no bytes")]
    NoRandomness,
    /// A node's id is no key that something can be sealed to.
    #[error("nothing can be sealed to node {0}: its id is not a point of the curve")]
    BadNode(NodeId),
    /// It is not sealed to this node.
    #[error("it is not sealed to this node")]
    NotForUs,
    /// It was changed, or is not the secret of this name.
    #[error("it was changed after it had been sealed, or is the secret of another name")]
    Damaged,
}

/// Seals `value`, the secret that `about` names, to `nodes`.
pub fn seal(about: &ConfigKey, value: &[u8], nodes: &[NodeId]) -> Result<Secret, SecretError> {
    let (size, limit) = (value.len(), Secret::MAX_VALUE);
    if size > limit {
        return Err(SecretError::TooLong { size, limit });
    }
    let mut key = Zeroizing::new([0u8; 32]);
    SystemRandom::new().fill(key.as_mut()).map_err(|_| SecretError::NoRandomness)?;
    let name = about.to_string();
    let mut sealed = value.to_vec();
    once(&key)?
        .seal_in_place_append_tag(nonce(), Aad::from(name.as_bytes()), &mut sealed)
        .map_err(|_| SecretError::Damaged)?;
    Ok(Secret { sealed, keys: seal_key(about, &key, nodes)? })
}

fn seal_key(
    about: &ConfigKey,
    key: &[u8; 32],
    nodes: &[NodeId],
) -> Result<Vec<SealedKey>, SecretError> {
    if nodes.is_empty() || nodes.len() > Secret::MAX_NODES {
        return Err(SecretError::Nodes { nodes: nodes.len(), limit: Secret::MAX_NODES });
    }
    let name = about.to_string();
    let seal_to = |node: &NodeId| {
        let bad = |_| SecretError::BadNode(*node);
        let point = CompressedEdwardsY(*node.as_bytes()).decompress();
        let montgomery = point.ok_or(SecretError::BadNode(*node))?.to_montgomery();
        let public =
            <Kem as KemTrait>::PublicKey::from_bytes(montgomery.as_bytes()).map_err(bad)?;
        let (encapped, ciphertext) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, Kem>(
            &OpModeS::Base,
            &public,
            INFO,
            key.as_ref(),
            name.as_bytes(),
        )
        .map_err(bad)?;
        let sealed = [encapped.to_bytes().as_slice(), &ciphertext].concat();
        Ok(SealedKey { node: *node, sealed })
    };
    nodes.iter().map(seal_to).collect()
}

/// Opens the secret that `about` names, on the node whose key this is.
pub fn open(
    about: &ConfigKey,
    secret: &Secret,
    key: &SigningKey,
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let key = content_key(about, secret, key)?;
    value(about, secret, &key)
}

/// The value, by the key under which it was encrypted.
fn value(
    about: &ConfigKey,
    secret: &Secret,
    key: &[u8; 32],
) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let name = about.to_string();
    let mut value = Zeroizing::new(secret.sealed.clone());
    let length = once(key)?
        .open_in_place(nonce(), Aad::from(name.as_bytes()), &mut value)
        .map_err(|_| SecretError::Damaged)?
        .len();
    value.truncate(length);
    Ok(value)
}

/// Seals the key of a secret that the node with this key may open to others as well: the same
/// secret, word for word, so that who knows it from elsewhere needs to believe nobody that it is.
pub fn seal_on(
    about: &ConfigKey,
    secret: &Secret,
    key: &SigningKey,
    nodes: &[NodeId],
) -> Result<Secret, SecretError> {
    let key = content_key(about, secret, key)?;
    // Nobody is handed what does not open.
    value(about, secret, &key)?;
    Ok(Secret { sealed: secret.sealed.clone(), keys: seal_key(about, &key, nodes)? })
}

/// The key under which the value was encrypted, as it was sealed to the node whose key this is.
fn content_key(
    about: &ConfigKey,
    secret: &Secret,
    key: &SigningKey,
) -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let me = NodeId::from_bytes(key.public());
    let ours = secret.keys.iter().find(|sealed| sealed.node == me).ok_or(SecretError::NotForUs)?;
    let name = about.to_string();
    let damaged = |_| SecretError::Damaged;
    let private = private(key)?;
    let (encapped, ciphertext) = ours.sealed.split_at_checked(32).ok_or(SecretError::Damaged)?;
    let encapped = <Kem as KemTrait>::EncappedKey::from_bytes(encapped).map_err(damaged)?;
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &private,
        &encapped,
        INFO,
        ciphertext,
        name.as_bytes(),
    );
    let opened = Zeroizing::new(opened.map_err(damaged)?);
    Ok(Zeroizing::new(opened.as_slice().try_into().map_err(|_| SecretError::Damaged)?))
}

/// The X25519 private key of a node: what RFC 8032 (section 5.1.5) makes of its seed.
fn private(key: &SigningKey) -> Result<<Kem as KemTrait>::PrivateKey, SecretError> {
    let hashed = digest(&SHA512, key.seed());
    let mut scalar = Zeroizing::new([0u8; 32]);
    for (to, from) in scalar.iter_mut().zip(hashed.as_ref()) {
        *to = *from;
    }
    <Kem as KemTrait>::PrivateKey::from_bytes(scalar.as_ref()).map_err(|_| SecretError::Damaged)
}

/// A key that encrypts one value, and never another.
fn once(key: &[u8; 32]) -> Result<LessSafeKey, SecretError> {
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SecretError::Damaged)?;
    Ok(LessSafeKey::new(key))
}

/// Its nonce may be anything, as the key is never used twice.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32]).unwrap()
    }

    fn node(seed: u8) -> NodeId {
        NodeId::from_bytes(key(seed).public())
    }

    fn about() -> ConfigKey {
        "shop/basket/token".parse().unwrap()
    }

    #[test]
    fn only_those_whom_it_is_sealed_to_open_it() {
        let secret = seal(&about(), b"hush", &[node(1), node(2)]).unwrap();
        for seed in [1, 2] {
            assert_eq!(**open(&about(), &secret, &key(seed)).unwrap(), *b"hush");
        }
        assert_eq!(open(&about(), &secret, &key(3)), Err(SecretError::NotForUs));
        // In the place of one who may.
        let mut stolen = secret.clone();
        stolen.keys[0].node = node(3);
        assert_eq!(open(&about(), &stolen, &key(3)), Err(SecretError::Damaged));
    }

    #[test]
    fn who_may_open_it_hands_on_the_same_and_nothing_else() {
        let secret = seal(&about(), b"hush", &[node(1)]).unwrap();
        let handed = seal_on(&about(), &secret, &key(1), &[node(2)]).unwrap();
        assert_eq!(handed.sealed, secret.sealed);
        assert_eq!(**open(&about(), &handed, &key(2)).unwrap(), *b"hush");
        assert_eq!(seal_on(&about(), &secret, &key(2), &[node(3)]), Err(SecretError::NotForUs));
        // Another value under a key of one's own does not open what the secret holds.
        let other = seal(&about(), b"lies", &[node(2)]).unwrap();
        let mixed = Secret { sealed: secret.sealed.clone(), keys: other.keys };
        assert_eq!(open(&about(), &mixed, &key(2)), Err(SecretError::Damaged));
    }

    #[test]
    fn it_opens_under_its_own_name_only() {
        let secret = seal(&about(), b"hush", &[node(1)]).unwrap();
        let other = "shop/mirror/token".parse().unwrap();
        assert_eq!(open(&other, &secret, &key(1)), Err(SecretError::Damaged));
    }

    #[test]
    fn what_can_not_be_sealed_is_refused() {
        let long = vec![0; Secret::MAX_VALUE + 1];
        assert!(matches!(seal(&about(), &long, &[node(1)]), Err(SecretError::TooLong { .. })));
        assert!(matches!(seal(&about(), b"x", &[]), Err(SecretError::Nodes { .. })));
        // Not every 32 bytes are a point.
        let bad = (0..=255).map(|byte| NodeId::from_bytes([byte; 32]));
        assert!(
            bad.into_iter()
                .any(|node| { seal(&about(), b"x", &[node]) == Err(SecretError::BadNode(node)) })
        );
    }

    #[test]
    fn what_is_sealed_twice_looks_different() {
        let sealed = || seal(&about(), b"hush", &[node(1)]).unwrap();
        let (one, other) = (sealed(), sealed());
        assert_ne!(one.sealed, other.sealed);
        assert_ne!(one.keys[0].sealed, other.keys[0].sealed);
    }

    proptest! {
        #[test]
        fn every_value_comes_back_and_no_changed_one_opens(
            value in prop::collection::vec(any::<u8>(), 0..200),
            at in any::<prop::sample::Index>(),
            in_key in any::<bool>(),
        ) {
            let mut secret = seal(&about(), &value, &[node(1)]).unwrap();
            prop_assert_eq!(&**open(&about(), &secret, &key(1)).unwrap(), &value);
            let bytes = match in_key {
                true => &mut secret.keys[0].sealed,
                false => &mut secret.sealed,
            };
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            // The last bit of an X25519 public key does not count (RFC 7748, section 5).
            if !(in_key && at == 31) {
                prop_assert_eq!(open(&about(), &secret, &key(1)), Err(SecretError::Damaged));
            }
        }

        #[test]
        fn no_bytes_make_opening_panic(
            sealed in prop::collection::vec(any::<u8>(), 0..100),
            wrapped in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let keys = vec![SealedKey { node: node(1), sealed: wrapped }];
            let opened = open(&about(), &Secret { sealed, keys }, &key(1));
            prop_assert!(opened.is_err());
        }
    }
}
