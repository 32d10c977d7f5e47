//! A node's proof that it belongs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    Delegation, DelegationError, HandoverError, Handovers, Invitation, InvitationBody,
    InvitationError, Invited, Renewal, Signs, Succession, SuccessionError, Term, UnixMillis,
};
use crate::id::{MeshId, NodeId};
use crate::key::{Purpose, Signature, SigningKey};
use crate::wire;

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
    /// How the authority came to the key that signed this, where it signed it itself.
    pub handovers: Handovers,
    /// How it goes on after its time: by a node that may renew papers.
    pub renewal: Option<Box<Renewal>>,
    /// How the node that it names came to its present key: each with the next, the oldest first.
    pub successions: Vec<Succession>,
    pub(super) signature: Signature,
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
         mesh's key gives a new one: wattle mesh admit, or wattle mesh renew"
    )]
    Expired(Duration),
    /// It is from the future, or this node's clock is behind.
    #[error("the paper is only valid in {0:?} by this node's clock; is the clock right?")]
    NotYet(Duration),
    /// The key that signed it is not the authority's.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The invitation in it is no good.
    #[error("the paper stands on an invitation that is no good: {0}")]
    Invitation(#[from] InvitationError),
    /// It says something else than its invitation allows.
    #[error("the paper goes beyond its invitation: {0}")]
    BeyondInvitation(&'static str),
    /// One of the keys does not follow the one before.
    #[error("the paper's node has another key now, and that is no good: {0}")]
    Succession(#[from] SuccessionError),
    /// The node has changed its key too often.
    #[error(
        "a paper goes on through {max} changes of a node's key; after that it needs a new one: wattle \
         mesh admit, or wattle mesh renew",
        max = Paper::MAX_SUCCESSIONS
    )]
    Successions,
    /// The right of the node that renewed it is no good.
    #[error("the paper was renewed by a right that is no good: {0}")]
    Delegation(#[from] DelegationError),
    /// It was renewed as that right does not allow.
    #[error("the paper's renewal goes beyond its renewer's right: {0}")]
    BeyondDelegation(&'static str),
    /// It can't be written down or read.
    #[error("the paper can't be read: {0}")]
    Malformed(String),
}

impl Paper {
    /// How far the clocks of the authority and of a node may be apart.
    pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(15 * 60);

    /// How often a node may change its key by one paper.
    pub const MAX_SUCCESSIONS: usize = 4;

    /// Signs a paper with the mesh authority's key; the mesh is the one of that key.
    pub fn issue(
        authority: &impl Signs,
        node: NodeId,
        issued: UnixMillis,
        expires: Option<UnixMillis>,
    ) -> Result<Self, PaperError> {
        let body = PaperBody { mesh: authority.mesh(), node, issued, expires };
        let signature = authority.key().sign(Purpose::Paper, &signed_bytes(&body)?);
        let handovers = authority.handovers().clone();
        let (renewal, successions) = (None, Vec::new());
        Ok(Self { body, invitation: None, handovers, renewal, successions, signature })
    }

    /// The same paper, by the key that the authority has now: of the same node until the same time,
    /// by the same invitation, which lets in nobody else any more (who has the old key may have its
    /// key, too). What its node's own keys signed stays as it is; of a renewal, what a renewer signed
    /// who `may_renew`.
    pub fn resigned(
        &self,
        authority: &impl Signs,
        now: UnixMillis,
        may_renew: impl Fn(NodeId) -> bool,
    ) -> Result<Self, PaperError> {
        let is_known = self.renewal.as_ref().is_none_or(|renewal| may_renew(renewal.renewer()));
        let mut paper = if is_known { self.clone() } else { self.unrenewed() };
        let Some(invitation) = &self.invitation else {
            // What renewed it was made for the old signature.
            let issued = if paper.renewal.is_some() { now } else { self.body.issued };
            let until = paper.term().map(|term| term.until);
            let anew = Self::issue(authority, self.body.node, issued, until)?;
            return Ok(Self { successions: paper.successions, ..anew });
        };
        let expires = invitation.body.expires.min(now);
        let body = InvitationBody { expires, ..invitation.body.clone() };
        paper.invitation = Some(Box::new(Invitation::sign(authority, body)?));
        if let Some(renewal) = &mut paper.renewal {
            renewal.delegation = Delegation::sign(authority, renewal.delegation.body.clone())?;
        }
        Ok(paper)
    }

    /// The chains that lead to the keys of the authority on which it stands: its own or that of its
    /// invitation, and that of its renewer's right.
    pub fn chains(&self) -> impl Iterator<Item = &Handovers> {
        let renewal = self.renewal.as_ref().map(|renewal| &renewal.delegation.handovers);
        std::iter::once(self.chain()).chain(renewal)
    }

    fn chain(&self) -> &Handovers {
        self.invitation.as_ref().map_or(&self.handovers, |invitation| &invitation.handovers)
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
        let invitation = Some(Box::new(invitation));
        let (renewal, successions) = (None, Vec::new());
        let handovers = Handovers::default();
        Ok(Self { body, invitation, handovers, renewal, successions, signature })
    }

    /// The same paper, of the node as it is called by its new key.
    pub fn succeed(&self, succession: Succession) -> Result<Self, PaperError> {
        let mut successions = self.successions.clone();
        successions.push(succession);
        match successions.len() > Self::MAX_SUCCESSIONS {
            true => Err(PaperError::Successions),
            false => Ok(Self { successions, ..self.clone() }),
        }
    }

    /// The same paper for the node that it was signed for, whatever key that has now.
    pub fn unsucceeded(&self) -> Self {
        Self { successions: Vec::new(), ..self.clone() }
    }

    /// The node that it is the paper of.
    pub fn node(&self) -> NodeId {
        self.successions.last().map_or(self.body.node, |last| last.body.successor)
    }

    /// The same paper, renewed by the node whose key this is and which has this right; in the
    /// place of an earlier renewal.
    pub fn renew(
        &self,
        delegation: Delegation,
        renewer: &SigningKey,
        issued: UnixMillis,
    ) -> Result<Self, PaperError> {
        let bytes = self.renewal_bytes(&delegation, issued)?;
        let signature = renewer.sign(Purpose::Renewal, &bytes);
        let renewal = Some(Box::new(Renewal { delegation, issued, signature }));
        Ok(Self { renewal, ..self.clone() })
    }

    /// The same paper as it was before it was renewed.
    pub fn unrenewed(&self) -> Self {
        Self { renewal: None, ..self.clone() }
    }

    /// What its renewer signed, if it was renewed: a thing of its own among all renewals.
    pub fn renewed_bytes(&self) -> Result<Option<Vec<u8>>, PaperError> {
        let renewal = self.renewal.as_deref();
        let bytes = |renewal: &Renewal| self.renewal_bytes(&renewal.delegation, renewal.issued);
        renewal.map(bytes).transpose()
    }

    /// From when until when it is valid, at the latest end that it has; `None` for without end.
    pub fn term(&self) -> Option<Term> {
        let own = Term { from: self.body.issued, until: self.body.expires? };
        let renewed = self.renewal.as_ref();
        let renewed = renewed.map(|by| Term { from: by.issued, until: by.expires() });
        Some(renewed.filter(|renewed| renewed.until > own.until).unwrap_or(own))
    }

    /// Whether this one is to be gone by and not `other`, of the same node: it is by a later key of
    /// the authority; or was signed later by it or an invitation's key, or is valid for longer. A
    /// renewal never shortens.
    pub fn supersedes(&self, other: &Self) -> bool {
        let rank = |paper: &Self| {
            let until = paper.term().map_or(UnixMillis(u64::MAX), |term| term.until);
            (paper.chain().len(), paper.body.issued, until)
        };
        rank(self) > rank(other)
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
        if self.node() != bearer {
            return Err(PaperError::OtherNode { named: self.node(), bearer });
        }
        self.prove_successions()?;
        let signer = match &self.invitation {
            None => *self.handovers.authority(mesh)?.as_bytes(),
            Some(_) if !self.handovers.is_empty() => {
                return Err(PaperError::BeyondInvitation(
                    "it names a key of the authority besides",
                ));
            }
            Some(invitation) => {
                invitation.verify(mesh)?;
                self.check_bounds(&invitation.body)?;
                *invitation.body.key.as_bytes()
            }
        };
        match self.signature.verifies(&signer, Purpose::Paper, &signed_bytes(body)?) {
            true => self.prove_renewal(),
            false => Err(PaperError::BadSignature(mesh)),
        }
    }

    /// Checks that each key followed the one before.
    fn prove_successions(&self) -> Result<(), PaperError> {
        if self.successions.len() > Self::MAX_SUCCESSIONS {
            return Err(PaperError::Successions);
        }
        let mut node = self.body.node;
        for succession in &self.successions {
            let body = &succession.body;
            if body.former != node {
                return Err(PaperError::OtherNode { named: node, bearer: body.former });
            }
            succession.verify(self.body.mesh)?;
            node = body.successor;
        }
        Ok(())
    }

    /// Checks the rest of the chain: authority, renewer, renewal.
    fn prove_renewal(&self) -> Result<(), PaperError> {
        let Some(renewal) = &self.renewal else { return Ok(()) };
        let (body, beyond) = (&renewal.delegation.body, PaperError::BeyondDelegation);
        renewal.delegation.verify(self.body.mesh)?;
        // Else whoever has an old key of the authority prolongs papers by the new one, and who
        // renews by an old right spoils them.
        if renewal.delegation.handovers.len() < self.chain().len() {
            return Err(beyond("its right is by an older key of the authority than the paper"));
        }
        if renewal.issued > body.expires.plus(Self::CLOCK_TOLERANCE) {
            return Err(beyond("it was renewed after the renewer's right had run out"));
        }
        if renewal.issued.plus(Self::CLOCK_TOLERANCE) < body.issued {
            return Err(beyond("it was renewed before the renewer had that right"));
        }
        let bytes = self.renewal_bytes(&renewal.delegation, renewal.issued)?;
        match renewal.signature.verifies(body.renewer.as_bytes(), Purpose::Renewal, &bytes) {
            true => Ok(()),
            false => Err(beyond("the renewer that it names did not sign it")),
        }
    }

    /// Over the paper's own signature too: a renewal goes on what it was made for, and nothing else.
    fn renewal_bytes(
        &self,
        delegation: &Delegation,
        issued: UnixMillis,
    ) -> Result<Vec<u8>, PaperError> {
        encoded(&(&self.body, &self.signature, &delegation.body, issued))
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

    /// Whether it is valid at `now`, by itself or by its renewal, within
    /// [`Paper::CLOCK_TOLERANCE`].
    pub fn check_time(&self, now: UnixMillis) -> Result<(), PaperError> {
        let own = check_term(self.body.issued, self.body.expires, now);
        match &self.renewal {
            Some(renewal) if own.is_err() => {
                check_term(renewal.issued, Some(renewal.expires()), now)
            }
            _ => own,
        }
    }

    /// The text form, one line, for a file.
    pub fn to_text(&self) -> Result<String, PaperError> {
        let bytes = encoded(self)?;
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

fn check_term(
    issued: UnixMillis,
    expires: Option<UnixMillis>,
    now: UnixMillis,
) -> Result<(), PaperError> {
    if issued > now.plus(Paper::CLOCK_TOLERANCE) {
        return Err(PaperError::NotYet(Duration::from_millis(issued.0 - now.0)));
    }
    match expires {
        Some(expires) if expires.plus(Paper::CLOCK_TOLERANCE) < now => {
            Err(PaperError::Expired(Duration::from_millis(now.0 - expires.0)))
        }
        _ => Ok(()),
    }
}

pub(super) fn signed_bytes(body: &PaperBody) -> Result<Vec<u8>, PaperError> {
    encoded(body)
}

fn encoded(value: &impl Serialize) -> Result<Vec<u8>, PaperError> {
    wire::encode(value).map_err(|error| PaperError::Malformed(error.to_string()))
}
