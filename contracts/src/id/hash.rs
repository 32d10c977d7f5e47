//! The 32-byte identifiers: public keys and digests.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::IdError;

/// How libp2p writes an Ed25519 public key as a peer id: an identity multihash (0x00, length 36)
/// over the protobuf encoding of the key (libp2p specification "Peer Ids and Keys").
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; 32]);

        // As bytes; of two hashes or keys, the first eight nearly always tell.
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                let first = |all: &Self| all.0.first_chunk().map(|first| u64::from_be_bytes(*first));
                first(self).cmp(&first(other)).then_with(|| self.0.cmp(&other.0))
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// The identifier with these bytes.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Its bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        // Text where people read, bytes on the wire.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

bytes32!(
    /// A node: its Ed25519 public key. The text form is libp2p's peer id (`12D3KooW…`).
    NodeId
);
bytes32!(
    /// A mesh: the public key of its authority.
    MeshId
);
bytes32!(
    /// Somebody who signs components: their Ed25519 public key.
    PublisherKey
);
bytes32!(
    /// Somebody who may change what is declared: their Ed25519 public key.
    OperatorKey
);
bytes32!(
    /// A key of a mesh's authority: the one that names the mesh, or one to which it was handed over.
    AuthorityKey
);
bytes32!(
    /// An invitation: the Ed25519 public key whose private half its token carries.
    InviteKey
);
bytes32!(
    /// The SHA-256 of an artifact.
    Digest
);

impl Digest {
    /// The SHA-256 of `bytes` (FIPS 180-4).
    pub fn of(bytes: &[u8]) -> Self {
        let hash = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut digest = [0u8; 32];
        for (to, from) in digest.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self(digest)
    }

    /// The digest as 64 hexadecimal digits without a prefix, for file names.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl NodeId {
    /// The bytes of libp2p's peer id of this node.
    pub fn to_peer_id_bytes(&self) -> Vec<u8> {
        [PEER_ID_PREFIX.as_slice(), &self.0].concat()
    }

    /// The node with this libp2p peer id; `None` when the peer's key is not an Ed25519 one.
    pub fn from_peer_id_bytes(bytes: &[u8]) -> Option<Self> {
        let key = bytes.strip_prefix(PEER_ID_PREFIX.as_slice())?;
        key.try_into().ok().map(Self)
    }

    /// The last eight characters of the text form: enough for a log line.
    pub fn short(&self) -> String {
        // Only these digits of the number in base 58 are worked out: logs are full of them.
        const DIGITS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        let limit = 58u64.pow(8);
        let add = |rest: u64, byte: &u8| (rest * 256 + u64::from(*byte)) % limit;
        let mut rest = PEER_ID_PREFIX.iter().chain(&self.0).fold(0, add);
        let mut digits = [0u8; 8];
        for digit in digits.iter_mut().rev() {
            *digit =
                usize::try_from(rest % 58).ok().and_then(|at| DIGITS.get(at)).map_or(0, |d| *d);
            rest /= 58;
        }
        digits.into_iter().map(char::from).collect()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_peer_id_bytes()).into_string())
    }
}

impl FromStr for NodeId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |why: &str| IdError::new(text, "a node id (12D3KooW…)", why);
        let bytes = bs58::decode(text).into_vec().map_err(|_| error("it is not base58"))?;
        Self::from_peer_id_bytes(&bytes).ok_or_else(|| error("it is not that of an Ed25519 key"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl FromStr for Digest {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = |why: &str| IdError::new(text, "a digest (sha256:…)", why);
        let digits = text.strip_prefix("sha256:").ok_or_else(|| error("no `sha256:` in front"))?;
        let bytes = hex::decode(digits).map_err(|_| error("it is not hexadecimal"))?;
        bytes.try_into().map(Self).map_err(|_| error("it has not 64 digits"))
    }
}

macro_rules! prefixed_key {
    ($name:ident, $prefix:literal, $expected:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), bs58::encode(self.0).with_check().into_string())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let error = |why: &str| IdError::new(text, $expected, why);
                let body = text
                    .strip_prefix($prefix)
                    .ok_or_else(|| error(concat!("no `", $prefix, "` in front")))?;
                let bytes = bs58::decode(body)
                    .with_check(None)
                    .into_vec()
                    .map_err(|_| error("a character is wrong or missing (its checksum fails)"))?;
                bytes.try_into().map(Self).map_err(|_| error("it has not 32 bytes"))
            }
        }
    };
}

prefixed_key!(MeshId, "mesh:", "a mesh id (mesh:…)");
prefixed_key!(PublisherKey, "publisher:", "a publisher's public key (publisher:…)");
prefixed_key!(AuthorityKey, "authority:", "a public key of a mesh's authority (authority:…)");
prefixed_key!(OperatorKey, "operator:", "an operator's public key (operator:…)");
prefixed_key!(InviteKey, "invite:", "an invitation's public key (invite:…)");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_node_id_reads_as_libp2p_writes_it() {
        // From the libp2p specification's style: every Ed25519 peer id starts so.
        let id = NodeId::from_bytes([0; 32]);
        assert!(id.to_string().starts_with("12D3KooW"), "{id}");
    }

    #[test]
    fn a_mistyped_key_is_refused() {
        let key = PublisherKey::from_bytes([9; 32]).to_string();
        let typo =
            format!("{}{}", &key[..key.len() - 1], if key.ends_with('2') { '3' } else { '2' });
        assert!(typo.parse::<PublisherKey>().unwrap_err().to_string().contains("checksum"));
        assert!(key.parse::<MeshId>().is_err());
    }

    proptest! {
        #[test]
        fn every_identifier_survives_its_text(bytes in any::<[u8; 32]>()) {
            let node = NodeId::from_bytes(bytes);
            prop_assert_eq!(node.to_string().parse::<NodeId>().unwrap(), node);
            prop_assert!(node.to_string().ends_with(&node.short()) && node.short().len() == 8);
            let mesh = MeshId::from_bytes(bytes);
            prop_assert_eq!(mesh.to_string().parse::<MeshId>().unwrap(), mesh);
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        }

        #[test]
        fn the_order_is_that_of_the_bytes(one in any::<[u8; 32]>(), other in any::<[u8; 32]>(), same in 0usize..=32) {
            let mut other = other;
            other[..same].copy_from_slice(&one[..same]);
            let ids = (Digest::from_bytes(one), Digest::from_bytes(other));
            prop_assert_eq!(ids.0.cmp(&ids.1), one.cmp(&other));
        }

        #[test]
        fn no_text_makes_parsing_panic(text in ".*") {
            let _ = text.parse::<NodeId>();
            let _ = text.parse::<Digest>();
            let _ = text.parse::<MeshId>();
            let _ = text.parse::<PublisherKey>();
        }
    }
}
