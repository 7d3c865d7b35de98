//! The quarantine's port on RabbitMQ: looks at the queues of what nobody takes, and takes out of them.
//!
//! A queue can only be looked at from its head, by taking messages out and giving them back. Each visit does that on a connection
//! of its own, so that whatever becomes of it (we die, it is late, its caller has gone) the broker has everything back as soon as
//! that connection is over; and in a task of its own, so that a caller who goes does not end it half way. Each look counts as a delivery of what it saw: these queues allow a million
//! ([`topology`](super::topology)), which is somebody looking every second for eleven days.
//!
//! While a visit lasts, what it has in its hands is nobody else's to see: one visit at a time in this process, and a look by
//! another router, or by the broker's own tools, may meet fewer messages than there are. It is short: a look ends after
//! [`LOOK_MAX`] messages, [`LOOK_BYTES`], or [`LOOK_FOR`].
//!
//! A broker puts what comes back behind what came back before, so a visit takes out all that a look goes over, also when it has
//! found what it came for, and gives back one by one: some thirty messages then lie as they lay. Of more at once, and of those of a
//! lost connection, the broker makes an order of its own; they stay at the head, in front of what nobody has looked at. So a look
//! is in the order of the times that producers gave their messages, and of the queue where they gave none.
//!
//! **What if we die right here?** Taken and not given back: the broker gives it back itself. Published anew and not yet taken off:
//! it lies here still, and the event is on its way; resubmitted again it has the same id and is one event.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::{Channel, Connection};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connection::{Addresses, dial, hang_up, within};
use super::message::{Raw, shelved};
use super::publisher::Publisher;
use super::topology::Topology;
use crate::domain::id::HeldId;
use crate::failpoint;
use crate::storage::StorageError;
use crate::storage::quarantine::{
    Fix, HeldMessage, LOOK_MAX, Look, Quarantine, Resubmitted, Shelf,
};

/// Longest wait for each step: ten seconds, as for a declaration.
const STEP_DEADLINE: Duration = Duration::from_secs(10);

/// How long a visit goes on taking messages out: a page's patience. 200 small ones take some tenths of a second.
const LOOK_FOR: Duration = Duration::from_secs(5);

/// Bytes that one visit takes out: what is in quarantine for its size alone is large. They are in memory one by one.
const LOOK_BYTES: usize = 64 * 1024 * 1024;

/// Longest wait for the visit before ours: its look and its steps.
const TURN_DEADLINE: Duration = Duration::from_secs(15);

/// The queues of what nobody takes. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shelves {
    pub addresses: Addresses,
    /// What the broker's operators see beside the connection.
    pub name: String,
    pub topology: Arc<Topology>,
    pub publisher: Publisher,
    pub max_payload_bytes: usize,
    /// One visit at a time.
    pub turn: Arc<Semaphore>,
}

#[async_trait]
impl Quarantine for Shelves {
    fn shelves(&self) -> &'static [Shelf] {
        &[Shelf::Quarantine, Shelf::Unroutable, Shelf::Poison]
    }

    async fn look(&self, on: Shelf) -> Result<Look, StorageError> {
        let own = self.clone();
        to_its_end(async move {
            let mut visit = own.begin(on).await?;
            let looked = visit.look(on).await;
            visit.end(looked).await
        })
        .await
    }

    async fn held(&self, on: Shelf, id: HeldId) -> Result<Option<HeldMessage>, StorageError> {
        let own = self.clone();
        to_its_end(async move {
            let mut visit = own.begin(on).await?;
            let found = visit.find(id).await;
            let whole = found.map(|found| found.map(|(_, raw)| shelved::whole(&raw, on)));
            visit.end(whole).await
        })
        .await
    }

    async fn resubmit(
        &self,
        on: Shelf,
        id: HeldId,
        fix: &Fix,
    ) -> Result<Option<Resubmitted>, StorageError> {
        let (own, fix) = (self.clone(), fix.clone());
        to_its_end(async move {
            let mut visit = own.begin(on).await?;
            let done = own.publish_anew(&mut visit, id, &fix).await;
            visit.end(done).await
        })
        .await
    }

    async fn discard(&self, on: Shelf, ids: &[HeldId]) -> Result<usize, StorageError> {
        let (own, ids) = (self.clone(), ids.to_vec());
        to_its_end(async move {
            let mut visit = own.begin(on).await?;
            let gone = visit.discard(ids).await;
            visit.end(gone).await
        })
        .await
    }
}

impl Shelves {
    /// Begins a visit, when it is its turn.
    async fn begin(&self, on: Shelf) -> Result<Visit, StorageError> {
        let queue = match on {
            Shelf::Quarantine => self.topology.quarantine(),
            Shelf::Unroutable => self.topology.unroutable(),
            Shelf::Poison => self.topology.poison(),
            Shelf::Record => {
                return Err(StorageError::Conflict("the broker has no shelf `record`".into()));
            }
        };
        let turn =
            tokio::time::timeout(TURN_DEADLINE, Arc::clone(&self.turn).acquire_owned()).await;
        let turn = turn.map_err(|_| {
            let why = "somebody else is looking at what the broker keeps: ask again in a moment";
            StorageError::Unavailable(why.into())
        })?;
        let connection = dial(&self.addresses, &self.name).await?;
        let opening = connection.create_channel();
        let channel = within(STEP_DEADLINE, "opening a channel", opening).await?;
        let _turn = turn.expect("it is never closed");
        let until = Instant::now() + LOOK_FOR;
        Ok(Visit {
            connection,
            channel,
            queue,
            until,
            in_hand: Vec::new(),
            seen: 0,
            bytes: 0,
            behind: 0,
            _turn,
        })
    }

    /// Publishes one anew, and takes it off behind the confirm.
    async fn publish_anew(
        &self,
        visit: &mut Visit,
        id: HeldId,
        fix: &Fix,
    ) -> Result<Option<Resubmitted>, StorageError> {
        let Some((tag, message)) = visit.find(id).await? else { return Ok(None) };
        let (outgoing, message_id) =
            shelved::corrected(&message, fix, self.max_payload_bytes, &self.topology)?;
        let routing_key = outgoing.routing_key.clone();
        self.publisher.publish(vec![outgoing]).await?;
        failpoint!("quarantine.published");
        visit.take_off(tag).await?;
        Ok(Some(Resubmitted { message_id, routing_key }))
    }
}

/// Some time at a queue: what was taken out of it, and goes back when the visit ends.
struct Visit {
    connection: Connection,
    channel: Channel,
    queue: String,
    until: Instant,
    /// What was taken out and not taken off, by tag, in its order.
    in_hand: Vec<u64>,
    seen: usize,
    bytes: usize,
    /// Messages that are known to lie behind the last one.
    behind: u32,
    _turn: OwnedSemaphorePermit,
}

impl Visit {
    /// The next message of the queue, if there is one and the visit may go on.
    async fn take(&mut self) -> Result<Option<(u64, Raw)>, StorageError> {
        if self.seen >= LOOK_MAX || self.bytes >= LOOK_BYTES || Instant::now() >= self.until {
            return Ok(None);
        }
        let taking =
            self.channel.basic_get(self.queue.as_str().into(), BasicGetOptions { no_ack: false });
        let what = format!("looking at {}", self.queue);
        let Some(got) = within(STEP_DEADLINE, &what, taking).await? else {
            self.behind = 0;
            return Ok(None);
        };
        self.behind = got.message_count;
        self.seen += 1;
        self.bytes += got.delivery.data.len();
        let tag = got.delivery.delivery_tag;
        self.in_hand.push(tag);
        let message = Raw {
            exchange: got.delivery.exchange,
            routing_key: got.delivery.routing_key,
            properties: got.delivery.properties,
            body: Bytes::from(got.delivery.data),
        };
        Ok(Some((tag, message)))
    }

    async fn look(&mut self, on: Shelf) -> Result<Look, StorageError> {
        let mut held = Vec::new();
        while let Some((_, message)) = self.take().await? {
            held.push(shelved::held(&message, on));
        }
        held.reverse(); // the head of a queue is what has been there longest
        held.sort_by_key(|one| Reverse(one.at));
        let total = held.len() as u64 + u64::from(self.behind);
        Ok(Look { held, total: Some(total), all: self.behind == 0 })
    }

    /// The message of this id, if it is among those that a visit sees; the first, of those that are alike.
    async fn find(&mut self, id: HeldId) -> Result<Option<(u64, Raw)>, StorageError> {
        let mut found = None;
        while let Some((tag, message)) = self.take().await? {
            if found.is_none() && shelved::id(&message) == id {
                found = Some((tag, message));
            }
        }
        Ok(found)
    }

    /// Throws away one message for each id; how many.
    async fn discard(&mut self, mut ids: Vec<HeldId>) -> Result<usize, StorageError> {
        let mut gone = 0;
        while let Some((tag, message)) = self.take().await? {
            let id = shelved::id(&message);
            if let Some(place) = ids.iter().position(|one| *one == id) {
                ids.swap_remove(place);
                self.take_off(tag).await?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Takes a message off for good. That the broker has heard is known when the visit has ended well.
    async fn take_off(&mut self, tag: u64) -> Result<(), StorageError> {
        self.in_hand.retain(|one| *one != tag);
        let acked = self.channel.basic_ack(tag, BasicAckOptions { multiple: false });
        within(STEP_DEADLINE, &format!("taking a message off {}", self.queue), acked).await
    }

    /// Gives back all that was taken out and not taken off, in its order: one by one, since of several at once the broker makes
    /// an order of their tags' digits.
    async fn give_back(&self) -> Result<(), StorageError> {
        let what = format!("giving back what was in {}", self.queue);
        let options = BasicNackOptions { multiple: false, requeue: true };
        for tag in &self.in_hand {
            within(STEP_DEADLINE, &what, self.channel.basic_nack(*tag, options)).await?;
        }
        Ok(())
    }

    /// Gives back what is left, and hangs up. When this returns `Ok`, the broker has heard of all that was done.
    async fn end<T>(self, done: Result<T, StorageError>) -> Result<T, StorageError> {
        let given = self.give_back().await;
        let closing = self.channel.close(200, "OK".into());
        let closed = within(STEP_DEADLINE, &format!("leaving {}", self.queue), closing).await;
        hang_up(&self.connection).await;
        done.and_then(|done| given.and(closed).map(|()| done))
    }
}

/// Does something to its end, whether anybody waits for it any more or not.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StorageError>> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        Err(StorageError::Unavailable(format!("a look at the broker did not end: {error}")))
    })
}
