//! Who belongs to the mesh, by the papers that were shown and by the records: asked at the door,
//! and again and again while a connection stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use wattle_contracts::id::{InviteKey, MeshId, NodeId};
use wattle_contracts::record::{Admitted, Labels};
use wattle_contracts::trust::{Paper, PaperError, UnixMillis};

use super::config::MeshConfig;
use crate::core::rights::{Outcast, Rights};

/// The paper of a node that the door let in is remembered so long, although no connection to it
/// has come of that.
const COMING: Duration = Duration::from_secs(30);

/// The papers of this node and of its peers, and the rights by the records.
#[derive(Debug)]
pub(super) struct Roster {
    me: NodeId,
    mesh: MeshId,
    own: watch::Sender<Paper>,
    rights: RwLock<Arc<Rights>>,
    /// What nodes showed at the door, and when they were last seen.
    shown: Mutex<BTreeMap<NodeId, (Paper, Instant)>>,
    /// Whether the rights have changed since the driver last looked.
    news: AtomicBool,
    /// Rings when somebody may have become known.
    known: Notify,
}

/// Why a peer has no place here any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    #[error(transparent)]
    Outcast(#[from] Outcast),
    #[error(transparent)]
    Paper(#[from] PaperError),
}

impl Roster {
    pub(super) fn new(config: &MeshConfig) -> Self {
        let mesh = config.mesh();
        Self {
            me: config.node(),
            mesh,
            own: watch::channel(config.paper.clone()).0,
            rights: RwLock::new(Arc::new(Rights::new(mesh))),
            shown: Mutex::default(),
            news: AtomicBool::new(true),
            known: Notify::new(),
        }
    }

    pub(super) fn me(&self) -> NodeId {
        self.me
    }

    pub(super) fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The paper that this node shows.
    pub(super) fn own(&self) -> Paper {
        self.own.borrow().clone()
    }

    pub(super) fn watch_own(&self) -> watch::Receiver<Paper> {
        self.own.subscribe()
    }

    pub(super) fn rights(&self) -> Arc<Rights> {
        self.rights.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes over what the records say now. The paper of this node that counts by them is its paper
    /// from now on.
    pub(super) fn publish(&self, rights: Arc<Rights>) {
        self.own.send_if_modified(|own| match rights.paper(self.me, Some(own)) {
            Some(paper) if paper != *own => {
                *own = paper;
                true
            }
            _ => false,
        });
        *self.rights.write().unwrap_or_else(PoisonError::into_inner) = rights;
        self.news.store(true, Ordering::Relaxed);
        self.known.notify_waiters();
    }

    /// Whether the rights may have changed since this was last asked.
    pub(super) fn take_news(&self) -> bool {
        self.news.swap(false, Ordering::Relaxed)
    }

    /// Lets a node in that shows this verified paper, or says why not.
    pub(super) fn admit(
        &self,
        node: NodeId,
        paper: &Paper,
        now: UnixMillis,
    ) -> Result<(), Outcast> {
        let rights = self.rights();
        let mut shown = self.shown();
        let mut others = others(&rights, &shown, node, paper);
        if by(&self.own()) == by(paper) && rights.admitted(rights.first(self.me)).is_none() {
            others += 1;
        }
        stands(&rights, node, paper, now, others)?;
        shown.insert(node, (paper.clone(), Instant::now()));
        drop(shown);
        self.known.notify_waiters();
        Ok(())
    }

    /// Forgets those who are not among the `connected`, after a while.
    pub(super) fn forget(&self, connected: impl Fn(NodeId) -> bool) {
        self.shown().retain(|node, (_, seen)| {
            if connected(*node) {
                *seen = Instant::now();
            }
            seen.elapsed() < COMING
        });
    }

    /// The paper that counts of `node`, which shows this one.
    pub(super) fn newest(&self, node: NodeId, shown: &Paper) -> Paper {
        self.rights().paper(node, Some(shown)).unwrap_or_else(|| shown.clone())
    }

    /// The paper that counts of `node`, as far as this node knows.
    pub(super) fn paper(&self, node: NodeId) -> Option<Paper> {
        if node == self.me {
            return Some(self.own());
        }
        let shown = self.shown().get(&node).map(|(paper, _)| paper.clone());
        self.rights().paper(node, shown.as_ref())
    }

    /// The papers that count of all who are known and belong at `now`.
    pub(super) fn papers(&self, now: UnixMillis) -> Vec<Paper> {
        let rights = self.rights();
        let mut nodes: BTreeSet<NodeId> = self.shown().keys().copied().collect();
        nodes.extend(rights.written().map(|node| rights.present(node)));
        nodes.insert(self.me);
        let papers = nodes.into_iter().filter_map(|node| Some((node, self.paper(node)?)));
        let belongs = |(node, paper): &(NodeId, Paper)| {
            rights.belongs(*node, paper, now, 0).is_ok() && rights.recognises(paper, now).is_ok()
        };
        papers.filter(belongs).map(|(_, paper)| paper).collect()
    }

    /// Whether a peer still belongs. Of whom no paper is known, only that it is revoked can be.
    pub(super) fn check(&self, node: NodeId, now: UnixMillis) -> Result<(), Gone> {
        self.standing(node, now).unwrap_or_else(|| match self.is_revoked(node) {
            true => Err(Outcast::Revoked.into()),
            false => Ok(()),
        })
    }

    /// Whether `node` belongs, of which others may have told: it has shown its paper here, or it is
    /// written down how it came. What somebody only says of a node makes it none.
    pub(super) fn is_member(&self, node: NodeId, now: UnixMillis) -> bool {
        node == self.me || self.standing(node, now).is_some_and(|standing| standing.is_ok())
    }

    /// Waits until a paper of each of `nodes` is known here, for `patience` at most: how one came
    /// that has just come may arrive after what it sends.
    pub(super) async fn until_known(&self, nodes: &[NodeId], now: UnixMillis, patience: Duration) {
        let is_unknown = |node: &NodeId| *node != self.me && self.standing(*node, now).is_none();
        let wait = async {
            loop {
                // Before it is asked, so that nothing falls in between.
                let mut news = std::pin::pin!(self.known.notified());
                news.as_mut().enable();
                if !nodes.iter().any(is_unknown) {
                    return;
                }
                news.await;
            }
        };
        let _ = tokio::time::timeout(patience, wait).await;
    }

    /// Whether `node` belongs by its paper; `None` where none is known.
    fn standing(&self, node: NodeId, now: UnixMillis) -> Option<Result<(), Gone>> {
        let rights = self.rights();
        let shown = self.shown().get(&node).map(|(paper, _)| paper.clone());
        let paper = shown.or_else(|| rights.paper(node, None))?;
        let stands = stands(&rights, node, &paper, now, 0).map_err(Gone::from);
        Some(stands.and_then(|paper| Ok(paper.check_time(now)?)))
    }

    /// Those who have shown a paper here that let them in, and are there, or were a moment ago.
    pub(super) fn shown_here(&self) -> Vec<NodeId> {
        self.shown().keys().copied().collect()
    }

    /// How `node` came, where that is to be written down.
    pub(super) fn unwritten(&self, node: NodeId) -> Option<Admitted> {
        let (paper, _) = self.shown().get(&node).cloned()?;
        let rights = self.rights();
        let known = rights.admitted(paper.body.node).map(|admitted| &admitted.came);
        let is_known = match (by(&paper), known) {
            (Some(invitation), Some(came)) => {
                by(came) == Some(invitation) || came.body.issued >= paper.body.issued
            }
            // That it came by an invitation stays written down, whatever the authority gave it since.
            (None, Some(_)) => true,
            // Those who have not met it go by this.
            (_, None) => false,
        };
        (!is_known).then(|| Admitted { came: paper.unrenewed().unsucceeded() })
    }

    /// What `node` is, whatever it says.
    pub(super) fn labels(&self, node: NodeId) -> Option<Labels> {
        let rights = self.rights();
        let written =
            rights.admitted(rights.first(node)).and_then(|admitted| bound(&admitted.came));
        written.or_else(|| self.shown().get(&node).and_then(|(paper, _)| bound(paper)))
    }

    /// The same, of this node.
    pub(super) fn own_labels(&self) -> Option<Labels> {
        self.labels(self.me).or_else(|| bound(&self.own()))
    }

    /// What `node` was called first: by the records, or by the paper that it shows.
    pub(super) fn first(&self, node: NodeId) -> NodeId {
        let rights = self.rights();
        let known = rights.first(node);
        if known != node {
            return known;
        }
        let shown = match node == self.me {
            true => Some(self.own()),
            false => self.shown().get(&node).map(|(paper, _)| paper.clone()),
        };
        let succeeded = shown.filter(|paper| !paper.successions.is_empty());
        succeeded.map_or(node, |paper| rights.first(paper.body.node))
    }

    pub(super) fn is_revoked(&self, node: NodeId) -> bool {
        self.rights.read().unwrap_or_else(PoisonError::into_inner).is_revoked(node)
    }

    fn shown(&self) -> MutexGuard<'_, BTreeMap<NodeId, (Paper, Instant)>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bound(paper: &Paper) -> Option<Labels> {
    paper.invitation.as_ref().map(|invitation| invitation.body.labels.clone())
}

fn by(paper: &Paper) -> Option<InviteKey> {
    paper.invitation.as_ref().map(|invitation| invitation.body.key)
}

/// Whether `node` belongs at `now`, which shows this proven paper, and by which one: what the records
/// give it counts as if it had shown that.
fn stands(
    rights: &Rights,
    node: NodeId,
    shown: &Paper,
    now: UnixMillis,
    others: usize,
) -> Result<Paper, Outcast> {
    rights.belongs(node, shown, now, others)?;
    let counts = rights.paper(node, Some(shown)).unwrap_or_else(|| shown.clone());
    if counts != *shown {
        rights.belongs(node, &counts, now, others)?;
    }
    rights.recognises(&counts, now)?;
    Ok(counts)
}

/// How many others have shown a paper of the same invitation, and are not written down.
fn others(
    rights: &Rights,
    shown: &BTreeMap<NodeId, (Paper, Instant)>,
    node: NodeId,
    paper: &Paper,
) -> usize {
    let same = shown.iter().filter(|(other, (theirs, _))| {
        **other != node && by(theirs) == by(paper) && rights.admitted(theirs.body.node).is_none()
    });
    same.count()
}
