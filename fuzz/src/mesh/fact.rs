//! What nodes say of themselves: facts as gossip carries them, and the statements in them.

use wattle_contracts::audit::Head;
use wattle_contracts::fact::Fact;
use wattle_contracts::id::{Digest, NodeId};
use wattle_contracts::wire;
use wattle_mesh::core::membership::reach::{Report, Seen, TOPIC};
use wattle_mesh::core::membership::{Change, Config, Evidence, MAX_FACT, Membership};
use wattle_mesh::core::time::Time;
use wattle_mesh::net::gossip::{parse, text_of};
use wattle_mesh::net::{About, AboutFact, Failure, Load, Runs};

use super::change::flipped;
use super::written::{Raw, same_and_no_longer};
use super::{member, node};

/// Everything that nodes speak on.
const TOPICS: [&str; 6] = ["about", "runs", "load", TOPIC, "audit", "left"];

/// The first byte says on what topic the others are said. A statement is read as what it is written
/// again as, and no longer; a fact is kept if its node signed it, if it fits, and once; one bit
/// changed, it is nobody's; and as the text that gossip carries it is that node's, on that topic.
pub fn holds(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data) {
        TOPICS.into_iter().for_each(|topic| carried(topic, text));
    }
    let Some((kind, body)) = data.split_first() else { return };
    let topic = TOPICS[usize::from(*kind) % TOPICS.len()];
    let fits = is_stated(topic, body) && body.len() <= MAX_FACT;
    let fact = Fact::sign(&member(), topic, 7, &Raw(body)).unwrap();
    let mut members = nobody();
    assert_eq!(takes(&mut members, &fact), fits);
    let kept = members.node(fact.node).and_then(|node| node.fact(topic));
    assert_eq!(kept, fits.then_some(&fact));
    if fits {
        for (sequence, is_news) in [(7, false), (6, false), (8, true)] {
            let other = Fact::sign(&member(), topic, sequence, &Raw(body)).unwrap();
            assert_eq!(takes(&mut members, &other), is_news, "{sequence} after 7");
        }
    }
    let changed = flipped(&wire::encode(&fact).unwrap(), data);
    if let Ok(changed) = wire::decode::<Fact>(&changed)
        && changed != fact
    {
        assert!(!takes(&mut nobody(), &changed));
    }
    if let Ok(text) = text_of(&fact) {
        assert_eq!(parse(fact.node, topic, &text).as_ref(), Some(&fact));
        assert_eq!(parse(node(8), topic, &text), None);
        assert_eq!(parse(fact.node, "other", &text), None);
    }
}

/// Reads a statement as those who look at nodes do. Whether it may be kept: of who is reached
/// nothing is that can't be read, or is longer than an honest node says.
fn is_stated(topic: &str, body: &[u8]) -> bool {
    match topic {
        "about" => drop(same_and_no_longer::<AboutFact>(body)),
        "runs" => drop(same_and_no_longer::<Runs>(body)),
        "load" => drop(same_and_no_longer::<Load>(body)),
        "audit" => _ = same_and_no_longer::<Head>(body),
        TOPIC => {
            let report = same_and_no_longer::<Report>(body);
            return report.is_some_and(|report| report.is_bounded());
        }
        _ => {}
    }
    true
}

/// A value of gossip that is taken for a fact.
fn carried(topic: &str, text: &str) {
    let id = NodeId::from_bytes(member().public());
    let Some(fact) = parse(id, topic, text) else { return };
    assert_eq!((fact.node, &*fact.topic), (id, topic));
    let written = text_of(&fact).unwrap();
    assert!(written.len() <= text.len());
    assert_eq!(parse(id, topic, &written), Some(fact));
}

fn nobody() -> Membership {
    Membership::new(node(7), Config::default(), Time::ZERO, [])
}

/// Whether a fact is taken.
fn takes(members: &mut Membership, fact: &Fact) -> bool {
    let mut changes = Vec::new();
    members.handle(Time::ZERO, Evidence::Fact(Box::new(fact.clone())), &mut changes);
    changes.iter().any(|change| matches!(change, Change::Fact { .. }))
}

pub fn seeds() -> Vec<Vec<u8>> {
    let about = About {
        labels: [("zone".to_owned(), "eu".to_owned())].into(),
        version: "0.1.0".into(),
        http: Some("192.0.2.1:8080".into()),
    };
    let addresses = vec!["/ip4/192.0.2.1/udp/4747/quic-v1".to_owned()];
    let component = || "shop/basket".parse().unwrap();
    let failing = Failure { why: "not trusted".into(), ..Failure::default() };
    let runs = Runs {
        components: [(component(), Default::default())].into(),
        artifacts: vec![Digest::of(b"x")],
        failing: [("shop/pricing".parse().unwrap(), failing)].into(),
    };
    let load = Load {
        busy: 3,
        capacity: 300,
        memory_bytes: 1 << 27,
        components: [(component(), 2)].into(),
    };
    let direct = Seen::Direct { rtt_millis: 300 };
    let report = Report::new([(node(1), direct), (node(2), Seen::OneWay), (node(3), Seen::Left)]);
    let head = Head { number: 300, hash: Digest::of(b"x") };
    let bodies = [
        wire::encode(&AboutFact { about, addresses }),
        wire::encode(&runs),
        wire::encode(&load),
        wire::encode(&report),
        wire::encode(&head),
        Ok(Vec::new()),
    ];
    let mut seeds = Vec::new();
    for (kind, body) in (0u8..).zip(bodies) {
        let body = body.unwrap();
        let topic = TOPICS[usize::from(kind)];
        let fact = Fact::sign(&member(), topic, 4, &Raw(&body)).unwrap();
        seeds.push([&[kind], body.as_slice()].concat());
        seeds.push(text_of(&fact).unwrap().into_bytes());
    }
    seeds
}
