//! Publishes messages so that "done" means durable.
//!
//! One task per channel writes a batch, awaits every confirm of it, and only then tells the callers.
//! Anything short of that (a refusal, an error, a timeout, a returned message) fails the *whole*
//! batch: lapin may hand a returned message to another message's confirm when publishes are
//! pipelined, so no single one can be told apart. Callers repeat theirs; everything we publish may
//! come twice.
//!
//! Small calls that come together leave together: what is queued while a batch waits for the
//! broker's disk is the next batch.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use super::connection::{Addresses, Complaint, Pause, Pulse, unavailable, within};
use super::health::Health;
use super::link::{Link, Live, keep};
use super::message::Outgoing;
use super::topology::Topology;
use crate::storage::StorageError;

/// Channels, each with its task. Four: while some wait for the broker's disk, others write.
const CHANNELS: usize = 4;

/// Most messages in a batch. lapin walks all that is outstanding on each confirm; 512 keeps that
/// cheap, and a broker writes them with one sync.
const BATCH_MAX: usize = 512;

/// Most bytes in a batch, so that large payloads do not fill memory twice over in lapin's buffers.
/// A single larger message is a batch of its own.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Calls that may queue for one channel: enough to fill the next batch with calls of one message.
const QUEUE_MAX: usize = BATCH_MAX;

/// Longest wait for a batch's confirms: ten seconds, many times what a slow disk takes.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for a channel with the topology declared. Quorum queues of a cluster that is just
/// forming take some seconds; longer, and callers should hear of it.
const OPEN_DEADLINE: Duration = Duration::from_secs(15);

/// Longest that a call takes, queueing included: two batches and an opening, and then some.
const CALL_DEADLINE: Duration = Duration::from_secs(45);

/// Longest wait for the last batch when we stop: its confirms' deadline and a bit.
const CLOSE_DEADLINE: Duration = Duration::from_secs(12);

/// Publishes, through a pool of channels. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Publisher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    queues: Vec<mpsc::Sender<Job>>,
    turn: AtomicUsize,
    stop: CancellationToken,
    stop_link: CancellationToken,
    workers: TaskTracker,
    link: TaskTracker,
}

/// One call, or a part of one.
#[derive(Debug)]
struct Job {
    messages: Vec<Outgoing>,
    done: oneshot::Sender<Result<(), StorageError>>,
}

impl Publisher {
    /// Starts the connection and its channels. Does not wait for them.
    pub(super) fn start(
        addresses: Addresses,
        name: &str,
        topology: &Topology,
        health: &Arc<Health>,
    ) -> Self {
        let (tell, link) = watch::channel(Link::Starting);
        let (doubt, doubts) = mpsc::channel(CHANNELS);
        let (stop, stop_link) = (CancellationToken::new(), CancellationToken::new());
        let (workers, links) = (TaskTracker::new(), TaskTracker::new());
        let name = format!("{name} publish");
        links.spawn(keep(addresses, name, health.clone(), tell, doubts, stop_link.clone()));
        let queues = (0..CHANNELS)
            .map(|_| {
                let (queue, jobs) = mpsc::channel(QUEUE_MAX);
                let worker = Worker {
                    jobs,
                    held: None,
                    link: link.clone(),
                    doubt: doubt.clone(),
                    topology: topology.clone(),
                    health: health.clone(),
                    stop: stop.clone(),
                    trouble: Arc::default(),
                };
                workers.spawn(worker.run());
                queue
            })
            .collect();
        links.close();
        workers.close();
        let turn = AtomicUsize::new(0);
        Self { inner: Arc::new(Inner { queues, turn, stop, stop_link, workers, link: links }) }
    }

    /// Publishes messages. When this returns `Ok`, each is confirmed by the broker.
    ///
    /// # Errors
    /// `Unavailable`: none is known to be published. At once while there is no connection.
    pub(super) async fn publish(&self, messages: Vec<Outgoing>) -> Result<(), StorageError> {
        if messages.is_empty() {
            return Ok(());
        }
        let mut answers = Vec::new();
        let mut rest = messages;
        while !rest.is_empty() {
            let behind = rest.split_off(first_batch(&rest));
            let (done, answer) = oneshot::channel();
            let job = Job { messages: std::mem::replace(&mut rest, behind), done };
            let turn = self.inner.turn.fetch_add(1, Ordering::Relaxed) % self.inner.queues.len();
            let queue = self.inner.queues[turn].clone();
            answers.push(async move {
                queue.send(job).await.map_err(|_| closed())?;
                answer.await.unwrap_or_else(|_| Err(closed()))
            });
        }
        match tokio::time::timeout(CALL_DEADLINE, try_join_all(answers)).await {
            Ok(all) => all.map(|_| ()),
            Err(_) => Err(StorageError::Unavailable(format!(
                "publishing took longer than {CALL_DEADLINE:?}"
            ))),
        }
    }

    /// Lets the batches that are on the way end, then hangs up. Bounded.
    pub(super) async fn close(&self) {
        self.inner.stop.cancel();
        // What has not ended by then is unknown to its callers, as after a crash.
        let _ = tokio::time::timeout(CLOSE_DEADLINE, self.inner.workers.wait()).await;
        self.inner.stop_link.cancel();
        let _ = tokio::time::timeout(CLOSE_DEADLINE, self.inner.link.wait()).await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_link.cancel();
    }
}

fn closed() -> StorageError {
    StorageError::Unavailable("publishing has stopped".into())
}

/// The owner of one channel.
struct Worker {
    jobs: mpsc::Receiver<Job>,
    /// Taken from the queue, but too large for the batch before it.
    held: Option<Job>,
    link: watch::Receiver<Link>,
    doubt: mpsc::Sender<u64>,
    topology: Topology,
    health: Arc<Health>,
    stop: CancellationToken,
    /// Why the channel could not be opened, since it last could.
    trouble: Arc<Mutex<Option<String>>>,
}

impl Worker {
    async fn run(mut self) {
        while let Some(mut line) = self.open().await {
            if !self.serve(&mut line).await {
                return;
            }
        }
    }

    /// A channel, however long it takes; `None` when it is time to stop.
    ///
    /// Meanwhile calls are answered at once when there is no hope, and wait when there is: for the
    /// first connection, or for a channel that is just being opened.
    async fn open(&mut self) -> Option<Line> {
        let trouble = self.trouble.clone();
        let opening = open(self.link.clone(), self.topology.clone(), trouble);
        tokio::pin!(opening);
        loop {
            let hopeless = self.hopeless();
            // A channel that is ready goes before the calls that would be refused without it.
            tokio::select! { biased;
                () = self.stop.cancelled() => return None,
                line = &mut opening => return Some(line),
                job = next(&mut self.held, &mut self.jobs), if hopeless.is_some() => {
                    let why = hopeless.unwrap_or_default();
                    job?.answer(&Err(StorageError::Unavailable(why)));
                }
                changed = self.link.changed() => changed.ok()?,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// Why nothing can be published now, if that is so.
    fn hopeless(&self) -> Option<String> {
        match &*self.link.borrow() {
            Link::Starting => None,
            Link::Down(why) => Some(why.clone()),
            Link::Up(live) => match &*live.pulse.borrow() {
                Pulse::Up => self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                Pulse::Blocked(why) => Some(format!("the broker takes no publishes: {why}")),
                Pulse::Lost(why) => Some(why.clone()),
            },
        }
    }

    /// Publishes batches until the channel is lost (true) or it is time to stop (false).
    async fn serve(&mut self, line: &mut Line) -> bool {
        loop {
            // A lost connection goes before a call, which would only be lost on it.
            let first = tokio::select! { biased;
                () = self.stop.cancelled() => return false,
                () = down(&mut line.pulse) => return true,
                job = next(&mut self.held, &mut self.jobs) => match job {
                    Some(job) => job,
                    None => return false,
                },
            };
            let batch = self.gather(first);
            let messages = batch.iter().map(|job| job.messages.len()).sum();
            let outcome = line.publish(&batch, &self.topology, &self.health).await;
            match &outcome {
                Ok(()) => Health::count(&self.health.confirmed, messages),
                Err(Failure { doubtful, error }) => {
                    Health::count(&self.health.batches_failed, 1);
                    error!(messages, "a batch was not confirmed: {error}");
                    if *doubtful {
                        // A full queue of doubts says the same.
                        let _ = self.doubt.try_send(line.epoch);
                    }
                }
            }
            let lost = outcome.is_err();
            let answer = outcome.map_err(|failure| failure.error);
            for job in batch {
                job.answer(&answer);
            }
            if lost {
                return true;
            }
        }
    }

    /// A batch: this call and what else has come by now, up to a batch's bounds.
    fn gather(&mut self, first: Job) -> Vec<Job> {
        let (mut count, mut bytes) = (first.messages.len(), first.bytes());
        let mut batch = vec![first];
        while let Ok(job) = self.jobs.try_recv() {
            count += job.messages.len();
            bytes += job.bytes();
            if count > BATCH_MAX || bytes > BATCH_BYTES_MAX {
                self.held = Some(job);
                break;
            }
            batch.push(job);
        }
        batch
    }
}

/// How often an opening that drags on is looked at: trouble shows itself without an event.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The next call: the one held back, or else from the queue. Cancel safe.
async fn next(held: &mut Option<Job>, jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
    match held.take() {
        Some(job) => Some(job),
        None => jobs.recv().await,
    }
}

/// How many messages from the front make a batch: within both bounds, and one at the least.
fn first_batch(messages: &[Outgoing]) -> usize {
    let mut bytes = 0;
    let fitting = messages.iter().take(BATCH_MAX).take_while(|message| {
        bytes += message.body.len();
        bytes <= BATCH_BYTES_MAX
    });
    fitting.count().max(1)
}

impl Job {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.body.len()).sum()
    }

    fn answer(self, outcome: &Result<(), StorageError>) {
        // The caller may have gone: then nobody has to know.
        let _ = self.done.send(outcome.clone());
    }
}

/// Waits until the connection can publish, opens a channel and declares the topology on it; tries
/// for ever.
///
/// Declared anew each time: after a broken topology was the reason to give the last channel up.
async fn open(
    mut link: watch::Receiver<Link>,
    topology: Topology,
    trouble: Arc<Mutex<Option<String>>>,
) -> Line {
    let (mut pause, mut complaint) = (Pause::default(), Complaint::default());
    loop {
        let Some(live) = usable(&mut link).await else {
            std::future::pending::<()>().await; // nobody keeps the connection: we are being stopped
            continue;
        };
        let opened = match tokio::time::timeout(OPEN_DEADLINE, Line::open(live, &topology)).await {
            Ok(opened) => opened,
            Err(_) => Err(StorageError::Unavailable(format!(
                "no channel with the topology declared within {OPEN_DEADLINE:?}"
            ))),
        };
        let noted = opened.as_ref().err().map(ToString::to_string);
        *trouble.lock().unwrap_or_else(PoisonError::into_inner) = noted;
        match opened {
            Ok(ready) => return ready,
            Err(error) => complaint.about("publish", &error),
        }
        pause.wait().await;
    }
}

/// The connection, once there is one that takes publishes; `None` when nobody keeps one any more.
async fn usable(link: &mut watch::Receiver<Link>) -> Option<Live> {
    loop {
        let live = match &*link.borrow_and_update() {
            Link::Up(live) => Some(live.clone()),
            Link::Starting | Link::Down(_) => None,
        };
        let Some(mut live) = live else {
            link.changed().await.ok()?;
            continue;
        };
        if *live.pulse.borrow_and_update() == Pulse::Up {
            return Some(live);
        }
        // It may be unblocked, or be replaced: whichever comes first is as good.
        tokio::select! { biased;
            changed = link.changed() => changed.ok()?,
            changed = live.pulse.changed() => if changed.is_err() {
                link.changed().await.ok()?;
            },
        }
    }
}

/// Returns when the connection can no longer publish.
async fn down(pulse: &mut watch::Receiver<Pulse>) {
    while *pulse.borrow_and_update() == Pulse::Up {
        if pulse.changed().await.is_err() {
            return;
        }
    }
}

/// A channel with the topology declared and confirms switched on.
struct Line {
    channel: Channel,
    epoch: u64,
    pulse: watch::Receiver<Pulse>,
    /// Declared on this channel: a rung costs a declaration once.
    rungs: HashSet<u64>,
}

/// Why a batch failed.
struct Failure {
    error: StorageError,
    /// Whether the connection itself is in doubt.
    doubtful: bool,
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self { error, doubtful: false }
    }
}

impl Line {
    async fn open(live: Live, topology: &Topology) -> Result<Self, StorageError> {
        let opening = live.connection.create_channel();
        let channel = within(OPEN_DEADLINE, "opening a channel", opening).await?;
        topology.declare(&channel).await?;
        let confirming = channel.confirm_select(ConfirmSelectOptions::default());
        within(OPEN_DEADLINE, "asking for confirms", confirming).await?;
        Ok(Self { channel, epoch: live.epoch, pulse: live.pulse, rungs: HashSet::new() })
    }

    /// Publishes a batch and awaits its confirms. After an error the channel is not to be used again.
    async fn publish(
        &mut self,
        batch: &[Job],
        topology: &Topology,
        health: &Health,
    ) -> Result<(), Failure> {
        let messages = || batch.iter().flat_map(|job| &job.messages);
        for rung_ms in messages().filter_map(|message| message.rung_ms) {
            if !self.rungs.contains(&rung_ms) {
                topology.declare_rung(&self.channel, rung_ms).await?;
                self.rungs.insert(rung_ms);
            }
        }
        let sent = tokio::time::timeout(
            CONFIRM_DEADLINE,
            write_and_confirm(&self.channel, messages(), health),
        );
        // The confirms first: when they are here, what happened to the connection is of no matter.
        tokio::select! { biased;
            sent = sent => match sent {
                Ok(outcome) => outcome.map_err(Failure::from),
                Err(_) => Err(Failure {
                    error: StorageError::Unavailable(format!(
                        "the broker did not confirm within {CONFIRM_DEADLINE:?}"
                    )),
                    doubtful: true,
                }),
            },
            () = down(&mut self.pulse) => {
                let why = match &*self.pulse.borrow() {
                    Pulse::Up => "the connection was closed".to_owned(),
                    Pulse::Blocked(why) => format!("the broker takes no publishes: {why}"),
                    Pulse::Lost(why) => why.clone(),
                };
                Err(StorageError::Unavailable(why).into())
            }
        }
    }
}

async fn write_and_confirm(
    channel: &Channel,
    messages: impl Iterator<Item = &Outgoing>,
    health: &Health,
) -> Result<(), StorageError> {
    // Written together: each write waits for lapin's own thread, which takes many at once.
    let writes = messages.map(|message| async move {
        let options = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
        let written = channel.basic_publish(
            name(&message.exchange)?,
            name(&message.routing_key)?,
            options,
            &message.body,
            message.properties.clone(),
        );
        written.await.map_err(|error| unavailable("publishing", &error))
    });
    let confirms = try_join_all(writes).await?;
    let (mut nacked, mut returned, mut unasked) = (0, None, false);
    let mut returns = 0;
    for confirm in confirms {
        let confirmation = confirm.await.map_err(|error| unavailable("confirming", &error))?;
        match confirmation {
            Confirmation::Ack(None) => {}
            Confirmation::Ack(Some(message)) => {
                returns += 1;
                returned = Some(message);
            }
            Confirmation::Nack(_) => nacked += 1,
            Confirmation::NotRequested => unasked = true,
        }
    }
    Health::count(&health.nacked, nacked);
    Health::count(&health.returned, returns);
    if unasked {
        return Err(StorageError::Corrupt("confirms were not switched on".into()));
    }
    if let Some(message) = returned {
        return Err(StorageError::Unavailable(format!(
            "{returns} messages found no queue: nothing is bound to exchange `{}` for key `{}` or \
             another of the same batch",
            message.delivery.exchange, message.delivery.routing_key
        )));
    }
    if nacked > 0 {
        return Err(StorageError::Unavailable(format!("the broker refused {nacked} messages")));
    }
    Ok(())
}

fn name(text: &str) -> Result<ShortString, StorageError> {
    ShortString::try_new(text).map_err(|_| {
        StorageError::Conflict(format!("`{text}` is too long for AMQP: at most 255 bytes"))
    })
}
