//! This node's audit log: what was let in, refused, changed and run, in a chain of hashes.
//!
//! One thread writes; whoever has something to tell never waits for it. Other nodes witness how
//! far the log reaches, so that one that was cut short shows (`witness`).

mod files;
mod keep;
mod read;
mod throttle;
mod witness;
mod writer;

pub(crate) use files::Folder;
pub(crate) use read::{Found, Report, cross_check};
pub(crate) use witness::witness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use wattle_contracts::audit::{Happening, Head};
use wattle_contracts::id::NodeId;
use wattle_contracts::key::SigningKey;
use wattle_mesh::net::WallClock;

use keep::Keep;
use writer::Writer;

/// What waits to be written, in entries. More than this at once is counted as lost.
const QUEUE: usize = 4096;

/// The way to this node's audit log.
#[derive(Debug)]
pub(crate) struct Audit {
    queue: SyncSender<Told>,
    lost: Arc<AtomicU64>,
    head: watch::Receiver<Head>,
    /// How far the logs of others reached when this node last ran.
    witnessed: BTreeMap<NodeId, Head>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writer is told.
#[derive(Debug)]
enum Told {
    Happened(Happening),
    /// Write what there is, sign it, and end.
    End,
}

impl Audit {
    /// Opens the log in `folder`, and checks the end of it. At most `limit` bytes of it are kept.
    pub(crate) fn open(
        folder: Folder,
        key: Arc<SigningKey>,
        clock: WallClock,
        limit: u64,
    ) -> Result<Arc<Self>> {
        let (mut keep, opened) = Keep::open(folder, key, limit)?;
        // Before anything else, and before the node signs how far it reaches now.
        if let Err(error) = begin(&mut keep, clock, &opened.problems) {
            tracing::error!("the audit log can't be written: {error:#}");
        }
        let (queue, told) = sync_channel(QUEUE);
        let (shown, head) = watch::channel(keep.head());
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer::new(keep, clock, lost.clone(), shown);
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run(&told))
            .context("can't start the thread that writes the audit log")?;
        let (witnessed, thread) = (opened.witnessed, Mutex::new(Some(thread)));
        Ok(Arc::new(Self { queue, lost, head, witnessed, thread }))
    }

    /// Writes down that this has happened. Never waits.
    pub(crate) fn note(&self, happening: Happening) {
        match self.queue.try_send(Told::Happened(happening)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// How far it reaches, as it grows.
    pub(crate) fn head(&self) -> watch::Receiver<Head> {
        self.head.clone()
    }

    /// How far the logs of others reached when this node last ran.
    pub(crate) fn witnessed(&self) -> &BTreeMap<NodeId, Head> {
        &self.witnessed
    }

    /// Writes the end. What is told after that is lost.
    pub(crate) fn close(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && self.queue.send(Told::End).is_ok()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the audit log failed");
        }
    }
}

/// Writes down what is wrong with the log as it was found.
fn begin(keep: &mut Keep, clock: WallClock, problems: &[String]) -> Result<()> {
    for why in problems {
        tracing::error!(why, "the audit log is not as this node had left it");
    }
    let damaged = problems.iter().map(|why| Happening::Damaged { why: why.clone() });
    let damaged: Vec<Happening> = damaged.collect();
    if !damaged.is_empty() {
        keep.add(clock.now(), &damaged)?;
    }
    keep.sync()
}

impl wattle_mesh::net::Audit for Audit {
    fn note(&self, happening: Happening) {
        Audit::note(self, happening);
    }
}

#[cfg(test)]
mod tests;
