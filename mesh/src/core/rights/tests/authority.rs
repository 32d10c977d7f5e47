//! A mesh whose authority has another key.

use wattle_contracts::record::Handed;
use wattle_contracts::trust::{Authority, Delegation, Signs as _};

use super::*;

const NEXT: u8 = 14;
const THIEF: u8 = 15;
const THIRD: u8 = 16;

fn prints(records: &[&Record]) -> BTreeSet<Print> {
    records.iter().map(|record| Print::of_record(record).unwrap()).collect()
}

fn authority_key(number: u8) -> AuthorityKey {
    AuthorityKey::from_bytes(key(number).public())
}

/// The authority after these keys; papers by each are taken for an hour. Of what each signed,
/// `kept` stays.
fn after(keys: &[u8], kept: &BTreeSet<Print>) -> Authority {
    keys.iter().fold(Authority::first(key(AUTHORITY)), |authority, next| {
        authority.hand_over(key(*next), NOW, NOW.plus(HOUR), kept).unwrap()
    })
}

/// The record of the last of these handovers.
fn handed(keys: &[u8], millis: u64, kept: &BTreeSet<Print>) -> Record {
    let authority = after(keys, kept);
    let former = authority.handovers().last().unwrap().body.former;
    let body = Handed { handovers: authority.handovers().clone(), kept: kept.clone() };
    let body = RecordBody::Handover(Box::new(body));
    write(*keys.last().unwrap(), millis, RecordKey::Handover(former), body)
}

#[test]
fn the_new_key_is_the_authority_and_of_the_old_one_stays_what_is_listed() {
    let (charter, made) = (charter(AUTHORITY, 1, &[]), admin(AUTHORITY, 1, ADMIN));
    let unlisted = admin(AUTHORITY, 2, OTHER);
    let handover = handed(&[NEXT], 5, &prints(&[&charter, &made]));
    let all = rights(&[&charter, &made, &unlisted, &handover]);
    all.prove(&handover).unwrap();
    all.check(&handover).unwrap();
    assert_eq!(all.authority(), authority_key(NEXT));
    let former: Vec<_> = all.former_authorities().collect();
    assert_eq!(former, [(authority_key(AUTHORITY), NOW.plus(HOUR))]);
    assert!([AUTHORITY, NEXT].iter().all(|one| all.is_of_authority(node(*one))));
    assert!(!all.is_of_authority(node(THIEF)));
    // The admin of before is one; who was made one by the old key alone is not, now or later.
    assert_eq!(all.role(&operator(ADMIN)), Some(Role::Admin));
    assert_eq!(all.role(&operator(OTHER)), None);
    for by_old in [&unlisted, &admin(AUTHORITY, 9, OTHER), &app(AUTHORITY, 9, "shop")] {
        let refused = all.check(by_old);
        assert_eq!(refused, Err(Unentitled::FormerAuthority(authority_key(AUTHORITY))));
    }
    assert_eq!(all.role(&operator(AUTHORITY)), None, "nor by another name");
    assert_eq!(all.role(&operator(NEXT)), Some(Role::Authority));
    for by_new in [admin(NEXT, 9, OTHER), app(NEXT, 9, "shop")] {
        all.check(&by_new).unwrap();
    }
    // No admin touches it, by whatever name.
    let revoked = revoke(ADMIN, 9, Revoked::Node(node(NEXT)), &[]);
    let all = rights(&[&charter, &made, &handover, &revoked]);
    all.check(&admin(NEXT, 10, OTHER)).unwrap();
}

#[test]
fn the_first_handover_that_is_known_stands_and_a_thief_comes_too_late() {
    let none = BTreeSet::new();
    let (true_one, theft) = (handed(&[NEXT], 5, &none), handed(&[THIEF], 3, &none));
    let all = rights(&[&true_one]);
    all.prove(&theft).unwrap();
    let refused = all.check(&theft);
    assert!(matches!(refused, Err(Unentitled::HandedOver { .. })), "{refused:?}");
    // Nor does what stands on his chain.
    let onward = handed(&[THIEF, THIRD], 6, &none);
    assert!(all.check(&onward).is_err());
    let paper = Paper::issue(&after(&[THIEF], &none), node(NODE), NOW, None).unwrap();
    paper.prove(mesh(), node(NODE)).unwrap();
    let refused = all.recognises(&paper, NOW);
    assert_eq!(refused, Err(Outcast::OtherAuthority(authority_key(NEXT))));
    // The same again, with another list, is the same handover.
    let again = handed(&[NEXT], 8, &prints(&[&app(AUTHORITY, 1, "shop")]));
    all.check(&again).unwrap();
}

#[test]
fn a_second_handover_follows_the_first_in_whatever_order_they_are_heard_of() {
    let none = BTreeSet::new();
    let made = admin(NEXT, 6, ADMIN);
    let (first, second) = (handed(&[NEXT], 5, &none), handed(&[NEXT, THIRD], 7, &prints(&[&made])));
    let late = admin(NEXT, 8, OTHER);
    let mut all = [&first, &made, &second, &late];
    let expected = rights(&all);
    assert_eq!(expected.authority(), authority_key(THIRD));
    assert_eq!(expected.role(&operator(ADMIN)), Some(Role::Admin));
    assert_eq!(expected.role(&operator(OTHER)), None);
    for turn in 0..24 {
        all.rotate_left(1);
        if turn % 4 == 3 {
            all.swap(0, 1 + turn / 8);
        }
        assert_eq!(rights(&all), expected);
    }
    // Who has heard of the second alone knows of the first by that, though not yet what stays.
    let second_only = rights(&[&second]);
    assert_eq!(second_only.authority(), authority_key(THIRD));
    second_only.check(&admin(AUTHORITY, 1, OTHER)).unwrap();
}

#[test]
fn papers_by_the_old_key_are_taken_for_a_while_and_those_by_the_new_one_for_good() {
    let none = BTreeSet::new();
    let by = Invitation::sign(&key(AUTHORITY), invitation(Invited::Node, 5).body).unwrap();
    let invited = Paper::by_invitation(by, &key(INVITE), node(NODE), NOW).unwrap();
    let direct = Paper::issue(&key(AUTHORITY), node(NODE), NOW, Some(NOW.plus(HOUR))).unwrap();
    let body = DelegationBody {
        mesh: mesh(),
        renewer: node(OTHER),
        papers: 9 * HOUR,
        issued: NOW,
        expires: NOW.plus(HOUR),
    };
    let delegation = Delegation::sign(&key(AUTHORITY), body).unwrap();
    let renewed = direct.renew(delegation.clone(), &key(OTHER), NOW).unwrap();
    let renewed_invited = invited.renew(delegation, &key(OTHER), NOW).unwrap();
    let new = after(&[NEXT], &none);
    let all = rights(&[&handed(&[NEXT], 5, &none)]);
    let (during, later) = (NOW.plus(HOUR), NOW.plus(2 * HOUR));
    for old in [&invited, &direct, &renewed, &renewed_invited] {
        all.recognises(old, during).unwrap();
        let until = all.term(old).unwrap().until;
        assert_eq!(until, NOW.plus(HOUR), "it is said in time that it ends then");
        assert_eq!(all.recognises(old, later), Err(Outcast::FormerAuthority));
        let resigned = old.resigned(&new, NOW, |_| true).unwrap();
        resigned.prove(mesh(), node(NODE)).unwrap();
        all.recognises(&resigned, later).unwrap();
        assert!(resigned.supersedes(old) && !old.supersedes(&resigned));
        assert_eq!(resigned.term().map(|term| term.until), old.term().map(|term| term.until));
        let key = |paper: &Paper| paper.invitation.as_ref().map(|by| by.body.key);
        assert_eq!(key(&resigned), key(old), "its place at the invitation stays used");
        let over = |paper: &Paper| paper.invitation.as_ref().map(|by| by.body.expires);
        assert!(over(&resigned).is_none_or(|at| at == NOW), "nobody else comes by it");
        // Who renews by a right that nobody knows of has renewed nothing.
        let bare = old.resigned(&new, NOW, |_| false).unwrap();
        assert_eq!(bare, old.unrenewed().resigned(&new, NOW, |_| true).unwrap());
        // Shown the old one, nodes go by what the records give it.
        let body = RecordBody::Renewed(Box::new(resigned.clone()));
        let record = write(OTHER, 9, RecordKey::Renewed(node(NODE)), body);
        let all = rights(&[&handed(&[NEXT], 5, &none), &record]);
        assert_eq!(all.paper(node(NODE), Some(old)), Some(resigned));
    }
}

#[test]
fn who_was_invited_by_the_old_key_goes_on_and_who_says_so_afterwards_does_not() {
    let invited = Invited::Operator(["shop".parse().unwrap()].into());
    let by = Invitation::sign(&key(AUTHORITY), invitation(invited, 5).body).unwrap();
    let accept = |millis, who| {
        let body = Operator {
            apps: ["shop".parse().unwrap()].into(),
            name: "somebody".into(),
            invitation: Some(Box::new(by.clone())),
        };
        write(INVITE, millis, RecordKey::Operator(operator(who)), RecordBody::Operator(body))
    };
    let (before, after) = (accept(1, OPERATOR), accept(2, OTHER));
    rights(&[]).check(&after).unwrap();
    let all = rights(&[&before, &after, &handed(&[NEXT], 5, &prints(&[&before]))]);
    assert!(all.role(&operator(OPERATOR)).is_some());
    assert_eq!(all.role(&operator(OTHER)), None);
    let refused = all.check(&after);
    assert_eq!(refused, Err(Unentitled::FormerAuthority(authority_key(AUTHORITY))));
}

#[test]
fn whoever_has_two_old_keys_writes_no_other_list_of_what_stays() {
    let none = BTreeSet::new();
    let first = handed(&[NEXT], 5, &none);
    let second = handed(&[NEXT, THIRD], 7, &prints(&[&first]));
    let forged = admin(AUTHORITY, 8, THIEF);
    // The same two keys, which are both the thief's, and a longer list.
    let again = handed(&[NEXT], 9, &prints(&[&forged]));
    let all = rights(&[&first, &second]);
    all.check(&first).unwrap();
    assert_eq!(all.check(&again), Err(Unentitled::FormerAuthority(authority_key(NEXT))));
    assert!(all.check(&forged).is_err());
}

#[test]
fn no_paper_takes_the_place_of_one_by_the_present_key_but_by_that() {
    let none = BTreeSet::new();
    let (new, rogue) = (after(&[NEXT], &none), after(&[THIEF, THIRD], &none));
    let all = rights(&[&handed(&[NEXT], 5, &none)]);
    let give = |paper: &Paper| {
        let body = RecordBody::Renewed(Box::new(paper.clone()));
        write(OTHER, 9, RecordKey::Renewed(node(NODE)), body)
    };
    let paper = |by: &Authority| Paper::issue(by, node(NODE), NOW, Some(NOW.plus(HOUR))).unwrap();
    let (good, old, longer) =
        (paper(&new), paper(&Authority::first(key(AUTHORITY))), paper(&rogue));
    all.check(&give(&good)).unwrap();
    let refused = all.check(&give(&old));
    assert_eq!(refused, Err(Unentitled::FormerAuthority(authority_key(AUTHORITY))));
    let refused = all.check(&give(&longer));
    assert!(matches!(refused, Err(Unentitled::HandedOver { .. })), "{refused:?}");
    // Longer, and still not what counts, whoever shows it.
    assert!(longer.supersedes(&good));
    let all = rights(&[&handed(&[NEXT], 5, &none), &give(&good)]);
    assert_eq!(all.paper(node(NODE), Some(&longer)), Some(good));
}

#[test]
fn a_newcomer_knows_by_its_own_paper_to_whom_the_mesh_was_handed_over() {
    let none = BTreeSet::new();
    let ground = after(&[NEXT], &none).handovers().clone();
    let theft = handed(&[THIEF], 3, &none);
    let all = Rights::of(mesh(), ground, [&theft]);
    assert_eq!(all.authority(), authority_key(NEXT));
    assert!(all.check(&theft).is_err());
    let old = Paper::issue(&key(AUTHORITY), node(NODE), NOW, None).unwrap();
    assert_eq!(all.recognises(&old, NOW.plus(2 * HOUR)), Err(Outcast::FormerAuthority));
    // What stays of the old key's word it does not know yet, and takes nothing away for that.
    all.check(&admin(AUTHORITY, 1, ADMIN)).unwrap();
}
