mod authority;
mod succession;

use std::time::Duration;

use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{
    Admin, App, Charter, Hlc, Labels, Link, LinkOptions, Operator, Revocation,
};
use wattle_contracts::trust::{DelegationBody, Invitation, InvitationBody, Invited};

use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

const AUTHORITY: u8 = 1;
const ADMIN: u8 = 2;
const OPERATOR: u8 = 3;
const NODE: u8 = 4;
const OTHER: u8 = 5;
const INVITE: u8 = 6;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed([number; 32]).unwrap()
}

fn mesh() -> MeshId {
    MeshId::from_bytes(key(AUTHORITY).public())
}

fn node(number: u8) -> NodeId {
    NodeId::from_bytes(key(number).public())
}

fn operator(number: u8) -> OperatorKey {
    OperatorKey::from_bytes(key(number).public())
}

fn write(writer: u8, millis: u64, about: RecordKey, body: RecordBody) -> Record {
    let at = Hlc { millis: NOW.0 + millis, counter: 0 };
    Record::sign(&key(writer), about, at, body).unwrap()
}

fn app(writer: u8, millis: u64, name: &str) -> Record {
    let app = App::new(name.parse().unwrap());
    write(writer, millis, RecordKey::App(app.name.clone()), RecordBody::App(Box::new(app)))
}

fn admin(writer: u8, millis: u64, who: u8) -> Record {
    let body = RecordBody::Admin(Admin { name: "somebody".into() });
    write(writer, millis, RecordKey::Admin(operator(who)), body)
}

fn charter(writer: u8, millis: u64, kept: &[&Record]) -> Record {
    let kept = kept.iter().map(|record| Print::of_record(record).unwrap()).collect();
    write(writer, millis, RecordKey::Charter, RecordBody::Charter(Charter { kept }))
}

fn operator_of(writer: u8, millis: u64, who: u8, apps: &[&str]) -> Record {
    let apps = apps.iter().map(|app| app.parse().unwrap()).collect();
    let body = RecordBody::Operator(Operator { apps, name: "somebody".into(), invitation: None });
    write(writer, millis, RecordKey::Operator(operator(who)), body)
}

fn revoke(writer: u8, millis: u64, what: Revoked, kept: &[Print]) -> Record {
    let kept = kept.iter().copied().collect();
    let body = RecordBody::Revocation(Revocation { reason: String::new(), kept });
    write(writer, millis, RecordKey::Revocation(what), body)
}

fn invitation(invited: Invited, uses: u32) -> Invitation {
    let body = InvitationBody {
        mesh: mesh(),
        key: InviteKey::from_bytes(key(INVITE).public()),
        invited,
        labels: Labels::new(),
        uses,
        issued: NOW,
        expires: NOW.plus(HOUR),
        papers: None,
    };
    Invitation::sign(&key(AUTHORITY), body).unwrap()
}

fn rights(records: &[&Record]) -> Rights {
    Rights::of(mesh(), Handovers::default(), records.iter().copied())
}

#[test]
fn every_member_declares_until_there_are_operators_and_then_only_they() {
    let open = rights(&[]);
    let before = app(NODE, 1, "shop");
    open.check(&before).unwrap();
    let closed = rights(&[&charter(AUTHORITY, 2, &[&before]), &admin(AUTHORITY, 2, ADMIN)]);
    // What was declared before and is on the list stays; what is said to be as old does not.
    closed.check(&before).unwrap();
    for forged in [app(NODE, 0, "shop"), app(NODE, 3, "shop")] {
        let refused = closed.check(&forged);
        assert!(matches!(refused, Err(Unentitled::NoOperator { .. })), "{refused:?}");
    }
    closed.check(&app(ADMIN, 3, "shop")).unwrap();
    closed.check(&app(AUTHORITY, 3, "shop")).unwrap();
}

#[test]
fn an_operator_declares_its_apps_with_all_that_belongs_to_them_and_nothing_else() {
    let all = rights(&[
        &charter(AUTHORITY, 1, &[]),
        &admin(AUTHORITY, 1, ADMIN),
        &operator_of(ADMIN, 2, OPERATOR, &["shop"]),
    ]);
    all.check(&app(OPERATOR, 3, "shop")).unwrap();
    let tombstone =
        write(OPERATOR, 4, RecordKey::App("shop".parse().unwrap()), RecordBody::Tombstone);
    all.check(&tombstone).unwrap();
    let value = |key: &str| {
        let body = RecordBody::Config(wattle_contracts::record::Config { value: "x".into() });
        write(OPERATOR, 5, RecordKey::Config(key.parse().unwrap()), body)
    };
    all.check(&value("shop/basket/currency")).unwrap();
    for foreign in [value("bank/vault/currency"), app(OPERATOR, 6, "bank")] {
        let refused = all.check(&foreign);
        assert!(matches!(refused, Err(Unentitled::OtherApps { .. })), "{refused:?}");
    }
    for beyond in [
        operator_of(OPERATOR, 7, OTHER, &["shop"]),
        revoke(OPERATOR, 7, Revoked::Node(node(NODE)), &[]),
        admin(OPERATOR, 7, OPERATOR),
        charter(OPERATOR, 7, &[]),
    ] {
        assert!(all.check(&beyond).is_err(), "{}", beyond.key);
    }
}

#[test]
fn a_link_to_another_app_is_for_those_who_declare_both() {
    let all = rights(&[
        &charter(AUTHORITY, 1, &[]),
        &admin(AUTHORITY, 1, ADMIN),
        &operator_of(ADMIN, 2, OPERATOR, &["shop"]),
        &operator_of(ADMIN, 2, OTHER, &["shop", "bank"]),
    ]);
    let key = |from: &str| RecordKey::Link(Box::new(from.parse().unwrap()));
    let link = |writer, from: &str, to: &str| {
        let link = Link { to: to.parse().unwrap(), options: LinkOptions::default() };
        write(writer, 3, key(from), RecordBody::Link(Box::new(link)))
    };
    let (own, foreign) = ("shop/basket/wasi:keyvalue/default", "bank/teller/wasi:keyvalue/default");
    all.check(&link(OPERATOR, own, "shop/carts")).unwrap();
    for writer in [AUTHORITY, ADMIN, OTHER] {
        all.check(&link(writer, own, "bank/accounts")).unwrap();
    }
    let refused = all.check(&link(OPERATOR, own, "bank/accounts"));
    assert!(matches!(refused, Err(Unentitled::LinksElsewhere { .. })), "{refused:?}");
    let refused = all.check(&link(OPERATOR, foreign, "shop/carts"));
    assert!(matches!(refused, Err(Unentitled::OtherApps { .. })), "{refused:?}");
    // Its own component may go without what somebody else gave it.
    all.check(&write(OPERATOR, 4, key(own), RecordBody::Tombstone)).unwrap();
    // Without operators every member declares all apps.
    rights(&[]).check(&link(NODE, own, "bank/accounts")).unwrap();
}

#[test]
fn a_viewer_declares_nothing_whether_there_are_admins_or_not() {
    let viewer = operator_of(AUTHORITY, 1, OPERATOR, &[]);
    let closed = [&charter(AUTHORITY, 1, &[]), &admin(AUTHORITY, 1, ADMIN), &viewer];
    for all in [rights(&[&viewer]), rights(&closed)] {
        let config = write(
            OPERATOR,
            3,
            RecordKey::Config("shop/basket/currency".parse().unwrap()),
            RecordBody::Config(wattle_contracts::record::Config { value: "x".into() }),
        );
        for said in [app(OPERATOR, 2, "shop"), config] {
            let refused = all.check(&said);
            assert!(matches!(refused, Err(Unentitled::OnlyLooks { .. })), "{refused:?}");
        }
        for beyond in [
            operator_of(OPERATOR, 4, OPERATOR, &["shop"]),
            revoke(OPERATOR, 4, Revoked::Node(node(NODE)), &[]),
            admin(OPERATOR, 4, OPERATOR),
        ] {
            assert!(all.check(&beyond).is_err(), "{}", beyond.key);
        }
    }
}

#[test]
fn a_key_has_the_role_that_the_records_give_it_until_it_is_revoked() {
    let given = [
        &charter(AUTHORITY, 1, &[]),
        &admin(AUTHORITY, 1, ADMIN),
        &operator_of(ADMIN, 2, OPERATOR, &["shop"]),
        &operator_of(ADMIN, 2, OTHER, &[]),
    ];
    let all = rights(&given);
    let (shop, bank): (AppName, AppName) = ("shop".parse().unwrap(), "bank".parse().unwrap());
    let role = |rights: &Rights, who| rights.role(&operator(who));
    assert_eq!(role(&all, AUTHORITY), Some(Role::Authority));
    assert_eq!(role(&all, ADMIN), Some(Role::Admin));
    assert_eq!(role(&all, OPERATOR), Some(Role::Deployer([shop.clone()].into())));
    assert_eq!(role(&all, OTHER), Some(Role::Viewer));
    assert_eq!(role(&all, NODE), None);
    let covers = |who, app| role(&all, who).is_some_and(|role| role.covers(app));
    assert!(covers(ADMIN, &bank) && covers(OPERATOR, &shop));
    assert!(!covers(OPERATOR, &bank) && !covers(OTHER, &shop));
    for (who, what) in [
        (ADMIN, Revoked::Admin(operator(ADMIN))),
        (OPERATOR, Revoked::Operator(operator(OPERATOR))),
        (OTHER, Revoked::Operator(operator(OTHER))),
    ] {
        let gone = revoke(AUTHORITY, 3, what, &[]);
        let after = rights(&given.into_iter().chain([&gone]).collect::<Vec<_>>());
        assert_eq!(role(&after, who), None, "{what}");
    }
}

#[test]
fn nobody_but_the_authority_touches_an_admin() {
    let all = [&admin(AUTHORITY, 1, ADMIN), &admin(AUTHORITY, 1, OTHER)];
    let both = rights(&all);
    for beyond in [
        admin(ADMIN, 2, OPERATOR),
        revoke(ADMIN, 2, Revoked::Admin(operator(OTHER)), &[]),
        charter(ADMIN, 2, &[]),
    ] {
        assert_eq!(both.check(&beyond), Err(Unentitled::OnlyAuthority), "{}", beyond.key);
    }
    // Nor by another name.
    for disguised in [Revoked::Operator(operator(OTHER)), Revoked::Node(node(OTHER))] {
        let with = [all[0], all[1], &revoke(ADMIN, 2, disguised, &[])];
        rights(&with).check(&app(OTHER, 3, "shop")).unwrap();
    }
}

#[test]
fn of_what_a_revoked_key_signed_only_what_is_listed_counts_whatever_its_version() {
    let known = app(OPERATOR, 5, "shop");
    let kept = [Print::of_record(&known).unwrap()];
    let all = rights(&[
        &charter(AUTHORITY, 1, &[]),
        &admin(AUTHORITY, 1, ADMIN),
        &operator_of(AUTHORITY, 2, OPERATOR, &["shop"]),
        &revoke(ADMIN, 10, Revoked::Operator(operator(OPERATOR)), &kept),
    ]);
    all.check(&known).unwrap();
    for millis in [4, 6, 9, 11] {
        let refused = all.check(&app(OPERATOR, millis, "shop"));
        assert!(matches!(refused, Err(Unentitled::Revoked(_))), "{millis}: {refused:?}");
    }
}

#[test]
fn a_revocation_by_an_admin_stands_although_the_admin_falls_if_it_is_listed() {
    let by_admin = revoke(ADMIN, 5, Revoked::Node(node(NODE)), &[]);
    let fallen = |kept: &[Print]| revoke(AUTHORITY, 6, Revoked::Admin(operator(ADMIN)), kept);
    let made = admin(AUTHORITY, 1, ADMIN);
    let listed = fallen(&[Print::of_record(&by_admin).unwrap()]);
    assert!(rights(&[&made, &by_admin, &listed]).is_revoked(node(NODE)));
    assert!(!rights(&[&made, &by_admin, &fallen(&[])]).is_revoked(node(NODE)));
}

#[test]
fn the_first_to_be_written_down_came_by_an_invitation_and_no_more_than_it_has_uses() {
    let invitation = invitation(Invited::Node, 2);
    let paper =
        |who| Paper::by_invitation(invitation.clone(), &key(INVITE), node(who), NOW).unwrap();
    let came = |who, millis| {
        let admitted = Admitted { came: paper(who) };
        let record = write(
            OTHER,
            millis,
            RecordKey::Admitted(node(who)),
            RecordBody::Admitted(Box::new(admitted)),
        );
        Rights::new(mesh()).prove(&record).unwrap();
        record
    };
    let belongs =
        |rights: &Rights, who, others| rights.belongs(node(who), &paper(who), NOW, others);
    let one = rights(&[&came(10, 1)]);
    belongs(&one, 10, 0).unwrap();
    belongs(&one, 11, 0).unwrap();
    // Another one has just shown its paper here.
    assert_eq!(belongs(&one, 11, 1), Err(Outcast::UsedUp { uses: 2 }));
    // Two sides of a cut have let one in each: the later one goes.
    let three = rights(&[&came(10, 1), &came(12, 3), &came(11, 2)]);
    belongs(&three, 11, 0).unwrap();
    assert_eq!(belongs(&three, 12, 0), Err(Outcast::UsedUp { uses: 2 }));
    assert_eq!(belongs(&three, 13, 0), Err(Outcast::UsedUp { uses: 2 }));
    // When the invitation has run out, those who came stay, and nobody else comes.
    let late = NOW.plus(2 * HOUR);
    one.belongs(node(10), &paper(10), late, 0).unwrap();
    let refused = one.belongs(node(11), &paper(11), late, 0);
    assert_eq!(refused, Err(Outcast::InvitationOver));
}

#[test]
fn a_revoked_invitation_lets_stay_who_is_listed_and_a_revoked_node_nobody() {
    let invitation = invitation(Invited::Node, 5);
    let paper =
        |who| Paper::by_invitation(invitation.clone(), &key(INVITE), node(who), NOW).unwrap();
    let kept = [Print::of_member(node(10).as_bytes())];
    let made = admin(AUTHORITY, 1, ADMIN);
    let taken_back = revoke(ADMIN, 2, Revoked::Invitation(invitation.body.key), &kept);
    let all = rights(&[&made, &taken_back]);
    all.belongs(node(10), &paper(10), NOW, 0).unwrap();
    let refused = all.belongs(node(11), &paper(11), NOW, 0);
    assert_eq!(refused, Err(Outcast::InvitationRevoked));
    let all = rights(&[&made, &revoke(ADMIN, 2, Revoked::Node(node(10)), &[])]);
    assert_eq!(all.belongs(node(10), &paper(10), NOW, 0), Err(Outcast::Revoked));
}

#[test]
fn an_operator_comes_by_an_invitation_for_its_apps_alone() {
    let apps = BTreeSet::from(["shop".parse().unwrap()]);
    let invitation = invitation(Invited::Operator(apps.clone()), 1);
    let accept = |writer, who, millis, apps: &BTreeSet<AppName>| {
        let operator_body = Operator {
            apps: apps.clone(),
            name: "somebody".into(),
            invitation: Some(Box::new(invitation.clone())),
        };
        let body = RecordBody::Operator(operator_body);
        write(writer, millis, RecordKey::Operator(operator(who)), body)
    };
    let first = accept(INVITE, OPERATOR, 1, &apps);
    let all = rights(&[&charter(AUTHORITY, 1, &[]), &first]);
    all.prove(&first).unwrap();
    all.check(&app(OPERATOR, 2, "shop")).unwrap();
    assert!(all.check(&app(OPERATOR, 2, "bank")).is_err());
    // Not twice, not for more, not by another key, and not for ever.
    let wider = BTreeSet::from(["bank".parse().unwrap()]);
    let late = HOUR.as_millis() as u64 * 2;
    for beyond in [
        accept(INVITE, OTHER, 2, &apps),
        accept(INVITE, OPERATOR, 2, &wider),
        accept(NODE, OPERATOR, 2, &apps),
        accept(INVITE, OPERATOR, late, &apps),
    ] {
        let refused = all.check(&beyond);
        assert!(matches!(refused, Err(Unentitled::BeyondInvitation(_))), "{refused:?}");
    }
}

#[test]
fn a_forged_paper_in_a_record_proves_nothing() {
    let invitation = invitation(Invited::Node, 2);
    let forged = Paper::by_invitation(invitation, &key(OTHER), node(10), NOW).unwrap();
    let admitted = RecordBody::Admitted(Box::new(Admitted { came: forged }));
    let record = write(OTHER, 1, RecordKey::Admitted(node(10)), admitted);
    assert!(matches!(rights(&[]).prove(&record), Err(Unentitled::Paper(_))));
}

fn delegation(signer: u8, renewer: u8) -> Delegation {
    let body = DelegationBody {
        mesh: MeshId::from_bytes(key(signer).public()),
        renewer: node(renewer),
        papers: 24 * HOUR,
        issued: NOW,
        expires: NOW.plus(48 * HOUR),
    };
    Delegation::sign(&key(signer), body).unwrap()
}

/// The paper of `who`, from the authority for an hour, renewed by a node.
fn renewed(renewer: u8, millis: u64, who: u8) -> (Paper, Paper) {
    let old = Paper::issue(&key(AUTHORITY), node(who), NOW, Some(NOW.plus(HOUR))).unwrap();
    let at = NOW.plus(Duration::from_millis(millis));
    let new = old.renew(delegation(AUTHORITY, renewer), &key(renewer), at).unwrap();
    (old, new)
}

fn give(writer: u8, millis: u64, paper: &Paper) -> Record {
    let body = RecordBody::Renewed(Box::new(paper.clone()));
    write(writer, millis, RecordKey::Renewed(paper.body.node), body)
}

#[test]
fn a_member_has_the_paper_that_a_renewer_gave_it_and_a_revoked_node_is_given_none() {
    let (old, new) = renewed(NODE, 5, 10);
    let given = give(NODE, 5, &new);
    let all = rights(&[&given]);
    all.prove(&given).unwrap();
    for shown in [None, Some(&old), Some(&new)] {
        assert_eq!(all.paper(node(10), shown).as_ref(), Some(&new));
    }
    // What the authority says later counts, and no older renewal changes it.
    let later = NOW.plus(HOUR / 2);
    let newer = Paper::issue(&key(AUTHORITY), node(10), later, Some(later.plus(HOUR))).unwrap();
    assert_eq!(all.paper(node(10), Some(&newer)), Some(newer));
    let gone = rights(&[&revoke(AUTHORITY, 1, Revoked::Node(node(10)), &[])]);
    let refused = gone.check(&given);
    assert_eq!(refused, Err(Unentitled::Revoked(Revoked::Node(node(10)))));
}

#[test]
fn only_the_authority_makes_renewers_and_nobody_a_member() {
    let make = |writer, signer| {
        let body = RecordBody::Renewer(Box::new(delegation(signer, NODE)));
        write(writer, 1, RecordKey::Renewer(node(NODE)), body)
    };
    let all = rights(&[&admin(AUTHORITY, 1, ADMIN), &make(AUTHORITY, AUTHORITY)]);
    assert!(all.renewer(node(NODE)).is_some());
    for writer in [ADMIN, NODE, OTHER] {
        assert_eq!(all.check(&make(writer, AUTHORITY)), Err(Unentitled::OnlyAuthority));
    }
    let forged = make(AUTHORITY, OTHER);
    assert!(matches!(all.prove(&forged), Err(Unentitled::Delegation(_))));
    // A renewer's own word that somebody belongs is none.
    let stranger = Paper::issue(&key(NODE), node(11), NOW, None).unwrap();
    let renewed = stranger.renew(delegation(AUTHORITY, NODE), &key(NODE), NOW).unwrap();
    for paper in [stranger, renewed] {
        assert!(matches!(all.prove(&give(NODE, 2, &paper)), Err(Unentitled::Paper(_))));
    }
    let until: Vec<NodeId> = all.renewers(NOW.plus(47 * HOUR)).collect();
    assert_eq!(until, [node(NODE)]);
    assert_eq!(all.renewers(NOW.plus(49 * HOUR)).count(), 0);
}

#[test]
fn what_a_revoked_renewer_had_renewed_counts_only_where_the_revocation_lists_it() {
    let (old, new) = renewed(NODE, 5, 10);
    let (_, unlisted) = renewed(NODE, 6, 10);
    let kept = [Print::of_renewal(&new).unwrap().unwrap()];
    for what in [Revoked::Node(node(NODE)), Revoked::Renewer(node(NODE))] {
        let taken_back = revoke(AUTHORITY, 7, what, &kept);
        let all = rights(&[&taken_back]);
        assert!(all.renewer(node(NODE)).is_none());
        // Whoever brings it.
        all.check(&give(OTHER, 8, &new)).unwrap();
        assert_eq!(all.paper(node(10), Some(&new)).as_ref(), Some(&new));
        assert_eq!(all.check(&give(OTHER, 8, &unlisted)), Err(Unentitled::Revoked(what)));
        assert_eq!(all.paper(node(10), Some(&unlisted)).as_ref(), Some(&old));
    }
    // The right is gone, and the node stays.
    let all = rights(&[&revoke(AUTHORITY, 7, Revoked::Renewer(node(NODE)), &[])]);
    assert!(!all.is_revoked(node(NODE)));
}

#[test]
fn a_paper_that_is_dated_after_its_record_is_not_taken() {
    let (_, new) = renewed(NODE, 11 * 60_000, 10);
    let refused = rights(&[]).prove(&give(NODE, 0, &new));
    assert!(matches!(refused, Err(Unentitled::Dated { .. })), "{refused:?}");
    rights(&[]).prove(&give(NODE, 11 * 60_000, &new)).unwrap();
}
