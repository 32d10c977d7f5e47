//! A new key for a node that is stopped, with all that it keeps.
//!
//! The old key and the new one sign a succession, which is put among the node's records, and with
//! them finds its way to the others when it starts again. Each step can be done again: if the
//! machine fails in the middle, the next call goes on with the same new key and the same
//! succession. The last step puts the new key in the place of the old one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Hlc, Print, Record, RecordBody, RecordKey, Revoked, Succeeded};
use wattle_contracts::trust::{Paper, Succession};
use wattle_mesh::core::records::{Stored, Write};
use wattle_mesh::net::WallClock;

use crate::home::{self, Home};
use crate::state::{Database, RecordTable};

/// What became of a node's key.
#[derive(Debug)]
pub(crate) struct Rotated {
    /// What the node was called so far.
    pub(crate) former: NodeId,
    /// What it is called from now on.
    pub(crate) node: NodeId,
    /// Whether it could renew papers under its old name, which does not pass on.
    pub(crate) was_renewer: bool,
}

/// Gives the node with this data folder a new key.
pub(crate) fn rotate(root: &Path) -> Result<Rotated> {
    let home = Home::open(root)?;
    let _lock = home.lock()?;
    let old = home.known_node_key()?;
    let former = home::node_id(&old);
    let paper = home.paper()?.with_context(|| {
        format!(
            "{} has no paper, so no mesh knows its key: delete the folder for a new one",
            home.root().display()
        )
    })?;
    let new = home.next_node_key()?;
    let node = home::node_id(&new);

    let database = Database::open(&home.database())?;
    let (held, by_new) = read(&database, &old, &new)?;
    let record = match held.iter().find_map(|stored| begun(&stored.record, former, node)) {
        Some(record) => record,
        None => succession(&paper, &held, &old, &new)?,
    };
    let RecordBody::Succession(succeeded) = &record.body else {
        anyhow::bail!("the record of the succession speaks of something else");
    };
    let paper = match paper.node() == node {
        true => paper,
        false => paper
            .succeed(succeeded.succession.clone())
            .context("can't go on with this node's paper under another key")?,
    };
    if !by_new {
        RecordTable::new(database.clone(), &old).reseal(&new, &held)?;
    }
    let table = RecordTable::new(database, &new);
    table.load()?;
    table.persist(&[Write::Current(Arc::new(record))])?;
    home.put_former_aside(former)?;
    home.keep_paper(&paper)?;
    home.take_next_node_key()?;
    let renewer = |stored: &Stored| stored.record.key == RecordKey::Renewer(former);
    Ok(Rotated { former, node, was_renewer: held.iter().any(renewer) })
}

/// What the node holds, and whether it is sealed with the new key already.
fn read(database: &Database, old: &SigningKey, new: &SigningKey) -> Result<(Vec<Stored>, bool)> {
    let by_new = RecordTable::new(database.clone(), new);
    let is_new = by_new.is_sealed();
    let table = if is_new { by_new } else { RecordTable::new(database.clone(), old) };
    let loaded = table.load()?;
    for what in &loaded.damaged {
        tracing::warn!(what, "a record on disk is damaged; it is left out");
    }
    let genuine = |stored: &Stored| stored.is_verified || stored.record.verify().is_ok();
    Ok((loaded.records.into_iter().filter(genuine).collect(), is_new))
}

/// The record of this succession, if an earlier call made it.
fn begun(record: &Record, former: NodeId, node: NodeId) -> Option<Record> {
    let is_it = record.key == RecordKey::Succession(former) && record.version.writer == node;
    is_it.then(|| record.clone())
}

fn succession(
    paper: &Paper,
    held: &[Stored],
    old: &SigningKey,
    new: &SigningKey,
) -> Result<Record> {
    let (former, now) = (home::node_id(old), WallClock::default().now());
    let revoked = RecordKey::Revocation(Revoked::Node(former));
    if held.iter().any(|stored| stored.record.key == revoked) {
        anyhow::bail!(
            "this node was revoked, and a new key does not change that: it comes back with another \
             data folder and another invitation"
        );
    }
    let kept = kept(held, former);
    let succession = Succession::sign(paper.body.mesh, old, new, now, &kept)?;
    let body = RecordBody::Succession(Box::new(Succeeded { succession, kept }));
    let at = Hlc { millis: now.0, counter: 0 };
    Record::sign(new, RecordKey::Succession(former), at, body).context(
        "can't write down that this node has another key; a node that has declared more than fits is \
         to be replaced by one that comes by an invitation",
    )
}

/// What stays of what the old key signed: all that is known here.
fn kept(held: &[Stored], former: NodeId) -> BTreeSet<Print> {
    let mut kept = BTreeSet::new();
    for Stored { record, .. } in held {
        if record.version.writer == former && !matches!(record.key, RecordKey::Cell(_)) {
            kept.extend(Print::of_record(record));
        }
        if let RecordBody::Renewed(paper) = &record.body
            && paper.renewal.as_ref().is_some_and(|renewal| renewal.renewer() == former)
        {
            kept.extend(Print::of_renewal(paper).ok().flatten());
        }
    }
    kept
}

#[cfg(test)]
mod tests;
