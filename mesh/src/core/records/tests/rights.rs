//! Records whose writers may, or may not, say what they say.

use std::collections::BTreeSet;

use wattle_contracts::id::{InviteKey, MeshId, OperatorKey};
use wattle_contracts::record::{
    Admin, Admitted, Charter, Labels, Operator, Print, Revocation, Revoked, Succeeded,
};
use wattle_contracts::trust::{
    Delegation, DelegationBody, Handovers, Invitation, InvitationBody, Invited, Paper, Succession,
};

use super::*;

const AUTHORITY: u8 = 1;

fn mesh() -> MeshId {
    MeshId::from_bytes(key(AUTHORITY).public())
}

fn operator(number: u8) -> OperatorKey {
    OperatorKey::from_bytes(key(number).public())
}

fn governed() -> Records {
    let mut records = empty(Limits::default());
    records.govern(mesh(), Handovers::default(), &mut Vec::new());
    records
}

fn sign(writer: u8, millis: u64, about: RecordKey, body: RecordBody) -> Record {
    let at = Hlc { millis: WALL.0 + millis, counter: 0 };
    Record::sign(&key(writer), about, at, body).unwrap()
}

fn admin(writer: u8, millis: u64, who: u8) -> Record {
    let body = RecordBody::Admin(Admin { name: "a".into() });
    sign(writer, millis, RecordKey::Admin(operator(who)), body)
}

fn operator_of(writer: u8, millis: u64, who: u8, app: u16) -> Record {
    let apps = BTreeSet::from([format!("app-{app}").parse().unwrap()]);
    let body = Operator { apps, name: "o".into(), invitation: None };
    sign(writer, millis, RecordKey::Operator(operator(who)), RecordBody::Operator(body))
}

fn charter(writer: u8, millis: u64) -> Record {
    sign(writer, millis, RecordKey::Charter, RecordBody::Charter(Charter::default()))
}

fn revocation(writer: u8, millis: u64, what: Revoked, kept: &[&Record]) -> Record {
    let kept = kept.iter().flat_map(|record| prints(record)).collect();
    let body = RecordBody::Revocation(Revocation { reason: String::new(), kept });
    sign(writer, millis, RecordKey::Revocation(what), body)
}

/// What lets a record stay.
fn prints(record: &Record) -> Vec<Print> {
    let renewal = match &record.body {
        RecordBody::Renewed(paper) => Print::of_renewal(paper).unwrap(),
        _ => None,
    };
    renewal.into_iter().chain([Print::of_record(record).unwrap()]).collect()
}

fn hear(records: &mut Records, message: RecordMessage) -> Vec<Output> {
    let mut out = Vec::new();
    records.handle(Time::ZERO, WALL, node(9), message, &mut rng(), &mut out);
    out
}

/// Somebody is said to have come by an invitation that has two uses.
fn came(writer: u8, millis: u64, who: u8) -> Record {
    let body = InvitationBody {
        mesh: mesh(),
        key: InviteKey::from_bytes(key(40).public()),
        invited: Invited::Node,
        labels: Labels::new(),
        uses: 2,
        issued: WALL,
        expires: WALL,
        papers: None,
    };
    let invitation = Invitation::sign(&key(AUTHORITY), body).unwrap();
    let who = NodeId::from_bytes(key(who).public());
    let came = Paper::by_invitation(invitation, &key(40), who, WALL).unwrap();
    let body = RecordBody::Admitted(Box::new(Admitted { came }));
    sign(writer, millis, RecordKey::Admitted(who), body)
}

/// Somebody has renewed the paper of a node.
fn renewed(renewer: u8, millis: u64, who: u8) -> Record {
    let hour = Duration::from_secs(3600);
    let body = DelegationBody {
        mesh: mesh(),
        renewer: NodeId::from_bytes(key(renewer).public()),
        papers: hour,
        issued: WALL,
        expires: WALL.plus(hour),
    };
    let delegation = Delegation::sign(&key(AUTHORITY), body).unwrap();
    let who = NodeId::from_bytes(key(who).public());
    let paper = Paper::issue(&key(AUTHORITY), who, WALL, Some(WALL.plus(hour))).unwrap();
    let at = WALL.plus(Duration::from_millis(millis));
    let paper = Box::new(paper.renew(delegation, &key(renewer), at).unwrap());
    sign(renewer, millis, RecordKey::Renewed(who), RecordBody::Renewed(paper))
}

/// Somebody goes on with another key: always the same one.
fn followed(who: u8, millis: u64, kept: BTreeSet<Print>) -> Record {
    let (former, successor) = (key(who), key(who + 20));
    let at = WALL.plus(Duration::from_millis(millis));
    let succession = Succession::sign(mesh(), &former, &successor, at, &kept).unwrap();
    let about = RecordKey::Succession(NodeId::from_bytes(former.public()));
    let body = RecordBody::Succession(Box::new(Succeeded { succession, kept }));
    sign(who + 20, millis, about, body)
}

/// Everything that `from` holds, told to `to`.
fn tell_all(from: &Records, to: &mut Records) {
    let all = |records: &mut dyn Iterator<Item = &Arc<Record>>| {
        records.map(|record| Record::clone(record)).collect()
    };
    let message =
        RecordMessage::Push { current: all(&mut from.iter()), lost: all(&mut from.lost()) };
    hear(to, message);
}

#[test]
fn a_record_beyond_its_writers_right_is_not_taken_and_is_no_fault_of_who_brings_it() {
    let mut records = governed();
    hear(&mut records, push(vec![charter(AUTHORITY, 1), operator_of(AUTHORITY, 1, 2, 7)]));
    let out = hear(&mut records, push(vec![record(2, 8, 4), record(3, 7, 4)]));
    let refused = |output: &&Output| match output {
        Output::Refused { reason, .. } => {
            matches!(reason, Refusal::Unentitled { .. }) && !reason.is_fault()
        }
        _ => false,
    };
    assert_eq!(out.iter().filter(refused).count(), 2, "{out:?}");
    assert!(records.get(&about(8)).is_none() && records.get(&about(7)).is_none());
    hear(&mut records, push(vec![record(2, 7, 4)]));
    assert!(records.get(&about(7)).is_some());
}

#[test]
fn what_comes_before_its_right_in_one_message_is_taken_after_it() {
    let mut records = governed();
    let all = vec![record(3, 7, 8), operator_of(2, 3, 3, 7), charter(1, 1), admin(1, 1, 2)];
    hear(&mut records, push(all));
    assert!(records.get(&about(7)).is_some());
}

#[test]
fn what_a_key_wrote_is_dropped_from_set_and_disk_when_it_turns_out_to_be_revoked() {
    let mut records = governed();
    let honest = record(2, 7, 4);
    let (charter, made) = (charter(AUTHORITY, 1), operator_of(AUTHORITY, 1, 2, 7));
    hear(&mut records, push(vec![charter, made, honest.clone()]));
    // A thief, on a side of a cut that has not heard of the revocation.
    let stolen = record(2, 7, 40);
    hear(&mut records, push(vec![stolen.clone()]));
    assert_eq!(records.version(&about(7)), Some(stolen.version));
    let gone = revocation(AUTHORITY, 20, Revoked::Operator(operator(2)), &[&honest]);
    let out = hear(&mut records, push(vec![gone]));
    assert!(records.get(&about(7)).is_none());
    assert!(out.contains(&Output::Persist(Write::CurrentGone(about(7)))), "{out:?}");
    // What the revocation lets stay comes from whoever still holds it.
    hear(&mut records, push(vec![honest.clone()]));
    assert_eq!(records.version(&about(7)), Some(honest.version));
    // Whoever brings it again brings it in vain, older ones and newer ones.
    hear(&mut records, push(vec![stolen, record(2, 7, 12), record(2, 7, 80)]));
    assert_eq!(records.version(&about(7)), Some(honest.version));
    // The same after a restart.
    let stored_again: Vec<Stored> = records.iter().map(|r| stored(Record::clone(r))).collect();
    let mut again = Records::load(node(0), Limits::default(), stored_again, &mut Vec::new());
    again.govern(mesh(), Handovers::default(), &mut Vec::new());
    hear(&mut again, push(vec![record(2, 7, 80)]));
    assert_eq!(again.version(&about(7)), Some(honest.version));
}

#[test]
fn what_had_lost_against_a_thiefs_change_counts_again() {
    let mut records = governed();
    let honest = record(3, 7, 4);
    let made = [charter(1, 1), operator_of(1, 1, 2, 7), operator_of(1, 1, 3, 7), honest.clone()];
    hear(&mut records, push(made.to_vec()));
    hear(&mut records, push(vec![record(2, 7, 40)]));
    assert_eq!(records.lost_of(&about(7)).count(), 1);
    let out =
        hear(&mut records, push(vec![revocation(1, 50, Revoked::Operator(operator(2)), &[])]));
    assert_eq!(records.version(&about(7)), Some(honest.version));
    let is_back = |output: &Output| match output {
        Output::Persist(Write::Current(back)) => **back == honest,
        _ => false,
    };
    assert!(out.iter().any(is_back), "{out:?}");
}

#[test]
fn a_revocation_can_not_be_deleted_nor_taken_back_by_who_has_no_right() {
    let what = Revoked::Operator(operator(2));
    let at = Hlc { millis: WALL.0 + 30, counter: 0 };
    let key_of = RecordKey::Revocation(what);
    let made = Record::sign(&key(AUTHORITY), key_of.clone(), at, RecordBody::Tombstone);
    assert!(matches!(made, Err(RecordError::OutOfBounds { .. })), "{made:?}");
    let mut records = governed();
    hear(&mut records, push(vec![operator_of(1, 1, 2, 7), revocation(1, 2, what, &[])]));
    let theirs = record(2, 7, 4);
    hear(&mut records, push(vec![revocation(2, 30, what, &[&theirs]), theirs]));
    assert_eq!(records.get(&key_of).unwrap().version.writer, NodeId::from_bytes(key(1).public()));
    assert!(records.get(&about(7)).is_none());
}

/// What somebody writes, with a right to it or without.
#[derive(Debug, Clone)]
enum Step {
    Declare { writer: u8, app: u16 },
    MakeAdmin { writer: u8, who: u8 },
    MakeOperator { writer: u8, who: u8, app: u16 },
    Close { writer: u8 },
    Come { writer: u8, who: u8 },
    Renew { writer: u8, who: u8 },
    Follow { who: u8, keep: bool },
    Revoke { writer: u8, who: u8, kind: u8, keep: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let (writer, who, app) = (1u8..7, 2u8..7, 0u16..3);
    prop_oneof![
        4 => (writer.clone(), app.clone()).prop_map(|(writer, app)| Step::Declare { writer, app }),
        1 => (writer.clone(), who.clone()).prop_map(|(writer, who)| Step::MakeAdmin { writer, who }),
        2 => (writer.clone(), who.clone(), app)
            .prop_map(|(writer, who, app)| Step::MakeOperator { writer, who, app }),
        1 => writer.clone().prop_map(|writer| Step::Close { writer }),
        2 => (writer.clone(), who.clone()).prop_map(|(writer, who)| Step::Come { writer, who }),
        2 => (writer.clone(), who.clone()).prop_map(|(writer, who)| Step::Renew { writer, who }),
        2 => (who.clone(), any::<bool>()).prop_map(|(who, keep)| Step::Follow { who, keep }),
        2 => (writer, who, 0u8..4, any::<bool>())
            .prop_map(|(writer, who, kind, keep)| Step::Revoke { writer, who, kind, keep }),
    ]
}

fn written(steps: &[Step]) -> Vec<Record> {
    let mut all = Vec::<Record>::new();
    for (at, step) in steps.iter().enumerate() {
        let millis = at as u64;
        let record = match *step {
            Step::Declare { writer, app } => record(writer, app, millis),
            Step::MakeAdmin { writer, who } => admin(writer, millis, who),
            Step::MakeOperator { writer, who, app } => operator_of(writer, millis, who, app),
            Step::Close { writer } => charter(writer, millis),
            Step::Come { writer, who } => came(writer, millis, who),
            Step::Renew { writer, who } => renewed(writer, millis, who),
            Step::Follow { who, keep } => {
                let id = NodeId::from_bytes(key(who).public());
                let its = all.iter().filter(|record| keep && record.version.writer == id);
                followed(who, millis, its.flat_map(prints).collect())
            }
            Step::Revoke { writer, who, kind, keep } => {
                let what = match kind {
                    0 => Revoked::Admin(operator(who)),
                    1 => Revoked::Operator(operator(who)),
                    2 => Revoked::Renewer(NodeId::from_bytes(key(who).public())),
                    _ => Revoked::Node(NodeId::from_bytes(key(who).public())),
                };
                let id = NodeId::from_bytes(key(who).public());
                let kept: Vec<&Record> =
                    all.iter().filter(|record| keep && record.version.writer == id).collect();
                revocation(writer, millis, what, &kept)
            }
        };
        all.push(record);
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written by whom, and in whatever order and in whatever company it arrives: once
    /// they have told each other everything, nodes hold the same, and nothing that its writer may
    /// not say.
    #[test]
    fn nodes_agree_on_what_counts_in_whatever_order_they_hear_it(
        steps in prop::collection::vec(step(), 1..25),
        orders in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 25), 3),
        heard in prop::collection::vec(any::<bool>(), 75),
    ) {
        let all = written(&steps);
        let mut nodes: Vec<Records> = (0..3).map(|_| governed()).collect();
        for (at, (records, order)) in nodes.iter_mut().zip(&orders).enumerate() {
            let mut left: Vec<&Record> = all.iter().collect();
            for (turn, index) in order.iter().enumerate() {
                if left.is_empty() {
                    break;
                }
                let next = left.remove(index.index(left.len())).clone();
                if heard[at * 25 + turn] {
                    hear(records, push(vec![next]));
                }
            }
        }
        // Each round, rights may become known that let more count.
        for round in 1..=12 {
            for (from, to) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
                let mut taken = std::mem::replace(&mut nodes[to], governed());
                tell_all(&nodes[from], &mut taken);
                let now = Time::ZERO.plus(Duration::from_secs(round));
                taken.tick(now, WALL, &mut rng(), &mut Vec::new());
                nodes[to] = taken;
            }
        }
        let roots: Vec<[u8; 32]> = nodes.iter_mut().map(Records::root).collect();
        prop_assert_eq!(roots[0], roots[1]);
        prop_assert_eq!(roots[1], roots[2]);
        for records in &nodes {
            let rights = Rights::of(mesh(), Handovers::default(), records.iter().map(Arc::as_ref));
            prop_assert_eq!(Some(&rights), records.rights());
            for record in records.iter().chain(records.lost()) {
                prop_assert_eq!(rights.check(record), Ok(()));
            }
        }
    }
}
