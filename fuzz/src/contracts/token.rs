//! The line that carries an invitation, and private keys as they stand in files.

use wattle_contracts::id::InviteKey;
use wattle_contracts::key::SigningKey;
use wattle_contracts::trust::{Invitation, InvitationBody, Token};
use wattle_contracts::wire;

use super::{authority, flipped, invited, mesh, paper};

/// A token that is taken carries an invitation that its mesh's authority signs, with the key that
/// is named in it, and within its bounds; one bit changed, and it is taken by nobody.
pub fn holds(data: &[u8]) {
    let text = format!("wattle-invite:{}", bs58::encode(data).with_check().into_string());
    if let Ok(token) = Token::from_text(&text) {
        is_good(&token);
    }
    if let Ok(text) = str::from_utf8(data) {
        if let Ok(token) = Token::from_text(text) {
            is_good(&token);
        }
        if let Ok(key) = SigningKey::from_text(text) {
            let again = SigningKey::from_text(&key.to_text()).unwrap();
            assert_eq!((again.seed(), again.public()), (key.seed(), key.public()));
        }
    }
    made(data);
}

fn is_good(token: &Token) {
    let Invitation { body, .. } = &token.invitation;
    token.invitation.verify(body.mesh).unwrap();
    assert_eq!(&token.key().unwrap().public(), body.key.as_bytes());
    assert!(token.join.len() <= Token::MAX_JOIN);
    assert!(token.join.iter().all(|address| address.len() <= Token::MAX_ADDRESS));
    if body.mesh == mesh() {
        let own = Invitation::sign(&authority(), body.clone());
        assert_eq!(own.as_ref(), Ok(&token.invitation));
    }
    assert!(Token::from_text(&token.to_text().unwrap()).unwrap() == *token);
}

/// What the input says is made into a token, as far as it may be.
fn made(data: &[u8]) {
    let Ok((body, join)) = wire::decode::<(InvitationBody, Vec<String>)>(data) else { return };
    let key = InviteKey::from_bytes(invited().public());
    let Ok(invitation) =
        Invitation::sign(&authority(), InvitationBody { mesh: mesh(), key, ..body })
    else {
        return;
    };
    let Ok(token) = Token::new(invitation, &invited(), join) else { return };
    is_good(&token);
    let bytes = flipped(&wire::encode(&token).unwrap(), data);
    let text = format!("wattle-invite:{}", bs58::encode(bytes).with_check().into_string());
    if let Ok(changed) = Token::from_text(&text) {
        // Where to find the mesh is nobody's word; all else is.
        assert!(changed.invitation == token.invitation);
        assert_eq!(changed.key().unwrap().seed(), token.key().unwrap().seed());
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let join = || vec!["192.0.2.1:4747".to_string(), "/dns/a.example/udp/1/quic-v1".into()];
    let mut seeds = vec![invited().to_text().into_bytes()];
    for body in paper::invitations() {
        seeds.push(wire::encode(&(&body, join())).unwrap());
        let invitation = Invitation::sign(&authority(), body).unwrap();
        let token = Token::new(invitation, &invited(), join()).unwrap();
        seeds.push(wire::encode(&token).unwrap());
        seeds.push(token.to_text().unwrap().into_bytes());
    }
    seeds
}
