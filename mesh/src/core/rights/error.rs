//! Why somebody is refused.

use std::collections::BTreeSet;
use std::time::Duration;

use wattle_contracts::id::{AppName, AuthorityKey, NodeId, OperatorKey};
use wattle_contracts::record::Revoked;
use wattle_contracts::trust::{
    DelegationError, HandoverError, InvitationError, PaperError, SuccessionError,
};

/// Why a record does not count, although its writer signed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unentitled {
    /// Its writer was revoked, and the revocation does not name it among what stays.
    #[error("{0} was revoked")]
    Revoked(Revoked),
    /// Its writer has another key now, and the succession does not name it among what stays.
    #[error("{0} has another key now")]
    Followed(NodeId),
    /// Another key follows that one already, or this one follows another.
    #[error("{successor} can't follow {former}: {why}")]
    Succession {
        /// The old key.
        former: NodeId,
        /// The new one.
        successor: NodeId,
        /// Why not.
        why: &'static str,
    },
    /// The succession in it is no good.
    #[error(transparent)]
    BadSuccession(#[from] SuccessionError),
    /// The authority has another key now, and the handover does not name this among what stays.
    #[error("the mesh's authority has another key now than {0}")]
    FormerAuthority(AuthorityKey),
    /// The authority's key was handed over to another one than is said.
    #[error(
        "as far as is known here, the mesh's authority handed over from {former} to {successor}"
    )]
    HandedOver {
        /// The old key.
        former: AuthorityKey,
        /// The new one.
        successor: AuthorityKey,
    },
    /// The handover in it is no good.
    #[error(transparent)]
    BadHandover(#[from] HandoverError),
    /// Nobody but the authority may say this.
    #[error("only the mesh's authority may say this")]
    OnlyAuthority,
    /// Nobody but an admin may say this.
    #[error("only an admin may say this, and {writer} is none")]
    OnlyAdmin {
        /// Who said it.
        writer: NodeId,
    },
    /// It is for members to say, and of its writer no paper is written down.
    #[error("only members may say this, and as far as is known here {writer} is none")]
    NoMember {
        /// Who said it.
        writer: NodeId,
    },
    /// Its writer is an operator of other apps.
    #[error("{operator} is an operator of {}, and of nothing else", shown(apps))]
    OtherApps {
        /// Who.
        operator: OperatorKey,
        /// Of which apps.
        apps: BTreeSet<AppName>,
    },
    /// It opens something of an app whose operator its writer is not.
    #[error(
        "a link to something of `{to}` is for an operator of that app, or an admin, to give; \
         {operator} is an operator of {}",
        shown(apps)
    )]
    LinksElsewhere {
        /// Who.
        operator: OperatorKey,
        /// Of which apps.
        apps: BTreeSet<AppName>,
        /// Whose target it is.
        to: AppName,
    },
    /// Its writer may only look.
    #[error("{viewer} is a viewer, who declares nothing")]
    OnlyLooks {
        /// Who.
        viewer: OperatorKey,
    },
    /// A node has no say in a mesh that has operators.
    #[error(
        "this mesh has operators, and {writer} is none of them: say whose key is to sign it \
         (--operator-key, or operator.key in the data folder)"
    )]
    NoOperator {
        /// Who signed it.
        writer: NodeId,
    },
    /// The invitation on which it stands does not cover it.
    #[error("the invitation does not cover it: {0}")]
    BeyondInvitation(&'static str),
    /// The paper in it is no good.
    #[error(transparent)]
    Paper(#[from] PaperError),
    /// The paper in it is dated later than it.
    #[error(
        "the paper is dated {ahead:?} after the record that brings it: is the clock right, where it was signed?"
    )]
    Dated {
        /// How much later.
        ahead: Duration,
    },
    /// The delegation in it is no good.
    #[error("the renewer's right is no good: {0}")]
    Delegation(#[from] DelegationError),
    /// The invitation in it is no good.
    #[error("the operator's invitation is no good: {0}")]
    Invitation(#[from] InvitationError),
}

fn shown(apps: &BTreeSet<AppName>) -> String {
    apps.iter().map(AppName::as_str).collect::<Vec<_>>().join(", ")
}

/// Why a node with a genuine paper does not belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Outcast {
    /// It was revoked.
    #[error("the node was revoked")]
    Revoked,
    /// It has another key now.
    #[error("the node has another key now, and is {0}")]
    Followed(NodeId),
    /// Another key than this one follows that of the node.
    #[error("the node that it was has another key already, and is {0}: see wattle revoke")]
    Another(NodeId),
    /// The authority has had another key for longer than papers by this one are taken.
    #[error(
        "its paper is by a key that the mesh's authority had before, and it has no other: whoever keeps \
         the mesh's key gives one (wattle mesh renew, or wattle mesh admit)"
    )]
    FormerAuthority,
    /// It stands on another handover of the authority's key.
    #[error("its paper is by another key than {0}, to which the mesh's authority handed over")]
    OtherAuthority(AuthorityKey),
    /// Its invitation was revoked before it was known to have come.
    #[error("the invitation by which the node came was revoked")]
    InvitationRevoked,
    /// Its invitation has run out, and it is not known to have come before.
    #[error("the invitation has run out; is the clock right?")]
    InvitationOver,
    /// So many others came by its invitation before.
    #[error("the invitation is used up: {uses} came by it before")]
    UsedUp {
        /// How many may come by it.
        uses: u32,
    },
}
