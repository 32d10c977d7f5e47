//! Addresses to join at.

use wattle_mesh::net::{JoinTarget, Multiaddr};

/// An address that is read is written and read as the same; another one is refused in few words.
pub fn holds(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<JoinTarget>() {
        Ok(target) => {
            assert_eq!(target.to_string(), text);
            assert_eq!(target.to_string().parse::<JoinTarget>().as_ref(), Ok(&target));
            if let Some(node) = target.node() {
                assert!(text.ends_with(&node.to_string()), "{node} is not in {text}");
            }
        }
        Err(error) => {
            let length = error.to_string().len();
            assert!(length < 4000, "{length} bytes of error");
        }
    }
    // As peers tell of each other.
    if let Ok(address) = text.parse::<Multiaddr>() {
        assert_eq!(address.to_string().parse::<Multiaddr>().ok(), Some(address));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let node = super::node(1);
    [
        "192.0.2.1:4747".to_string(),
        "[2001:db8::1]:4747".into(),
        "a-name.example:4747".into(),
        "/ip4/192.0.2.1/udp/4433/quic-v1".into(),
        format!("/ip4/192.0.2.1/udp/4433/quic-v1/p2p/{node}"),
        format!("/dns/a.example/udp/4433/quic-v1/p2p/{node}"),
        "/ip6/::1/udp/4433/quic-v1".into(),
        "/ip4/192.0.2.1/tcp/80".into(),
    ]
    .map(String::into_bytes)
    .into()
}
