//! The one embedded database of a node (redb), and a writer that commits for many at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use redb::{ReadableDatabase as _, WriteTransaction};
use tokio::sync::oneshot;

use super::reserve::Reserve;

/// How many writes may wait for the disk before a writer has to.
const QUEUE: usize = 4096;
/// How many writes go into one transaction at the most.
const BATCH: usize = 512;

/// A change to the database. It is told whether it is on disk through a channel of its own.
type Job = Box<dyn FnOnce(Result<&WriteTransaction, &str>) -> Completion + Send>;
/// Run once the transaction that holds the change is on disk, or has failed.
type Completion = Box<dyn FnOnce(Result<(), String>) + Send>;

/// A handle on the node's database; cheap to clone.
///
/// A commit waits for the disk (fsync), which takes the same time for one change as for a
/// hundred: so writes are queued, and one thread commits all that wait together.
#[derive(Clone)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    file: Arc<DatabaseFile>,
    reserve: Arc<Reserve>,
    // Dropped before the thread is joined, which ends it.
    jobs: Option<SyncSender<Job>>,
    writer: Option<JoinHandle<()>>,
}

/// The open file. After a failed write redb refuses everything until it is opened anew, which
/// the writer does: a disk that was full for a moment must not stop a node for good.
struct DatabaseFile {
    path: PathBuf,
    open: RwLock<Option<Arc<redb::Database>>>,
}

impl DatabaseFile {
    /// The open database, opened anew if it had to be closed. Readers do so as well: they go on
    /// on a disk that takes no writes.
    fn ensure_open(&self) -> Result<Arc<redb::Database>> {
        if let Some(database) = &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(database));
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = &*open {
            return Ok(Arc::clone(database));
        }
        let database =
            Arc::new(redb::Database::create(&self.path).context("can't open the database again")?);
        tracing::info!(file = %self.path.display(), "the database is open again");
        *open = Some(Arc::clone(&database));
        Ok(database)
    }

    fn close(&self) {
        self.open.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}

impl Database {
    /// Opens the database, made if it is not there; after a crash it is as it was at the last
    /// commit.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::open_on(path, Reserve::of(path))
    }

    /// The same, on a disk that has the room that `reserve` says.
    pub(super) fn open_on(path: &Path, reserve: Reserve) -> Result<Self> {
        let opened = catch_unwind(|| redb::Database::create(path))
            .map_err(|_| anyhow::anyhow!("the database panicked"))
            .and_then(|opened| Ok(opened?));
        let redb = opened.with_context(|| {
            format!(
                "can't open the database {}; if the disk is damaged, move the file away and start \
                 again: records come back from other nodes, key-value data does not",
                path.display()
            )
        })?;
        let file = Arc::new(DatabaseFile {
            path: path.to_path_buf(),
            open: RwLock::new(Some(Arc::new(redb))),
        });
        let (jobs, queue) = sync_channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("wattle-db-writer".into())
            .spawn({
                let file = Arc::clone(&file);
                move || write_batches(&file, &queue)
            })
            .context("can't start the database's writer thread")?;
        let reserve = Arc::new(reserve);
        let inner = Inner { file, reserve, jobs: Some(jobs), writer: Some(writer) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reads at a consistent point.
    pub(crate) fn read(&self) -> Result<redb::ReadTransaction> {
        self.inner.file.ensure_open()?.begin_read().context("can't read the database")
    }

    /// Changes the database, and returns what `change` gave once that is on disk. An error of
    /// `change` itself leaves the other writes of its batch alone, so it must leave no half of
    /// itself behind: check first, then write.
    pub(crate) async fn write<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        let (done, told) = oneshot::channel();
        self.submit(change, move |outcome| drop(done.send(outcome)))?;
        told.await.context("the database's writer has stopped")?
    }

    /// The same for what is stored for components, some `bytes`: refused where the disk has room
    /// only for what the node itself must write.
    pub(crate) async fn write_with_room<T, F>(&self, bytes: u64, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        let reserve = Arc::clone(&self.inner.reserve);
        // On the thread of the writer, which may wait for the disk.
        self.write(move |transaction| {
            reserve.check(bytes)?;
            change(transaction)
        })
        .await
    }

    /// [`Database::write`] for a thread that may wait.
    pub(crate) fn write_blocking<T, F>(&self, change: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
    {
        let (done, told) = sync_channel(1);
        self.submit(change, move |outcome| drop(done.send(outcome)))?;
        told.recv().context("the database's writer has stopped")?
    }

    fn submit<T, F, D>(&self, change: F, done: D) -> Result<()>
    where
        T: Send + 'static,
        F: FnOnce(&WriteTransaction) -> Result<T> + Send + 'static,
        D: FnOnce(Result<T>) + Send + 'static,
    {
        let job: Job = Box::new(move |transaction| {
            let outcome = transaction.map_err(|error| anyhow::anyhow!("{error}")).and_then(change);
            Box::new(move |committed: Result<(), String>| {
                done(match committed {
                    Ok(()) => outcome,
                    Err(error) => outcome.and(Err(anyhow::anyhow!(error))),
                });
            })
        });
        let jobs = self.inner.jobs.as_ref().context("the database is closed")?;
        // A full queue means a disk that can't keep up: say so at once, rather than holding up
        // the thread that asks.
        jobs.try_send(job)
            .map_err(|_| anyhow::anyhow!("overloaded: {QUEUE} writes wait for the disk already"))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the database's writer thread panicked");
        }
    }
}

fn write_batches(file: &DatabaseFile, queue: &Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let batch: Vec<Job> =
            std::iter::once(first).chain(queue.try_iter().take(BATCH - 1)).collect();
        // redb answers to some damage of its file with a panic. The writers of the batch are told
        // that it failed, by their channels; the others are not to lose their writer.
        let written = catch_unwind(AssertUnwindSafe(|| write_batch(file, batch)))
            .unwrap_or_else(|_| Err("the database panicked: its file may be damaged".into()));
        if let Err(error) = written {
            tracing::error!(%error, "can't write to the database");
            file.close();
        }
    }
}

/// Runs a batch in one transaction, and tells each of its writers.
fn write_batch(file: &DatabaseFile, batch: Vec<Job>) -> Result<(), String> {
    let begun = file
        .ensure_open()
        .and_then(|database| database.begin_write().context("no transaction can be begun"))
        .map_err(|error| format!("can't write to the database: {error:#}"));
    let transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) => {
            for job in batch {
                job(Err(&error))(Err(error.clone()));
            }
            return Err(error);
        }
    };
    let completions: Vec<Completion> = batch.into_iter().map(|job| job(Ok(&transaction))).collect();
    let committed =
        transaction.commit().map_err(|error| format!("can't write to the database: {error}"));
    for completion in completions {
        completion(committed.clone());
    }
    committed
}

/// A disk that does not answer, until it is told to or has hung for long enough.
#[cfg(test)]
pub(super) struct Hanging {
    go_on: SyncSender<()>,
    holder: JoinHandle<()>,
}

#[cfg(test)]
impl Hanging {
    pub(super) fn go_on(self) {
        let _ = self.go_on.send(());
        let _ = self.holder.join();
    }
}

#[cfg(test)]
impl Database {
    /// Reading and writing hang, for so long at the most.
    pub(super) fn hang(&self, longest: std::time::Duration) -> Hanging {
        let ((go_on, told), (held, is_held)) = (sync_channel(1), sync_channel(1));
        let file = Arc::clone(&self.inner.file);
        let holder = std::thread::spawn(move || {
            let _open = file.open.write().unwrap_or_else(PoisonError::into_inner);
            let _ = held.send(());
            let _ = told.recv_timeout(longest);
        });
        let _ = is_held.recv();
        Hanging { go_on, holder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: redb::TableDefinition<'_, u32, u32> = redb::TableDefinition::new("test");

    #[tokio::test]
    async fn writes_of_many_are_all_there_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let database = Database::open(&path).unwrap();
        let writes = (0..200u32).map(|key| {
            database.write(move |transaction| {
                transaction.open_table(TABLE)?.insert(key, key)?;
                Ok(())
            })
        });
        for outcome in futures::future::join_all(writes).await {
            outcome.unwrap();
        }
        drop(database);
        let database = Database::open(&path).unwrap();
        let table = database.read().unwrap().open_table(TABLE).unwrap();
        assert_eq!(redb::ReadableTableMetadata::len(&table).unwrap(), 200);
    }

    #[tokio::test]
    async fn an_error_of_one_write_is_told_to_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("db")).unwrap();
        let bad = database.write(|_| -> Result<()> { anyhow::bail!("no") });
        let good = database.write(|transaction| {
            transaction.open_table(TABLE)?.insert(1, 1)?;
            Ok(())
        });
        let (bad, good) = tokio::join!(bad, good);
        assert_eq!(bad.unwrap_err().to_string(), "no");
        good.unwrap();
    }

    #[test]
    fn a_change_that_panics_leaves_nothing_and_the_next_records_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(&folder.path().join("db")).unwrap();
        let bad = database.write_blocking(|transaction| -> Result<()> {
            transaction.open_table(TABLE)?.insert(1, 1)?;
            panic!("as redb does on some damage");
        });
        bad.unwrap_err();
        database
            .write_blocking(|transaction| {
                transaction.open_table(TABLE)?.insert(2, 2)?;
                Ok(())
            })
            .unwrap();
        let table = database.read().unwrap().open_table(TABLE).unwrap();
        assert!(table.get(1).unwrap().is_none() && table.get(2).unwrap().is_some());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        std::fs::write(&path, vec![1; 10_000]).unwrap();
        let error = Database::open(&path).err().unwrap();
        assert!(error.to_string().contains("db"), "{error}");
    }
}
