//! The messages that are payloads of calls, and what nodes say of themselves.

use wattle_contracts::fact::Fact;
use wattle_contracts::id::NodeId;
use wattle_contracts::message::{Delivery, DeliveryReply, DeliveryStop, LiveMessage, Receipt};
use wattle_contracts::provider::{
    HttpRequestHead, HttpResponseHead, KeyValueOperation, KeyValueReply, KeyValueRequest,
};
use wattle_contracts::record::Stamp;
use wattle_contracts::wire;

use super::written::{Raw, same_again};

/// The first byte says as what the others are read. What is read is written and read as the same,
/// and a signature that holds is the one that its signer makes.
pub fn holds(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind {
        0 => same_again::<Delivery>(bytes).iter().for_each(is_delivered),
        1 => same_again::<Receipt>(bytes).iter().for_each(is_received),
        2 => drop(same_again::<LiveMessage>(bytes)),
        3 => drop(same_again::<KeyValueRequest>(bytes)),
        4 => drop(same_again::<KeyValueReply>(bytes)),
        5 => drop(same_again::<HttpRequestHead>(bytes)),
        6 => drop(same_again::<HttpResponseHead>(bytes)),
        7 => same_again::<Fact>(bytes).iter().for_each(is_said),
        _ => drop(same_again::<Stamp>(bytes)),
    }
}

/// A fact of the member that holds is one that the member signed: Ed25519 signs alike each time.
pub fn is_said(fact: &Fact) {
    if fact.node == super::node() && fact.is_genuine() {
        let own = Fact::sign(&super::member(), &fact.topic, fact.sequence, &Raw(&fact.body));
        assert_eq!(own.as_ref(), Ok(fact));
    }
    assert!(fact.node == super::node() || !fact.is_genuine(), "nobody else has signed anything");
}

fn is_delivered(delivery: &Delivery) {
    if delivery.is_signed_for(super::node()) {
        assert_eq!(delivery.publisher, super::node());
        let mut own = delivery.clone();
        own.sign(&super::member(), super::node()).unwrap();
        assert_eq!(&own, delivery);
    }
    assert!(!delivery.is_signed_for(NodeId::from_bytes([8; 32])));
}

fn is_received(receipt: &Receipt) {
    let Some(of) = delivery().proof else { return };
    if receipt.is_signed_by(super::node(), &of) {
        let own = Receipt::signed(receipt.reply.clone(), &super::member(), &of).unwrap();
        assert_eq!(&own, receipt);
    }
}

fn delivery() -> Delivery {
    let mut delivery = Delivery {
        publisher: super::node(),
        first: Some(NodeId::from_bytes([6; 32])),
        group: "shop/ledger".parse().unwrap(),
        floor: 3,
        subject: "orders.placed".parse().unwrap(),
        messages: vec![(300, b"one".to_vec()), (301, Vec::new())],
        proof: None,
    };
    delivery.sign(&super::member(), super::node()).unwrap();
    delivery
}

pub fn seeds() -> Vec<Vec<u8>> {
    let reply = DeliveryReply { handled: 2, stopped: Some(DeliveryStop::Failed("no".into())) };
    let receipt = Receipt::signed(reply, &super::member(), &delivery().proof.unwrap()).unwrap();
    let request = |operation| KeyValueRequest { bucket: "carts".into(), operation };
    let (key, value) = (|| "eu/1".to_string(), || b"3".to_vec());
    let headers = || vec![("host".to_string(), b"shop.example".to_vec())];
    let http = HttpRequestHead {
        method: "GET".into(),
        uri: "http://shop.example/api?x=1".into(),
        headers: headers(),
    };
    let fact = Fact::sign(&super::member(), "load", 4, &vec!["a".to_string()]).unwrap();
    let stamp = Stamp { at: Default::default(), previous: None };
    let mut seeds = Vec::new();
    let mut seed = |kind: u8, bytes: Result<Vec<u8>, wire::WireError>| {
        seeds.push([&[kind], bytes.unwrap().as_slice()].concat());
    };
    seed(0, wire::encode(&delivery()));
    seed(1, wire::encode(&receipt));
    let subject = "orders.eu.placed".parse().unwrap();
    seed(2, wire::encode(&LiveMessage { subject, body: b"{}".to_vec() }));
    for operation in [
        KeyValueOperation::Open,
        KeyValueOperation::Get(key()),
        KeyValueOperation::Set(key(), value()),
        KeyValueOperation::ListKeys(Some(7)),
        KeyValueOperation::Increment(key(), 300),
        KeyValueOperation::GetMany(vec![key(), key()]),
        KeyValueOperation::SetMany(vec![(key(), value())]),
    ] {
        seed(3, wire::encode(&request(operation)));
    }
    for reply in [
        KeyValueReply::Done,
        KeyValueReply::Value(Some(value())),
        KeyValueReply::Keys(vec![key()], Some(1)),
        KeyValueReply::Values(vec![None, Some((key(), value()))]),
        KeyValueReply::Failed("full".into()),
    ] {
        seed(4, wire::encode(&reply));
    }
    seed(5, wire::encode(&http));
    seed(6, wire::encode(&HttpResponseHead { status: 404, headers: headers() }));
    seed(7, wire::encode(&fact));
    seed(8, wire::encode(&stamp));
    seeds
}
