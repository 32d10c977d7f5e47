//! Which threads do what.
//!
//! The mesh, its calls and the API share **one** thread: a short call comes in, runs and is
//! answered without waking another, which costs more than the call itself (docs/decisions/0007).
//! Requests from outside, and whatever turns out to compute, go to as many threads as there are
//! cores, so that the one stays free for the mesh.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// The threads of a process.
pub(crate) struct Threads {
    pub(crate) network: Runtime,
    /// None where the process is not a node.
    work: Option<Runtime>,
}

impl Threads {
    /// Those of a node, or of a command that asks one.
    pub(crate) fn start(node: bool) -> io::Result<Self> {
        let work = || Builder::new_multi_thread().enable_all().thread_name("work").build();
        Ok(Self {
            network: Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name("network")
                .enable_all()
                .build()?,
            work: node.then(work).transpose()?,
        })
    }

    /// Where work goes that takes long.
    pub(crate) fn work(&self) -> Handle {
        self.work.as_ref().unwrap_or(&self.network).handle().clone()
    }
}
