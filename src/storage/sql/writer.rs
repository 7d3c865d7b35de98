//! The writers: threads that own the writing connections and commit in groups. SQLite has one; a server has some.
//!
//! A commit costs one wait for the disk, whatever is in it. So a writer takes everything that has
//! queued up while it waited for the disk last time, runs it in one transaction, and answers when
//! that is safe. Nobody waits for a batch to fill: a lone job is committed alone.
//!
//! A job that fails must not take its neighbours with it. Guarding each with a savepoint would cost
//! all of them for the sake of the rare one, so the group runs unguarded at first; only when a job
//! fails is the transaction rolled back and the group run again with a savepoint for each. For that,
//! a job must be able to run twice: it is a `Fn` of what it was given.
//!
//! Transactions that write at the same time, of this router or of others, are serial: where they could not be, the
//! engine says so of one of them, which is rolled back and run again, as a whole. To SQLite, which has one writer,
//! that does not happen; other processes that write to the same file (the command line) are waited for, for as long
//! as the connection's busy timeout.
//!
//! When a group cannot be written (the disk is full, the file is locked by somebody, the server is away), everybody in
//! it is told so, at once, and whoever wants to may come again: nothing is queued up for better times. That
//! there is trouble is known from then on, until a trial has shown that it is over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

use super::engine::{Connection, Transaction};
use crate::storage::StorageError;

/// Most jobs in one transaction.
///
/// At 64 the wait for the disk has all but vanished in the work; more would only make the first of
/// them wait longer.
const GROUP_MAX: usize = 64;
/// Jobs that may queue before callers wait: the next four groups.
const QUEUE: usize = 4 * GROUP_MAX;
/// How often a group is run that was in the way of others and had to begin again.
///
/// Of transactions that meet, one at least is committed each time, and each has a group of jobs in it: ten writers that
/// keep meeting are through after ten rounds. Twice that, and something else is wrong.
const RUNS_MAX: u32 = 20;

/// Where jobs for the writers are handed in. Their threads end with the last clone, or by `close`.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    trouble: Arc<Trouble>,
}

/// Who waits for a trial.
type Trial = oneshot::Sender<Result<(), StorageError>>;

enum Order {
    Run(Box<dyn Job>),
    Try(Trial),
    Close(oneshot::Sender<()>),
}

impl Writer {
    /// Starts a thread for each of these connections.
    ///
    /// # Errors
    /// `Unavailable` when the system has no thread for us.
    pub(super) fn start(connections: Vec<Connection>) -> Result<Self, StorageError> {
        let (orders, queue) = mpsc::channel(QUEUE);
        let trouble = Arc::new(Trouble::default());
        let desk = Arc::new(Desk {
            queue: Mutex::new(queue),
            closing: Mutex::new(Vec::new()),
            trouble: Arc::clone(&trouble),
        });
        for connection in connections {
            let desk = Arc::clone(&desk);
            std::thread::Builder::new()
                .name("sql-writer".to_owned())
                .spawn(move || serve(connection, &desk))
                .map_err(|error| StorageError::Unavailable(format!("database writer: {error}")))?;
        }
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

    /// Does what may help and writes a little, to see whether it can be written again.
    ///
    /// # Errors
    /// `Unavailable`: it cannot.
    pub(super) async fn try_again(&self) -> Result<(), StorageError> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Try(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Ends the threads: what is queued is done first, and the store left in good order.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        // Either error means that the threads have ended, which is what we want.
        if self.orders.send(Order::Close(done)).await.is_ok() {
            let _ended = closed.await;
        }
    }
}

fn stopped() -> StorageError {
    StorageError::Unavailable("the database writer has stopped".to_owned())
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

/// What the threads share.
struct Desk {
    /// Whoever has it takes a group from it; the others work, or wait for it.
    queue: Mutex<mpsc::Receiver<Order>>,
    /// Who wants to know when all have ended: told when the desk goes, with the last of them.
    closing: Mutex<Vec<oneshot::Sender<()>>>,
    trouble: Arc<Trouble>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        let closing = self.closing.get_mut().unwrap_or_else(PoisonError::into_inner);
        for done in closing.drain(..) {
            let _nobody_waits = done.send(());
        }
    }
}

impl Desk {
    /// What is queued, a group at the most; waits for the first of it. Nothing more comes when both are empty.
    fn take(&self, group: &mut Vec<Box<dyn Job>>, trials: &mut Vec<Trial>) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = queue.blocking_recv();
        while let Some(order) = next {
            match order {
                Order::Run(job) => group.push(job),
                Order::Try(reply) => trials.push(reply),
                Order::Close(done) => {
                    queue.close(); // what was queued before it is still handed out
                    self.closing.lock().unwrap_or_else(PoisonError::into_inner).push(done);
                    if group.is_empty() && trials.is_empty() {
                        next = queue.blocking_recv(); // a queue that is closed makes nobody wait
                        continue;
                    }
                }
            }
            next = if group.len() < GROUP_MAX { queue.try_recv().ok() } else { None };
        }
    }
}

/// A thread.
fn serve(connection: Connection, desk: &Desk) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    let mut trials = Vec::new();
    loop {
        desk.take(&mut group, &mut trials);
        if group.is_empty() && trials.is_empty() {
            return connection.end();
        }
        if !group.is_empty() {
            commit(&connection, &mut group, &desk.trouble);
        }
        for reply in trials.drain(..) {
            let _nobody_waits = reply.send(trial(&connection, &desk.trouble));
        }
    }
}

/// Whether it can be written again.
fn trial(connection: &Connection, trouble: &Trouble) -> Result<(), StorageError> {
    let written = connection.try_again();
    match &written {
        Ok(()) => trouble.is_over(),
        Err(error) => trouble.begins(&error.to_string()),
    }
    written
}

/// Runs and commits a group, and answers everyone in it.
fn commit(connection: &Connection, group: &mut Vec<Box<dyn Job>>, trouble: &Trouble) {
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
        Err(StorageError::Unavailable("a job of the database writer panicked".to_owned()))
    });
    for job in group.drain(..) {
        job.answer(&committed);
    }
}

/// What running a group came to.
enum Run {
    /// It is committed.
    Done,
    /// One of it has failed, and nothing is done.
    Failed,
    /// It was in the way of others, and nothing is done.
    Met,
}

/// Runs the group, and again for as long as it was in the way of others; with a guard for each job once one has failed.
fn run_group(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<(), StorageError> {
    let mut guarded = false;
    for _ in 0..RUNS_MAX {
        let run = if guarded { run_guarded(connection, group) } else { run(connection, group) };
        match run? {
            Run::Done => return Ok(()),
            Run::Failed if group.len() == 1 => return Ok(()), // it keeps its own answer
            Run::Failed => guarded = true,
            Run::Met => {}
        }
    }
    Err(StorageError::Unavailable(format!(
        "others wrote the same at the same time: given up after {RUNS_MAX} runs"
    )))
}

/// Runs all of them as one. What is not committed is rolled back as it is dropped, unless the engine has done so by
/// itself.
fn run(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<Run, StorageError> {
    let transaction = connection.write()?;
    if group.iter_mut().all(|job| job.run(&transaction)) {
        return committed(connection, transaction);
    }
    Ok(if connection.must_run_again() { Run::Met } else { Run::Failed })
}

/// Runs each for itself; what fails is undone, and the others' work is kept.
fn run_guarded(connection: &Connection, group: &mut [Box<dyn Job>]) -> Result<Run, StorageError> {
    let transaction = connection.write()?;
    for job in group {
        transaction.guard()?;
        if job.run(&transaction) {
            transaction.keep()?;
        } else if connection.must_run_again() {
            return Ok(Run::Met); // one that has met another may not go on, whatever could be undone
        } else if transaction.is_open() {
            transaction.undo()?;
        } else {
            // Some failures (disk full, I/O) end the whole transaction: its neighbours' work is gone.
            return Err(StorageError::Unavailable(
                "the database gave up the transaction: nothing of this group was written"
                    .to_owned(),
            ));
        }
    }
    committed(connection, transaction)
}

fn committed(connection: &Connection, transaction: Transaction<'_>) -> Result<Run, StorageError> {
    match transaction.commit() {
        Ok(()) => Ok(Run::Done),
        Err(_) if connection.must_run_again() => Ok(Run::Met),
        Err(error) => Err(error.into()),
    }
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
