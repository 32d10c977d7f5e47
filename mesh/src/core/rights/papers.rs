//! Which paper of a node counts, and who may renew it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use wattle_contracts::id::NodeId;
use wattle_contracts::record::{Print, Revoked, Version};
use wattle_contracts::trust::{Delegation, Paper, UnixMillis};

use super::{Rights, Unentitled};

/// How far the clocks may be apart of who signed a paper and who wrote it down. Less than
/// [`Paper::CLOCK_TOLERANCE`]: whoever takes the record can go by the paper at once.
const APART: Duration = Duration::from_secs(10 * 60);

impl Rights {
    /// The paper that counts of `node`, which shows `shown` if it has shown any: of that and those
    /// which are written down, the one that supersedes the others. What a revoked renewer has
    /// renewed counts as if it had not.
    pub fn paper(&self, node: NodeId, shown: Option<&Paper>) -> Option<Paper> {
        // Also those of the time when it had another key.
        let names = std::iter::once(node).chain(self.before(node).map(|(before, _)| before));
        let written = names.flat_map(|name| {
            let came = self.admitted.get(&name).map(|admitted| &admitted.came);
            came.into_iter().chain(self.renewed.get(&name).map(Arc::as_ref))
        });
        let written = written.filter_map(|paper| match paper.node() == node {
            true => Some(paper.clone()),
            false => self.for_present(paper, node),
        });
        let counts = |paper: Paper| match self.check_renewal(&paper) {
            Ok(()) => paper,
            Err(_) => paper.unrenewed(),
        };
        let all = shown.cloned().into_iter().chain(written);
        let all = all.filter(|paper| self.is_on_chain(paper)).map(counts);
        all.reduce(|best, other| if other.supersedes(&best) { other } else { best })
    }

    /// The nodes of which a paper is written down.
    pub fn written(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.admitted.keys().chain(self.renewed.keys()).copied()
    }

    /// The right of `node` to renew papers, if it has that.
    pub fn renewer(&self, node: NodeId) -> Option<&Arc<Delegation>> {
        let is_revoked = self.is_revoked(node) || self.revoked(&Revoked::Renewer(node));
        self.renewers.get(&node).filter(|_| !is_revoked)
    }

    /// The nodes that may renew papers at `now`.
    pub fn renewers(&self, now: UnixMillis) -> impl Iterator<Item = NodeId> + '_ {
        let all = self.renewers.keys().copied();
        all.filter(move |node| {
            self.renewer(*node).is_some_and(|delegation| now <= delegation.body.expires)
        })
    }

    /// Whether `node` may have this paper: nobody gives a revoked node one, and a revoked renewer
    /// gives none.
    pub(super) fn check_renewed(&self, node: NodeId, paper: &Paper) -> Result<(), Unentitled> {
        if self.revoked(&Revoked::Node(node)) {
            return Err(Unentitled::Revoked(Revoked::Node(node)));
        }
        self.check_given(paper)?;
        self.check_renewal(paper)
    }

    fn check_renewal(&self, paper: &Paper) -> Result<(), Unentitled> {
        let Some(renewal) = &paper.renewal else { return Ok(()) };
        let renewer = renewal.renewer();
        // Asked for each peer several times a second, and mostly there is no list to look into.
        let stays = |kept: &BTreeSet<Print>| {
            let print = Print::of_renewal(paper).ok().flatten();
            print.is_some_and(|print| kept.contains(&print))
        };
        if self.followed.get(&renewer).is_some_and(|followed| !stays(&followed.kept)) {
            return Err(Unentitled::Followed(renewer));
        }
        for revoked in [Revoked::Node(renewer), Revoked::Renewer(renewer)] {
            let Some(kept) = self.revoked.get(&revoked) else { continue };
            if !stays(kept) {
                return Err(Unentitled::Revoked(revoked));
            }
        }
        Ok(())
    }
}

/// Whether a paper is no younger than the record that brings it.
pub(super) fn check_date(paper: &Paper, version: Version) -> Result<(), Unentitled> {
    let renewed = paper.renewal.as_ref().map(|renewal| renewal.issued);
    let dated = paper.body.issued.max(renewed.unwrap_or(paper.body.issued));
    let ahead = Duration::from_millis(dated.0.saturating_sub(version.at.millis));
    if ahead > APART { Err(Unentitled::Dated { ahead }) } else { Ok(()) }
}
