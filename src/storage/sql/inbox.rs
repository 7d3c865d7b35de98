//! The inbox's port in SQL: events that are not routed yet, what the process before left
//! unfinished, and deliveries whose wait is over.
//!
//! ```text
//! published ──▶ inbox (a note beside the event) ──accept──▶ deliveries, pending
//! recorded  ──▶ deliveries, waiting, held by the ladder ──due──▶ taken: held by the router
//! ```
//!
//! Everything is read in pages, in the order of acceptance or of the due time, and only when the
//! router asks: a backlog is rows in a file. Receipts mean nothing here. What is finished is seen from
//! the rows themselves, which were settled in the same file.
//!
//! **What if we die right here?** An event is noted until it is accepted. A delivery that was taken is
//! held by the router in its row; whoever opens the inbox next gives it back to the ladder. What was
//! pending is handed out again, as an event that comes a second time. One router at a time has the
//! file; `runtime` sees to that.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::engine::{Connection, OptionalExtension, Rows, params};
use super::{Sql, resend, rows};
use crate::domain::delivery::{Delivery, Turn};
use crate::domain::event::{ApplicationName, Event, Identity, NewEvent, Rejection};
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inbox::{Arrival, Content, Desk, Inbox, Original, Receipt};

/// Most events, and most deliveries, that are read at once: as many as ingest takes in one batch.
const PAGE: u32 = 256;

/// A page ends when its payloads come to this: what the inbox adds to the memory that the window bounds.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// How often the file is looked at when nothing rings: what another process published, as the command
/// line does, is found within a quarter of a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Longest wait between looks while the file cannot be read.
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// Deliveries that are given back to the ladder in one step.
const GIVE_BACK: u32 = 5_000;

// The statements that look for something among all that waits; a test reads their plans.
pub(super) const GIVE_BACK_SOME: &str = "UPDATE deliveries SET held_by = 1 WHERE (event, endpoint) IN \
     (SELECT event, endpoint FROM deliveries WHERE state = 1 AND held_by = 0 LIMIT ?1)";
pub(super) const LEFT_PENDING: &str = "SELECT DISTINCT event FROM deliveries \
     WHERE state = 0 AND event > ?1 AND event <= ?2 ORDER BY event LIMIT ?3";
pub(super) const TAKE_DUE: &str = "SELECT event, endpoint, turn, attempts, due_at, replay IS NOT NULL FROM deliveries \
     WHERE state = 1 AND held_by = 1 AND due_at <= ?1 ORDER BY due_at LIMIT ?2";

/// Tells the time.
type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The inbox of the one router that has the file.
pub struct SqlInbox {
    store: Sql,
    now: Now,
    arrivals: VecDeque<Arrival>,
    /// A look that is under way: kept here so that a call of `next` that is dropped loses nothing.
    looking: Option<JoinHandle<Result<Found, StorageError>>>,
    place: Place,
    away: Option<Duration>,
}

/// How far each kind of event was handed out, as `events.seq`.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Events that are not routed yet.
    routed: i64,
    /// Events with deliveries that the process before left pending, up to and with `left_last`.
    left: i64,
    left_last: i64,
}

/// What one look found.
#[derive(Debug)]
struct Found {
    left: Vec<(i64, Event)>,
    fresh: Vec<(i64, Event)>,
    due: Vec<Due>,
    /// When the next delivery is due, if more than these wait.
    next_due: Option<Timestamp>,
}

/// A delivery whose wait is over.
#[derive(Debug)]
struct Due {
    seq: i64,
    delivery: Delivery,
    /// When it was due.
    since: Timestamp,
}

impl Sql {
    /// Opens the inbox: what the process before had in its hands is given back first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn inbox(&self, now: Now) -> Result<SqlInbox, StorageError> {
        let mut given_back = 0;
        loop {
            let step = self.write(give_back).await?;
            given_back += step;
            if step < GIVE_BACK as usize {
                break;
            }
        }
        let due_at = now();
        self.write(move |connection| {
            resend::end_leases(connection, due_at)?;
            end_leases(connection, due_at)
        })
        .await?;
        let left_last = self.read(newest).await?;
        if given_back > 0 {
            info!(given_back, "deliveries that were in memory when the last router ended");
        }
        Ok(SqlInbox {
            store: self.clone(),
            now,
            arrivals: VecDeque::new(),
            looking: None,
            place: Place { routed: 0, left: 0, left_last },
            away: None,
        })
    }
}

#[async_trait]
impl Inbox for SqlInbox {
    async fn next(&mut self) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.arrivals.pop_front() {
                return Some(arrival);
            }
            let until = match self.look().await {
                Ok(found) => {
                    self.is_back();
                    let next_due = found.next_due;
                    self.take(found);
                    next_due
                }
                Err(error) => {
                    self.is_away(&error);
                    None
                }
            };
            if self.arrivals.is_empty() {
                self.rest(until).await;
            }
        }
    }

    fn ready(&mut self) -> Option<Arrival> {
        self.arrivals.pop_front()
    }
}

impl SqlInbox {
    /// Looks at the file, or goes on with a look that was begun.
    async fn look(&mut self) -> Result<Found, StorageError> {
        let look = self.looking.get_or_insert_with(|| {
            let (store, place, now) = (self.store.clone(), self.place, (self.now)());
            store.bell.awake();
            tokio::spawn(async move { store.look(place, now).await })
        });
        let found = look.await;
        self.looking = None;
        found.map_err(|error| StorageError::Unavailable(format!("a look did not end: {error}")))?
    }

    fn take(&mut self, found: Found) {
        if let Some((seq, _)) = found.left.last() {
            self.place.left = *seq;
        } else {
            self.place.left = self.place.left_last; // there are no more
        }
        if let Some((seq, _)) = found.fresh.last() {
            self.place.routed = *seq;
        }
        for (seq, event) in found.left {
            let content = Content::Event(Box::new(again(event)));
            self.arrivals.push_back(self.arrival(seq, content, true));
        }
        // By turns: neither a backlog of events nor one of deliveries keeps the other waiting.
        let mut fresh = found.fresh.into_iter();
        let mut due = found.due.into_iter();
        loop {
            let (event, delivery) = (fresh.next(), due.next());
            if event.is_none() && delivery.is_none() {
                return;
            }
            if let Some((seq, event)) = event {
                let content = Content::Event(Box::new(again(event)));
                self.arrivals.push_back(self.arrival(seq, content, false));
            }
            if let Some(Due { seq, delivery, since: due_at }) = delivery {
                let content = Content::Due { delivery: Box::new(delivery), due_at };
                self.arrivals.push_back(self.arrival(seq, content, false));
            }
        }
    }

    fn arrival(&self, seq: i64, content: Content, redelivered: bool) -> Arrival {
        Arrival {
            content,
            redelivered,
            receipt: Receipt::new(0, Arc::new(NoDesk)),
            original: Box::new(Arrived {
                store: self.store.clone(),
                seq,
                now: Arc::clone(&self.now),
            }),
        }
    }

    /// Waits until there may be something: a ring, the next due time, or the time to look.
    async fn rest(&self, next_due: Option<Timestamp>) {
        let now = (self.now)();
        let most = self.away.unwrap_or(LOOK_EVERY);
        let rest = next_due.map_or(most, |due| due.since(now).min(most));
        self.store.bell.asleep_until(now + rest);
        if self.away.is_some() {
            tokio::time::sleep(rest).await; // a ring would only make it look again in vain
        } else {
            // A time-out is not an error here: it is time to look.
            let _ = tokio::time::timeout(rest, self.store.bell.rung()).await;
        }
    }

    fn is_away(&mut self, error: &StorageError) {
        if self.away.is_none() {
            warn!(%error, "the inbox cannot be read, trying until it can");
            self.store.bell.in_trouble(Some(format!("the inbox cannot be read: {error}")));
        }
        let wait = self.away.map_or(Duration::from_millis(50), |wait| wait * 2);
        self.away = Some(wait.min(AGAIN_MOST));
    }

    fn is_back(&mut self) {
        if self.away.take().is_some() {
            info!("the inbox can be read again");
            self.store.bell.in_trouble(None);
        }
    }
}

impl Sql {
    async fn look(&self, place: Place, now: Timestamp) -> Result<Found, StorageError> {
        let (left, fresh, next) = self
            .read(move |connection| {
                let left = left(connection, place)?;
                // Behind all of those: a fresh event is pending as soon as it is accepted, and would be
                // taken for one that was left.
                let fresh = if left.is_empty() { fresh(connection, place)? } else { Vec::new() };
                Ok((left, fresh, next_due(connection)?))
            })
            .await?;
        if next.is_none_or(|due| due > now) {
            return Ok(Found { left, fresh, due: Vec::new(), next_due: next });
        }
        // Only when there is something to take: an idle router leaves the writer idle.
        let (due, next_due) = self
            .write(move |connection| Ok((take_due(connection, now)?, next_due(connection)?)))
            .await?;
        #[cfg(feature = "failpoints")]
        for _ in &due {
            crate::failpoint!("inbox.taken");
        }
        Ok(Found { left, fresh, due, next_due })
    }
}

/// What a router held that is no more goes back on the ladder; how many, at most [`GIVE_BACK`].
fn give_back(connection: &Connection) -> Result<usize, StorageError> {
    let mut update = connection.prepare_cached(GIVE_BACK_SOME)?;
    Ok(update.execute([GIVE_BACK])?)
}

/// What a router that is no more had claimed for itself may be claimed again: nobody else has the file.
fn end_leases(connection: &Connection, now: Timestamp) -> Result<usize, StorageError> {
    let mut update = connection.prepare_cached(
        "UPDATE deliveries SET due_at = ?1 \
         WHERE state = 1 AND held_by = 2 AND due_at > ?1 AND due_at < ?2",
    )?;
    Ok(update.execute(params![now, Timestamp::NEVER])?)
}

fn newest(connection: &Connection) -> Result<i64, StorageError> {
    Ok(connection.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?)
}

/// Events with deliveries that were left pending.
fn left(connection: &Connection, place: Place) -> Result<Vec<(i64, Event)>, StorageError> {
    if place.left >= place.left_last {
        return Ok(Vec::new());
    }
    let mut find = connection.prepare_cached(LEFT_PENDING)?;
    let mut load = connection.prepare_cached("SELECT * FROM events WHERE seq = ?1")?;
    let mut left = find.query(params![place.left, place.left_last, PAGE])?;
    let (mut events, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = left.next()?
    {
        let mut found = page(load.query([row.get::<_, i64>(0)?])?)?;
        bytes += found.iter().map(|(_, event)| event.payload.len()).sum::<usize>();
        events.append(&mut found);
    }
    Ok(events)
}

/// Events that are not routed yet.
fn fresh(connection: &Connection, place: Place) -> Result<Vec<(i64, Event)>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT e.* FROM inbox i JOIN events e ON e.seq = i.event \
         WHERE i.event > ?1 ORDER BY i.event LIMIT ?2",
    )?;
    page(find.query(params![place.routed, PAGE])?)
}

fn page(mut rows: Rows<'_>) -> Result<Vec<(i64, Event)>, StorageError> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let event = rows::event(&row)?;
        bytes += event.payload.len();
        events.push((row.get("seq")?, event));
    }
    Ok(events)
}

/// When the ladder's next delivery is due.
fn next_due(connection: &Connection) -> Result<Option<Timestamp>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT due_at FROM deliveries WHERE state = 1 AND held_by = 1 ORDER BY due_at LIMIT 1",
    )?;
    Ok(find.query_row([], |row| row.get(0)).optional()?)
}

/// Takes what is due, longest due first: the router holds it from now on.
fn take_due(connection: &Connection, now: Timestamp) -> Result<Vec<Due>, StorageError> {
    let mut find = connection.prepare_cached(TAKE_DUE)?;
    let found = find
        .query_map(params![now, PAGE], |row| {
            let (turn, attempts, replayed) = (row.get(2)?, row.get(3)?, row.get(5)?);
            Ok((row.get(0)?, row.get(1)?, (turn, attempts, replayed), row.get(4)?))
        })?
        .collect::<Result<Vec<(i64, EndpointId, (Turn, u32, bool), Timestamp)>, _>>()?;
    // `due_at` says from now on since when the router has it, so that it is not thought abandoned.
    let mut hold = connection.prepare_cached(
        "UPDATE deliveries SET held_by = 0, due_at = ?3 WHERE event = ?1 AND endpoint = ?2",
    )?;
    let mut events = HashMap::new();
    let (mut taken, mut bytes) = (Vec::with_capacity(found.len()), 0);
    for (seq, endpoint, (turn, attempts, replayed), due_at) in found {
        if bytes >= PAGE_BYTES {
            break;
        }
        // One event may be due for many endpoints: its payload is loaded once and shared.
        let event = match events.entry(seq) {
            Entry::Occupied(loaded) => Arc::clone(loaded.get()),
            Entry::Vacant(place) => {
                let event = rows::event_at(connection, seq)?;
                bytes += event.payload.len();
                Arc::clone(place.insert(event))
            }
        };
        hold.execute(params![seq, endpoint, now])?;
        let delivery = Delivery { event, endpoint, turn, attempts, replayed };
        taken.push(Due { seq, delivery, since: due_at });
    }
    Ok(taken)
}

/// A stored event as one that is published: under the id that it has.
fn again(event: Event) -> NewEvent {
    NewEvent {
        application: ApplicationName::Id(event.application),
        event_type: event.event_type,
        identity: Identity::Stored(event.id, event.event_id),
        subject: event.subject,
        occurred_at: Some(event.occurred_at),
        received_at: Some(event.received_at),
        deliver_at: event.deliver_at,
        expires_at: event.expires_at,
        content_type: event.content_type,
        traceparent: event.traceparent,
        channels: event.channels,
        webhook: event.webhook,
        attributes: event.attributes,
        payload: event.payload,
    }
}

/// Where receipts are given back to: nothing has to be done.
#[derive(Debug)]
struct NoDesk;

impl Desk for NoDesk {
    fn finished(&self, _: u64) {}
}

/// An arrival's row.
struct Arrived {
    store: Sql,
    seq: i64,
    now: Now,
}

impl std::fmt::Debug for Arrived {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "event number {}", self.seq)
    }
}

#[async_trait]
impl Original for Arrived {
    async fn quarantine(&self, why: &Rejection) -> Result<(), StorageError> {
        let (seq, at) = (self.seq, (self.now)());
        let (reason, detail) = (why.reason(), why.to_string());
        self.store
            .write(move |connection| {
                connection
                    .prepare_cached("INSERT OR IGNORE INTO quarantine VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![seq, reason, detail, at])?;
                connection.prepare_cached("DELETE FROM inbox WHERE event = ?1")?.execute([seq])?;
                Ok(())
            })
            .await
    }
}
