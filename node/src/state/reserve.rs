//! Room on the disk that what components store leaves to what the node must write: records, the
//! audit log, papers. A component that stores without end would else end all of that, too.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How many bytes of the disk are left free: records and an audit log for a long time, and the
/// pages that deleting takes.
const KEPT: u64 = 256 << 20;
/// Of a small disk it is one part in so many.
const PART: u64 = 20;
/// How often the disk is asked how much is free; in between, what is written is counted.
const LOOK: Duration = Duration::from_secs(1);
/// It is asked earlier where this part of what is kept has been written since.
const SPENT: u64 = 4;

/// What a disk says of itself, in bytes.
#[derive(Debug, Clone, Copy)]
struct Room {
    free: u64,
    total: u64,
}

impl Room {
    fn of(path: &Path) -> std::io::Result<Self> {
        let disk = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        // What is set aside for the system's administrator is not for components.
        Ok(Self { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) })
    }

    fn kept(self) -> u64 {
        KEPT.min(self.total / PART)
    }
}

type Probe = Box<dyn Fn() -> std::io::Result<Room> + Send + Sync>;

/// The room on the disk of one file.
pub(super) struct Reserve {
    probe: Probe,
    look: Duration,
    seen: Mutex<Option<Seen>>,
}

/// How it was when it was asked last.
struct Seen {
    at: Instant,
    room: Room,
    written: u64,
}

impl Reserve {
    /// Of the disk that `path` is on.
    pub(super) fn of(path: &Path) -> Self {
        let path = path.to_path_buf();
        Self { probe: Box::new(move || Room::of(&path)), look: LOOK, seen: Mutex::default() }
    }

    /// Whether `bytes` more may be stored.
    pub(super) fn check(&self, bytes: u64) -> Result<()> {
        self.check_at(Instant::now(), bytes)
    }

    fn check_at(&self, now: Instant, bytes: u64) -> Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = seen.as_ref().is_some_and(|seen| {
            let soon = seen.written.saturating_add(bytes) > seen.room.kept() / SPENT;
            now.saturating_duration_since(seen.at) < self.look && !soon
        });
        if !holds {
            match (self.probe)() {
                Ok(room) => *seen = Some(Seen { at: now, room, written: 0 }),
                // The write itself says what is wrong with the disk.
                Err(error) => {
                    tracing::debug!(%error, "can't learn how much room the disk has");
                    return Ok(());
                }
            }
        }
        let Some(seen) = seen.as_mut() else { return Ok(()) };
        let free = seen.room.free.saturating_sub(seen.written);
        let kept = seen.room.kept();
        if free < kept.saturating_add(bytes) {
            let (free, kept) = (free >> 20, kept >> 20);
            bail!(
                "the node's disk is nearly full: {free} MiB are free, and {kept} MiB of them are \
                 kept for records and the audit log; what is stored can be read and deleted, and \
                 more of it be stored once there is room on the disk again"
            );
        }
        seen.written = seen.written.saturating_add(bytes);
        Ok(())
    }
}

/// A disk that has as much free as a test says.
#[cfg(test)]
#[derive(Clone)]
pub(super) struct TestDisk(std::sync::Arc<std::sync::atomic::AtomicU64>);

#[cfg(test)]
impl TestDisk {
    const TOTAL: u64 = 1 << 41;

    /// One with a TiB free, which is asked each time.
    pub(super) fn new() -> (Self, Reserve) {
        let disk = Self(std::sync::Arc::new((1 << 40).into()));
        let own = disk.clone();
        let free = move || own.0.load(std::sync::atomic::Ordering::SeqCst);
        let probe = Box::new(move || Ok(Room { free: free(), total: Self::TOTAL }));
        (disk, Reserve { probe, look: Duration::ZERO, seen: Mutex::default() })
    }

    pub(super) fn set_free(&self, bytes: u64) {
        self.0.store(bytes, std::sync::atomic::Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn what_is_kept_is_left_free() {
        let (disk, reserve) = TestDisk::new();
        reserve.check(GIB).unwrap();
        disk.set_free(KEPT + 100);
        reserve.check(100).unwrap();
        let why = reserve.check(101).unwrap_err().to_string();
        assert!(why.contains("256 MiB are free") && why.contains("nearly full"), "{why}");
        disk.set_free(KEPT - 1);
        reserve.check(0).unwrap_err();
        disk.set_free(GIB);
        reserve.check(0).unwrap();
    }

    #[test]
    fn of_a_small_disk_a_part_is_kept() {
        assert_eq!(Room { free: 0, total: 100 * GIB }.kept(), KEPT);
        assert_eq!(Room { free: 0, total: 20 << 20 }.kept(), 1 << 20);
    }

    #[test]
    fn the_disk_is_asked_once_a_second_or_after_much_was_written() {
        let asked = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&asked);
        let probe = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(Room { free: 2 * KEPT, total: 100 * GIB })
        });
        let reserve = Reserve { probe, look: LOOK, seen: Mutex::default() };
        let begun = Instant::now();
        for _ in 0..100 {
            reserve.check_at(begun, 1000).unwrap();
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        reserve.check_at(begun + LOOK, 1000).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        reserve.check_at(begun + LOOK, KEPT / SPENT).unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        // More than there is, however lately it was asked.
        reserve.check_at(begun + LOOK, 2 * KEPT).unwrap_err();
    }

    #[test]
    fn a_real_disk_says_how_much_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::of(folder.path()).unwrap();
        assert!(room.total > 0 && room.free <= room.total, "{room:?}");
        assert!(Room::of(&folder.path().join("nothing")).is_err());
        // Where nobody knows, the write itself tells.
        Reserve::of(&folder.path().join("nothing")).check(1).unwrap();
    }
}
