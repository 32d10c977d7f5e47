//! `wattle revoke`.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use wattle_contracts::record::{RecordBody, RecordKey, Revocation, Revoked};

use super::NodeArgs;
use super::operator::{Signer, prints, put};
use super::output::print;
use crate::api::OperatorsReply;

/// Takes back what a key is worth, for good: of a node, an invitation, a publisher or an operator.
/// Who comes back comes with another key.
#[derive(Args)]
pub(super) struct Revoke {
    /// A node's id, or invite:…, publisher:… or operator:…; or renewer/NODE, for its right to renew
    /// papers alone.
    #[arg(value_name = "NODE|INVITE|PUBLISHER|OPERATOR|renewer/NODE")]
    what: Revoked,
    /// Why, for people.
    #[arg(long, default_value = "")]
    reason: String,
    /// Let nothing stay of what it signed: it was in the wrong hands before.
    #[arg(long)]
    keep_nothing: bool,
    #[command(flatten)]
    signer: Signer,
    #[command(flatten)]
    node: NodeArgs,
}

impl Revoke {
    pub(super) async fn run(self) -> Result<()> {
        let signer = self.signer.read(&self.node)?;
        let client = self.node.client()?;
        let mut all = vec![self.what];
        if let Revoked::Operator(key) = self.what {
            // One key may be both.
            let known: OperatorsReply = client.get("/v1/operators").await?;
            let text = key.to_string();
            let is = |role| known.operators.iter().any(|one| one.key == text && one.role == role);
            if is("admin") {
                all.insert(0, Revoked::Admin(key));
            }
            if is("admin") && !is("operator") && !is("viewer") {
                all.truncate(1);
            }
        }
        let mut kept = BTreeSet::new();
        if !self.keep_nothing {
            kept = prints(&client, &self.what.to_string()).await?;
        }
        for what in all {
            let revocation = Revocation { reason: self.reason.clone(), kept: kept.clone() };
            let body = RecordBody::Revocation(revocation);
            put(&client, &signer, RecordKey::Revocation(what), body).await?;
        }
        let stays = match (self.what, kept.len()) {
            (Revoked::Publisher(_), _) => String::new(),
            (Revoked::Invitation(_), count) => format!("; {count} who came by it stay"),
            (Revoked::Renewer(_), count) => format!("; {count} papers that it had renewed stay"),
            (_, count) => format!("; {count} records that it had signed stay"),
        };
        print(&format!("revoked {}{stays}\n", self.what))
    }
}
