//! A component with its publisher's signature inside: signed and verified without a network.
//!
//! The format is that of the WebAssembly tool conventions ("Wasm signatures",
//! <https://github.com/WebAssembly/tool-conventions/blob/main/Signatures.md>): a custom section
//! named `signature`, the first of the file, with an Ed25519 signature over the SHA-256 of
//! everything after it. Other tools read it, and every Wasm engine skips it.

mod leb;
mod section;

use crate::id::{Digest, PublisherKey};
use crate::key::SigningKey;
use section::{MAX_SIGNATURES, SignatureSection};

/// The largest component, in bytes.
pub const MAX_ARTIFACT: usize = 256 * 1024 * 1024;

/// The first eight bytes of every component: magic number, version 13, layer 1.
const COMPONENT_HEADER: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];
/// The same of a core module.
const MODULE_HEADER: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/// Why a file is not taken as a component that somebody trusted has signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// The file is no Wasm component.
    #[error("not a WebAssembly component: {0}")]
    NotAComponent(String),
    /// The file is too large.
    #[error("the component has {size} bytes, where at most {MAX_ARTIFACT} are allowed")]
    TooLarge {
        /// Its size, in bytes.
        size: usize,
    },
    /// There is no signature in it.
    #[error(
        "the component is not signed; expected a signature by {}. \
         Sign it: wattle sign FILE --key PUBLISHER.key", expected(.trusted)
    )]
    Unsigned {
        /// Whose signature would have been taken.
        trusted: Vec<PublisherKey>,
    },
    /// Nobody trusted has signed it.
    #[error(
        "the component is signed by {}, which is not trusted here; expected {}. \
         To trust it: wattle publisher add PUBLISHER, or wattle up --trust PUBLISHER",
        listed(.signers), expected(.trusted)
    )]
    Untrusted {
        /// Who signed it.
        signers: Vec<PublisherKey>,
        /// Whose signature would have been taken.
        trusted: Vec<PublisherKey>,
    },
    /// A signature is there, by somebody trusted, but of other bytes.
    #[error("the signature by {0} does not fit: the file was changed after it was signed")]
    Altered(PublisherKey),
    /// Others have signed it so often that there is no room for one more.
    #[error("the component carries {MAX_SIGNATURES} signatures already, as many as it may")]
    Full,
    /// The signature section can't be read.
    #[error("the component's signature can't be read: {0}")]
    Malformed(String),
}

fn listed(keys: &[PublisherKey]) -> String {
    if keys.is_empty() {
        return "somebody who does not say who it is".into();
    }
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn expected(trusted: &[PublisherKey]) -> String {
    match trusted {
        [] => "a publisher that is trusted (none is)".into(),
        keys => listed(keys),
    }
}

/// Signs `component` and gives back the signed file. Signatures that are already in it, and
/// still fit, stay; one by the same key is replaced.
pub fn sign(component: &[u8], key: &SigningKey) -> Result<Vec<u8>, ArtifactError> {
    let (found, rest) = split(component)?;
    joined(&signed(found, rest, key)?, rest)
}

/// Signs `component`, and gives back the signatures alone: what stands in a file beside it
/// ("detached" in the tool conventions).
pub fn sign_detached(component: &[u8], key: &SigningKey) -> Result<Vec<u8>, ArtifactError> {
    let (found, rest) = split(component)?;
    Ok(signed(found, rest, key)?.payload())
}

/// The signed file that a component and the signatures beside it are together. Signatures that
/// stand in the component already are left out.
pub fn attach(component: &[u8], detached: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    let (_, rest) = split(component)?;
    joined(&SignatureSection::read(detached)?, rest)
}

fn signed(
    found: Option<SignatureSection>,
    rest: &[u8],
    key: &SigningKey,
) -> Result<SignatureSection, ArtifactError> {
    let digest = Digest::of(rest);
    let publisher = PublisherKey::from_bytes(key.public());
    let mut section = match found {
        Some(section) if section.digest == digest => section,
        _ => SignatureSection { digest, signatures: Vec::new() },
    };
    let message = section.message();
    section.signatures.retain(|(signer, signature)| match signer {
        Some(signer) => *signer != publisher,
        None => !signature.verifies_raw(publisher.as_bytes(), &message),
    });
    // Whoever reads it takes no more.
    if section.signatures.len() >= MAX_SIGNATURES {
        return Err(ArtifactError::Full);
    }
    section.signatures.push((Some(publisher), key.sign_raw(&message)));
    Ok(section)
}

fn joined(section: &SignatureSection, rest: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    let file = [COMPONENT_HEADER.as_slice(), &section.to_bytes(), rest].concat();
    match file.len() {
        size if size > MAX_ARTIFACT => Err(ArtifactError::TooLarge { size }),
        _ => Ok(file),
    }
}

/// Who has signed `component`, by their own word: nothing is verified. Who left out their key is
/// not named.
pub fn signers(component: &[u8]) -> Result<Vec<PublisherKey>, ArtifactError> {
    let (found, _) = split(component)?;
    let section = found.map(|section| section.signatures).unwrap_or_default();
    Ok(section.into_iter().filter_map(|(signer, _)| signer).collect())
}

/// Checks that one of `trusted` has signed exactly these bytes, and says who.
pub fn verify(component: &[u8], trusted: &[PublisherKey]) -> Result<PublisherKey, ArtifactError> {
    let unsigned = || ArtifactError::Unsigned { trusted: trusted.to_vec() };
    verify_all(component, trusted)?.first().copied().ok_or_else(unsigned)
}

/// Says who of `trusted` has signed exactly these bytes; an error where nobody has.
pub fn verify_all(
    component: &[u8],
    trusted: &[PublisherKey],
) -> Result<Vec<PublisherKey>, ArtifactError> {
    let (found, rest) = split(component)?;
    let section = found
        .filter(|section| !section.signatures.is_empty())
        .ok_or_else(|| ArtifactError::Unsigned { trusted: trusted.to_vec() })?;
    let intact = Digest::of(rest) == section.digest;
    let message = section.message();
    let (mut genuine, mut altered) = (Vec::new(), None);
    for (signer, signature) in &section.signatures {
        let by = |key: &&PublisherKey| signature.verifies_raw(key.as_bytes(), &message);
        let found = match signer {
            Some(signer) => match trusted.iter().find(|key| *key == signer) {
                Some(key) => Some(key).filter(|key| intact && by(key)).ok_or(Some(*signer)),
                None => Err(None),
            },
            None => trusted.iter().find(by).filter(|_| intact).ok_or(None),
        };
        match found {
            Ok(signer) if !genuine.contains(signer) => genuine.push(*signer),
            Ok(_) => {}
            Err(signer) => altered = altered.or(signer),
        }
    }
    if !genuine.is_empty() {
        return Ok(genuine);
    }
    Err(match altered {
        Some(signer) => ArtifactError::Altered(signer),
        None => ArtifactError::Untrusted {
            signers: section.signatures.iter().filter_map(|(signer, _)| *signer).collect(),
            trusted: trusted.to_vec(),
        },
    })
}

/// Cuts a component into its signature section, if it has one, and everything after that.
fn split(component: &[u8]) -> Result<(Option<SignatureSection>, &[u8]), ArtifactError> {
    if component.len() > MAX_ARTIFACT {
        return Err(ArtifactError::TooLarge { size: component.len() });
    }
    let body = component.strip_prefix(&COMPONENT_HEADER).ok_or_else(|| {
        ArtifactError::NotAComponent(if component.starts_with(&MODULE_HEADER) {
            "it is a core module; make it one, for instance with `wasm-tools component new`".into()
        } else {
            "it does not start like one".into()
        })
    })?;
    section::take(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed([seed; 32]).unwrap()
    }

    fn publisher(seed: u8) -> PublisherKey {
        PublisherKey::from_bytes(key(seed).public())
    }

    /// A component with one custom section `x`.
    fn component() -> Vec<u8> {
        [COMPONENT_HEADER.as_slice(), &[0, 4, 1, b'x', 7, 7]].concat()
    }

    #[test]
    fn what_a_trusted_publisher_signed_is_taken() {
        let signed = sign(&component(), &key(1)).unwrap();
        assert_eq!(verify(&signed, &[publisher(2), publisher(1)]), Ok(publisher(1)));
        assert_eq!(signers(&signed).unwrap(), [publisher(1)]);
    }

    #[test]
    fn a_refusal_names_the_key_that_was_expected() {
        let error = verify(&component(), &[publisher(1)]).unwrap_err().to_string();
        assert!(error.contains(&publisher(1).to_string()), "{error}");
        let foreign = sign(&component(), &key(2)).unwrap();
        let error = verify(&foreign, &[publisher(1)]).unwrap_err().to_string();
        assert!(error.contains(&publisher(1).to_string()), "{error}");
        assert!(error.contains(&publisher(2).to_string()), "{error}");
    }

    #[test]
    fn signing_twice_adds_and_signing_again_replaces() {
        let once = sign(&component(), &key(1)).unwrap();
        assert_eq!(sign(&once, &key(1)).unwrap(), once);
        let both = sign(&once, &key(2)).unwrap();
        assert_eq!(verify(&both, &[publisher(1)]), Ok(publisher(1)));
        assert_eq!(verify(&both, &[publisher(2)]), Ok(publisher(2)));
    }

    #[test]
    fn one_signature_more_than_can_be_read_is_not_made() {
        let full = (1..=64).fold(component(), |file, seed| sign(&file, &key(seed)).unwrap());
        assert_eq!(verify(&full, &[publisher(64)]), Ok(publisher(64)));
        assert_eq!(sign(&full, &key(65)), Err(ArtifactError::Full));
        // One's own takes the place of itself.
        verify(&sign(&full, &key(1)).unwrap(), &[publisher(1)]).unwrap();
    }

    #[test]
    fn a_signature_beside_the_file_is_as_good_as_one_in_it() {
        let detached = sign_detached(&component(), &key(1)).unwrap();
        let signed = attach(&component(), &detached).unwrap();
        assert_eq!(signed, sign(&component(), &key(1)).unwrap());
        let mut other = component();
        *other.last_mut().unwrap() ^= 1;
        let moved = attach(&other, &detached).unwrap();
        assert_eq!(verify(&moved, &[publisher(1)]), Err(ArtifactError::Altered(publisher(1))));
        assert!(matches!(attach(&component(), b"junk"), Err(ArtifactError::Malformed(_))));
    }

    /// What `wasmsign2` 0.2.8, the reference implementation of the tool conventions, makes of the same
    /// component with the same key: without a name for the key, and with the key as its name.
    const BY_WASMSIGN2: [&str; 2] = [
        "0061736d0d0001000075097369676e6174757265010101016601236183eca43e8abeba86b5248a64657474e95c\
         ad7891563e3d44f58b50a54eb901430001409316fe3127b8240055ceb135e1b147bb28c41596fdc33db126e3\
         3845c299e46d6d661ebb8f6d65f66bfce0ed04df7d6d153f61199c680c547849af35e37e280e000401780707",
        "0061736d0d000100009601097369676e617475726501010101860101236183eca43e8abeba86b5248a64657474\
         e95cad7891563e3d44f58b50a54eb90163208a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf374\
         8801b40f6f5c01409316fe3127b8240055ceb135e1b147bb28c41596fdc33db126e33845c299e46d6d661ebb\
         8f6d65f66bfce0ed04df7d6d153f61199c680c547849af35e37e280e000401780707",
    ];

    #[test]
    fn other_tools_read_what_is_signed_here_and_the_other_way_round() {
        // Ed25519 is deterministic: what is written alike is read alike.
        assert_eq!(hex::encode(sign(&component(), &key(1)).unwrap()), BY_WASMSIGN2[1]);
        for theirs in BY_WASMSIGN2 {
            let mut signed = hex::decode(theirs).unwrap();
            assert_eq!(verify(&signed, &[publisher(2), publisher(1)]), Ok(publisher(1)));
            assert!(verify(&signed, &[publisher(2)]).is_err());
            // Signing it here as well leaves theirs.
            let both = sign(&signed, &key(2)).unwrap();
            assert_eq!(verify_all(&both, &[publisher(2), publisher(1)]).unwrap().len(), 2);
            assert_eq!(
                sign(&signed, &key(1)).unwrap().len(),
                hex::decode(BY_WASMSIGN2[1]).unwrap().len()
            );
            *signed.last_mut().unwrap() ^= 1;
            assert!(verify(&signed, &[publisher(1)]).is_err());
        }
    }

    #[test]
    fn a_core_module_and_garbage_are_named() {
        let error = sign(&MODULE_HEADER, &key(1)).unwrap_err().to_string();
        assert!(error.contains("core module"), "{error}");
        assert!(matches!(sign(b"hello", &key(1)), Err(ArtifactError::NotAComponent(_))));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_noticed(at in 0usize..200, bit in 0u8..8) {
            let mut signed = sign(&component(), &key(1)).unwrap();
            let at = at % signed.len();
            signed[at] ^= 1 << bit;
            prop_assert!(verify(&signed, &[publisher(1)]).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = verify(&[COMPONENT_HEADER.as_slice(), &bytes].concat(), &[]);
        }
    }
}
