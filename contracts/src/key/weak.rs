//! Public keys for which anybody can make signatures.
//!
//! A few points of the curve come back to themselves after at most eight steps. For one of these as
//! public key, a "signature" that verifies can be found in a few attempts, or is the same for every
//! message (Chalkias, Garillot, Nikolaenko, "Taming the Many EdDSAs", 2020, section 3). RFC 8032
//! leaves open whether they are keys. Here they are none: a signature is somebody's.

/// Their second coordinates as bytes, where the last bit is the first one's sign. Two are here also
/// as they can be written above the prime.
const SMALL_ORDER: [[u8; 32]; 7] = [
    // 0, of order 4; 1, which is the neutral point.
    [0; 32],
    first(1),
    // The two of order 8.
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    // -1, of order 2; 0 and 1 again.
    near_prime(0xec),
    near_prime(0xed),
    near_prime(0xee),
];

const fn first(byte: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    let [first, ..] = &mut bytes;
    *first = byte;
    bytes
}

/// 2^255 - 256 and so much: the prime is 2^255 - 19.
const fn near_prime(byte: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    let [first, .., last] = &mut bytes;
    (*first, *last) = (byte, 0x7f);
    bytes
}

/// Whether this key is no secret of anybody.
pub(super) fn is_weak(public: &[u8; 32]) -> bool {
    let mut point = *public;
    let [.., last] = &mut point;
    *last &= 0x7f;
    SMALL_ORDER.contains(&point)
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use curve25519_dalek::edwards::CompressedEdwardsY;

    use super::*;
    use crate::key::{Purpose, Signature, SigningKey};

    #[test]
    fn all_points_of_small_order_are_known_and_no_others() {
        for point in EIGHT_TORSION {
            assert!(is_weak(&point.compress().to_bytes()));
        }
        for bytes in SMALL_ORDER {
            assert!(CompressedEdwardsY(bytes).decompress().unwrap().is_small_order());
        }
        assert!(!is_weak(&SigningKey::from_seed([1; 32]).unwrap().public()));
        assert!(!is_weak(&[2; 32]));
    }

    /// What a fuzzer makes of a signed thing first: zeros.
    #[test]
    fn nobody_signs_with_a_key_that_is_no_secret() {
        let neutral = first(1);
        let mut signature = [0; 64];
        signature[0] = 1;
        for body in [b"one".as_slice(), b"two", b"three", b"four", b"five", b"six"] {
            assert!(!Signature(signature).verifies(&neutral, Purpose::Record, body));
            assert!(!Signature([0; 64]).verifies(&[0; 32], Purpose::Record, body));
        }
    }
}
