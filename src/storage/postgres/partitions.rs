//! The days' tables: made ahead, and dropped as a whole when nothing in them is wanted any more.
//!
//! Making a day costs a look at a name when it is there. Dropping one takes its three tables from their parents, for
//! which the parents are locked for a moment: it waits for that no longer than a session waits for any lock, and comes
//! again later where somebody reads for longer.
//!
//! What is dropped is judged in the transaction that drops it, of the whole day at once: no event of it is young, none
//! is noted for routing, nothing that it owes is pending, waiting or dead, nothing of it is in quarantine. What cannot
//! go as a whole goes row by row, as in the file, and its tables when they are empty.
//!
//! **What if we die right here?** One transaction: the day is there, or it is not, with its ids.

use rusqlite::types::Value;

use super::connect::{Purpose, Settings};
use super::connection::{Fault, Session};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;

/// How many days ahead there are tables: a router that is the only one, and away for a week, finds them still.
const AHEAD_DAYS: i64 = 7;
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
/// How far a seq of a day is from the same of the next.
const DAY: i64 = 1_000_000_000_000;

/// Makes today's tables and those of the days ahead, by the server's clock, unless they are there.
///
/// # Errors
/// What keeps a table from being made.
pub(in crate::storage) fn make_ahead(session: &Session) -> Result<(), Fault> {
    session
        .statement(
            "SELECT make_day(extract(epoch FROM now())::bigint / 86400 + ahead) \
             FROM generate_series(0, ?1) AS ahead \
             WHERE to_regclass('events_' || (extract(epoch FROM now())::bigint / 86400 + ahead)) IS NULL",
        )?
        .query(&[Value::Integer(AHEAD_DAYS)])?;
    Ok(())
}

/// What went with a day.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::storage) struct Dropped {
    pub(in crate::storage) events: u64,
    pub(in crate::storage) deliveries: u64,
    pub(in crate::storage) attempts: u64,
}

/// Days whose tables may go as wholes, oldest first: they were over before `young`, and nothing of them is wanted
/// otherwise. And whether the tables of the days ahead are made.
///
/// # Errors
/// `Unavailable`.
pub(in crate::storage) fn days(
    session: &Session,
    young: Timestamp,
) -> Result<(Vec<i64>, bool), Fault> {
    let made = session.statement(
        "SELECT to_regclass('events_' || (extract(epoch FROM now())::bigint / 86400 + ?1)) IS NOT NULL",
    )?;
    let mut made = made.query(&[Value::Integer(AHEAD_DAYS)])?;
    let is_made = made.next()?.and_then(|row| row.value(0)) == Some(&Value::Integer(1));
    let mut over = Vec::new();
    for day in old_days(session, young)? {
        if is_over(session, day, young)? {
            over.push(day);
        }
    }
    Ok((over, is_made))
}

/// Makes the days ahead, and drops a day if nothing of it is wanted; what went with it.
///
/// In a session of its own, whose every statement sees what was committed before it: a job among others would judge by
/// how things stood before it had the lock. Blocks; not to be called where async code runs.
///
/// # Errors
/// `Unavailable`, also when somebody has the tables for longer than a lock is waited for: nothing was done.
pub(in crate::storage) fn see_to(
    settings: &Settings,
    over: Option<i64>,
    young: Timestamp,
) -> Result<Option<Dropped>, StorageError> {
    let session = Session::new(settings.clone(), Purpose::Shaping);
    let work = || -> Result<Option<Dropped>, Fault> {
        session.begin()?;
        make_ahead(&session)?;
        let dropped = match over {
            Some(day) => drop_day(&session, day, young)?,
            None => None,
        };
        session.order("COMMIT")?;
        Ok(dropped)
    };
    work().map_err(|fault| fault.told) // dropped, the session ends, and the transaction with it
}

fn old_days(session: &Session, before: Timestamp) -> Result<Vec<i64>, Fault> {
    let found = session.statement(
        "SELECT substr(c.relname, 8)::bigint AS day FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
         WHERE i.inhparent = 'events'::regclass AND c.relname ~ '^events_[0-9]+$' ORDER BY 1",
    )?;
    let mut rows = found.query(&[])?;
    let mut days = Vec::new();
    while let Some(row) = rows.next()? {
        if let Some(Value::Integer(day)) = row.value(0)
            && (day + 1) * DAY_MS <= before.as_millis()
        {
            days.push(*day);
        }
    }
    Ok(days)
}

/// Whether nothing of that day is wanted any more: what a day has to be to go. `?1` and `?2` are its first seq and the
/// first behind it, `?3` from when on an event is young, `?4` the same of what is in quarantine.
const IS_OVER: &str = "SELECT \
     NOT EXISTS (SELECT 1 FROM deliveries WHERE event >= ?1 AND event < ?2 AND state IN (0, 1, 3)) \
     AND NOT EXISTS (SELECT 1 FROM events WHERE seq >= ?1 AND seq < ?2 AND received_at >= ?3) \
     AND NOT EXISTS (SELECT 1 FROM inbox WHERE event >= ?1 AND event < ?2) \
     AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE event >= ?1 AND event < ?2) \
     AND NOT EXISTS (SELECT 1 FROM quarantine WHERE event >= ?1 AND event < ?2 AND at >= ?4) \
     AND EXISTS (SELECT 1 FROM events WHERE seq >= ?2)";

fn is_over(session: &Session, day: i64, young: Timestamp) -> Result<bool, Fault> {
    let young = Value::Integer(young.as_millis());
    let judged = session.statement(IS_OVER)?;
    let of_day = [Value::Integer(day * DAY), Value::Integer((day + 1) * DAY), young.clone(), young];
    let mut judged = judged.query(&of_day)?;
    Ok(judged.next()?.and_then(|row| row.value(0)) == Some(&Value::Integer(1)))
}

/// Drops a day's tables with all that hangs on its events, if nothing of it is wanted any more; what went, or `None`.
///
/// In the transaction of the one who asks. The newest event is never among what goes: who reads events in their order
/// relies on there being one.
///
/// # Errors
/// `Unavailable`: also when somebody else has the tables for longer than a lock is waited for.
fn drop_day(session: &Session, day: i64, young: Timestamp) -> Result<Option<Dropped>, Fault> {
    let (first, behind) = (Value::Integer(day * DAY), Value::Integer((day + 1) * DAY));
    // Before the look: what is judged must not change behind it.
    let lock = format!(
        "LOCK TABLE events_{day}, deliveries_{day}, attempts_{day} IN ACCESS EXCLUSIVE MODE"
    );
    session.order(&lock)?;
    if !is_over(session, day, young)? {
        return Ok(None);
    }
    let count = |table: &str| -> Result<u64, Fault> {
        let counted = session.statement(&format!("SELECT count(*) FROM {table}_{day}"))?;
        let mut counted = counted.query(&[])?;
        Ok(match counted.next()?.and_then(|row| row.value(0)) {
            Some(Value::Integer(count)) => count.unsigned_abs(),
            _ => 0,
        })
    };
    let dropped = Dropped {
        events: count("events")?,
        deliveries: count("deliveries")?,
        attempts: count("attempts")?,
    };
    for (table, key) in
        [("event_ids", "seq"), ("offers", "event"), ("resends", "event"), ("quarantine", "event")]
    {
        let forget =
            session.statement(&format!("DELETE FROM {table} WHERE {key} >= ?1 AND {key} < ?2"))?;
        forget.execute(&[first.clone(), behind.clone()])?;
    }
    for table in ["attempts", "deliveries", "events"] {
        session.order(&format!("DROP TABLE {table}_{day}"))?;
    }
    Ok(Some(dropped))
}
