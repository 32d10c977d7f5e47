//! The custom section that holds the signatures, byte by byte as the tool conventions say.

use super::{ArtifactError, leb};
use crate::id::{Digest, PublisherKey};
use crate::key::Signature;

const NAME: &[u8] = b"signature";
const SPECIFICATION_VERSION: u8 = 0x01;
/// A whole file, as opposed to parts of one.
const CONTENT_TYPE: u8 = 0x01;
const HASH_SHA256: u8 = 0x01;
const SIGNATURE_ED25519: u8 = 0x01;
/// How many signatures one file may carry.
const MAX_SIGNATURES: u32 = 64;

/// What the section says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignatureSection {
    /// The SHA-256 of everything after the section.
    pub(super) digest: Digest,
    /// Who signed it.
    pub(super) signatures: Vec<(PublisherKey, Signature)>,
}

impl SignatureSection {
    /// The bytes that are signed.
    pub(super) fn message(&self) -> Vec<u8> {
        let mut message = b"wasmsig".to_vec();
        message.extend([SPECIFICATION_VERSION, CONTENT_TYPE, HASH_SHA256]);
        message.extend(self.digest.as_bytes());
        message
    }

    /// The section, with its id and length.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut content = Vec::new();
        leb::write(NAME.len() as u32, &mut content);
        content.extend(NAME);
        content.extend([SPECIFICATION_VERSION, CONTENT_TYPE, HASH_SHA256]);
        leb::write(1, &mut content); // one set of hashes …
        leb::write(1, &mut content); // … of one hash
        content.extend(self.digest.as_bytes());
        leb::write(self.signatures.len() as u32, &mut content);
        for (signer, signature) in &self.signatures {
            // The key's identifier is the public key itself.
            leb::write(32, &mut content);
            content.extend(signer.as_bytes());
            content.push(SIGNATURE_ED25519);
            leb::write(64, &mut content);
            content.extend(signature.0);
        }
        let mut section = vec![0];
        leb::write(content.len() as u32, &mut section);
        section.extend(content);
        section
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if take_bytes(bytes, 3)? != [SPECIFICATION_VERSION, CONTENT_TYPE, HASH_SHA256] {
            return None;
        }
        if leb::read(bytes)? != 1 || leb::read(bytes)? != 1 {
            return None;
        }
        let digest = Digest::from_bytes(take_bytes(bytes, 32)?.try_into().ok()?);
        let count = leb::read(bytes)?;
        if count > MAX_SIGNATURES {
            return None;
        }
        let mut signatures = Vec::new();
        for _ in 0..count {
            if leb::read(bytes)? != 32 {
                return None;
            }
            let signer = PublisherKey::from_bytes(take_bytes(bytes, 32)?.try_into().ok()?);
            if take_bytes(bytes, 1)? != [SIGNATURE_ED25519] || leb::read(bytes)? != 64 {
                return None;
            }
            let signature = Signature(take_bytes(bytes, 64)?.try_into().ok()?);
            signatures.push((signer, signature));
        }
        bytes.is_empty().then_some(Self { digest, signatures })
    }
}

/// Takes the signature section off the front of a file's sections, if it stands there. Its
/// encoding must be the one that this module writes: two encodings of one signature would be
/// two digests of one artifact.
pub(super) fn take(sections: &[u8]) -> Result<(Option<SignatureSection>, &[u8]), ArtifactError> {
    let Some(content_and_rest) = sections.strip_prefix(&[0]) else {
        return Ok((None, sections));
    };
    let malformed = |why: &str| ArtifactError::Malformed(why.into());
    let mut rest = content_and_rest;
    let cut = || ArtifactError::NotAComponent("it is cut short".into());
    let length = leb::read(&mut rest).ok_or_else(cut)? as usize;
    let mut content = take_bytes(&mut rest, length).ok_or_else(cut)?;
    let name_length = leb::read(&mut content).ok_or_else(cut)? as usize;
    if take_bytes(&mut content, name_length).ok_or_else(cut)? != NAME {
        return Ok((None, sections));
    }
    let section = SignatureSection::parse(content)
        .ok_or_else(|| malformed("it is not one Ed25519 over SHA-256 of the whole file"))?;
    let canonical = section.to_bytes();
    match sections.strip_prefix(canonical.as_slice()) {
        Some(after) => Ok((Some(section), after)),
        None => Err(malformed("it is written in an unusual way")),
    }
}

fn take_bytes<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
