//! Nodes that go on with another key.

use wattle_contracts::record::Succeeded;
use wattle_contracts::trust::Succession;

use super::*;

const NEXT: u8 = 14;
const THIEF: u8 = 15;

fn kept(records: &[&Record]) -> BTreeSet<Print> {
    records.iter().map(|record| Print::of_record(record).unwrap()).collect()
}

fn follow(former: u8, successor: u8, millis: u64, kept: BTreeSet<Print>) -> Record {
    let at = NOW.plus(Duration::from_millis(millis));
    let succession = Succession::sign(mesh(), &key(former), &key(successor), at, &kept).unwrap();
    let body = RecordBody::Succession(Box::new(Succeeded { succession, kept }));
    write(successor, millis, RecordKey::Succession(node(former)), body)
}

/// The paper of a node, as it goes on under the keys after.
fn paper_of(keys: &[u8]) -> Paper {
    let (first, _) = keys.split_first().unwrap();
    let paper = Paper::issue(&key(AUTHORITY), node(*first), NOW, Some(NOW.plus(HOUR))).unwrap();
    keys.windows(2).fold(paper, |paper, pair| {
        let [former, next] = [pair[0], pair[1]].map(key);
        let made = Succession::sign(mesh(), &former, &next, NOW, &BTreeSet::new()).unwrap();
        paper.succeed(made).unwrap()
    })
}

#[test]
fn the_old_key_is_worth_nothing_and_the_new_one_is_the_node() {
    let invitation = invitation(Invited::Node, 1);
    let came = Paper::by_invitation(invitation, &key(INVITE), node(NODE), NOW).unwrap();
    let body = RecordBody::Admitted(Box::new(Admitted { came: came.clone() }));
    let came_record = write(OTHER, 1, RecordKey::Admitted(node(NODE)), body);
    let (before, unlisted) = (app(NODE, 1, "shop"), app(NODE, 2, "bank"));
    let succession = follow(NODE, NEXT, 5, kept(&[&before]));
    let all = rights(&[&came_record, &before, &succession]);
    all.prove(&succession).unwrap();
    assert_eq!((all.present(node(NODE)), all.first(node(NEXT))), (node(NEXT), node(NODE)));
    assert!(all.is_revoked(node(NODE)) && !all.is_revoked(node(NEXT)));
    assert_eq!(all.belongs(node(NODE), &came, NOW, 0), Err(Outcast::Followed(node(NEXT))));
    // It has the place of the old one at the invitation, which is used up, also after its time.
    let own = all.paper(node(NEXT), None).unwrap();
    own.verify(mesh(), node(NEXT), NOW).unwrap();
    all.belongs(node(NEXT), &own, NOW.plus(2 * HOUR), 0).unwrap();
    // What the old key had declared stays where it is listed, and nothing comes to that.
    all.check(&before).unwrap();
    assert_eq!(all.check(&unlisted), Err(Unentitled::Followed(node(NODE))));
    all.check(&app(NEXT, 6, "bank")).unwrap();
}

#[test]
fn of_two_that_follow_one_key_the_first_that_is_known_stands_until_it_is_revoked() {
    let (true_one, theft) =
        (follow(NODE, NEXT, 5, BTreeSet::new()), follow(NODE, THIEF, 9, BTreeSet::new()));
    let all = rights(&[&true_one]);
    let refused = all.check(&theft);
    assert!(matches!(refused, Err(Unentitled::Succession { .. })), "{refused:?}");
    let paper = paper_of(&[NODE, THIEF]);
    paper.prove(mesh(), node(THIEF)).unwrap();
    let refused = all.belongs(node(THIEF), &paper, NOW, 0);
    assert_eq!(refused, Err(Outcast::Another(node(NEXT))));
    // Where the thief was faster, an admin decides.
    let all = rights(&[&theft, &revoke(AUTHORITY, 10, Revoked::Node(node(THIEF)), &[])]);
    assert_eq!(all.present(node(NODE)), node(NODE));
    all.check(&true_one).unwrap();
    let refused = all.belongs(node(THIEF), &paper, NOW, 0);
    assert_eq!(refused, Err(Outcast::Revoked));
}

#[test]
fn a_revoked_node_is_followed_by_nobody_and_revoked_afterwards_by_whom_the_revocation_names() {
    let succession = follow(NODE, NEXT, 5, BTreeSet::new());
    let paper = paper_of(&[NODE, NEXT]);
    let revoked = revoke(AUTHORITY, 4, Revoked::Node(node(NODE)), &[]);
    let all = rights(&[&revoked]);
    assert!(all.check(&succession).is_err());
    assert_eq!(all.belongs(node(NEXT), &paper, NOW, 0), Err(Outcast::Revoked));
    let named = [Print::of_member(node(NEXT).as_bytes())];
    let all = rights(&[&revoke(AUTHORITY, 8, Revoked::Node(node(NODE)), &named), &succession]);
    assert_eq!(all.present(node(NODE)), node(NEXT));
    all.belongs(node(NEXT), &paper, NOW, 0).unwrap();
    // Revoked under its new name, it is out, and so is the old one.
    let last = revoke(AUTHORITY, 9, Revoked::Node(node(NEXT)), &kept_of(&succession));
    let all = rights(&[&succession, &last]);
    assert_eq!(all.belongs(node(NEXT), &paper, NOW, 0), Err(Outcast::Revoked));
    assert!(all.is_revoked(node(NODE)));
}

fn kept_of(record: &Record) -> [Print; 1] {
    [Print::of_record(record).unwrap()]
}

#[test]
fn keys_can_not_follow_each_other_in_circles_nor_one_key_two() {
    let (one, two) = (follow(4, 5, 1, BTreeSet::new()), follow(5, 6, 2, BTreeSet::new()));
    let kept: BTreeSet<Print> = kept_of(&one).into();
    let two_keeping = follow(5, 6, 2, kept);
    for (records, circle) in [
        (vec![&one, &two_keeping], follow(6, 4, 3, BTreeSet::new())),
        (vec![&one], follow(5, 4, 3, BTreeSet::new())),
        (vec![&two], follow(7, 6, 3, BTreeSet::new())),
    ] {
        let all = rights(&records);
        assert!(all.check(&circle).is_err());
        // And where both were heard, the first one stands.
        let mut both = records.clone();
        both.push(&circle);
        assert_eq!(rights(&both), all);
        assert_eq!(all.first(all.present(node(5))), all.first(node(5)));
    }
}

#[test]
fn the_renewals_of_the_old_key_stay_where_they_are_listed_and_its_right_ends() {
    let (_, listed) = renewed(NODE, 5, 10);
    let (_, later) = renewed(NODE, 6, 10);
    let kept = Print::of_renewal(&listed).unwrap().into_iter().collect();
    let all = rights(&[&follow(NODE, NEXT, 7, kept)]);
    all.check(&give(OTHER, 8, &listed)).unwrap();
    let refused = all.check(&give(OTHER, 8, &later));
    assert_eq!(refused, Err(Unentitled::Followed(node(NODE))));
    assert!(all.renewer(node(NODE)).is_none() && all.renewer(node(NEXT)).is_none());
}
