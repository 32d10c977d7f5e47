//! Signatures in components.

use wattle_contracts::artifact::{self, ArtifactError};
use wattle_contracts::id::PublisherKey;
use wattle_contracts::key::SigningKey;

use super::{authority, flipped, member, publisher};

/// The first bytes of a component: magic number, version, layer.
const HEADER: [u8; 8] = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

/// What is signed is taken, and signing it again changes nothing; one bit changed, it is not taken;
/// and a signature that holds is the one that its publisher makes.
pub fn holds(data: &[u8]) {
    for component in [data.to_vec(), [&HEADER, data].concat()] {
        is_signed_by_its_publisher(&component);
        let _ = artifact::signers(&component);
        let signed = match artifact::sign(&component, &member()) {
            Ok(signed) => signed,
            Err(
                ArtifactError::NotAComponent(_) | ArtifactError::Malformed(_) | ArtifactError::Full,
            ) => continue,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(artifact::verify(&signed, &[publisher()]), Ok(publisher()));
        assert!(artifact::signers(&signed).unwrap().contains(&publisher()));
        assert_eq!(artifact::sign(&signed, &member()).as_ref(), Ok(&signed));
        let detached = artifact::sign_detached(&component, &member()).unwrap();
        assert_eq!(artifact::attach(&component, &detached).as_ref(), Ok(&signed));
        is_worthless(&flipped(&signed, data), &signed);
        let Ok(both) = artifact::sign(&signed, &authority()) else { continue };
        let all = artifact::verify_all(&both, &[by_authority(), publisher()]).unwrap();
        assert_eq!(all.len(), 2);
    }
    // What stands beside a file.
    if let Ok(attached) = artifact::attach(&HEADER, data) {
        is_signed_by_its_publisher(&attached);
    }
}

fn by_authority() -> PublisherKey {
    PublisherKey::from_bytes(authority().public())
}

/// A file of which one bit is the other way. With signatures of others in it, the bit may be one of
/// theirs, or of the name of one: then what is signed is the same as before.
fn is_worthless(changed: &[u8], signed: &[u8]) {
    let section = |file| artifact::sign_detached(file, &member()).unwrap().len();
    if section(signed) == section(&HEADER) {
        assert!(artifact::verify(changed, &[publisher()]).is_err());
    } else {
        is_signed_by_its_publisher(changed);
    }
}

fn is_signed_by_its_publisher(component: &[u8]) {
    for (publisher, key) in [(publisher(), member()), (by_authority(), authority())] {
        if artifact::verify_all(component, &[publisher]).is_ok() {
            let made = signature_of(component, &key);
            assert!(component.windows(64).any(|bytes| bytes == made), "by nobody");
        }
    }
}

/// The signature that this key makes: the last of the section.
fn signature_of(component: &[u8], key: &SigningKey) -> Vec<u8> {
    let detached = artifact::sign_detached(component, key).unwrap();
    detached[detached.len() - 64..].to_vec()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let plain = [HEADER.as_slice(), &[0, 4, 1, b'x', 7, 7]].concat();
    let once = artifact::sign(&plain, &member()).unwrap();
    let twice = artifact::sign(&once, &authority()).unwrap();
    // As another tool writes it, which does not name the key: without its 32 bytes, and lengths to match.
    let payload = artifact::sign_detached(&plain, &member()).unwrap();
    let mut unnamed = [&payload[..4], &[0x66, 1], &payload[7..39], &[1, 0x43, 0, 1, 0x40]].concat();
    unnamed.extend_from_slice(&payload[payload.len() - 64..]);
    let unnamed = artifact::attach(&plain, &unnamed).map_or(once.clone(), |file| file);
    let mut changed = twice.clone();
    *changed.last_mut().unwrap() ^= 1;
    // As many signatures as there may be, all but one by others.
    let full = (0..64u8).fold(plain.clone(), |file, seed| {
        artifact::sign(&file, &SigningKey::from_seed([seed + 100; 32]).unwrap()).unwrap()
    });
    vec![plain, once, twice, unnamed, changed, payload, full]
}
