//! Finding, counting and putting away dead letters.
//!
//! `list` has the pages, `groups` the kinds and how many there are of each, `discard` what is put away. Here are
//! the conditions that a filter comes to in a statement of any kind, and what a row says.

mod discard;
pub(super) mod groups;
pub(super) mod list;

use async_trait::async_trait;

use rusqlite::types::Value;

pub(super) use self::groups::kind;
use super::engine::{Connection, OptionalExtension, Row, params, params_from_iter};
use super::rows::corrupt;
use super::{Sql, ledger, rows};
use crate::domain::delivery::DeliveryKey;
use crate::domain::filter::Pattern;
use crate::domain::id::{DeliveryId, EndpointId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, DeadLetters, Discarded,
    GroupPlace, Inspected,
};
use crate::storage::journal::ReplayCount;
use crate::storage::page::{Listed, Page};

/// Beside `dead_letters d`: whose they are.
pub(super) const WHOSE: &str = "LEFT JOIN endpoints e ON e.id = d.endpoint \
     LEFT JOIN settings s ON s.application = d.application";

/// What stands in the way of its own endpoint's getting a dead letter again, as a term.
macro_rules! obstacle {
    () => {
        "CASE \
         WHEN e.id IS NOT NULL THEN \
              CASE WHEN e.deleted_at IS NOT NULL THEN 0 WHEN e.state = 'disabled' THEN 1 END \
         WHEN NOT EXISTS (SELECT 1 FROM applications a \
                          WHERE a.id = d.application AND a.deleted_at IS NULL) THEN 0 \
         WHEN s.default_id IS d.endpoint AND s.default_url IS NULL THEN 2 END"
    };
}

/// Beside `dead_letters d` and [`WHOSE`]: what stands in the way, by the place in
/// [`Obstacle::ALL`](crate::storage::replays::Obstacle::ALL); NULL: nothing.
pub(super) const OBSTACLE: &str = obstacle!();

/// Whether there is somebody to replay it to: nothing stands in the way.
pub(super) const TAKES_REPLAYS: &str = concat!("(", obstacle!(), ") IS NULL");

/// Whether a text is in what a dead letter says. SQLite's `lower` knows ASCII alone, as its port says.
const SAYS: &str = "(instr(lower(d.subject), ?) > 0 OR instr(lower(d.last_detail), ?) > 0 \
                     OR instr(lower(d.event_type), ?) > 0)";

/// Conditions with their values, in the order of their question marks.
pub(super) struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    /// What a filter says of `dead_letters d`.
    pub(super) fn of(filter: &DeadLetterFilter) -> Self {
        let mut conditions = Self { sql: "1".to_owned(), values: Vec::new() };
        if !filter.ids.is_empty() {
            conditions
                .and("d.id IN (SELECT unhex(value) FROM json_each(?))", [blob_list(&filter.ids)]);
        }
        if let Some(organisation) = filter.organisation {
            conditions.and("d.organisation = ?", [blob(organisation.as_bytes())]);
        }
        if let Some(application) = filter.application {
            conditions.and("d.application = ?", [blob(application.as_bytes())]);
        }
        if let Some(endpoint) = filter.endpoint {
            conditions.and("d.endpoint = ?", [blob(endpoint.as_bytes())]);
        }
        match &filter.event_type {
            None | Some(Pattern::All) => {}
            Some(Pattern::Exact(name)) => conditions.and("d.event_type = ?", [text(name.as_str())]),
            Some(prefix @ Pattern::Prefix(_)) => {
                let prefix = text(prefix.to_string().trim_end_matches('*'));
                let begins = "substr(d.event_type, 1, length(?)) = ?";
                conditions.and(begins, [prefix.clone(), prefix]);
            }
        }
        if let Some(reason) = filter.reason {
            conditions.and("d.reason = ?", [text(reason.as_str())]);
        }
        if let Some(status) = filter.status {
            let (first, last) = status.span();
            let span = [Value::from(first), Value::from(last)];
            conditions.and("d.last_status BETWEEN ? AND ?", span);
        }
        if let Some(error) = filter.error {
            conditions.and("d.last_outcome = ?", [text(error.as_str())]);
        }
        if let Some(subject) = &filter.subject {
            conditions.and("d.subject = ?", [text(subject)]);
        }
        if let Some(part) = &filter.text {
            let part = text(&part.to_ascii_lowercase());
            conditions.and(SAYS, [part.clone(), part.clone(), part]);
        }
        if let Some(since) = filter.since {
            conditions.and("d.died_at >= ?", [Value::from(since.as_millis())]);
        }
        if let Some(until) = filter.until {
            conditions.and("d.died_at < ?", [Value::from(until.as_millis())]);
        }
        conditions
    }

    /// Adds a condition.
    pub(super) fn and(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
        self.values.extend(values);
    }

    /// Rows of `select … FROM dead_letters d … WHERE <conditions> tail`, one by one.
    pub(super) fn rows<T>(
        self,
        connection: &Connection,
        select: &str,
        tail: &str,
        read: impl FnMut(&Row<'_>) -> Result<T, StorageError>,
    ) -> Result<Vec<T>, StorageError> {
        let sql = format!("{select} WHERE {} {tail}", self.sql);
        let mut find = connection.prepare_cached(&sql)?;
        find.query_and_then(params_from_iter(self.values), read)?.collect()
    }
}

/// As one JSON array: a list of any length is one value.
fn blob_list(ids: &[DeliveryId]) -> Value {
    let quoted: Vec<_> = ids.iter().map(|id| format!("\"{}\"", hex(id.as_bytes()))).collect();
    Value::Text(format!("[{}]", quoted.join(",")))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}

fn blob(bytes: &[u8]) -> Value {
    Value::Blob(bytes.to_vec())
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[async_trait]
impl DeadLetters for Sql {
    async fn dead_letters_of(
        &self,
        filter: &DeadLetterFilter,
        page: &Page<DeadLetterPlace>,
    ) -> Result<Listed<DeadLetter, DeadLetterPlace>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| list::page(connection, &filter, &page)).await
    }

    async fn dead_letter_groups(
        &self,
        filter: &DeadLetterFilter,
        page: &Page<GroupPlace>,
    ) -> Result<Listed<DeadLetterGroup, GroupPlace>, StorageError> {
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| groups::list(connection, &filter, &page)).await
    }

    async fn inspect(
        &self,
        filter: &DeadLetterFilter,
        id: DeliveryId,
    ) -> Result<Option<Inspected>, StorageError> {
        let filter = filter.clone();
        self.browse(move |connection| inspect(connection, &filter, id)).await
    }

    async fn count_up_to(&self, filter: &DeadLetterFilter, most: u64) -> Result<u64, StorageError> {
        self.count_in_steps(filter, most).await
    }

    async fn discard(
        &self,
        filter: &DeadLetterFilter,
        most: u64,
    ) -> Result<Discarded, StorageError> {
        self.discard_in_steps(filter, most).await
    }
}

/// Whether what a filter names is its organisation's: an application by its row, which stays when it is deleted,
/// and an endpoint by the dead letters that it has. What is another's is not walked, not even in vain.
fn is_within(connection: &Connection, filter: &DeadLetterFilter) -> Result<bool, StorageError> {
    if let (Some(organisation), Some(application)) = (filter.organisation, filter.application) {
        let mut find = connection
            .prepare_cached("SELECT 1 FROM applications WHERE id = ?1 AND organisation = ?2")?;
        if !find.exists(params![application, organisation])? {
            return Ok(false);
        }
    }
    let Some(endpoint) = filter.endpoint else { return Ok(true) };
    let mut find = connection.prepare_cached(
        "SELECT 1 FROM dead_letter_groups WHERE endpoint = ?1 \
         AND application = coalesce(?2, application) AND organisation = coalesce(?3, organisation)",
    )?;
    Ok(find.exists(params![endpoint, filter.application, filter.organisation])?)
}

/// One dead letter that a filter leaves in, with all that is known of it.
fn inspect(
    connection: &Connection,
    filter: &DeadLetterFilter,
    id: DeliveryId,
) -> Result<Option<Inspected>, StorageError> {
    let mut find = connection.prepare_cached("SELECT * FROM dead_letters WHERE id = ?1")?;
    let mut found = find.query([id])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let letter = dead_letter(&row)?;
    if !filter.matches(Some(row.get("organisation")?), &letter) {
        return Ok(None);
    }
    let event = rows::event_of(connection, letter.key.event)?;
    let attempts = ledger::attempts(connection, letter.key)?;
    Ok(Some(Inspected { letter, event, attempts }))
}

/// Those that match, newest first, behind `after`.
pub(super) fn behind(
    connection: &Connection,
    filter: &DeadLetterFilter,
    after: Option<DeliveryId>,
    limit: usize,
) -> Result<Vec<DeadLetter>, StorageError> {
    let mut conditions = Conditions::of(filter);
    if let Some(after) = after {
        let (died_at, seq) = place_of(connection, after)?;
        conditions.and("(d.died_at, d.seq) < (?, ?)", [Value::from(died_at), Value::from(seq)]);
    }
    let tail = format!(
        "ORDER BY d.died_at DESC, d.seq DESC LIMIT {}",
        i64::try_from(limit).unwrap_or(i64::MAX)
    );
    conditions.rows(connection, "SELECT d.* FROM dead_letters d", &tail, dead_letter)
}

/// Where a dead letter stands in the order of listing.
fn place_of(connection: &Connection, id: DeliveryId) -> Result<(i64, i64), StorageError> {
    let mut find =
        connection.prepare_cached("SELECT died_at, seq FROM dead_letters WHERE id = ?1")?;
    let place = find.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    place.ok_or_else(|| {
        StorageError::Conflict(format!(
            "{id} is no longer among the dead letters: begin the list anew"
        ))
    })
}

fn reason_of(word: &str) -> Option<DeathReason> {
    DeathReason::ALL.into_iter().find(|known| known.as_str() == word)
}

fn dead_letter(row: &Row<'_>) -> Result<DeadLetter, StorageError> {
    let id: DeliveryId = row.get("id")?;
    let reason: String = row.get("reason")?;
    let reason = reason_of(&reason)
        .ok_or_else(|| corrupt(format!("dead letter {id} has the reason `{reason}`")))?;
    Ok(DeadLetter {
        number: row.get("seq")?,
        id,
        key: DeliveryKey { event: row.get("event_id")?, endpoint: row.get("endpoint")? },
        application: row.get("application")?,
        event_id: row.get("producer_id")?,
        event_type: row.get("event_type")?,
        subject: row.get("subject")?,
        reason,
        attempts: row.get("attempts")?,
        last_status: row.get("last_status")?,
        last_outcome: row.get("last_outcome")?,
        last_detail: row.get("last_detail")?,
        payload_bytes: whole(row.get("payload_bytes")?),
        died_at: row.get("died_at")?,
    })
}

/// How many match.
pub(super) fn count(
    connection: &Connection,
    filter: &DeadLetterFilter,
) -> Result<u64, StorageError> {
    let counts = Conditions::of(filter).rows(
        connection,
        "SELECT count(*) FROM dead_letters d",
        "",
        |row| Ok(row.get::<_, i64>(0)?),
    )?;
    Ok(counts.into_iter().map(whole).sum())
}

/// What replaying those that match would do.
pub(super) fn count_replay(
    connection: &Connection,
    filter: &DeadLetterFilter,
) -> Result<ReplayCount, StorageError> {
    let groups = Conditions::of(filter).rows(
        connection,
        &format!(
            "SELECT d.endpoint, count(*), sum(d.payload_bytes), min(d.died_at), max(d.died_at), \
                    min(CASE WHEN {TAKES_REPLAYS} THEN 1 ELSE 0 END) \
             FROM dead_letters d {WHOSE}"
        ),
        "GROUP BY d.endpoint ORDER BY count(*) DESC, d.endpoint",
        |row| {
            Ok(Group {
                endpoint: row.get(0)?,
                count: whole(row.get(1)?),
                bytes: whole(row.get(2)?),
                span: (row.get(3)?, row.get(4)?),
                can_be_replayed: row.get(5)?,
            })
        },
    )?;
    let mut replay = ReplayCount::default();
    for group in groups {
        if !group.can_be_replayed {
            replay.without_endpoint += group.count;
            continue;
        }
        replay.by_endpoint.push((group.endpoint, group.count));
        replay.bytes += group.bytes;
        let (first, last) = group.span;
        replay.span = Some(match replay.span {
            Some((oldest, newest)) => (oldest.min(first), newest.max(last)),
            None => (first, last),
        });
    }
    Ok(replay)
}

/// The dead letters of one endpoint that match.
struct Group {
    endpoint: EndpointId,
    count: u64,
    bytes: u64,
    span: (Timestamp, Timestamp),
    can_be_replayed: bool,
}

/// The number of the dead letter that was laid down last; 0 when there is none.
pub(super) fn last_seq(connection: &Connection) -> Result<i64, StorageError> {
    Ok(connection
        .query_row("SELECT coalesce(max(seq), 0) FROM dead_letters", [], |row| row.get(0))?)
}

/// A count or a sum of sizes as a table gives it.
fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
