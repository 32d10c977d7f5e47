use super::paper::signed_bytes;
use super::*;
use crate::id::{MeshId, NodeId};
use crate::key::{Purpose, SigningKey};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn authority() -> SigningKey {
    SigningKey::from_seed([3; 32]).unwrap()
}

fn paper(expires: Option<UnixMillis>) -> (MeshId, NodeId, Paper) {
    let node = NodeId::from_bytes(SigningKey::from_seed([4; 32]).unwrap().public());
    let mesh = MeshId::from_bytes(authority().public());
    (mesh, node, Paper::issue(&authority(), node, NOW, expires).unwrap())
}

#[test]
fn a_paper_admits_its_node_to_its_mesh_and_nobody_else() {
    let (mesh, node, paper) = paper(None);
    paper.verify(mesh, node, NOW).unwrap();
    let other = NodeId::from_bytes([8; 32]);
    assert!(matches!(paper.verify(mesh, other, NOW), Err(PaperError::OtherNode { .. })));
    let elsewhere = MeshId::from_bytes([8; 32]);
    assert!(matches!(paper.verify(elsewhere, node, NOW), Err(PaperError::OtherMesh { .. })));
}

#[test]
fn a_changed_or_foreign_paper_is_refused() {
    let (mesh, node, mut paper) = paper(Some(NOW));
    paper.body.expires = None;
    assert_eq!(paper.verify(mesh, node, NOW), Err(PaperError::BadSignature(mesh)));
    let rogue = SigningKey::from_seed([5; 32]).unwrap();
    let mut forged = Paper::issue(&rogue, node, NOW, None).unwrap();
    forged.body.mesh = mesh;
    assert_eq!(forged.verify(mesh, node, NOW), Err(PaperError::BadSignature(mesh)));
}

#[test]
fn time_is_checked_with_tolerance_for_clocks() {
    let (mesh, node, paper) = paper(Some(NOW.plus(Duration::from_secs(3600))));
    let at = |seconds: i64| UnixMillis(NOW.0.saturating_add_signed(seconds * 1000));
    paper.verify(mesh, node, at(-600)).unwrap();
    paper.verify(mesh, node, at(3600 + 600)).unwrap();
    assert!(matches!(paper.verify(mesh, node, at(-3600)), Err(PaperError::NotYet(_))));
    assert!(matches!(paper.verify(mesh, node, at(7200)), Err(PaperError::Expired(_))));
}

fn invited(invited: Invited, papers: Option<Duration>) -> (Invitation, SigningKey, NodeId) {
    let key = SigningKey::from_seed([9; 32]).unwrap();
    let body = InvitationBody {
        mesh: MeshId::from_bytes(authority().public()),
        key: crate::id::InviteKey::from_bytes(key.public()),
        invited,
        labels: crate::record::Labels::new(),
        uses: 1,
        issued: NOW,
        expires: NOW.plus(HOUR),
        papers,
    };
    let node = NodeId::from_bytes(SigningKey::from_seed([4; 32]).unwrap().public());
    (Invitation::sign(&authority(), body).unwrap(), key, node)
}

#[test]
fn a_chain_from_the_authority_over_an_invitation_admits_its_node_and_nobody_else() {
    let (invitation, key, node) = invited(Invited::Node, Some(24 * HOUR));
    let mesh = invitation.body.mesh;
    let paper = Paper::by_invitation(invitation.clone(), &key, node, NOW).unwrap();
    paper.verify(mesh, node, NOW).unwrap();
    // It outlives its invitation, as long as that says.
    paper.verify(mesh, node, NOW.plus(20 * HOUR)).unwrap();
    let late = paper.verify(mesh, node, NOW.plus(26 * HOUR));
    assert!(matches!(late, Err(PaperError::Expired(_))), "{late:?}");
    assert!(paper.verify(mesh, NodeId::from_bytes([8; 32]), NOW).is_err());
    let thief = SigningKey::from_seed([10; 32]).unwrap();
    let forged = Paper::by_invitation(invitation, &thief, node, NOW).unwrap();
    assert_eq!(forged.verify(mesh, node, NOW), Err(PaperError::BadSignature(mesh)));
}

#[test]
fn a_paper_can_not_go_beyond_its_invitation() {
    let (invitation, key, node) = invited(Invited::Node, Some(HOUR));
    let mesh = invitation.body.mesh;
    for issued in [NOW.plus(2 * HOUR), UnixMillis(NOW.0 - 3_600_000)] {
        let paper = Paper::by_invitation(invitation.clone(), &key, node, issued).unwrap();
        let refused = paper.prove(mesh, node);
        assert!(matches!(refused, Err(PaperError::BeyondInvitation(_))), "{refused:?}");
    }
    let mut for_ever = Paper::by_invitation(invitation.clone(), &key, node, NOW).unwrap();
    for_ever.body.expires = None;
    for_ever.signature = key.sign(Purpose::Paper, &signed_bytes(&for_ever.body).unwrap());
    assert!(matches!(for_ever.prove(mesh, node), Err(PaperError::BeyondInvitation(_))));
    let mut widened = invitation;
    widened.body.uses = 100;
    let paper = Paper::by_invitation(widened, &key, node, NOW).unwrap();
    assert!(matches!(paper.prove(mesh, node), Err(PaperError::Invitation(_))));
    let (operators, key, node) = invited(Invited::Operator(["shop".parse().unwrap()].into()), None);
    let paper = Paper::by_invitation(operators, &key, node, NOW).unwrap();
    assert!(matches!(paper.prove(mesh, node), Err(PaperError::BeyondInvitation(_))));
}

#[test]
fn a_paper_survives_its_text() {
    let (_, _, paper) = paper(None);
    assert_eq!(Paper::from_text(&paper.to_text().unwrap()).unwrap(), paper);
    assert!(Paper::from_text("wattle-paper:abc").is_err());
    assert!(Paper::from_text("").is_err());
}

fn delegated(papers: Duration) -> (Delegation, SigningKey) {
    let renewer = SigningKey::from_seed([11; 32]).unwrap();
    let body = DelegationBody {
        mesh: MeshId::from_bytes(authority().public()),
        renewer: NodeId::from_bytes(renewer.public()),
        papers,
        issued: NOW,
        expires: NOW.plus(48 * HOUR),
    };
    (Delegation::sign(&authority(), body).unwrap(), renewer)
}

#[test]
fn a_renewed_paper_lasts_as_long_as_the_delegation_says_and_no_longer() {
    let (delegation, renewer) = delegated(24 * HOUR);
    let (invitation, key, guest) = invited(Invited::Node, Some(2 * HOUR));
    let (mesh, node, signed) = paper(Some(NOW.plus(2 * HOUR)));
    let by_invitation = Paper::by_invitation(invitation, &key, guest, NOW).unwrap();
    for (node, old) in [(node, signed), (guest, by_invitation)] {
        let at = NOW.plus(HOUR);
        let new = old.renew(delegation.clone(), &renewer, at).unwrap();
        new.verify(mesh, node, NOW).unwrap();
        new.verify(mesh, node, at.plus(24 * HOUR)).unwrap();
        let late = new.verify(mesh, node, at.plus(25 * HOUR));
        assert!(matches!(late, Err(PaperError::Expired(_))), "{late:?}");
        assert_eq!(new.term(), Some(Term { from: at, until: at.plus(24 * HOUR) }));
        assert!(new.supersedes(&old) && !old.supersedes(&new));
        assert_eq!(new.unrenewed(), old);
        assert_eq!(Paper::from_text(&new.to_text().unwrap()).unwrap(), new);
    }
}

#[test]
fn a_renewal_is_worth_nothing_beyond_its_delegation_and_on_another_paper() {
    let (delegation, renewer) = delegated(24 * HOUR);
    let (mesh, node, old) = paper(Some(NOW.plus(2 * HOUR)));
    let beyond = |paper: Paper| {
        let refused = paper.prove(mesh, node);
        assert!(matches!(refused, Err(PaperError::BeyondDelegation(_))), "{refused:?}");
    };
    for at in [NOW.plus(49 * HOUR), UnixMillis(NOW.0 - 3_600_000)] {
        beyond(old.renew(delegation.clone(), &renewer, at).unwrap());
    }
    // By another key than the delegation's.
    let thief = SigningKey::from_seed([12; 32]).unwrap();
    beyond(old.renew(delegation.clone(), &thief, NOW).unwrap());
    // At another time than it was signed for, and on another paper.
    let new = old.renew(delegation.clone(), &renewer, NOW).unwrap();
    let mut later = new.clone();
    later.renewal.as_mut().unwrap().issued = NOW.plus(HOUR);
    beyond(later);
    let other = Paper::issue(&authority(), node, NOW.plus(HOUR), Some(NOW.plus(3 * HOUR))).unwrap();
    beyond(Paper { renewal: new.renewal.clone(), ..other });
    // For longer than was delegated, and by somebody who delegates himself.
    let mut longer = delegation.clone();
    longer.body.papers = 1000 * HOUR;
    let (rogue, mut own) = (SigningKey::from_seed([5; 32]).unwrap(), delegation.body);
    own.mesh = MeshId::from_bytes(rogue.public());
    let mut own = Delegation::sign(&rogue, own).unwrap();
    own.body.mesh = mesh;
    for forged in [longer, own] {
        let refused = old.renew(forged, &renewer, NOW).unwrap().prove(mesh, node);
        assert!(matches!(refused, Err(PaperError::Delegation(_))), "{refused:?}");
    }
}

#[test]
fn nobody_is_admitted_by_a_renewer() {
    let (delegation, renewer) = delegated(24 * HOUR);
    let stranger = NodeId::from_bytes(SigningKey::from_seed([13; 32]).unwrap().public());
    let (mesh, _, member) = paper(Some(NOW.plus(HOUR)));
    // Its own signature on a paper, and a member's paper with another name.
    let mut own = Paper::issue(&renewer, stranger, NOW, None).unwrap();
    own.body.mesh = mesh;
    let mut renamed = member;
    renamed.body.node = stranger;
    for forged in [own, renamed] {
        let forged = forged.renew(delegation.clone(), &renewer, NOW).unwrap();
        assert_eq!(forged.prove(mesh, stranger), Err(PaperError::BadSignature(mesh)));
    }
}

#[test]
fn a_renewal_shortens_nothing_and_what_the_authority_says_later_counts() {
    let (delegation, renewer) = delegated(HOUR);
    let (_, node, long) = paper(Some(NOW.plus(1000 * HOUR)));
    let renewed = long.renew(delegation.clone(), &renewer, NOW.plus(HOUR)).unwrap();
    assert_eq!(renewed.term(), long.term());
    renewed.check_time(NOW.plus(999 * HOUR)).unwrap();
    assert!(!renewed.supersedes(&long));
    let later = NOW.plus(2 * HOUR);
    let shorter = Paper::issue(&authority(), node, later, Some(later.plus(HOUR))).unwrap();
    assert!(shorter.supersedes(&renewed) && !renewed.supersedes(&shorter));
}

#[test]
fn the_last_quarter_of_a_term_is_late() {
    let term = Term { from: NOW, until: NOW.plus(4 * HOUR) };
    assert!(!term.is_late(NOW.plus(2 * HOUR)));
    assert!(term.is_late(NOW.plus(3 * HOUR)) && term.is_late(NOW.plus(9 * HOUR)));
    assert_eq!(
        (term.left(NOW.plus(3 * HOUR)), term.left(NOW.plus(9 * HOUR))),
        (HOUR, Duration::ZERO)
    );
}

#[test]
fn a_paper_goes_on_with_the_nodes_next_key_renewed_or_not() {
    let keys: Vec<SigningKey> =
        (30..36).map(|seed| SigningKey::from_seed([seed; 32]).unwrap()).collect();
    let id = |at: usize| NodeId::from_bytes(keys[at].public());
    let mesh = MeshId::from_bytes(authority().public());
    let succession = |old: usize, new: usize| {
        Succession::sign(mesh, &keys[old], &keys[new], NOW, &Default::default()).unwrap()
    };
    let mut paper = Paper::issue(&authority(), id(0), NOW, Some(NOW.plus(HOUR))).unwrap();
    for at in 0..4 {
        paper = paper.succeed(succession(at, at + 1)).unwrap();
        paper.verify(mesh, id(at + 1), NOW).unwrap();
        assert!(matches!(paper.prove(mesh, id(at)), Err(PaperError::OtherNode { .. })));
        // What was renewed before stays so, and it is renewed as before.
        let (delegation, renewer) = delegated(24 * HOUR);
        let renewed = paper.renew(delegation, &renewer, NOW).unwrap();
        renewed.verify(mesh, id(at + 1), NOW.plus(20 * HOUR)).unwrap();
        paper = renewed;
        assert_eq!(Paper::from_text(&paper.to_text().unwrap()).unwrap(), paper);
    }
    assert_eq!(paper.succeed(succession(4, 5)), Err(PaperError::Successions));
    // One that is left out, and one that somebody else signed.
    let mut gap = paper.clone();
    gap.successions.remove(1);
    assert!(matches!(gap.prove(mesh, id(4)), Err(PaperError::OtherNode { .. })));
    let mut forged = paper.unsucceeded().succeed(succession(0, 1)).unwrap();
    forged.successions[0].body.successor = id(5);
    assert!(matches!(forged.prove(mesh, id(5)), Err(PaperError::Succession(_))));
}

#[test]
fn the_largest_paper_fits_into_a_greeting() {
    let long = |number: u8| format!("{number:064}");
    let labels = (0..Invitation::MAX_NAMED as u8).map(|n| (long(n), long(n))).collect();
    let (mut invitation, key, node) = invited(Invited::Node, Some(HOUR));
    invitation.body.labels = labels;
    // By the last key that the authority may have.
    let kept = Default::default();
    let last =
        (0..super::Handovers::MAX as u8).fold(super::Authority::first(authority()), |by, n| {
            let next = SigningKey::from_seed([100 + n; 32]).unwrap();
            by.hand_over(next, NOW, NOW.plus(HOUR), &kept).unwrap()
        });
    let invitation = Invitation::sign(&last, invitation.body).unwrap();
    let mut paper = Paper::by_invitation(invitation, &key, node, NOW).unwrap();
    let mut former = SigningKey::from_seed([4; 32]).unwrap();
    let mesh = MeshId::from_bytes(authority().public());
    for seed in 40..40 + Paper::MAX_SUCCESSIONS as u8 {
        let next = SigningKey::from_seed([seed; 32]).unwrap();
        let kept = Default::default();
        paper = paper.succeed(Succession::sign(mesh, &former, &next, NOW, &kept).unwrap()).unwrap();
        former = next;
    }
    let (delegation, renewer) = delegated(HOUR);
    let delegation = Delegation::sign(&last, delegation.body).unwrap();
    let paper = paper.renew(delegation, &renewer, NOW).unwrap();
    paper.prove(mesh, paper.node()).unwrap();
    let cell = "c".repeat(63).parse().unwrap();
    let hello = crate::wire::Greeting::Hello(Box::new(crate::wire::Hello { paper, cell }));
    let size = crate::wire::encode(&hello).unwrap().len();
    assert!(size <= crate::wire::MAX_HELLO, "{size}");
}

#[test]
fn a_paper_by_a_later_key_of_the_authority_proves_how_that_came() {
    let (mesh, node, _) = paper(None);
    let first = super::Authority::first(authority());
    let next = SigningKey::from_seed([77; 32]).unwrap();
    let kept = std::collections::BTreeSet::new();
    let later = first.hand_over(next, NOW, NOW.plus(HOUR), &kept).unwrap();
    let good = Paper::issue(&later, node, NOW, None).unwrap();
    assert_eq!(good.body.mesh, mesh, "the mesh keeps its name");
    good.verify(mesh, node, NOW).unwrap();
    let read = Paper::from_text(&good.to_text().unwrap()).unwrap();
    assert_eq!(read, good);
    // Without the chain it is a stranger's signature; with one that leads elsewhere, too.
    let bare = Paper { handovers: super::Handovers::default(), ..good.clone() };
    assert_eq!(bare.prove(mesh, node), Err(PaperError::BadSignature(mesh)));
    let thief = SigningKey::from_seed([78; 32]).unwrap();
    let other = first.hand_over(thief, NOW, NOW, &kept).unwrap();
    let swapped = Paper { handovers: super::Signs::handovers(&other).clone(), ..good };
    assert_eq!(swapped.prove(mesh, node), Err(PaperError::BadSignature(mesh)));
    // A right by the old key renews no paper by the new one.
    let (delegation, renewer) = delegated(HOUR);
    let renewed = later_paper(&later, node).renew(delegation.clone(), &renewer, NOW).unwrap();
    assert!(matches!(renewed.prove(mesh, node), Err(PaperError::BeyondDelegation(_))));
    let right = Delegation::sign(&later, delegation.body).unwrap();
    let renewed = later_paper(&later, node).renew(right, &renewer, NOW).unwrap();
    renewed.prove(mesh, node).unwrap();
}

fn later_paper(authority: &super::Authority, node: NodeId) -> Paper {
    Paper::issue(authority, node, NOW, Some(NOW.plus(HOUR))).unwrap()
}
