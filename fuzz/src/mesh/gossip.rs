//! Gossip, as it arrives.

use chitchat::{ChitchatId, ChitchatMessage, Deserializable as _, Serializable as _};
use wattle_mesh::net::gossip::{Gate, synthetic};

/// How many ids the gate lets in here.
const LIMIT: usize = 4;

/// What the gate lets through is read without a panic, and without more memory than the gate allows for.
/// What it has let through once, it lets through again. What it adds of the dead changes nothing else.
pub fn holds(data: &[u8]) {
    bounds(data);
    names_the_dead(data);
}

/// A message as it is passed on while one is known to be dead: with that one named, if it asks
/// anything, and as it was in all else.
fn names_the_dead(data: &[u8]) {
    let dead = (id(9, 1), 7);
    let gate = Gate::new(super::node(0), LIMIT);
    gate.refresh([dead.0.clone()].into_iter(), [dead.clone()].into_iter());
    let Ok(passed) = gate.pass(data) else { return };
    assert_eq!(gate.pass(&passed).unwrap(), passed, "named once is enough");
    if passed == data {
        return;
    }
    let (mut before, mut after) = (&data[4..], &passed[4..]);
    assert_eq!(data[..4], passed[..4]);
    let [count, with] = [&mut before, &mut after].map(|bytes| u16::deserialize(bytes).unwrap());
    assert_eq!(count + 1, with);
    for _ in 0..count {
        let [theirs, ours] = [&mut before, &mut after].map(entry);
        assert_eq!(theirs, ours);
        assert_ne!(theirs.0, dead.0);
    }
    assert_eq!(entry(&mut after), (dead.0, [0, 0, dead.1]));
    assert_eq!(before, after);
}

/// An id in a digest, and the three numbers that stand with it.
fn entry(bytes: &mut &[u8]) -> (ChitchatId, [u64; 3]) {
    let id = ChitchatId::deserialize(bytes).unwrap();
    (id, [(); 3].map(|()| u64::deserialize(bytes).unwrap()))
}

fn bounds(data: &[u8]) {
    let gate = Gate::new(super::node(0), LIMIT);
    if gate.check(data).is_err() {
        return;
    }
    gate.check(data).unwrap();
    // News are not written again: chitchat would only write what it has made itself.
    if let Ok(message @ ChitchatMessage::Syn { .. }) = ChitchatMessage::deserialize(&mut &data[..])
    {
        gate.check(&message.serialize_to_vec()).unwrap();
    }
    // Everything in it is known by now, and there is room for no more than the rest.
    let mut more = 0;
    for byte in 1..=u8::MAX {
        more += usize::from(gate.check(&syn(&[id(byte, 77)])).is_ok());
    }
    assert!(more <= LIMIT, "{more} more ids than {LIMIT}");
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
