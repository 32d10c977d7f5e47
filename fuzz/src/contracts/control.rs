//! The messages of the control stream.

use wattle_contracts::control::{
    Control, ElementId, ElementRange, Introduce, NOTHING, PeerHint, Probe, RangeHashes, RangeTags,
    RecordMessage,
};
use wattle_contracts::fact::Fact;
use wattle_contracts::record::{Hlc, Record};
use wattle_contracts::wire;

use super::written::same_and_no_longer;
use super::{message, record};

/// A message is read as what it is written again as, and no longer; what is signed in it is the
/// word of who signed it.
pub fn holds(data: &[u8]) {
    match same_and_no_longer::<Control>(data) {
        Some(Control::Goodbye(fact)) => message::is_said(&fact),
        Some(Control::Records(RecordMessage::Push { current, lost })) => {
            current.iter().chain(&lost).for_each(record::is_written);
        }
        Some(Control::Records(RecordMessage::Differ { current, lost, .. })) => {
            current.iter().chain(&lost).for_each(record::is_written);
        }
        _ => {}
    }
}

/// The exchange of records, all kinds of it.
pub fn exchange() -> Vec<RecordMessage> {
    let range = ElementRange { digits: 2, path: 0xab << 56 };
    let tags = || vec![RangeTags { range, tags: vec![[1; 8], [2; 8]] }];
    let lines = || vec![(ElementId([5; 16]), Hlc { millis: 9, counter: 1 })];
    let records: Vec<Record> = record::some();
    vec![
        RecordMessage::Push { current: records.clone(), lost: vec![] },
        RecordMessage::Root([7; 32]),
        RecordMessage::Ranges(vec![RangeHashes { range, parts: [NOTHING; 16] }]),
        RecordMessage::Tags { salt: 300, ranges: tags() },
        RecordMessage::Differ {
            salt: 300,
            lines: lines(),
            unknown: tags(),
            current: vec![],
            lost: records.into_iter().take(1).collect(),
        },
        RecordMessage::Want(vec![ElementId([5; 16])]),
        RecordMessage::Have(lines()),
    ]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let node = super::node();
    let addresses = || vec!["/ip4/192.0.2.1/udp/4747/quic-v1".to_string()];
    let left = Fact::sign(&super::member(), "left", 4, &7u64).unwrap();
    let others = [
        Control::Gossip(vec![0x53, 0xb0, 0, 3]),
        Control::Peers(vec![PeerHint { node, addresses: addresses() }]),
        Control::Goodbye(Box::new(left)),
        Control::Probe(Probe::Ping { nonce: 1 }),
        Control::Probe(Probe::PingFor { nonce: 300, target: node }),
        Control::Probe(Probe::Ack { nonce: u64::MAX }),
        Control::Introduce(Introduce::Ask { node }),
        Control::Introduce(Introduce::Wanted { by: node }),
        Control::Introduce(Introduce::Meet { node, addresses: addresses() }),
    ];
    let all = exchange().into_iter().map(Control::Records).chain(others);
    all.map(|message| wire::encode(&message).unwrap()).collect()
}
