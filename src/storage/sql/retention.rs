//! Removes what is old, step by step.
//!
//! A step looks first and then removes. Looking is a reader's work: it walks the events in the order of
//! their acceptance from where the last step ended, and notes those that may go. Only those are brought
//! to the writer, which judges each once more, since a dead letter may have been replayed meanwhile. So
//! a million old events that are not finished cost the writer nothing, and a reader a walk past them
//! now and then. There is no index on the time an event was received: it would be one more leaf to
//! write for every event, for the sake of an order that `seq` has already, all but exactly.
//!
//! The event that was received last is never removed, however old: its `seq` is what the next one
//! grows from, and whoever reads events in that order relies on its growing.
//!
//! The pages that become free are used again by what comes next; the file does not shrink, and does not
//! grow either. `VACUUM` would make it smaller by writing all of it anew, with the writer waiting.
//!
//! **What if we die right here?** A step is one transaction: it is done, or it was never begun. The
//! place that the walk had come to is lost, and it begins at the start.

use std::time::{Duration, Instant};

use super::books::Movement;
use super::engine::{Connection, OptionalExtension, params};
use super::{Settings, Sql, inspector, replays, rollups};
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::postgres::connect;
use crate::storage::postgres::partitions::{self, Dropped};
use crate::storage::upkeep::{Old, Place, Removed, Swept};

/// Most events that one look goes over: a few milliseconds of a reader's time.
const LOOK: u32 = 1_000;
/// A look ends after this long, also when each of its events has a thousand deliveries.
const LOOK_FOR: Duration = Duration::from_millis(50);
/// So many events in a row that are not old yet: nothing behind them is. More than one, because two
/// routers' clocks, or one that was set back, put events a little out of their order.
const YOUNG: u32 = 100;

/// Most events that one step removes.
const EVENTS: usize = 250;
/// Most dead letters, and most idempotency keys and answers to them, that one step removes.
const SIDE: u32 = 100;
/// A step ends when its payloads come to this: every page that a large one lies on has to be read to be
/// freed.
const BYTES: i64 = 4 * 1024 * 1024;
/// A step ends after this long: what it touches may lie on a slow disk, and who waits for the writer
/// waits for it as well. Twice what a commit takes.
const STEP_FOR: Duration = Duration::from_millis(10);

impl Sql {
    /// One step of the walk: see [`crate::storage::upkeep::Upkeep::sweep`].
    pub(super) async fn sweep_step(&self, old: Old, from: Place) -> Result<Swept, StorageError> {
        let whole = self.sweep_days(old).await?;
        let walked = self.walked(old);
        let found = self.read(move |connection| look(connection, walked, from)).await?;
        let (next, at_the_end) = (found.next, found.at_the_end);
        let step = if found.is_nothing() {
            Step::default()
        } else {
            self.write(move |connection| remove(connection, walked, &found)).await?
        };
        let mut removed = step.removed;
        removed.events += whole.events;
        removed.deliveries += whole.deliveries;
        removed.attempts += whole.attempts;
        Ok(Swept {
            removed,
            next: step.stopped_at.unwrap_or(next),
            caught_up: at_the_end && step.stopped_at.is_none() && !step.side_goes_on,
        })
    }

    /// On a server: sees to the days ahead, and drops the days that are over as wholes, one in a step.
    async fn sweep_days(&self, old: Old) -> Result<Dropped, StorageError> {
        let Settings::Postgres(server) = &*self.settings else { return Ok(Dropped::default()) };
        let (over, is_made) = self.read(move |connection| connection.days(old.events)).await?;
        let over = over.first().copied();
        if is_made && over.is_none() {
            return Ok(Dropped::default());
        }
        let server = connect::Settings::clone(server);
        let seeing = move || partitions::see_to(&server, over, old.events);
        let seen_to = tokio::task::spawn_blocking(seeing).await;
        let seen_to = seen_to.map_err(|error| StorageError::Unavailable(error.to_string()))?;
        Ok(seen_to?.unwrap_or_default())
    }

    /// What the walk takes for old: of what goes as a day on a server, no more than the days before, which have had their
    /// chance and could not.
    fn walked(&self, old: Old) -> Old {
        match &*self.settings {
            Settings::Sqlite(_) => old,
            Settings::Postgres(_) => {
                let into_its_day = old.events.as_millis().rem_euclid(DAY_MS);
                let day = Timestamp::from_millis(old.events.as_millis() - into_its_day);
                Old { events: day, ..old }
            }
        }
    }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// What a look found.
#[derive(Debug)]
struct Found {
    /// Events that may go, by their `seq`.
    events: Vec<i64>,
    /// Whether there is anything beside the events that may go.
    side: bool,
    /// Where the look ended.
    next: Place,
    /// Whether nothing behind it is old.
    at_the_end: bool,
}

impl Found {
    const fn is_nothing(&self) -> bool {
        self.events.is_empty() && !self.side
    }
}

/// What keeps an event, whatever its age: it is noted and not routed yet; something it owes is pending,
/// waiting or dead; it was quarantined not long ago (`?2`).
macro_rules! is_kept {
    () => {
        "EXISTS (SELECT 1 FROM inbox WHERE event = e.seq) \
         OR EXISTS (SELECT 1 FROM deliveries WHERE event = e.seq AND state IN (0, 1, 3)) \
         OR EXISTS (SELECT 1 FROM quarantine WHERE event = e.seq AND at >= ?2)"
    };
}

/// The walk, from `?1` on. The newest event is not on its way.
pub(super) const WALK: &str = concat!(
    "SELECT e.seq, e.received_at, CASE WHEN e.received_at < ?2 THEN ",
    is_kept!(),
    " END FROM events e \
     WHERE e.seq > ?1 AND e.seq < (SELECT max(seq) FROM events) ORDER BY e.seq LIMIT ?3"
);

/// One event that may go, judged again; its payload's bytes.
const JUDGE: &str = concat!(
    "SELECT length(e.payload) FROM events e \
     WHERE e.seq = ?1 AND e.received_at < ?2 AND e.seq < (SELECT max(seq) FROM events) AND NOT (",
    is_kept!(),
    ")"
);

fn look(connection: &Connection, old: Old, from: Place) -> Result<Found, StorageError> {
    let begun = Instant::now();
    let mut found =
        Found { events: Vec::new(), side: side(connection, old)?, next: from, at_the_end: false };
    let (mut seen, mut young, mut before_the_young) = (0, 0, from);
    let mut walk = connection.prepare_cached(WALK)?;
    let mut rows = walk.query(params![from.0, old.events, LOOK])?;
    while found.events.len() < EVENTS && begun.elapsed() < LOOK_FOR {
        let Some(row) = rows.next()? else {
            found.at_the_end = seen < LOOK;
            break;
        };
        let (seq, received_at): (i64, Timestamp) = (row.get(0)?, row.get(1)?);
        if received_at < old.events || received_at > old.now {
            young = 0;
        } else {
            if young == 0 {
                before_the_young = found.next;
            }
            young += 1;
        }
        seen += 1;
        found.next = Place(seq);
        if young == YOUNG {
            found.at_the_end = true;
            break;
        }
        if row.get::<_, Option<bool>>(2)? == Some(false) {
            found.events.push(seq);
        }
    }
    if young > 0 && found.at_the_end {
        found.next = before_the_young; // they are looked at again when they are older
    }
    Ok(found)
}

/// Whether there is anything old beside the events, each the first of an index.
fn side(connection: &Connection, old: Old) -> Result<bool, StorageError> {
    let mut dead = connection.prepare_cached("SELECT 1 FROM dead_letters WHERE died_at < ?1")?;
    let mut requests = connection.prepare_cached("SELECT 1 FROM requests WHERE at < ?1")?;
    let mut answers = connection.prepare_cached("SELECT 1 FROM answers WHERE at < ?1")?;
    let mut oldest_deed = connection.prepare_cached(
        "SELECT 1 FROM (SELECT at FROM audit ORDER BY seq LIMIT 1) AS oldest WHERE at < ?1",
    )?;
    Ok(dead.exists([old.dead_letters])?
        || requests.exists([old.requests])?
        || answers.exists([old.requests])?
        || replays::any_ended(connection, old.replays)?
        || inspector::any_old(connection, old.inspected)?
        || rollups::any_old(connection, old.rollups)?
        || oldest_deed.exists([old.deeds])?)
}

/// What a step did.
#[derive(Debug, Default)]
struct Step {
    removed: Removed,
    /// The last event that it came to, if it did not come to all of them.
    stopped_at: Option<Place>,
    /// Whether there may be more to remove beside the events.
    side_goes_on: bool,
}

fn remove(connection: &Connection, old: Old, found: &Found) -> Result<Step, StorageError> {
    let begun = Instant::now();
    let mut step = Step::default();
    if found.side {
        let removed = &mut step.removed;
        removed.requests = forget(connection, FORGET_REQUESTS, old.requests)?;
        removed.answers = forget(connection, FORGET_ANSWERS, old.requests)?;
        removed.replays = count(replays::forget(connection, old.replays, SIDE)?);
        removed.deeds = forget(connection, FORGET_DEEDS, old.deeds)?;
        removed.rollups = count(rollups::forget(connection, old.rollups, SIDE)?);
        let most = removed.requests.max(removed.answers).max(removed.replays).max(removed.deeds);
        let most = most.max(removed.rollups);
        let (inspected, more) = inspector::forget(connection, old.inspected)?;
        removed.inspected = count(inspected);
        step.side_goes_on |= most == u64::from(SIDE) || more;
        discard(connection, old.dead_letters, begun, &mut step)?;
    }
    let mut bytes = 0;
    for (number, seq) in found.events.iter().enumerate() {
        bytes += remove_event(connection, *seq, old.events, &mut step.removed)?;
        let is_last = number + 1 == found.events.len();
        if !is_last && (bytes >= BYTES || begun.elapsed() >= STEP_FOR) {
            step.stopped_at = Some(Place(*seq));
            break;
        }
    }
    Ok(step)
}

const FORGET_REQUESTS: &str = "DELETE FROM requests WHERE key IN \
     (SELECT key FROM requests WHERE at < ?1 ORDER BY at LIMIT ?2)";
/// The first of the log: its numbers grow with time.
const FORGET_DEEDS: &str = "DELETE FROM audit WHERE at < ?1 AND seq IN \
     (SELECT seq FROM audit ORDER BY seq LIMIT ?2)";
const FORGET_ANSWERS: &str = "DELETE FROM answers WHERE key IN \
     (SELECT key FROM answers WHERE at < ?1 ORDER BY at LIMIT ?2)";

fn forget(connection: &Connection, sql: &str, before: Timestamp) -> Result<u64, StorageError> {
    Ok(count(connection.prepare_cached(sql)?.execute(params![before, SIDE])?))
}

/// Dead letters go with their deliveries and attempts. What their events owe to others stays.
fn discard(
    connection: &Connection,
    before: Timestamp,
    begun: Instant,
    step: &mut Step,
) -> Result<(), StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT seq, event, endpoint FROM dead_letters WHERE died_at < ?1 ORDER BY died_at LIMIT ?2",
    )?;
    let found = find
        .query_map(params![before, SIDE], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<Vec<(i64, i64, EndpointId)>, _>>()?;
    let mut lift = connection.prepare_cached("DELETE FROM dead_letters WHERE seq = ?1")?;
    let mut attempts =
        connection.prepare_cached("DELETE FROM attempts WHERE event = ?1 AND endpoint = ?2")?;
    let mut delivery =
        connection.prepare_cached("DELETE FROM deliveries WHERE event = ?1 AND endpoint = ?2")?;
    let mut offers =
        connection.prepare_cached("DELETE FROM offers WHERE event = ?1 AND endpoint = ?2")?;
    let (mut discarded, removed) = (0_i64, &mut step.removed);
    for (seq, event, endpoint) in &found {
        lift.execute([seq])?;
        removed.attempts += count(attempts.execute(params![event, endpoint])?);
        removed.deliveries += count(delivery.execute(params![event, endpoint])?);
        offers.execute(params![event, endpoint])?;
        discarded += 1;
        if begun.elapsed() >= STEP_FOR {
            break;
        }
    }
    removed.dead_letters += discarded.unsigned_abs();
    // A full page, or one that was not finished.
    step.side_goes_on |= found.len() == SIDE as usize || removed.dead_letters < count(found.len());
    let mut movement = Movement::default();
    movement.discards(discarded);
    movement.post(connection)
}

/// One event with all that hangs on it, as a whole, unless it is kept after all; its payload's bytes.
///
/// The books say what was ever owed, and do not hear of it.
fn remove_event(
    connection: &Connection,
    seq: i64,
    before: Timestamp,
    removed: &mut Removed,
) -> Result<i64, StorageError> {
    let mut judge = connection.prepare_cached(JUDGE)?;
    let Some(bytes) = judge.query_row(params![seq, before], |row| row.get(0)).optional()? else {
        return Ok(0);
    };
    let delete = |sql| -> Result<u64, StorageError> {
        Ok(count(connection.prepare_cached(sql)?.execute([seq])?))
    };
    removed.attempts += delete("DELETE FROM attempts WHERE event = ?1")?;
    removed.deliveries += delete("DELETE FROM deliveries WHERE event = ?1")?;
    delete("DELETE FROM offers WHERE event = ?1")?;
    delete("DELETE FROM quarantine WHERE event = ?1")?;
    removed.events += delete("DELETE FROM events WHERE seq = ?1")?;
    Ok(bytes)
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
