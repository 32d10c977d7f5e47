//! What an operator asks for and the node does not sign: the node works out what is to be declared,
//! and gives it back for the operator's own key. That key is never in the node.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};
use wattle_contracts::record::{RecordBody, RecordKey, Stamp};

/// A record to be signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub(crate) key: RecordKey,
    pub(crate) stamp: Stamp,
    pub(crate) body: RecordBody,
}

tokio::task_local! {
    static DRAFTS: RefCell<Vec<Draft>>;
}

/// Does `work`, whose declarations are drafted and not made. Gives back what it gives, and the
/// drafts.
pub(crate) async fn drafting<T>(work: impl Future<Output = T>) -> (T, Vec<Draft>) {
    DRAFTS
        .scope(RefCell::default(), async {
            let done = work.await;
            (done, DRAFTS.with(RefCell::take))
        })
        .await
}

/// Whether declarations are to be drafted.
pub(super) fn is_drafting() -> bool {
    DRAFTS.try_with(|_| ()).is_ok()
}

/// Takes note of a draft.
pub(super) fn note(draft: Draft) {
    let _ = DRAFTS.try_with(|drafts| drafts.borrow_mut().push(draft));
}
