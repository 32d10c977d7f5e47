//! The thread that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use wattle_contracts::audit::{Happening, Head};
use wattle_mesh::net::WallClock;

use super::Told;
use super::keep::Keep;
use super::throttle::Throttle;

/// So many entries share one write.
const BATCH: usize = 256;

/// What was written is made to outlive a failure of the machine this often, at most.
const SYNC: Duration = Duration::from_secs(1);

/// What was written since is signed this often, or after so many entries.
const CHECKPOINT: Duration = Duration::from_secs(600);
const CHECKPOINT_ENTRIES: u64 = 1000;

/// A failure of the disk is told in the node's log this often.
const COMPLAIN: Duration = Duration::from_secs(60);

/// Writes what it is told until it is told to end.
pub(super) struct Writer {
    keep: Keep,
    clock: WallClock,
    started: Instant,
    throttle: Throttle,
    /// What found no place in the queue.
    lost: Arc<AtomicU64>,
    /// What could not be written.
    unwritten: u64,
    shown: watch::Sender<Head>,
    /// Since when something is not synced.
    unsynced: Option<Instant>,
    /// When the last checkpoint was, and after which entry.
    signed: (Instant, u64),
    complained: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        keep: Keep,
        clock: WallClock,
        lost: Arc<AtomicU64>,
        shown: watch::Sender<Head>,
    ) -> Self {
        let started = Instant::now();
        let signed = (started, keep.head().number);
        Self {
            keep,
            clock,
            started,
            throttle: Throttle::default(),
            lost,
            unwritten: 0,
            shown,
            unsynced: None,
            signed,
            complained: None,
        }
    }

    pub(super) fn run(mut self, told: &Receiver<Told>) {
        loop {
            let (batch, ends) = self.take(told);
            self.write(batch);
            self.settle(ends);
            if ends {
                return;
            }
        }
    }

    /// What there is to write, and whether that was all.
    fn take(&mut self, told: &Receiver<Told>) -> (Vec<Happening>, bool) {
        let mut batch = Vec::new();
        let mut ends = false;
        let mut next = told.recv_timeout(SYNC);
        loop {
            match next {
                Ok(Told::Happened(happening)) => {
                    if self.throttle.admits(self.started.elapsed(), &happening) {
                        batch.push(happening);
                    }
                }
                Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => ends = true,
                Err(RecvTimeoutError::Timeout) => {}
            }
            if ends || batch.len() >= BATCH {
                break;
            }
            match told.try_recv() {
                Ok(more) => next = Ok(more),
                Err(_) => break,
            }
        }
        batch.extend(self.throttle.counted(self.started.elapsed(), ends));
        (batch, ends)
    }

    fn write(&mut self, mut batch: Vec<Happening>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        self.unwritten = self.unwritten.saturating_add(lost);
        if self.unwritten > 0 {
            batch.insert(0, Happening::Lost { entries: self.unwritten });
        }
        if batch.is_empty() {
            return;
        }
        match self.keep.add(self.clock.now(), &batch) {
            Ok(()) => {
                self.unwritten = 0;
                self.unsynced.get_or_insert_with(Instant::now);
                // What was only witnessed is no news, or an idle mesh would witness its witnessing for
                // ever.
                let is_witnessed = |one: &Happening| matches!(one, Happening::Witnessed { .. });
                if !batch.iter().all(is_witnessed) {
                    self.shown.send_replace(self.keep.head());
                }
            }
            Err(error) => {
                let told = usize::from(self.unwritten > 0);
                self.unwritten = self.unwritten.saturating_add((batch.len() - told) as u64);
                self.complain(&error);
            }
        }
    }

    /// Signs and syncs what is due; all of it, if the log ends.
    fn settle(&mut self, ends: bool) {
        let (at, number) = self.signed;
        let new = self.keep.head().number.saturating_sub(number);
        if new > 0 && (ends || new >= CHECKPOINT_ENTRIES || at.elapsed() >= CHECKPOINT) {
            match self.keep.checkpoint(self.clock.now()) {
                Ok(()) => {
                    self.signed = (Instant::now(), self.keep.head().number);
                    self.unsynced.get_or_insert_with(Instant::now);
                }
                Err(error) => self.complain(&error),
            }
        }
        if self.unsynced.is_some_and(|since| ends || since.elapsed() >= SYNC) {
            match self.keep.sync() {
                Ok(()) => self.unsynced = None,
                Err(error) => self.complain(&error),
            }
        }
    }

    fn complain(&mut self, error: &anyhow::Error) {
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            tracing::error!(
                "the audit log can't be written, and what happens is only counted: {error:#}"
            );
        }
    }
}
