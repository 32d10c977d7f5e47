//! `wattle mesh rotate`: another key for a mesh's authority, while the mesh runs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use wattle_contracts::id::{AuthorityKey, NodeId};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Handed, RecordBody, RecordKey, Stamp};
use wattle_contracts::trust::{
    Authority, Delegation, DelegationBody, Handovers, Paper, Signs as _, UnixMillis,
};
use wattle_mesh::net::WallClock;

use super::NodeArgs;
use super::invite::span;
use super::operator::{prints, put};
use super::output::{print, when};
use super::signing::sign;
use crate::api::{
    Client, OperatorsReply, PaperRequest, PapersReply, RecordReply, RecordRequest, StampReply,
    Wired,
};
use crate::home;

/// Hands the mesh over to a new key. The mesh keeps its name, its nodes and what is declared; who
/// belongs gets a paper by the new key. Can be run again, also on the machine of another node, until
/// every node has one. It needs a node's own socket (--data).
#[derive(Args)]
pub(super) struct Rotate {
    /// The private key that the mesh has had so far.
    #[arg(long, value_name = "FILE", default_value = "mesh.key")]
    key: PathBuf,
    /// Where to write the new one.
    #[arg(long, value_name = "FILE", default_value = "mesh-next.key")]
    out: PathBuf,
    /// How long papers, and invitations of nodes, by the old key are still taken: 12h, 30d. `0`, if it
    /// was in the wrong hands.
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
            let file = self.key.display();
            bail!("{file} is a key of {}, and this node is of {}", old.mesh(), at.mesh);
        }
        let begun = self.begun(former)?;
        let known: OperatorsReply = client.get("/v1/operators").await?;
        // Of the node's owner alone: asked before anything is made.
        let papers: PapersReply = client.get("/v1/papers").await?;
        let (new, handover) = match begun {
            Some(begun) if known.authority == public(begun.key()) => (begun, None),
            Some(begun) if known.authority == former => (begun, Some(self.written()?)),
            None if known.authority == former => {
                let stamp = at.stamp.read().map_err(anyhow::Error::msg)?;
                let (new, record) = self.hand_over(&client, &old, &stamp).await?;
                (new, Some(record))
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
        let (given, missed) = resign(&client, &new, &known, &papers).await?;
        if let Some(record) = handover {
            let taken = client.post("/v1/records", &RecordRequest { record }).await;
            let _: RecordReply = taken.with_context(|| {
                let out = self.out.display();
                format!(
                    "the node did not take the handover; run this again: the new key is in {out}"
                )
            })?;
        }
        let renewers = delegate(&client, &new, &known).await?;
        self.report(&new, given, renewers)?;
        match missed.is_empty() {
            true => Ok(()),
            false => bail!("no new paper for these:\n  {}", missed.join("\n  ")),
        }
    }

    fn report(&self, new: &Authority, given: usize, renewers: usize) -> Result<()> {
        let until = new.handovers().last().map_or(0, |last| last.body.until.0);
        let (mesh, key, out) = (new.mesh(), public(new.key()), self.out.display());
        print(&format!(
            "the authority of {mesh} is {key} from now on; its private key is in {out}\n\
             {given} nodes have a paper by it, and {renewers} the right to renew papers\n\
             who is an admin or an operator stays that: see wattle operator ls\n\
             what the old key signed for nodes is taken until {}. Who comes by that meanwhile, or is not \
             known to this node, needs a paper before then: run this again, also on the machine of a \
             node of each other cell, or: wattle mesh renew NODE --key {out}\n",
            when(until)
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

    /// Where the record of the handover is kept, for the next call.
    fn record(&self) -> PathBuf {
        let mut name = self.out.clone().into_os_string();
        name.push(".handover");
        name.into()
    }

    /// The record that an earlier call has made: there is to be one only.
    fn written(&self) -> Result<Wired> {
        let path = self.record();
        let text = std::fs::read_to_string(&path).with_context(|| {
            let (out, path) = (self.out.display(), path.display());
            format!("the key {out} was made by an earlier call, and {path} is missing beside it")
        })?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Makes a new key, and the record by which it takes over, both on the disk before anybody hears
    /// of it: a mesh whose key is lost has none.
    async fn hand_over(
        &self,
        client: &Client,
        old: &Authority,
        stamp: &Stamp,
    ) -> Result<(Authority, Wired)> {
        let (kept, now) = (prints(client, "authority").await?, WallClock::default().now());
        let new = old.hand_over(SigningKey::generate()?, now, now.plus(self.grace), &kept)?;
        let body = Handed { handovers: new.handovers().clone(), kept };
        let about = RecordKey::Handover(public(old.key()));
        let record = sign(stamp, new.key(), about, RecordBody::Handover(Box::new(body)))?;
        let record = Wired::of(&record)?;
        home::replace_file(&self.record(), serde_json::to_string(&record)?.as_bytes())?;
        home::write_private(&self.out, new.to_text()?.as_bytes())?;
        Ok((new, record))
    }
}

/// Gives each node that is known a paper by the new key. How many have one, and who has none, with
/// the reason.
async fn resign(
    client: &Client,
    new: &Authority,
    known: &OperatorsReply,
    papers: &PapersReply,
) -> Result<(usize, Vec<String>)> {
    let (mesh, now) = (new.mesh(), WallClock::default().now());
    let is_new = |chain: &Handovers| chain.leads_to(mesh) == public(new.key());
    let renewers: BTreeSet<NodeId> =
        known.renewers.iter().filter(|one| !one.revoked).map(|one| one.node).collect();
    let (mut given, mut missed) = (0, Vec::new());
    for text in &papers.papers {
        let paper = Paper::from_text(text)?;
        let give = async {
            if paper.chains().all(is_new) {
                return Ok(());
            }
            // The node may have been taken over: nobody gets a paper who has none.
            paper.prove(mesh, paper.node())?;
            let paper = paper.resigned(new, now, |renewer| renewers.contains(&renewer))?;
            let request = PaperRequest { paper: paper.to_text()? };
            let _: RecordReply = client.post("/v1/papers", &request).await?;
            anyhow::Ok(())
        };
        match give.await {
            Ok(()) => given += 1,
            // One that can't be helped is no reason to keep the old key.
            Err(why) => missed.push(format!("{}: {why:#}", paper.node())),
        }
    }
    Ok((given, missed))
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
