//! Who belongs to a mesh: its authority signs a paper for each node, or an invitation whose key
//! signs papers in its place; and any node can check that chain without asking anybody.

mod access;
mod invitation;
mod token;

pub use access::{AccessBody, AccessError, AccessToken};
pub use invitation::{Invitation, InvitationBody, InvitationError, Invited};
pub use token::{Token, TokenError};

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{MeshId, NodeId};
use crate::key::{Purpose, Signature, SigningKey};
use crate::wire;

/// A moment, in milliseconds since the Unix epoch, as papers and records carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// This moment plus `duration`, or the end of time.
    pub fn plus(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }
}

/// What a paper states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaperBody {
    /// The mesh that the node belongs to.
    pub mesh: MeshId,
    /// The node.
    pub node: NodeId,
    /// Valid from.
    pub issued: UnixMillis,
    /// Valid until; `None` means that it does not run out.
    pub expires: Option<UnixMillis>,
}

/// A node's proof that it belongs to a mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paper {
    /// What it states.
    pub body: PaperBody,
    /// The invitation by which the node came and whose key signed this; `None` where the authority
    /// signed it itself.
    pub invitation: Option<Box<Invitation>>,
    signature: Signature,
}

/// Why a paper does not let its bearer in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PaperError {
    /// It is for another mesh.
    #[error("the paper is for {theirs}, this node belongs to {ours}")]
    OtherMesh {
        /// The mesh of the paper.
        theirs: MeshId,
        /// The mesh of this node.
        ours: MeshId,
    },
    /// Its bearer is not the node it names.
    #[error("the paper names node {named}, its bearer is {bearer}")]
    OtherNode {
        /// The node that the paper names.
        named: NodeId,
        /// The node that showed it.
        bearer: NodeId,
    },
    /// The mesh's authority did not sign it.
    #[error("the paper is not signed by the authority of {0}, nor by a key that it invited with")]
    BadSignature(MeshId),
    /// It has run out, or this node's clock is ahead.
    #[error(
        "the paper ran out {0:?} ago by this node's clock; if the clock is right, whoever keeps the \
         mesh's key gives a new one: wattle mesh admit"
    )]
    Expired(Duration),
    /// It is from the future, or this node's clock is behind.
    #[error("the paper is only valid in {0:?} by this node's clock; is the clock right?")]
    NotYet(Duration),
    /// The invitation in it is no good.
    #[error("the paper stands on an invitation that is no good: {0}")]
    Invitation(#[from] InvitationError),
    /// It says something else than its invitation allows.
    #[error("the paper goes beyond its invitation: {0}")]
    BeyondInvitation(&'static str),
    /// It can't be written down or read.
    #[error("the paper can't be read: {0}")]
    Malformed(String),
}

impl Paper {
    /// How far the clocks of the authority and of a node may be apart.
    pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(15 * 60);

    /// Signs a paper with the mesh authority's key; the mesh is the one of that key.
    pub fn issue(
        authority: &SigningKey,
        node: NodeId,
        issued: UnixMillis,
        expires: Option<UnixMillis>,
    ) -> Result<Self, PaperError> {
        let mesh = MeshId::from_bytes(authority.public());
        let body = PaperBody { mesh, node, issued, expires };
        let signature = authority.sign(Purpose::Paper, &signed_bytes(&body)?);
        Ok(Self { body, invitation: None, signature })
    }

    /// Signs a paper with the key of an invitation, which the token of that one carries. It runs
    /// out when the invitation says so.
    pub fn by_invitation(
        invitation: Invitation,
        key: &SigningKey,
        node: NodeId,
        issued: UnixMillis,
    ) -> Result<Self, PaperError> {
        let expires = invitation.body.papers.map(|papers| issued.plus(papers));
        let body = PaperBody { mesh: invitation.body.mesh, node, issued, expires };
        let signature = key.sign(Purpose::Paper, &signed_bytes(&body)?);
        Ok(Self { body, invitation: Some(Box::new(invitation)), signature })
    }

    /// Checks that `bearer`, at `now`, belongs to `mesh` by this paper. Whether its invitation was
    /// used up or taken back, only the records of the mesh tell.
    pub fn verify(&self, mesh: MeshId, bearer: NodeId, now: UnixMillis) -> Result<(), PaperError> {
        self.prove(mesh, bearer)?;
        self.check_time(now)
    }

    /// The part of [`Paper::verify`] that no clock changes.
    pub fn prove(&self, mesh: MeshId, bearer: NodeId) -> Result<(), PaperError> {
        let body = &self.body;
        if body.mesh != mesh {
            return Err(PaperError::OtherMesh { theirs: body.mesh, ours: mesh });
        }
        if body.node != bearer {
            return Err(PaperError::OtherNode { named: body.node, bearer });
        }
        let signer = match &self.invitation {
            None => mesh.as_bytes(),
            Some(invitation) => {
                invitation.verify(mesh)?;
                self.check_bounds(&invitation.body)?;
                invitation.body.key.as_bytes()
            }
        };
        match self.signature.verifies(signer, Purpose::Paper, &signed_bytes(body)?) {
            true => Ok(()),
            false => Err(PaperError::BadSignature(mesh)),
        }
    }

    fn check_bounds(&self, invitation: &InvitationBody) -> Result<(), PaperError> {
        let (issued, beyond) = (self.body.issued, PaperError::BeyondInvitation);
        if invitation.invited != Invited::Node {
            return Err(beyond("it is for an operator, not for a node"));
        }
        if issued > invitation.expires.plus(Self::CLOCK_TOLERANCE) {
            return Err(beyond("it was signed after the invitation had run out"));
        }
        if issued.plus(Self::CLOCK_TOLERANCE) < invitation.issued {
            return Err(beyond("it was signed before the invitation was made"));
        }
        match self.body.expires == invitation.papers.map(|papers| issued.plus(papers)) {
            true => Ok(()),
            false => Err(beyond("it runs out at another time than the invitation says")),
        }
    }

    /// Whether it is valid at `now`, within [`Paper::CLOCK_TOLERANCE`].
    pub fn check_time(&self, now: UnixMillis) -> Result<(), PaperError> {
        let body = &self.body;
        let latest = now.plus(Self::CLOCK_TOLERANCE);
        if body.issued > latest {
            return Err(PaperError::NotYet(Duration::from_millis(body.issued.0 - now.0)));
        }
        match body.expires {
            Some(expires) if expires.plus(Self::CLOCK_TOLERANCE) < now => {
                Err(PaperError::Expired(Duration::from_millis(now.0 - expires.0)))
            }
            _ => Ok(()),
        }
    }

    /// The text form, one line, for a file.
    pub fn to_text(&self) -> Result<String, PaperError> {
        let bytes = wire::encode(self).map_err(|error| PaperError::Malformed(error.to_string()))?;
        Ok(format!("wattle-paper:{}\n", bs58::encode(bytes).with_check().into_string()))
    }

    /// Reads what [`Paper::to_text`] wrote.
    pub fn from_text(text: &str) -> Result<Self, PaperError> {
        let malformed = |why: String| PaperError::Malformed(why);
        let body = text
            .trim()
            .strip_prefix("wattle-paper:")
            .ok_or_else(|| malformed("expected text that starts with `wattle-paper:`".into()))?;
        let bytes = bs58::decode(body)
            .with_check(None)
            .into_vec()
            .map_err(|error| malformed(format!("bad base58: {error}")))?;
        wire::decode(&bytes).map_err(|error| malformed(error.to_string()))
    }
}

fn signed_bytes(body: &PaperBody) -> Result<Vec<u8>, PaperError> {
    wire::encode(body).map_err(|error| PaperError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (operators, key, node) =
            invited(Invited::Operator(["shop".parse().unwrap()].into()), None);
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
}
