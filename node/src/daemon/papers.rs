//! How a node comes by its paper: from the mesh's key, from an invitation, from a file, from a mesh
//! that is made on the spot, or from its own folder.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio_util::sync::CancellationToken;
use wattle_contracts::id::{NodeId, OperatorKey};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Admin, Charter, Labels, RecordBody, RecordKey};
use wattle_contracts::trust::{Invited, Paper, Token, UnixMillis};
use wattle_mesh::net::{Mesh, WallClock};

use super::start::UpOptions;
use crate::home::{self, Home};

/// What a node needs to belong to its mesh.
pub(super) struct Belonging {
    pub(super) paper: Paper,
    /// The key of a mesh that was made just now, for this node alone. It is kept nowhere.
    pub(super) throw_away: Option<SigningKey>,
}

impl From<Paper> for Belonging {
    fn from(paper: Paper) -> Self {
        Self { paper, throw_away: None }
    }
}

/// The node's paper: a new one if it is told how to come by it, else the one it has. What an
/// invitation says of where to begin and of what the node is goes into `options`.
pub(super) fn belonging(
    home: &Home,
    options: &mut UpOptions,
    key: &SigningKey,
) -> Result<Belonging> {
    let (id, now) = (home::node_id(key), WallClock::default().now());
    let belonging = if let Some(path) = &options.mesh_key {
        let paper = Paper::issue(&home::read_authority(path)?, id, now, None)?;
        keep(home, &paper, &format!("{} is the key of", path.display()))?.into()
    } else if let Some(token) = options.invite.clone() {
        options.join.extend(token.join.iter().filter_map(|address| address.parse().ok()));
        by_invitation(home, &token, id, now)?.into()
    } else if let Some(path) = &options.paper {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("can't read the paper {}", path.display()))?;
        let paper = Paper::from_text(&text)
            .with_context(|| format!("can't use the paper {}", path.display()))?;
        // The same flags on every start: it may have been renewed since.
        let goes_on = |old: &Paper| {
            let is_same = old.unrenewed().unsucceeded() == paper;
            is_same || (old.body.mesh == paper.body.mesh && old.supersedes(&paper))
        };
        let renewed = home.paper()?.filter(goes_on);
        let paper = renewed.filter(|old| check(old, id, now).is_ok()).unwrap_or(paper);
        check(&paper, id, now)
            .with_context(|| format!("can't use the paper {}", path.display()))?;
        home.keep_paper(&paper)?;
        paper.into()
    } else if let Some(paper) = home.paper()? {
        if options.dev && !home.is_dev(paper.body.mesh) {
            bail!(
                "the data folder {} belongs to a node of the mesh {}, which is none for development; name \
                 another folder with --data, or leave --dev away",
                home.root().display(),
                paper.body.mesh
            );
        }
        check(&paper, id, now).context("this node's paper is no good (any more)")?;
        paper.into()
    } else if options.dev {
        let authority = SigningKey::generate()?;
        let paper = Paper::issue(&authority, id, now, None)?;
        home.keep_paper(&paper)?;
        home.mark_dev(paper.body.mesh)?;
        Belonging { paper, throw_away: Some(authority) }
    } else {
        bail!(
            "this node has no paper, so no mesh would let it in. Either\n  \
             - come by an invitation: wattle up --invite TOKEN (whoever keeps the mesh's key makes \
             one: wattle invite)\n  \
             - or make a mesh: wattle mesh init --out mesh.key, then: wattle up --mesh-key mesh.key\n  \
             - or let whoever keeps the mesh's key admit this node: wattle mesh admit {id} --key \
             mesh.key --out node.paper, then: wattle up --paper node.paper\n  \
             - or try it alone on this machine: wattle up --dev"
        );
    };
    bind(&belonging.paper, &mut options.labels)?;
    Ok(belonging)
}

fn by_invitation(home: &Home, token: &Token, id: NodeId, now: UnixMillis) -> Result<Paper> {
    let invitation = &token.invitation;
    if invitation.body.invited != Invited::Node {
        bail!("this invitation is for an operator, not for a node: wattle operator accept TOKEN");
    }
    // The same flags on every start: who has come is there already.
    if let Some(old) = home.paper()?
        && old.invitation.as_ref().is_some_and(|by| by.body.key == invitation.body.key)
        && check(&old, id, now).is_ok()
    {
        return Ok(old);
    }
    let paper = Paper::by_invitation(invitation.clone(), &token.key()?, id, now)?;
    check(&paper, id, now).context(
        "this invitation can't be used; by this machine's clock it may have run out (is the clock \
         right?), else ask for another one (wattle invite)",
    )?;
    keep(home, &paper, "the invitation is to")
}

/// Keeps a paper for the next start, unless it is of another mesh than the one that the folder is
/// for.
fn keep(home: &Home, paper: &Paper, what: &str) -> Result<Paper> {
    if let Some(old) = home.paper()?
        && old.body.mesh != paper.body.mesh
    {
        bail!(
            "the data folder {} belongs to {}, and {what} {}; a node belongs to one mesh: take \
             another folder with --data",
            home.root().display(),
            old.body.mesh,
            paper.body.mesh
        );
    }
    home.keep_paper(paper)?;
    Ok(paper.clone())
}

fn check(
    paper: &Paper,
    id: NodeId,
    now: UnixMillis,
) -> Result<(), wattle_contracts::trust::PaperError> {
    paper.verify(paper.body.mesh, id, now)
}

/// A node says of itself what its invitation says. To say something else is a mistake: the others
/// would go by the invitation.
fn bind(paper: &Paper, labels: &mut Labels) -> Result<()> {
    let bound = paper.invitation.as_ref().map(|invitation| &invitation.body.labels);
    for (key, value) in bound.into_iter().flatten() {
        if let Some(said) = labels.get(key).filter(|said| *said != value) {
            bail!(
                "this node's invitation says {key}={value}, and --label says {key}={said}: ask for \
                 another invitation, or leave the label out"
            );
        }
        labels.insert(key.clone(), value.clone());
    }
    Ok(())
}

/// Makes whoever owns the data folder the admin of a mesh that was made for this node alone.
pub(super) async fn make_admin(home: &Home, mesh: &Mesh, authority: &SigningKey) -> Result<()> {
    let operator = home.operator_key_or_new()?;
    let admin = RecordKey::Admin(OperatorKey::from_bytes(operator.public()));
    let named = RecordBody::Admin(Admin { name: "dev".into() });
    for (about, body) in
        [(admin, named), (RecordKey::Charter, RecordBody::Charter(Charter::default()))]
    {
        let record = mesh.stamp(about.clone()).await?.sign(authority, about, body)?;
        mesh.take_record(record).await?;
    }
    Ok(())
}

/// Keeps every newer paper of this node.
pub(super) async fn keep_renewed(home: Home, mesh: Mesh, stop: CancellationToken) {
    let mut paper = mesh.watch_paper();
    // One that is not on the disk yet may have come with the records.
    let mut kept = home.paper().ok().flatten();
    loop {
        let newest = paper.borrow_and_update().clone();
        if kept.as_ref() != Some(&newest) {
            match home.keep_paper(&newest) {
                Ok(()) => {
                    tracing::info!(until = ?newest.term().map(|term| term.until), "this node has a new paper")
                }
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "can't keep the new paper")
                }
            }
            kept = Some(newest);
        }
        tokio::select! {
            changed = paper.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Says what a mesh of one is.
pub(super) fn announce_dev(home: &Home, key: &Arc<SigningKey>) {
    tracing::warn!(
        node = %home::node_id(key),
        operator = %home.operator_key_path().display(),
        "a mesh for development: this node alone, on loopback. Its authority's key was thrown away, \
         so no other node can be admitted; whoever owns the data folder is its admin"
    );
}
