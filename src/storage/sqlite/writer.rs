//! The one writer: a thread that owns the writing connection and commits in groups.
//!
//! A commit costs one wait for the disk, whatever is in it. So the writer takes everything that has
//! queued up while it waited for the disk last time, runs it in one transaction, and answers when
//! that is safe. Nobody waits for a batch to fill: a lone job is committed alone.
//!
//! A job that fails must not take its neighbours with it. Guarding each with a savepoint would cost
//! all of them for the sake of the rare one, so the group runs unguarded at first; only when a job
//! fails is the transaction rolled back and the group run again with a savepoint for each. For that,
//! a job must be able to run twice: it is a `Fn` of what it was given.
//!
//! When a group cannot be written (the disk is full, the file is locked by somebody), everybody in it is
//! told so, at once, and whoever wants to may come again: nothing is queued up for better times. That
//! there is trouble is known from then on, until a trial has shown that it is over. The trial also folds
//! the log in as far as it can: a log that is folded in begins anew in the room that it has.
//!
//! Other processes may write to the same file (the command line): `BEGIN IMMEDIATE` waits for them
//! for as long as the connection's busy timeout.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::room;
use crate::storage::StorageError;

/// Most jobs in one transaction.
///
/// At 64 the wait for the disk has all but vanished in the work; more would only make the first of
/// them wait longer.
const GROUP_MAX: usize = 64;
/// Jobs that may queue before callers wait: the next four groups.
const QUEUE: usize = 4 * GROUP_MAX;
/// What a trial writes, in bytes: more than most events, so that the last free page is not taken for
/// room, and little enough to be written every second.
const TRIAL: u32 = 256 * 1024;

/// Where jobs for the writer are handed in. Its thread ends with the last clone, or by `close`.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    trouble: Arc<Trouble>,
}

enum Order {
    Run(Box<dyn Job>),
    Try(oneshot::Sender<Result<(), StorageError>>),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Unavailable` when the system has no thread for us.
    pub(super) fn start(connection: Connection) -> Result<Self, StorageError> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let trouble = Arc::new(Trouble::default());
        let noted = Arc::clone(&trouble);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || serve(connection, queue, &noted))
            .map_err(|error| StorageError::Unavailable(format!("sqlite writer: {error}")))?;
        Ok(Self { orders, trouble })
    }

    /// Runs `work` in a transaction; when this returns `Ok`, what it wrote survives a power cut.
    ///
    /// `work` may run twice, with the first run undone. When the caller is dropped while it waits,
    /// the work may still be done. The wait ends: ahead are at most [`QUEUE`] jobs, and no statement
    /// waits for a lock longer than the busy timeout.
    ///
    /// # Errors
    /// What `work` returned; `Unavailable` when the commit failed: written or not, we cannot know.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> Result<T, StorageError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Order::Run(Box::new(Task { work, result: None, reply }));
        self.orders.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Hands in `work` that nobody waits for, and that may as well not be done: not while nothing can be written, and
    /// not with half the queue before it, since it is never what others should wait behind.
    pub(super) fn note<F>(&self, work: F)
    where
        F: Fn(&Connection) -> Result<(), StorageError> + Send + 'static,
    {
        if self.trouble.why().is_some() || self.orders.capacity() < QUEUE / 2 {
            return debug!("a note is not written: there is no time for it");
        }
        let (reply, _nobody_waits) = oneshot::channel();
        let job = Order::Run(Box::new(Task { work, result: None, reply }));
        if let Err(error) = self.orders.try_send(job) {
            debug!(%error, "a note is not written");
        }
    }

    /// Why nothing can be written, since a group failed and until a trial succeeds.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.why()
    }

    /// Folds the log in as far as it goes and writes a little, to see whether it can be written again.
    ///
    /// # Errors
    /// `Unavailable`: it cannot.
    pub(super) async fn try_again(&self) -> Result<(), StorageError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Try(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Ends the thread: what is queued is done first, and the write-ahead log folded into the file.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        // Either error means that the thread has ended, which is what we want.
        if self.orders.send(Order::Close(done)).await.is_ok() {
            let _ended = closed.await;
        }
    }
}

fn stopped() -> StorageError {
    StorageError::Unavailable("the sqlite writer has stopped".to_owned())
}

/// What stands in the way of writing.
#[derive(Debug, Default)]
struct Trouble(Mutex<Option<String>>);

impl Trouble {
    fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A write has failed. Said once, until it is over.
    fn begins(&self, why: &str) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_none() {
            warn!(why, "the database cannot be written: refusing what comes until it can");
        }
        *noted = Some(why.to_owned());
    }

    fn is_over(&self) {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if noted.is_some() {
            info!("the database can be written again");
        }
    }
}

/// The thread.
fn serve(mut connection: Connection, mut queue: mpsc::Receiver<Order>, trouble: &Trouble) {
    let mut closing = None;
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut trials = Vec::new();
    while let Some(order) = queue.blocking_recv() {
        let mut next = Some(order);
        while let Some(order) = next {
            match order {
                Order::Run(job) => group.push(job),
                Order::Try(reply) => trials.push(reply),
                Order::Close(done) => {
                    queue.close(); // what was queued before it is still handed out
                    closing = Some(done);
                }
            }
            next = if group.len() < GROUP_MAX { queue.try_recv().ok() } else { None };
        }
        if !group.is_empty() {
            commit(&mut connection, &mut group, trouble);
        }
        for reply in trials.drain(..) {
            let _nobody_waits = reply.send(trial(&mut connection, trouble));
        }
    }
    // Best effort: what is not folded in now is read from the log by whoever opens the file next.
    let _folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    drop(connection);
    if let Some(done) = closing {
        let _nobody_waits = done.send(());
    }
}

/// Whether it can be written again.
///
/// Two transactions: what is written and taken away in one never reaches the disk.
fn trial(connection: &mut Connection, trouble: &Trouble) -> Result<(), StorageError> {
    // Without waiting for readers. How far it comes is seen from what can be written behind it.
    let _folded = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    // What room appears is not the log's alone: with all of it, it could never be folded in.
    let _fitted = room::fit_log(connection);
    let mut write = |sql: &str| -> Result<(), StorageError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute(sql, [])?;
        Ok(transaction.commit()?)
    };
    let written = write(&format!("INSERT OR REPLACE INTO room VALUES (1, zeroblob({TRIAL}))"))
        .and_then(|()| write("DELETE FROM room"));
    match &written {
        Ok(()) => trouble.is_over(),
        Err(error) => trouble.begins(&error.to_string()),
    }
    written
}

/// Runs and commits a group, and answers everyone in it.
fn commit(connection: &mut Connection, group: &mut Vec<Box<dyn Job>>, trouble: &Trouble) {
    // A bug in one job must not leave the process with a journal that answers nobody: the
    // transaction is rolled back as it is dropped, and the group is told that it failed.
    let committed = catch_unwind(AssertUnwindSafe(|| {
        let committed = run_group(connection, group);
        let failed =
            committed.as_ref().err().or_else(|| group.iter().find_map(|job| job.failure()));
        if let Some(StorageError::Unavailable(why)) = failed {
            trouble.begins(why);
        }
        committed
    }))
    .unwrap_or_else(|_| {
        Err(StorageError::Unavailable("a job of the sqlite writer panicked".to_owned()))
    });
    for job in group.drain(..) {
        job.answer(&committed);
    }
}

fn run_group(connection: &mut Connection, group: &mut [Box<dyn Job>]) -> Result<(), StorageError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if group.iter_mut().all(|job| job.run(&transaction)) {
        return Ok(transaction.commit()?);
    }
    drop(transaction); // rolls it back, unless SQLite has done so by itself
    if group.len() == 1 {
        return Ok(()); // it keeps its own answer
    }
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in group {
        let mut guard = transaction.savepoint()?;
        if job.run(&guard) {
            guard.commit()?;
        } else if guard.is_autocommit() {
            // Some failures (disk full, I/O) end the whole transaction: its neighbours' work is gone.
            return Err(StorageError::Unavailable(
                "sqlite gave up the transaction: nothing of this group was written".to_owned(),
            ));
        } else {
            guard.rollback()?;
            guard.finish()?;
        }
    }
    Ok(transaction.commit()?)
}

/// Work with somebody waiting for its result.
trait Job: Send {
    /// Does the work, again if it was done before; whether it succeeded.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Its own failure, when it was last done.
    fn failure(&self) -> Option<&StorageError>;
    /// Tells the one who waits: its own failure if it failed, else whether the group was committed.
    fn answer(self: Box<Self>, committed: &Result<(), StorageError>);
}

struct Task<T, F> {
    work: F,
    result: Option<Result<T, StorageError>>,
    reply: oneshot::Sender<Result<T, StorageError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: Fn(&Connection) -> Result<T, StorageError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        self.result.insert((self.work)(connection)).is_ok()
    }

    fn failure(&self) -> Option<&StorageError> {
        self.result.as_ref()?.as_ref().err()
    }

    fn answer(self: Box<Self>, committed: &Result<(), StorageError>) {
        let answer = match (self.result, committed) {
            (Some(Err(own)), _) => Err(own),
            (Some(Ok(_)) | None, Err(error)) => Err(error.clone()),
            (Some(Ok(result)), Ok(())) => Ok(result),
            (None, Ok(())) => Err(stopped()),
        };
        let _nobody_waits = self.reply.send(answer);
    }
}
