//! What wasmtime puts beside a component that asks somebody outside: a task for each request, on a
//! runtime without a thread, which only goes on when it is told.

use std::sync::Arc;

use tokio::runtime::{Builder, EnterGuard, Runtime};

/// A task that waits for its answer is looked at so often at most, one after the other: for what
/// was asked, for the rest of what is sent, and for the answer.
const LOOKS: usize = 4;

/// The tasks of one node's components.
#[derive(Debug, Clone)]
pub(super) struct Tasks(Arc<Runtime>);

impl Tasks {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(Builder::new_current_thread().build()?)))
    }

    /// While this is held, what is spawned is a task of this node.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.0.enter()
    }

    /// Lets all of them do what they can do now.
    pub(super) fn go_on(&self) {
        self.0.block_on(async {
            for _ in 0..LOOKS {
                tokio::task::yield_now().await;
            }
        });
    }
}
