//! The custom section that holds the signatures, byte by byte as the tool conventions say.
//!
//! Where their text leaves something open, it is as the reference implementation has it
//! (`wasmsign2`, which is the only one that others use): each set of hashes and each signature
//! stands behind its own length. The text shows them without.

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
pub(super) const MAX_SIGNATURES: usize = 64;

/// What the section says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SignatureSection {
    /// The SHA-256 of everything after the section.
    pub(super) digest: Digest,
    /// Who signed it. Other tools may leave out who: that is then tried.
    pub(super) signatures: Vec<(Option<PublisherKey>, Signature)>,
}

impl SignatureSection {
    /// The bytes that are signed.
    pub(super) fn message(&self) -> Vec<u8> {
        let mut message = b"wasmsig".to_vec();
        message.extend([SPECIFICATION_VERSION, CONTENT_TYPE, HASH_SHA256]);
        message.extend(self.digest.as_bytes());
        message
    }

    /// The section's payload: what a detached signature is.
    pub(super) fn payload(&self) -> Vec<u8> {
        let mut set = Vec::new();
        leb::write(1, &mut set); // one hash
        set.extend(self.digest.as_bytes());
        leb::write(self.signatures.len() as u32, &mut set);
        for (signer, signature) in &self.signatures {
            let mut one = Vec::new();
            // The key's identifier is the public key itself.
            let id: &[u8] = signer.as_ref().map_or(&[], |signer| signer.as_bytes());
            leb::write_slice(id, &mut one);
            one.push(SIGNATURE_ED25519);
            leb::write_slice(&signature.0, &mut one);
            leb::write_slice(&one, &mut set);
        }
        let mut payload = vec![SPECIFICATION_VERSION, CONTENT_TYPE, HASH_SHA256];
        leb::write(1, &mut payload); // one set of hashes
        leb::write_slice(&set, &mut payload);
        payload
    }

    /// The section, with its id and length.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut content = Vec::new();
        leb::write_slice(NAME, &mut content);
        content.extend(self.payload());
        let mut section = vec![0];
        leb::write_slice(&content, &mut section);
        section
    }

    /// Reads a payload. It must be written as this module writes it: two ways to write one
    /// signature would be two digests of one artifact.
    pub(super) fn read(payload: &[u8]) -> Result<Self, ArtifactError> {
        let malformed = |why: &str| ArtifactError::Malformed(why.into());
        let section = Self::parse(payload)
            .ok_or_else(|| malformed("it is not Ed25519 over SHA-256 of the whole file"))?;
        match section.payload() == payload {
            true => Ok(section),
            false => Err(malformed("it is written in an unusual way")),
        }
    }

    fn parse(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if take_bytes(bytes, 3)? != [SPECIFICATION_VERSION, CONTENT_TYPE, HASH_SHA256] {
            return None;
        }
        if leb::read(bytes)? != 1 {
            return None;
        }
        let mut set = leb::read_slice(bytes)?;
        let set = &mut set;
        if leb::read(set)? != 1 {
            return None;
        }
        let digest = Digest::from_bytes(take_bytes(set, 32)?.try_into().ok()?);
        let count = leb::read(set)? as usize;
        if count > MAX_SIGNATURES {
            return None;
        }
        let mut signatures = Vec::new();
        for _ in 0..count {
            let mut one = leb::read_slice(set)?;
            let one = &mut one;
            let signer = match leb::read_slice(one)? {
                [] => None,
                id => Some(PublisherKey::from_bytes(id.try_into().ok()?)),
            };
            if take_bytes(one, 1)? != [SIGNATURE_ED25519] {
                return None;
            }
            let signature = Signature(leb::read_slice(one)?.try_into().ok()?);
            if !one.is_empty() {
                return None;
            }
            signatures.push((signer, signature));
        }
        (set.is_empty() && bytes.is_empty()).then_some(Self { digest, signatures })
    }
}

/// Takes the signature section off the front of a file's sections, if it stands there.
pub(super) fn take(sections: &[u8]) -> Result<(Option<SignatureSection>, &[u8]), ArtifactError> {
    let Some(mut rest) = sections.strip_prefix(&[0]) else {
        return Ok((None, sections));
    };
    let cut = || ArtifactError::NotAComponent("it is cut short".into());
    let mut content = leb::read_slice(&mut rest).ok_or_else(cut)?;
    if leb::read_slice(&mut content).ok_or_else(cut)? != NAME {
        return Ok((None, sections));
    }
    let section = SignatureSection::read(content)?;
    // The lengths before it, too.
    match sections.strip_prefix(section.to_bytes().as_slice()) {
        Some(after) => Ok((Some(section), after)),
        None => Err(ArtifactError::Malformed("it is written in an unusual way".into())),
    }
}

fn take_bytes<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
