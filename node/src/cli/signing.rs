//! Signing what a node has drafted, with a key that never leaves this process.

use anyhow::{Result, bail};
use wattle_contracts::key::SigningKey;
use wattle_contracts::record::{Record, RecordBody, RecordKey, Stamp};
use wattle_contracts::trust::Paper;
use wattle_mesh::net::WallClock;

use crate::daemon::Draft;

/// Signs a draft of what an operator asked for. A node that has been taken over could ask for the
/// signature of something else: of what governs the mesh it gets none.
pub(crate) fn sign_draft(draft: Draft, key: &SigningKey) -> Result<Record> {
    match &draft.key {
        RecordKey::App(_) | RecordKey::Link(_) | RecordKey::Config(_) => {
            sign(&draft.stamp, key, draft.key, draft.body)
        }
        other => bail!("the node asks for a signature of {other}, which nobody asked it for"),
    }
}

/// Signs a record where a node says that it stands, if that is about now.
pub(super) fn sign(
    stamp: &Stamp,
    key: &SigningKey,
    about: RecordKey,
    body: RecordBody,
) -> Result<Record> {
    let (now, at) = (WallClock::default().now().0, stamp.at.millis);
    let apart = std::time::Duration::from_millis(now.abs_diff(at));
    if apart > Paper::CLOCK_TOLERANCE {
        let which = if at > now { "ahead of" } else { "behind" };
        bail!(
            "the node's clock is {apart:?} {which} this machine's; what is signed with its time \
             would count too long or not at all: set the clocks right"
        );
    }
    Ok(stamp.sign(key, about, body)?)
}
