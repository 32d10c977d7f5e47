//! What people show: access tokens, and their signatures of single calls.

use wattle_contracts::call::{PersonAsks, PersonProof};
use wattle_contracts::id::{ComponentId, ContractId, MeshId, NodeId, OperatorKey};
use wattle_contracts::trust::{AccessBody, AccessError, AccessToken, UnixMillis};
use wattle_contracts::wire;

use super::{flipped, member, mesh, node};

/// The person's key is the member's: it has one for all that it signs.
fn person() -> OperatorKey {
    OperatorKey::from_bytes(member().public())
}

/// A token that is taken, and a call that is a person's, are what that person's key signs, for the
/// mesh and the node that are named in it; one bit changed, and nobody takes them.
pub fn holds(data: &[u8]) {
    let text = format!("wattle-token:{}", bs58::encode(data).with_check().into_string());
    let token = AccessToken::from_text(&text).ok();
    let fits = text.len() <= AccessToken::MAX_TEXT;
    assert_eq!(token, wire::decode::<AccessToken>(data).ok().filter(|_| fits));
    token.iter().for_each(is_shown);
    if let Ok(text) = str::from_utf8(data) {
        AccessToken::from_text(text).iter().for_each(is_shown);
    }
    if let Ok((proof, arguments)) = PersonProof::read(data) {
        let written = proof.with(arguments).unwrap();
        assert!(written.len() <= data.len());
        assert_eq!(PersonProof::read(&written).as_ref(), Ok(&(proof.clone(), arguments)));
        assert_eq!(proof.with(arguments).as_ref(), Ok(&written));
        is_asked(&proof, &call().asks(arguments));
    }
    issued(data);
    asked(data);
}

/// Another id than this one.
fn other(id: &[u8; 32]) -> [u8; 32] {
    let mut other = *id;
    other[0] ^= 1;
    other
}

fn is_shown(token: &AccessToken) {
    let text = token.to_text().unwrap();
    assert!(text.len() <= AccessToken::MAX_TEXT);
    assert_eq!(AccessToken::from_text(&text).as_ref(), Ok(token));
    let AccessBody { mesh: of, issued, expires, node: at, .. } = token.body;
    let at = at.unwrap_or(node());
    // No time may go wrong.
    let _ = token.verify(of, at, UnixMillis(0));
    let _ = token.verify(of, at, UnixMillis(u64::MAX));
    if token.verify(of, at, issued).is_err() {
        return;
    }
    let own = AccessToken::sign(&member(), token.body.clone());
    assert_eq!(own.as_ref(), Ok(token), "nobody else has signed anything");
    assert!(token.verify(of, at, expires).is_err());
    assert!(token.verify(MeshId::from_bytes(other(of.as_bytes())), at, issued).is_err());
    let elsewhere = token.verify(of, NodeId::from_bytes(other(at.as_bytes())), issued);
    assert_eq!(elsewhere.is_ok(), token.body.node.is_none());
}

/// What the input says is issued, as far as it may be.
fn issued(data: &[u8]) {
    let Ok(body) = wire::decode::<AccessBody>(data) else { return };
    let body = AccessBody { key: person(), ..body };
    let (issued, expires) = (body.issued, body.expires);
    let token = match AccessToken::sign(&member(), body) {
        Ok(token) => token,
        Err(AccessError::TooLong(life)) => return assert!(life > AccessToken::MAX_LIFE),
        Err(error) => panic!("{error}"),
    };
    is_shown(&token);
    let at = |token: &AccessToken| token.body.node.unwrap_or(node());
    let good = token.verify(token.body.mesh, at(&token), issued);
    assert_eq!(good.is_ok(), expires > issued, "{good:?}");
    let bytes = wire::encode(&token).unwrap();
    if let Ok(changed) = wire::decode::<AccessToken>(&flipped(&bytes, data))
        && changed != token
    {
        let body = &changed.body;
        assert!(changed.verify(body.mesh, at(&changed), body.issued).is_err());
        assert!(changed.verify(token.body.mesh, at(&token), issued).is_err());
    }
}

/// A call, as a person asks for it.
struct Call {
    mesh: MeshId,
    to: NodeId,
    target: ComponentId,
    contract: ContractId,
    function: String,
}

/// What is written of one that is made here.
type Made = ((MeshId, NodeId, ComponentId, ContractId), (String, String, [u8; 16], UnixMillis));

impl Call {
    fn asks<'a>(&'a self, arguments: &'a str) -> PersonAsks<'a> {
        PersonAsks {
            mesh: self.mesh,
            to: self.to,
            target: &self.target,
            contract: &self.contract,
            function: &self.function,
            arguments,
        }
    }
}

fn call() -> Call {
    Call {
        mesh: mesh(),
        to: node(),
        target: "shop/basket".parse().unwrap(),
        contract: "example:shop/basket@0.1.0".parse().unwrap(),
        function: "cheapest".into(),
    }
}

fn is_asked(proof: &PersonProof, asks: &PersonAsks<'_>) {
    if proof.proves(asks) {
        let own = PersonProof::sign(&member(), proof.nonce, proof.at, asks);
        assert_eq!(own.as_ref(), Ok(proof), "nobody else has signed anything");
    }
}

/// What the input says is asked for.
fn asked(data: &[u8]) {
    let Ok((of, (function, arguments, nonce, at))) = wire::decode::<Made>(data) else { return };
    let (mesh, to, target, contract) = of;
    let call = Call { mesh, to, target, contract, function };
    let asks = call.asks(&arguments);
    let proof = PersonProof::sign(&member(), nonce, at, &asks).unwrap();
    assert!(proof.proves(&asks));
    for other in [
        PersonAsks { mesh: MeshId::from_bytes([8; 32]), ..asks },
        PersonAsks { to: NodeId::from_bytes([8; 32]), ..asks },
        PersonAsks { function: "another", ..asks },
        PersonAsks { arguments: "another", ..asks },
    ] {
        assert_eq!(proof.proves(&other), other == asks);
    }
    let payload = proof.with(&arguments).unwrap();
    assert_eq!(PersonProof::read(&payload).as_ref(), Ok(&(proof.clone(), &*arguments)));
    let changed = flipped(&payload, data);
    if let Ok((other, arguments)) = PersonProof::read(&changed)
        && (&other, arguments) != (&proof, asks.arguments)
    {
        assert!(!other.proves(&call.asks(arguments)));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let issued = UnixMillis(1_800_000_000_000);
    let body = AccessBody {
        mesh: mesh(),
        key: person(),
        issued,
        expires: UnixMillis(issued.0 + 3_600_000),
        read_only: false,
        node: None,
    };
    let mut seeds = Vec::new();
    for body in [
        AccessBody { read_only: true, node: Some(node()), ..body.clone() },
        AccessBody { expires: UnixMillis(u64::MAX), ..body.clone() },
        AccessBody { expires: UnixMillis(5), ..body.clone() },
        body,
    ] {
        seeds.push(wire::encode(&body).unwrap());
        let Ok(token) = AccessToken::sign(&member(), body) else { continue };
        seeds.push(wire::encode(&token).unwrap());
        seeds.push(token.to_text().unwrap().into_bytes());
    }
    for arguments in [r#"["tea"]"#, ""] {
        let Call { mesh, to, target, contract, function } = call();
        let what = (function, arguments, [7u8; 16], issued);
        seeds.push(wire::encode(&((mesh, to, target, contract), what)).unwrap());
        let (call, nonce) = (call(), [7; 16]);
        let proof = PersonProof::sign(&member(), nonce, issued, &call.asks(arguments)).unwrap();
        seeds.push(proof.with(arguments).unwrap());
    }
    seeds
}
