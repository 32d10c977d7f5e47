//! Gossip, as it arrives.

use chitchat::{ChitchatId, ChitchatMessage, Deserializable as _, Serializable as _};
use wattle_mesh::net::gossip::{Gate, synthetic};

/// How many ids the gate lets in here.
const LIMIT: usize = 4;

/// What the gate lets through is read without a panic, and without more memory than the gate allows for.
/// What it has let through once, it lets through again as it is. What it leaves out of a question, and what it adds of
/// the dead, changes nothing else.
pub fn holds(data: &[u8]) {
    bounds(data);
    questions(data);
}

/// A message as it is passed on while one is known to be dead: if it asks anything, with that one named, and
/// without those for whom there is no place.
fn questions(data: &[u8]) {
    let dead = (id(9, 1), 7);
    let gate = Gate::new(super::node(0), LIMIT);
    gate.refresh([dead.0.clone()].into_iter(), [dead.clone()].into_iter(), None);
    let Ok(passed) = gate.pass(data) else { return };
    assert_eq!(gate.pass(&passed).unwrap(), passed, "once is enough");
    assert_eq!(data[..4], passed[..4]);
    // Only questions and answers have a digest.
    if passed == data || data[3] > 1 {
        return;
    }
    let (mut before, mut after) = (&data[4..], &passed[4..]);
    let [count, with] = [&mut before, &mut after].map(|bytes| u16::deserialize(bytes).unwrap());
    let named: Vec<_> = (0..count).map(|_| entry(&mut before)).collect();
    let kept: Vec<_> = (0..with).map(|_| entry(&mut after)).collect();
    let mut rest = named.iter();
    for one in &kept {
        let is_added = *one == (dead.0.clone(), [0, 0, dead.1]);
        assert!(is_added || rest.any(|other| other == one), "in the same order");
        assert!(one.1[1] == 0 && one.1[2] <= 1 << 40, "nothing that nobody has");
    }
    assert!(kept.iter().any(|one| one.0 == dead.0) || named.iter().any(|one| one.0 == dead.0));
    if data[3] == 0 {
        assert_eq!(before, after);
    }
}

/// An id in a digest, and the three numbers that stand with it.
fn entry(bytes: &mut &[u8]) -> (ChitchatId, [u64; 3]) {
    let id = ChitchatId::deserialize(bytes).unwrap();
    (id, [(); 3].map(|()| u64::deserialize(bytes).unwrap()))
}

fn bounds(data: &[u8]) {
    let gate = Gate::new(super::node(0), LIMIT);
    let Ok(passed) = gate.pass(data) else { return };
    // News are not written again: chitchat would only write what it has made itself.
    if let Ok(message @ ChitchatMessage::Syn { .. }) = ChitchatMessage::deserialize(&mut &*passed) {
        gate.pass(&message.serialize_to_vec()).unwrap();
    }
    // Everything in it is known by now, and there is room for no more than the rest.
    let mut more = 0;
    for byte in 1..=u8::MAX {
        let question = syn(&[id(byte, 77)]);
        let seen = gate.pass(&question).unwrap();
        more += u16::from_le_bytes([seen[4], seen[5]]);
    }
    assert!(usize::from(more) <= LIMIT, "{more} more ids than {LIMIT}");
}

fn id(byte: u8, generation: u64) -> ChitchatId {
    let node = super::node(byte);
    ChitchatId::new(node.to_string(), generation, synthetic(node))
}

/// A question of gossip: magic number, version and kind, then ids with what is known of each, and
/// the name of the cluster.
fn syn(ids: &[ChitchatId]) -> Vec<u8> {
    let mut bytes = vec![0x53, 0xb0, 0, 0];
    digest(ids, &mut bytes);
    "mesh".serialize(&mut bytes);
    bytes
}

fn digest(ids: &[ChitchatId], bytes: &mut Vec<u8>) {
    u16::try_from(ids.len()).unwrap().serialize(bytes);
    for id in ids {
        id.serialize(bytes);
        bytes.extend_from_slice(&[0; 24]);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let ids = [id(1, 1), id(2, 300), id(1, 2)];
    // An answer without news, and with news in a block that is not compressed and in one that is.
    let answer = |news: &[u8]| {
        let mut bytes = vec![0x53, 0xb0, 0, 1];
        digest(&ids, &mut bytes);
        [&bytes, news].concat()
    };
    // The state of a node: its id, and one value.
    let mut state = vec![0u8];
    ids[0].serialize(&mut state);
    state.extend_from_slice(&[0; 16]);
    state.push(1);
    "load".serialize(&mut state);
    "AAAA".serialize(&mut state);
    state.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let length = u16::try_from(state.len()).unwrap().to_le_bytes();
    let plain = [&[2], length.as_slice(), &state, &[0]].concat();
    vec![
        syn(&[]),
        syn(&ids),
        answer(&[0]),
        answer(&plain),
        [&[0x53, 0xb0, 0, 2], plain.as_slice()].concat(),
        // A block of nothing, compressed (zstd).
        vec![0x53, 0xb0, 0, 2, 1, 9, 0, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0, 0],
        vec![0x53, 0xb0, 0, 3],
    ]
}
