//! What components log, kept for a while for `wattle logs`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use wattle_contracts::id::ComponentId;

/// How many lines are kept.
const KEPT: usize = 2000;
/// How far a follower may fall behind before it misses lines.
const BEHIND: usize = 1024;
/// The longest message kept, in bytes.
const MAX_MESSAGE: usize = 8 * 1024;

/// One line that a component logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogLine {
    /// Milliseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) component: ComponentId,
    /// `info` and the like, in the words of `wasi:logging`.
    pub(crate) level: String,
    /// What the component gave as context; `stdout` or `stderr` for what it printed.
    pub(crate) context: String,
    pub(crate) message: String,
}

/// The log lines of this node's components.
pub(crate) struct Logs {
    kept: Mutex<VecDeque<Arc<LogLine>>>,
    live: broadcast::Sender<Arc<LogLine>>,
}

impl Logs {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::default(), live: broadcast::channel(BEHIND).0 }
    }

    /// Keeps a line. A very long one is cut: a component can't fill the node's memory.
    pub(crate) fn push(&self, component: &ComponentId, level: &str, context: &str, message: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let line = Arc::new(LogLine {
            at: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            component: component.clone(),
            level: level.into(),
            context: cut(context, 256).into(),
            message: cut(message, MAX_MESSAGE).into(),
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&line));
        // Sent under the lock, so that a new follower sees each line once. Nobody following is
        // no error.
        let _ = self.live.send(line);
    }

    /// The last `count` lines, and those that come after them.
    pub(crate) fn follow(
        &self,
        count: usize,
    ) -> (Vec<Arc<LogLine>>, broadcast::Receiver<Arc<LogLine>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let skip = kept.len().saturating_sub(count);
        (kept.iter().skip(skip).cloned().collect(), self.live.subscribe())
    }
}

fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_follower_sees_each_line_once_and_old_ones_go() {
        let logs = Logs::new();
        let component: ComponentId = "a/b".parse().unwrap();
        for i in 0..KEPT + 5 {
            logs.push(&component, "info", "", &i.to_string());
        }
        let (old, mut live) = logs.follow(KEPT * 2);
        assert_eq!(old.len(), KEPT);
        assert_eq!(old[0].message, "5");
        logs.push(&component, "warn", "", "new");
        assert_eq!(live.recv().await.unwrap().message, "new");
        logs.push(&component, "warn", "", &"é".repeat(MAX_MESSAGE));
        assert!(live.recv().await.unwrap().message.len() <= MAX_MESSAGE);
    }
}
