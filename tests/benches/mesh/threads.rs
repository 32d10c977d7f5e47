//! The runtimes that the other sides work on.

use std::thread;

use anyhow::Result;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// How many threads a side works with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// One for each core: what `#[tokio::main]` makes, and a node.
    PerCore,
    /// One: fewer threads to wake, where there is little to compute.
    One,
}

impl Threads {
    const ONE: &str = "one-thread";
    const PER_CORE: &str = "thread-per-core";

    /// For the command line of a helper.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::PerCore => Self::PER_CORE,
            Self::One => Self::ONE,
        }
    }

    /// What [`Threads::word`] gave.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::PerCore, Self::One].into_iter().find(|threads| threads.word() == word)
    }

    pub(crate) fn runtime(self) -> Result<Runtime> {
        let mut builder = match self {
            Self::PerCore => Builder::new_multi_thread(),
            Self::One => Builder::new_current_thread(),
        };
        Ok(builder.enable_all().build()?)
    }
}

/// Where a client's tasks run: beside everything else, or on a thread of their own.
pub(crate) struct Workshop {
    handle: Handle,
    /// Dropped, it ends the thread.
    _stop: Option<oneshot::Sender<()>>,
}

impl Workshop {
    pub(crate) fn open(threads: Threads) -> Result<Self> {
        if threads == Threads::PerCore {
            return Ok(Self { handle: Handle::current(), _stop: None });
        }
        let runtime = threads.runtime()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        thread::Builder::new().name("client".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { handle, _stop: Some(stop) })
    }

    /// Does it there.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.handle.spawn(work).await?
    }
}
