//! The replicated records, of every kind.

use std::collections::BTreeSet;
use std::time::Duration;

use wattle_contracts::id::{AuthorityKey, Digest, InviteKey, MeshId, NodeId, OperatorKey};
use wattle_contracts::record::{
    Admin, Admitted, App, CellMember, Charter, ComponentSpec, Config, Declaration, Grant, Handed,
    Hlc, HttpRoute, ImportSpec, Labels, LimitSpec, Link, LinkOptions, LinkSpec, Operator, Print,
    ProviderKind, ProviderSpec, Publisher, Record, RecordBody, RecordKey, Revocation, Revoked,
    SealedKey, Secret, SubscriptionSpec, Succeeded, Summary,
};
use wattle_contracts::trust::{
    Delegation, DelegationBody, Invitation, Signs as _, Succession, UnixMillis,
};
use wattle_contracts::wire;

use super::written::same_and_no_longer;
use super::{authority, flipped, member, node, paper, publisher};

/// A record that is taken is one that its writer signs; what can be signed is taken, and one bit
/// changed, by nobody.
pub fn holds(data: &[u8]) {
    same_and_no_longer::<Record>(data).iter().for_each(is_written);
    let Ok((about, at, body)) = wire::decode::<(RecordKey, Hlc, RecordBody)>(data) else { return };
    let Ok(first) = Record::sign(&member(), about.clone(), at, body.clone()) else { return };
    is_signed(&first, data);
    // And by somebody else, who knew it.
    let later = Hlc { millis: at.millis.saturating_add(1), ..at };
    if let Ok(second) = Record::sign_after(&authority(), about, later, Some(&first), body) {
        is_signed(&second, data);
        assert!(second.knew(first.version) && !first.knew(second.version));
    }
}

/// A record of the member that holds is one that the member signs.
pub fn is_written(record: &Record) {
    if record.verify().is_err() {
        return;
    }
    let writer = record.version.writer;
    assert!(writer == node() || writer == by_authority(), "nobody else has signed anything");
    assert!(wire::encode(record).unwrap().len() <= Record::MAX_SIZE + 128);
}

fn by_authority() -> NodeId {
    NodeId::from_bytes(authority().public())
}

fn is_signed(record: &Record, data: &[u8]) {
    record.verify().unwrap();
    assert_eq!(record.key.to_string().parse::<RecordKey>().as_ref(), Ok(&record.key));
    let bytes = wire::encode(record).unwrap();
    let read: Record = wire::decode(&bytes).unwrap();
    assert_eq!(&read, record);
    read.verify().unwrap();
    assert_eq!(read.digest(), record.digest());
    match wire::decode::<Record>(&flipped(&bytes, data)) {
        Ok(changed) if changed != *record => assert!(changed.verify().is_err()),
        _ => {}
    }
}

fn options() -> LinkOptions {
    LinkOptions {
        weight: 5,
        require: Labels::from([("zone".into(), "a".into())]),
        prefer: Labels::from([("disk".into(), "fast".into())]),
        idempotent: vec!["price".into()],
        hedge_millis: Some(50),
        grant: Grant {
            functions: vec!["price".into()],
            subjects: vec!["orders.*.>".parse().unwrap()],
            calls_per_second: Some(50),
            ..Grant::ALL
        },
    }
}

fn app() -> App {
    let component = ComponentSpec {
        digest: Digest::of(b"x"),
        publisher: publisher(),
        size: 43_000,
        exports: vec!["example:shop/pricing@0.1.0".parse().unwrap()],
        imports: vec![ImportSpec {
            contract: "wasi:keyvalue/store@0.2.0-draft".parse().unwrap(),
            functions: vec!["[method]bucket.get".into()],
        }],
        replicas: 2,
        on: Labels::from([("role".into(), "compute".into())]),
        config: [("bucket".to_string(), "visits".to_string())].into(),
        limits: LimitSpec {
            memory_bytes: Some(64 << 20),
            time: Some(Duration::from_secs(10)),
            concurrency: Some(50),
            reuse: None,
        },
    };
    let provider = |kind| ProviderSpec { kind, node: Some(node()), on: Labels::new() };
    let hosts = vec!["*.example.com".to_string()];
    let subjects = vec!["orders.>".parse().unwrap()];
    App {
        name: "shop".parse().unwrap(),
        components: [("basket".parse().unwrap(), component)].into(),
        providers: [
            ("store".parse().unwrap(), provider(ProviderKind::KeyValue)),
            ("web".parse().unwrap(), provider(ProviderKind::HttpClient { hosts })),
            (
                "news".parse().unwrap(),
                provider(ProviderKind::Messaging { subjects: subjects.clone() }),
            ),
        ]
        .into(),
        links: vec![LinkSpec {
            from: "basket".parse().unwrap(),
            contract: "wasi:keyvalue".parse().unwrap(),
            name: "default".parse().unwrap(),
            to: "store".parse().unwrap(),
            options: LinkOptions::default(),
        }],
        http: vec![HttpRoute {
            host: Some("shop.example".into()),
            path: "/api".into(),
            component: "basket".parse().unwrap(),
        }],
        subscriptions: vec![SubscriptionSpec {
            component: "basket".parse().unwrap(),
            subjects,
            group: "shop".parse().unwrap(),
        }],
    }
}

/// One of each kind.
fn bodies() -> Vec<(RecordKey, RecordBody)> {
    let operator = OperatorKey::from_bytes(member().public());
    let invitation = Invitation::sign(&authority(), paper::invitations().remove(2)).unwrap();
    let [came, renewed, ..] = <[_; 4]>::try_from(paper::papers()).unwrap();
    let app = app();
    let summary = Summary {
        members: vec![CellMember {
            node: node(),
            addresses: vec!["/ip4/10.0.0.1/udp/4747/quic-v1".into()],
            labels: Labels::from([("role".into(), "store".into())]),
            serves: [("shop/basket".parse().unwrap(), Declaration::default())].into(),
        }],
    };
    let mesh = MeshId::from_bytes(authority().public());
    let delegation = DelegationBody {
        mesh,
        renewer: node(),
        papers: Duration::from_secs(3600),
        issued: UnixMillis(AT.millis),
        expires: UnixMillis(AT.millis + 86_400_000),
    };
    let delegation = Delegation::sign(&authority(), delegation).unwrap();
    let stays = BTreeSet::from([super::STAYS]);
    // Who follows writes it.
    let (old, new, at) = (super::invited(), member(), UnixMillis(AT.millis));
    let former = NodeId::from_bytes(old.public());
    let succession = Succession::sign(mesh, &old, &new, at, &stays).unwrap();
    let succeeded = Succeeded { succession, kept: stays };
    let handovers = super::handed().handovers().clone();
    let first = AuthorityKey::from_bytes(authority().public());
    let handed = Handed { handovers, kept: BTreeSet::from([super::STAYS]) };
    let name = "ada".to_string();
    let apps = ["shop".parse().unwrap()].into();
    let kept = BTreeSet::from([Print([7; 16])]);
    let keys = vec![SealedKey { node: node(), sealed: vec![5; 80] }];
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let publishes = Publisher {
        name: "acme".parse().unwrap(),
        apps: names(&["store-*"]),
        components: names(&["desk"]),
        digests: vec![Digest::of(b"x")],
        contracts: vec!["example:shop".parse().unwrap()],
        exclusive: true,
    };
    let link = Link { to: "shop/pricing".parse().unwrap(), options: options() };
    let link_key = "shop/basket/example:shop/pricing/canary".parse().unwrap();
    let config_key = || "shop/basket/currency".parse().unwrap();
    let revocation = Revocation { reason: "stolen".into(), kept: kept.clone() };
    let invite = InviteKey::from_bytes(super::invited().public());
    vec![
        (RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app))),
        (RecordKey::App("shop".parse().unwrap()), RecordBody::Tombstone),
        (RecordKey::Link(Box::new(link_key)), RecordBody::Link(Box::new(link))),
        (RecordKey::Config(config_key()), RecordBody::Config(Config { value: "EUR".into() })),
        (RecordKey::Cell("north".parse().unwrap()), RecordBody::Cell(summary)),
        (
            RecordKey::Secret(config_key()),
            RecordBody::Secret(Box::new(Secret { sealed: vec![3; 20], keys })),
        ),
        (RecordKey::Publisher(publisher()), RecordBody::Publisher(Box::new(publishes))),
        (RecordKey::Admitted(node()), RecordBody::Admitted(Box::new(Admitted { came }))),
        (RecordKey::Renewed(node()), RecordBody::Renewed(Box::new(renewed))),
        (RecordKey::Renewer(node()), RecordBody::Renewer(Box::new(delegation))),
        (RecordKey::Succession(former), RecordBody::Succession(Box::new(succeeded))),
        (RecordKey::Handover(first), RecordBody::Handover(Box::new(handed))),
        (
            RecordKey::Operator(operator),
            RecordBody::Operator(Operator {
                apps,
                name: name.clone(),
                invitation: Some(Box::new(invitation)),
            }),
        ),
        (RecordKey::Admin(operator), RecordBody::Admin(Admin { name })),
        (RecordKey::Charter, RecordBody::Charter(Charter { kept })),
        (RecordKey::Revocation(Revoked::Invitation(invite)), RecordBody::Revocation(revocation)),
    ]
}

const AT: Hlc = Hlc { millis: 1_800_000_000_000, counter: 3 };

/// A few records, signed.
pub fn some() -> Vec<Record> {
    let signed = |(key, body)| Record::sign(&member(), key, AT, body).unwrap();
    bodies().into_iter().skip(1).take(3).map(signed).collect()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (key, body) in bodies() {
        let record = Record::sign(&member(), key.clone(), AT, body.clone()).unwrap();
        seeds.push(wire::encode(&record).unwrap());
        seeds.push(wire::encode(&(key, AT, body)).unwrap());
    }
    seeds
}
