use std::time::Duration;

use chitchat::{ChitchatMessage, DeletionStatus, Deserializable as _, VersionedValue};
use proptest::prelude::*;
use rand::Rng as _;
use wattle_contracts::id::NodeId;
use wattle_contracts::trust::UnixMillis;
use wattle_mesh::net::gossip::{chitchat_config, synthetic};

use super::*;
use crate::machine::chat::server::Server;
use crate::rng::Seeded;

const ROUND: Duration = Duration::from_millis(500);

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn server(number: u8) -> Server {
    let config = chitchat_config(node(number), "sim", UnixMillis(1), ROUND);
    Server::start(config, vec![("about".into(), "x".into())], Duration::ZERO).unwrap()
}

/// A server that knows so many nodes, each with a value of so many bytes that do not compress.
fn knowing(nodes: u8, bytes: usize) -> Server {
    let server = server(200);
    for number in 0..nodes {
        let id = ChitchatId::new(node(number).to_string(), 1, synthetic(node(number)));
        let mut rng = Seeded::new(u64::from(number));
        let text: String = (0..bytes).map(|_| char::from(rng.random_range(b'!'..=b'~'))).collect();
        let value = VersionedValue { value: text, version: 1, status: DeletionStatus::Set };
        server
            .with(|c| c.reset_node_state_if_update(&id, [("k".into(), value)].into_iter(), 1, 0))
            .unwrap();
    }
    server
}

fn read(bytes: &[u8]) -> ChitchatMessage {
    ChitchatMessage::deserialize(&mut &*bytes).unwrap()
}

/// What a server that knows much answers to one that knows nothing, and whom it says it knows.
fn answer(nodes: u8, bytes: usize, seed: u64) -> (Vec<u8>, usize) {
    let (mut knows, mut asks) = (knowing(nodes, bytes), server(201));
    let now = Duration::from_millis(100);
    let syn = asks.greet(now, synthetic(node(200))).unwrap().remove(0);
    let mut rng = Seeded::new(seed);
    let syn = knows.with(|c| fit(syn, c, &mut rng)).unwrap().unwrap();
    let answer = knows.receive(now, synthetic(node(201)), read(&syn)).unwrap().remove(0);
    let straight = straighten(answer).unwrap();
    asks.receive(now, synthetic(node(200)), read(&straight)).unwrap();
    let known = |c: &mut Chitchat| c.node_states().values().filter(|s| s.max_version() > 0).count();
    (straight, asks.with(known).unwrap())
}

#[test]
fn what_chitchat_draws_does_not_show_in_what_fits() {
    let (one, known) = answer(30, 200, 1);
    // All thirty, the server's own node, and the one that asks.
    assert_eq!(known, 32);
    for _ in 0..5 {
        assert_eq!(answer(30, 200, 1).0, one);
    }
}

#[test]
fn of_what_does_not_fit_the_seed_draws_a_part() {
    let (one, known) = answer(40, 4000, 1);
    assert!((12..20).contains(&known), "{known}");
    for _ in 0..5 {
        assert_eq!(answer(40, 4000, 1).0, one);
    }
    assert_ne!(answer(40, 4000, 2).0, one);
}

#[test]
fn one_node_that_alone_is_too_much_is_not_left_out() {
    let (answer, known) = answer(1, 60_000, 1);
    assert!(answer.len() < MAX_MESSAGE && known >= 2);
}

#[test]
fn a_message_that_is_in_order_is_left_as_chitchat_made_it() {
    let mut asks = server(201);
    let syn = asks.greet(Duration::from_millis(1), synthetic(node(1))).unwrap().remove(0);
    assert_eq!(straighten(syn.clone()).unwrap(), syn);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u8..4) {
        let message = [&[0x53, 0xb0, 0, kind], bytes.as_slice()].concat();
        let _ = straighten(message.clone());
        let server = server(1);
        let _ = server.with(|c| fit(message, c, &mut Seeded::new(1)));
    }
}
