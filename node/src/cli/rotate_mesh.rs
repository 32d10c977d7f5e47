//! `wattle mesh rotate`: another key for a mesh's authority, while the mesh runs.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use wattle_contracts::id::AuthorityKey;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Handed, RecordBody, RecordKey};
use wattle_contracts::trust::{
    Authority, Delegation, DelegationBody, Handovers, Paper, Signs as _, UnixMillis,
};
use wattle_mesh::net::WallClock;

use super::NodeArgs;
use super::invite::span;
use super::operator::{prints, put};
use super::output::{print, when};
use crate::api::{Client, OperatorsReply, PaperRequest, PapersReply, RecordReply, StampReply};
use crate::home;

/// Hands the mesh over to a new key. The mesh keeps its name, its nodes and what is declared; who
/// belongs gets a paper by the new key. Can be run again, also against another node, until every
/// node has one.
#[derive(Args)]
pub(super) struct Rotate {
    /// The private key that the mesh has had so far.
    #[arg(long, value_name = "FILE", default_value = "mesh.key")]
    key: PathBuf,
    /// Where to write the new one.
    #[arg(long, value_name = "FILE", default_value = "mesh-next.key")]
    out: PathBuf,
    /// How long papers and invitations by the old key are still taken: 12h, 30d. `0`, if it was in
    /// the wrong hands.
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = grace)]
    grace: Duration,
    #[command(flatten)]
    node: NodeArgs,
}

impl Rotate {
    pub(super) async fn run(self) -> Result<()> {
        let old = home::read_authority(&self.key)?;
        let client = self.node.client()?;
        let former = public(old.key());
        let about = RecordKey::Handover(former);
        let at: StampReply = client.get(&format!("/v1/stamps/{about}")).await?;
        if at.mesh != old.mesh() {
            bail!(
                "{} is a key of {}, and this node is of {}",
                self.key.display(),
                old.mesh(),
                at.mesh
            );
        }
        let begun = self.begun(former)?;
        let known: OperatorsReply = client.get("/v1/operators").await?;
        let (new, handed) = match begun {
            Some(begun) if known.authority == public(begun.key()) => (begun, None),
            begun if known.authority == former => {
                let begun = begun.as_ref().map(Authority::key);
                let (new, handed) = self.hand_over(&client, &old, begun).await?;
                (new, Some(handed))
            }
            _ => bail!(
                "the mesh's authority has the key {}, which is neither that in {} nor that in {}",
                known.authority,
                self.key.display(),
                self.out.display()
            ),
        };
        // Before the old key is worth nothing, so that nobody is cut off in between: they prove
        // themselves, whether the handover is known or not.
        let papers = resign(&client, &new).await?;
        if let Some(handed) = handed {
            let body = RecordBody::Handover(Box::new(handed));
            put(&client, new.key(), about, body).await.with_context(|| {
                let out = self.out.display();
                format!(
                    "the node did not take the handover; run this again: the new key is in {out}"
                )
            })?;
        }
        let renewers = delegate(&client, &new, &known).await?;
        let until = new.handovers().last().map_or(0, |last| last.body.until.0);
        print(&format!(
            "the authority of {} is {} from now on; its private key is in {}\n\
             {papers} nodes have a paper by it, and {renewers} the right to renew papers\n\
             what the old key signed for nodes is taken until {}. A node without end of its paper that \
             this one does not know has none by the new key: run this again with --data or --node of \
             another one, or: wattle mesh renew NODE --key {}\n",
            new.mesh(),
            public(new.key()),
            self.out.display(),
            when(until),
            self.out.display()
        ))
    }

    /// The new key, where an earlier call has made it.
    fn begun(&self, former: AuthorityKey) -> Result<Option<Authority>> {
        if !self.out.exists() {
            return Ok(None);
        }
        let found = home::read_authority(&self.out)?;
        let is_it = found.handovers().last().is_some_and(|last| last.body.former == former);
        match is_it {
            true => Ok(Some(found)),
            false => bail!(
                "{} is there already, and is no key to which {} was handed over: say --out",
                self.out.display(),
                self.key.display()
            ),
        }
    }

    /// Hands over, to a new key or to the one that an earlier call has made. Nobody has heard of it
    /// yet.
    async fn hand_over(
        &self,
        client: &Client,
        old: &Authority,
        begun: Option<&SigningKey>,
    ) -> Result<(Authority, Handed)> {
        let next = match begun {
            Some(key) => SigningKey::from_seed(*key.seed())?,
            None => SigningKey::generate()?,
        };
        let (kept, now) = (prints(client, "authority").await?, WallClock::default().now());
        let new = old.hand_over(next, now, now.plus(self.grace), &kept)?;
        // On the disk before anybody hears of it: a mesh whose key is lost has none.
        let text = new.to_text()?;
        match begun {
            Some(_) => home::replace_file(&self.out, text.as_bytes())?,
            None => home::write_private(&self.out, text.as_bytes())?,
        }
        let handed = Handed { handovers: new.handovers().clone(), kept };
        Ok((new, handed))
    }
}

/// Gives each node that is known a paper by the new key. How many have one now.
async fn resign(client: &Client, new: &Authority) -> Result<usize> {
    let (mesh, now) = (new.mesh(), WallClock::default().now());
    let reply: PapersReply = client.get("/v1/papers").await?;
    for text in &reply.papers {
        let paper = Paper::from_text(text)?;
        let is_new = |chain: &Handovers| chain.leads_to(mesh) == public(new.key());
        if paper.chains().all(is_new) {
            continue;
        }
        // The node may have been taken over: nobody gets a paper who has none.
        paper.prove(mesh, paper.node()).context("the node has shown a paper that is no good")?;
        let request = PaperRequest { paper: paper.resigned(new, now)?.to_text()? };
        let _: RecordReply = client.post("/v1/papers", &request).await?;
    }
    Ok(reply.papers.len())
}

/// Gives each renewer its right by the new key.
async fn delegate(client: &Client, new: &Authority, known: &OperatorsReply) -> Result<usize> {
    let issued = WallClock::default().now();
    let mut count = 0;
    for renewer in known.renewers.iter().filter(|one| !one.revoked) {
        let body = DelegationBody {
            mesh: new.mesh(),
            renewer: renewer.node,
            papers: Duration::from_secs(renewer.papers_secs),
            issued,
            expires: UnixMillis(renewer.until),
        };
        let right = RecordBody::Renewer(Box::new(Delegation::sign(new, body)?));
        put(client, new.key(), RecordKey::Renewer(renewer.node), right).await?;
        count += 1;
    }
    Ok(count)
}

fn public(key: &SigningKey) -> AuthorityKey {
    AuthorityKey::from_bytes(key.public())
}

fn grace(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { span(text) }
}
