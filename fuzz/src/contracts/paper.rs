//! What lets a node in: papers, the invitations in them, and the greeting that carries them.

use std::time::Duration;

use wattle_contracts::id::{CellName, InviteKey, MeshId, NodeId};
use wattle_contracts::record::Labels;
use wattle_contracts::trust::{
    Authority, Handovers, Invitation, InvitationBody, Invited, Paper, PaperBody, UnixMillis,
};
use wattle_contracts::wire::{self, Greeting, Hello, Knock, MAX_HELLO};

use super::written::same_again;
use super::{authority, flipped, invited, mesh, node};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// A paper that holds is one that the authority, or the key of an invitation of it, signs; no text
/// and no bytes are taken for another one; and a greeting is read as it was written.
pub fn holds(data: &[u8]) {
    if let Some(paper) = same_again::<Paper>(data) {
        is_issued(&paper);
        let text = paper.to_text().unwrap();
        assert_eq!(Paper::from_text(&text).as_ref(), Ok(&paper));
    }
    let text = format!("wattle-paper:{}", bs58::encode(data).with_check().into_string());
    assert_eq!(Paper::from_text(&text).ok(), wire::decode::<Paper>(data).ok());
    if let Ok(text) = str::from_utf8(data) {
        Paper::from_text(text).iter().for_each(is_issued);
    }
    if data.len() <= MAX_HELLO {
        match same_again::<Greeting>(data) {
            Some(Greeting::Hello(hello)) => is_issued(&hello.paper),
            Some(Greeting::Knock(knock)) => is_made(&knock),
            Some(Greeting::Admitted | Greeting::Refused { .. }) | None => {}
        }
    }
    issued(data);
}

/// A knock is good where its token is the one that is made, and nowhere else.
fn is_made(knock: &Knock) {
    let stranger = NodeId::from_bytes([8; 32]);
    for (from, to) in [(node(), stranger), (stranger, node())] {
        let made = Knock::new(mesh(), from, to);
        assert!(made.is_of(mesh(), from, to) && !made.is_of(mesh(), to, from));
        assert_eq!(knock.is_of(mesh(), from, to), knock.token == made.token);
    }
}

fn is_issued(paper: &Paper) {
    let PaperBody { node: bearer, issued, expires, .. } = paper.body;
    // Neither has these to be ours, nor may reckoning with any time go wrong.
    let _ = paper.check_time(NOW);
    let _ = paper.verify(paper.body.mesh, bearer, UnixMillis(u64::MAX));
    if paper.prove(mesh(), bearer).is_err() {
        return;
    }
    // By the first key of the authority or by the one to which it was handed over, and no other.
    let first = Authority::first(authority());
    let by = if paper.chains().all(Handovers::is_empty) { first } else { super::handed() };
    let own = match &paper.invitation {
        None => Paper::issue(&by, bearer, issued, expires),
        Some(invitation) => {
            let own = Invitation::sign(&by, invitation.body.clone());
            assert_eq!(own.as_ref(), Ok(&**invitation));
            assert_eq!(invitation.body.key.as_bytes(), &invited().public());
            Paper::by_invitation(own.unwrap(), &invited(), bearer, issued)
        }
    };
    assert_eq!(own.as_ref(), Ok(paper));
    assert!(paper.prove(mesh(), NodeId::from_bytes([8; 32])).is_err());
    assert!(paper.prove(MeshId::from_bytes([8; 32]), bearer).is_err());
}

/// What the input says is issued, as far as it may be; one bit of that changed, and it is worthless.
fn issued(data: &[u8]) {
    let Ok(body) = wire::decode::<InvitationBody>(data) else { return };
    let (issued, expires) = (body.issued, body.expires);
    let key = InviteKey::from_bytes(invited().public());
    let body = InvitationBody { mesh: mesh(), key, ..body };
    let mut papers = vec![Paper::issue(&authority(), node(), issued, Some(expires)).unwrap()];
    if let Ok(invitation) = Invitation::sign(&authority(), body) {
        invitation.verify(mesh()).unwrap();
        papers.push(Paper::by_invitation(invitation, &invited(), node(), issued).unwrap());
    }
    for paper in papers {
        let _ = paper.check_time(expires);
        let _ = paper.check_time(UnixMillis(issued.0 / 2));
        let good = paper.prove(mesh(), node());
        let is_by_authority = paper.invitation.is_none();
        assert!(good.is_ok() || !is_by_authority, "{good:?}");
        let bytes = wire::encode(&paper).unwrap();
        match wire::decode::<Paper>(&flipped(&bytes, data)) {
            Ok(changed) if changed != paper => assert!(changed.prove(mesh(), node()).is_err()),
            _ => {}
        }
    }
}

/// What an invitation can say.
pub fn invitations() -> Vec<InvitationBody> {
    let body = InvitationBody {
        mesh: mesh(),
        key: InviteKey::from_bytes(invited().public()),
        invited: Invited::Node,
        labels: Labels::from([("role".into(), "store".into())]),
        uses: 3,
        issued: NOW,
        expires: NOW.plus(Duration::from_secs(3600)),
        papers: Some(Duration::from_secs(86_400)),
    };
    let apps = ["shop".parse().unwrap(), "till".parse().unwrap()].into();
    let operator = InvitationBody {
        invited: Invited::Operator(apps),
        labels: Labels::new(),
        papers: None,
        ..body.clone()
    };
    vec![InvitationBody { papers: None, ..body.clone() }, body, operator]
}

/// Papers that hold.
pub fn papers() -> Vec<Paper> {
    let invitation = Invitation::sign(&authority(), invitations().remove(1)).unwrap();
    vec![
        Paper::issue(&authority(), node(), NOW, None).unwrap(),
        Paper::issue(&authority(), node(), NOW, Some(UnixMillis(u64::MAX))).unwrap(),
        Paper::by_invitation(invitation, &invited(), node(), NOW).unwrap(),
        Paper::issue(&super::handed(), node(), NOW, None).unwrap(),
    ]
}

pub fn seeds() -> Vec<Vec<u8>> {
    let hello =
        |paper: Paper| Greeting::Hello(Box::new(Hello { paper, cell: CellName::default() }));
    let mut seeds = Vec::new();
    seeds.extend(papers().iter().map(|paper| wire::encode(paper).unwrap()));
    seeds.extend(papers().iter().map(|paper| paper.to_text().unwrap().into_bytes()));
    seeds.extend(papers().into_iter().map(|paper| wire::encode(&hello(paper)).unwrap()));
    seeds.extend(invitations().iter().map(|body| wire::encode(body).unwrap()));
    let knock = Knock::new(mesh(), node(), NodeId::from_bytes([8; 32]));
    let said = [Greeting::Knock(knock), Greeting::Admitted, Greeting::stranger()];
    seeds.extend(said.iter().map(|said| wire::encode(said).unwrap()));
    seeds
}
