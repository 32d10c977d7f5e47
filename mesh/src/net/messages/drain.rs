//! The clean end: no handler begins any more, and what is under way is waited for.

use tokio::sync::watch;

use super::Messenger;

/// What goes in and out of the components of this node.
#[derive(Debug)]
pub(super) struct Gate {
    state: watch::Sender<State>,
}

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    /// Deliveries that are being worked on.
    inside: usize,
}

/// A delivery that is being worked on; until this is dropped.
pub(super) struct Inside<'a>(&'a Gate);

impl Default for Gate {
    fn default() -> Self {
        Self { state: watch::channel(State::default()).0 }
    }
}

impl Gate {
    /// Counts a delivery. One that comes when the gate is shut still learns what was handled
    /// before.
    pub(super) fn enter(&self) -> Inside<'_> {
        self.state.send_modify(|state| state.inside += 1);
        Inside(self)
    }

    /// Whether no handler may begin.
    pub(super) fn is_shut(&self) -> bool {
        self.state.borrow().is_shut
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.inside -= 1);
    }
}

impl Messenger {
    /// From now on no handler begins, and nothing more is sent. What waits stays on disk, here or
    /// with its publisher, and is delivered after a restart.
    pub fn stop(&self) {
        self.inner.gate.state.send_modify(|state| state.is_shut = true);
    }

    /// After [`Messenger::stop`]: returns when the handlers that were under way have ended, and
    /// what they handled is on disk.
    pub async fn stopped(&self) {
        let mut state = self.inner.gate.state.subscribe();
        // The sender lives as long as this.
        let _ = state.wait_for(|state| state.inside == 0).await;
        self.note_clock().await;
    }
}
