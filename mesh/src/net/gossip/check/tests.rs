use chitchat::Serializable as _;

use super::*;

fn syn(ids: &[ChitchatId]) -> Vec<u8> {
    let mut bytes = [PROLOGUE.as_slice(), &[SYN]].concat();
    (ids.len() as u16).serialize(&mut bytes);
    for id in ids {
        id.serialize(&mut bytes);
        bytes.extend_from_slice(&[0; 24]);
    }
    "mesh".serialize(&mut bytes);
    bytes
}

fn id(node: u8, generation: u64) -> ChitchatId {
    let node = NodeId::from_bytes([node; 32]);
    ChitchatId::new(node.to_string(), generation, synthetic(node))
}

fn gate() -> Gate {
    Gate::new(NodeId::from_bytes([0; 32]), 100)
}

/// An answer with these news.
fn ack(blocks: &[u8]) -> Vec<u8> {
    [PROLOGUE.as_slice(), &[ACK], blocks].concat()
}

/// 64 KiB of zeros, as zstd writes them: chitchat takes blocks for more than they are long.
fn blown_up() -> Vec<u8> {
    let block = zstd::bulk::compress(&[0; u16::MAX as usize], 0).unwrap();
    let length = u16::try_from(block.len()).unwrap().to_le_bytes();
    [&[1], length.as_slice(), &block].concat()
}

#[test]
fn a_decompression_bomb_does_not_reach_chitchat() {
    let bomb = |count: usize| [blown_up().repeat(count), vec![0]].concat();
    // What 64 blocks may become is looked at, and makes no sense.
    let why = gate().pass(&ack(&bomb(64))).unwrap_err();
    assert!(!why.contains("blocks"), "{why}");
    let many = bomb(1_500);
    assert!(many.len() < MAX_MESSAGE, "{}", many.len());
    let why = gate().pass(&ack(&many)).unwrap_err();
    assert!(why.contains("64 blocks"), "{why}");
    let mut answer = syn(&[]);
    answer[PROLOGUE.len()] = SYN_ACK;
    answer.truncate(PROLOGUE.len() + 1 + 2);
    gate().pass(&[&answer[..], &[0]].concat()).unwrap();
    gate().pass(&[&answer[..], &many].concat()).unwrap_err();
    for cut in [&[][..], &[1], &[1, 9, 0], &[7], &[1, 3, 0, 1, 2, 3, 0]] {
        gate().pass(&ack(cut)).unwrap_err();
    }
}

#[test]
fn an_honest_message_passes_and_is_one_that_chitchat_reads() {
    use chitchat::{ChitchatMessage, Deserializable as _};
    let message = syn(&[id(1, 1), id(2, 1)]);
    assert!(matches!(gate().pass(&message).unwrap(), Cow::Borrowed(_)));
    let read = ChitchatMessage::deserialize(&mut message.as_slice()).unwrap();
    assert!(matches!(read, ChitchatMessage::Syn { cluster_id, .. } if cluster_id == "mesh"));
}

#[test]
fn ids_that_can_not_be_right_are_refused() {
    let mut elsewhere = id(1, 1);
    elsewhere.gossip_advertise_addr = "10.0.0.1:80".parse().unwrap();
    assert!(gate().pass(&syn(&[elsewhere])).is_err());
    let nobody = ChitchatId::new("nobody", 1, "10.0.0.1:80".parse().unwrap());
    assert!(gate().pass(&syn(&[nobody])).is_err());
}

/// What chitchat gets to see of a question.
fn seen(gate: &Gate, ids: &[ChitchatId]) -> Vec<ChitchatId> {
    named(&gate.pass(&syn(ids)).unwrap()).into_keys().collect()
}

#[test]
fn the_table_is_bounded_and_what_has_no_place_is_left_out() {
    let gate = gate();
    for node in 0..100 {
        assert_eq!(seen(&gate, &[id(node, 1)]), [id(node, 1)]);
    }
    assert_eq!(seen(&gate, &[id(100, 1)]), []);
    // Who names one too many is heard about the others.
    assert_eq!(seen(&gate, &[id(100, 1), id(99, 1)]), [id(99, 1)]);
}

#[test]
fn many_generations_of_some_leave_places_for_the_first_of_others() {
    let gate = Gate::new(NodeId::from_bytes([0; 32]), 400);
    for node in 1..=10 {
        let let_in = (0..70).filter(|number| !seen(&gate, &[id(node, *number)]).is_empty()).count();
        assert!((1..=GENERATIONS).contains(&let_in), "{let_in}");
    }
    for node in 11..=200 {
        assert_eq!(seen(&gate, &[id(node, 1)]), [id(node, 1)], "{node}");
    }
}

#[test]
fn who_does_not_belong_is_nobody() {
    let stranger = NodeId::from_bytes([2; 32]);
    let gate = gate().among(move |node| node != stranger);
    assert_eq!(seen(&gate, &[id(1, 1), id(2, 1), id(3, 1)]), [id(1, 1), id(3, 1)]);
}

/// A digest with these numbers of an id: its heartbeat, what was collected, its version.
fn says(of: &ChitchatId, numbers: [u64; 3]) -> Vec<u8> {
    let mut bytes = [PROLOGUE.as_slice(), &[SYN]].concat();
    1u16.serialize(&mut bytes);
    of.serialize(&mut bytes);
    numbers.iter().for_each(|number| number.serialize(&mut bytes));
    "mesh".serialize(&mut bytes);
    bytes
}

#[test]
fn numbers_that_nobody_has_are_left_out_of_a_digest() {
    let gate = gate();
    assert_eq!(named(&gate.pass(&says(&id(1, 1), [5, 0, 9])).unwrap()).len(), 1);
    for wrong in [[5, 1, 9], [5, 0, u64::MAX]] {
        assert_eq!(named(&gate.pass(&says(&id(1, 1), wrong)).unwrap()).len(), 0);
    }
}

#[test]
fn a_node_sees_that_more_is_said_of_it_than_it_has_said() {
    let (gate, own) = (gate(), id(0, 7));
    let refresh = |beats, version| {
        gate.refresh([own.clone()].into_iter(), [].into_iter(), Some((&own, beats, version)));
    };
    refresh(10, 4);
    gate.pass(&says(&own, [11, 0, 5])).unwrap();
    // It has come so far by now itself.
    refresh(11, 5);
    assert!(!gate.take_lie());
    // Of an earlier run, anything may be said.
    gate.pass(&says(&id(0, 6), [99, 0, 99])).unwrap();
    refresh(11, 5);
    assert!(!gate.take_lie());
    for lie in [[12, 0, 5], [11, 0, 6], [0, 0, u64::MAX]] {
        gate.pass(&says(&own, lie)).unwrap();
        refresh(11, 5);
        assert!(gate.take_lie(), "{lie:?}");
        assert!(!gate.take_lie(), "once");
        refresh(11, 5);
        assert!(!gate.take_lie());
    }
}

/// The ids that a question names, each with its version.
fn named(message: &[u8]) -> BTreeMap<ChitchatId, u64> {
    let mut bytes = &message[PROLOGUE.len() + 1..];
    let count = u16::deserialize(&mut bytes).unwrap();
    let named = (0..count).map(|_| {
        let id = ChitchatId::deserialize(&mut bytes).unwrap();
        let numbers = [(); 3].map(|()| u64::deserialize(&mut bytes).unwrap());
        (id, numbers[2])
    });
    let named = named.collect();
    assert_eq!(String::deserialize(&mut bytes).unwrap(), "mesh", "the rest is as it was");
    named
}

#[test]
fn who_does_not_name_the_dead_is_not_told_of_them() {
    let gate = gate();
    let question = syn(&[id(1, 1), id(2, 1)]);
    assert!(matches!(gate.pass(&question).unwrap(), Cow::Borrowed(_)), "nobody is dead");
    let known = [id(1, 1), id(2, 1), id(3, 1), id(4, 1)];
    gate.refresh(known.into_iter(), [(id(2, 1), 8), (id(3, 1), 9)].into_iter(), None);
    let seen = gate.pass(&question).unwrap();
    // Two is dead as well, and asked for: of its version, all that is newer is told.
    assert_eq!(named(&seen), [(id(1, 1), 0), (id(2, 1), 0), (id(3, 1), 9)].into());
    let all = syn(&[id(2, 1), id(3, 1)]);
    assert!(matches!(gate.pass(&all).unwrap(), Cow::Borrowed(_)), "both are named");
    let ack = [PROLOGUE.as_slice(), &[ACK, 0]].concat();
    assert_eq!(gate.pass(&ack).unwrap(), ack);
}

#[test]
fn no_bytes_make_the_check_panic() {
    let message = syn(&[id(1, 1), id(2, 1)]);
    let gate = gate();
    gate.refresh([id(3, 1)].into_iter(), [(id(3, 1), 1)].into_iter(), None);
    for end in 0..message.len() {
        let _ = gate.pass(&message[..end]);
    }
    assert!(gate.pass(&[0; 70_000]).is_err());
}
