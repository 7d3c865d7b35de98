//! The tasks' port on SQLite: offering again what was given up, and owing what was missed.
//!
//! A step looks first and then offers. Looking is a reader's work: it walks, from the task's place on,
//! over what the endpoint was owed (recover), or over the events of its application (replay what was
//! missed), and notes what is to be offered. Only that is brought to the writer, which judges each once
//! more, and moves the place. So what was delivered long ago, nearly everything, costs the writer nothing.
//!
//! **What if we die right here?** Before the commit nothing has happened, and the step is taken again. With
//! it the task's place is behind what was offered. Two who take the same step (a router and the one that
//! takes its place) both look, and the place that one of them has moved tells the other that it is late.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::books::Movement;
use super::history::deliveries;
use super::history::moments::{self, SLACK};
use super::rows::{State, corrupt, read_json};
use super::{Sqlite, endpoints};
use crate::domain::application::Tenant;
use crate::domain::delivery::DeliveryKey;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::{Channels, EventType, WebhookMode};
use crate::domain::id::{EndpointId, EventId, TaskId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::tasks::{NewTask, RUNNING_MAX, Task, TaskKind, TaskState, Tasks};
use crate::storage::vault::Vault;

/// Most rows that one look goes over: some 20 ms of a reader's time.
const LOOK: u32 = 5_000;
/// A look ends after this long, on a slow disk too.
const LOOK_FOR: Duration = Duration::from_millis(50);
/// Most deliveries that one step offers: about 5 ms of the writer's time.
const STEP: usize = 500;

#[async_trait]
impl Tasks for Sqlite {
    async fn begin(
        &self,
        tenant: Tenant,
        task: NewTask,
        now: Timestamp,
    ) -> Result<Task, StorageError> {
        self.write(move |connection| begin(connection, tenant, task, now)).await
    }

    async fn task(&self, tenant: Tenant, id: TaskId) -> Result<Option<Task>, StorageError> {
        self.read(move |connection| {
            let found = entry(connection, id)?.map(|entry| entry.task);
            Ok(found.filter(|task| task.application == tenant.application()))
        })
        .await
    }

    async fn any(&self, id: TaskId) -> Result<Option<Task>, StorageError> {
        self.read(move |connection| Ok(entry(connection, id)?.map(|entry| entry.task))).await
    }

    async fn next_running(&self, after: Option<TaskId>) -> Result<Option<TaskId>, StorageError> {
        self.read(move |connection| next_running(connection, after)).await
    }

    async fn step(&self, id: TaskId, now: Timestamp) -> Result<u64, StorageError> {
        let vault = std::sync::Arc::clone(&self.vault);
        let looked = self.read(move |connection| look(connection, &vault, id)).await?;
        match looked {
            Some(look) => self.write(move |connection| take(connection, &look, now)).await,
            None => Ok(0),
        }
    }

    async fn fail(&self, id: TaskId, now: Timestamp) -> Result<(), StorageError> {
        self.write(move |connection| {
            let mut end = connection.prepare_cached(
                "UPDATE tasks SET state = 'failed', updated_at = ?2 \
                 WHERE id = ?1 AND state = 'running'",
            )?;
            end.execute(params![id, now])?;
            Ok(())
        })
        .await
    }
}

/// A task's row: the task, and how far it is.
struct Entry {
    task: Task,
    /// Done up to this event, by its number.
    place: i64,
    /// Not beyond this one.
    last: i64,
}

fn begin(
    connection: &Connection,
    tenant: Tenant,
    task: NewTask,
    now: Timestamp,
) -> Result<Task, StorageError> {
    let NewTask { id, kind, endpoint, since, until } = task;
    let application = tenant.application();
    let mut find = connection.prepare_cached(
        "SELECT 1 FROM endpoints WHERE id = ?1 AND application = ?2 AND deleted_at IS NULL",
    )?;
    if !find.exists(params![endpoint, application])? {
        return Err(StorageError::Conflict(format!("endpoint {endpoint} does not exist")));
    }
    let mut running = connection.prepare_cached(
        "SELECT count(*) FROM tasks INDEXED BY tasks_running \
         WHERE state = 'running' AND application = ?1",
    )?;
    if running.query_row([application], |row| row.get::<_, u32>(0))? >= RUNNING_MAX {
        return Err(StorageError::Conflict(format!(
            "{RUNNING_MAX} tasks of this application are running: another can begin when one is done"
        )));
    }
    let newest: i64 =
        connection.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
    let last = match until {
        Some(until) => (moments::first_at(connection, until + SLACK)? - 1).min(newest),
        None => newest,
    };
    let place = moments::first_at(connection, since - SLACK)? - 1;
    let mut insert = connection.prepare_cached(
        "INSERT INTO tasks (id, kind, application, endpoint, since, until, place, last, moved, \
                            state, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 'running', ?9, ?9)",
    )?;
    let kind_word = kind.as_str();
    insert.execute(params![
        id,
        kind_word,
        application,
        endpoint,
        since,
        until,
        place,
        last,
        now
    ])?;
    Ok(Task {
        id,
        kind,
        application,
        endpoint,
        since,
        until,
        moved: 0,
        state: TaskState::Running,
        created_at: now,
        updated_at: now,
    })
}

fn entry(connection: &Connection, id: TaskId) -> Result<Option<Entry>, StorageError> {
    let mut find = connection.prepare_cached("SELECT * FROM tasks WHERE id = ?1")?;
    let mut found = find.query([id])?;
    found.next()?.map(read).transpose()
}

fn read(row: &Row<'_>) -> Result<Entry, StorageError> {
    let id: TaskId = row.get("id")?;
    let (kind, state): (String, String) = (row.get("kind")?, row.get("state")?);
    let kind = TaskKind::ALL.into_iter().find(|known| known.as_str() == kind);
    let state = TaskState::ALL.into_iter().find(|known| known.as_str() == state);
    let (Some(kind), Some(state)) = (kind, state) else {
        return Err(corrupt(format!("task {id} is of no kind, or in no state, that we know")));
    };
    let task = Task {
        id,
        kind,
        application: row.get("application")?,
        endpoint: row.get("endpoint")?,
        since: row.get("since")?,
        until: row.get("until")?,
        moved: u64::try_from(row.get::<_, i64>("moved")?).unwrap_or(0),
        state,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    };
    Ok(Entry { task, place: row.get("place")?, last: row.get("last")? })
}

/// The first running task behind this one; behind the last comes the first again.
fn next_running(
    connection: &Connection,
    after: Option<TaskId>,
) -> Result<Option<TaskId>, StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT id FROM tasks WHERE state = 'running' AND id > ?1 ORDER BY id LIMIT 1",
    )?;
    let mut behind = |bytes: &[u8]| find.query_row([bytes], |row| row.get(0)).optional();
    if let Some(after) = after
        && let Some(next) = behind(after.as_bytes().as_slice())?
    {
        return Ok(Some(next));
    }
    Ok(behind(&[])?)
}

/// What a look found.
struct Look {
    id: TaskId,
    kind: TaskKind,
    endpoint: EndpointId,
    /// What is to be offered, by number and id.
    events: Vec<(i64, EventId)>,
    /// Where the task was.
    from: i64,
    /// Where it is when this is done.
    next: i64,
    /// What it is then.
    state: TaskState,
}

/// Looks for what the next step offers; `None` for a task that is not running.
fn look(connection: &Connection, vault: &Vault, id: TaskId) -> Result<Option<Look>, StorageError> {
    let Some(Entry { task, place, last }) = entry(connection, id)? else { return Ok(None) };
    if task.state != TaskState::Running {
        return Ok(None);
    }
    let mut look = Look {
        id,
        kind: task.kind,
        endpoint: task.endpoint,
        events: Vec::new(),
        from: place,
        next: place,
        state: TaskState::Running,
    };
    // Whether it may be called is for the writer to say, at the moment that it offers something.
    let at_the_end = match task.kind {
        TaskKind::Recover => given_up(connection, &task, last, &mut look)?,
        TaskKind::ReplayMissing => match endpoints::any(connection, vault, task.endpoint)? {
            Some(endpoint) => missed(connection, &task, &endpoint, last, &mut look)?,
            None => true,
        },
    };
    if at_the_end {
        look.state = TaskState::Finished;
    }
    Ok(Some(look))
}

impl Look {
    /// Goes over rows in the order of their events until there is enough for a step; whether these were
    /// the last. A row's first column is its event's number.
    fn over(
        &mut self,
        mut rows: rusqlite::Rows<'_>,
        mut wanted: impl FnMut(&Row<'_>, i64) -> Result<Option<EventId>, StorageError>,
    ) -> Result<bool, StorageError> {
        let begun = Instant::now();
        let mut seen = 0;
        while self.events.len() < STEP && begun.elapsed() < LOOK_FOR {
            let Some(row) = rows.next()? else { return Ok(seen < LOOK) };
            let seq = row.get(0)?;
            self.events.extend(wanted(row, seq)?.map(|id| (seq, id)));
            self.next = seq;
            seen += 1;
        }
        Ok(false)
    }
}

/// The walk over what an endpoint was owed.
pub(super) const OWED: &str = "SELECT event, state FROM deliveries INDEXED BY deliveries_to \
     WHERE endpoint = ?1 AND event > ?2 AND event <= ?3 ORDER BY event LIMIT ?4";

/// Whether a person who recovers an endpoint means it: what was given up, kept or not. Not what is unknown: its
/// receiver may have it, and was promised that it comes at most once. Who wants one of those sent again asks
/// for it by name.
const fn is_given_up(state: State) -> bool {
    match state {
        State::Dead | State::Dropped => true,
        State::Pending | State::Waiting | State::Delivered | State::Cancelled | State::Unknown => {
            false
        }
    }
}

/// What was given up.
fn given_up(
    connection: &Connection,
    task: &Task,
    last: i64,
    look: &mut Look,
) -> Result<bool, StorageError> {
    let mut find = connection.prepare_cached(OWED)?;
    let mut event =
        connection.prepare_cached("SELECT id, received_at FROM events WHERE seq = ?1")?;
    let found = find.query(params![task.endpoint, look.next, last, LOOK])?;
    look.over(found, |row, seq| {
        if !is_given_up(row.get("state")?) {
            return Ok(None);
        }
        let event: Option<(EventId, Timestamp)> =
            event.query_row([seq], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        Ok(event.filter(|(_, received_at)| is_in(task, *received_at)).map(|(id, _)| id))
    })
}

/// The walk over an application's events.
pub(super) const EVENTS: &str = "SELECT seq, id, type, channels, webhook_mode, received_at FROM events INDEXED BY events_of \
     WHERE application = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT ?4";

/// What the endpoint wants now and was never owed.
fn missed(
    connection: &Connection,
    task: &Task,
    endpoint: &Endpoint,
    last: i64,
    look: &mut Look,
) -> Result<bool, StorageError> {
    let mut find = connection.prepare_cached(EVENTS)?;
    let mut owed =
        connection.prepare_cached("SELECT 1 FROM deliveries WHERE event = ?1 AND endpoint = ?2")?;
    let found = find.query(params![task.application, look.next, last, LOOK])?;
    look.over(found, |row, seq| {
        if !is_in(task, row.get("received_at")?) || !wants(endpoint, row)? {
            return Ok(None);
        }
        if owed.exists(params![seq, task.endpoint])? {
            return Ok(None);
        }
        Ok(Some(row.get("id")?))
    })
}

/// Whether an endpoint wants the event of this row, as routing would say.
fn wants(endpoint: &Endpoint, row: &Row<'_>) -> Result<bool, StorageError> {
    let event_type: String = row.get("type")?;
    let event_type: EventType =
        event_type.parse().map_err(|error| corrupt(format!("an event: {error}")))?;
    let elsewhere = Some(WebhookMode::Override.as_str());
    if !endpoint.filter.wants(&event_type)
        || row.get::<_, Option<String>>("webhook_mode")?.as_deref() == elsewhere
    {
        return Ok(false);
    }
    let channels: Channels = match row.get::<_, Option<String>>("channels")? {
        Some(names) => read_json(&names, "an event", "channels")?,
        None => Channels::default(),
    };
    Ok(endpoint.listens_on(&channels))
}

fn is_in(task: &Task, received_at: Timestamp) -> bool {
    received_at >= task.since && task.until.is_none_or(|until| received_at < until)
}

/// Takes the step; how many deliveries were offered.
fn take(connection: &Connection, look: &Look, now: Timestamp) -> Result<u64, StorageError> {
    let mut callable = connection.prepare_cached(
        "SELECT 1 FROM endpoints WHERE id = ?1 AND deleted_at IS NULL AND state <> 'disabled'",
    )?;
    let callable = callable.exists([look.endpoint])?;
    let (next, state) =
        if callable { (look.next, look.state) } else { (look.from, TaskState::Failed) };
    let mut advance = connection.prepare_cached(
        "UPDATE tasks SET place = ?3, state = ?4, updated_at = ?5 \
         WHERE id = ?1 AND place = ?2 AND state = 'running'",
    )?;
    if advance.execute(params![look.id, look.from, next, state.as_str(), now])? == 0 || !callable {
        return Ok(0); // somebody else has taken this step, or there is nobody to offer anything to
    }
    let mut movement = Movement::default();
    let mut moved = 0;
    for (seq, event) in &look.events {
        let offered = match look.kind {
            TaskKind::Recover => {
                revive(connection, *seq, *event, look.endpoint, now, &mut movement)?
            }
            TaskKind::ReplayMissing => {
                deliveries::owe(connection, *seq, look.endpoint, None, now, &mut movement)?
            }
        };
        moved += u32::from(offered);
    }
    movement.post(connection)?;
    let mut count =
        connection.prepare_cached("UPDATE tasks SET moved = moved + ?2 WHERE id = ?1")?;
    count.execute(params![look.id, moved])?;
    Ok(u64::from(moved))
}

/// Brings a delivery that was given up back to waiting, with its attempts beginning anew; whether it was.
fn revive(
    connection: &Connection,
    seq: i64,
    event: EventId,
    endpoint: EndpointId,
    now: Timestamp,
    movement: &mut Movement,
) -> Result<bool, StorageError> {
    let mut find = connection
        .prepare_cached("SELECT state FROM deliveries WHERE event = ?1 AND endpoint = ?2")?;
    let state = find.query_row(params![seq, endpoint], |row| row.get(0)).optional()?;
    let Some(state) = state.filter(|state| is_given_up(*state)) else {
        return Ok(false); // replayed or discarded since it was looked at
    };
    let mut revive = connection.prepare_cached(
        "UPDATE deliveries SET turn = turn + 1, attempts = 0, state = 1, held_by = 2, due_at = ?3 \
         WHERE event = ?1 AND endpoint = ?2",
    )?;
    revive.execute(params![seq, endpoint, now])?;
    let mut lift = connection.prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?;
    lift.execute([DeliveryKey { event, endpoint }.id()])?;
    movement.moves(state, State::Waiting);
    Ok(true)
}

/// Whether there is a task that ended before this moment.
pub(super) fn any_ended(connection: &Connection, before: Timestamp) -> Result<bool, StorageError> {
    let mut find = connection.prepare_cached(&ended("SELECT 1"))?;
    Ok(find.exists(params![first_of(before), before, 1])?)
}

/// Forgets tasks that ended before this moment, at most so many; how many.
pub(super) fn forget(
    connection: &Connection,
    before: Timestamp,
    most: u32,
) -> Result<usize, StorageError> {
    let mut forget = connection
        .prepare_cached(&format!("DELETE FROM tasks WHERE id IN ({})", ended("SELECT id")))?;
    Ok(forget.execute(params![first_of(before), before, most])?)
}

/// Ended tasks, oldest first: what was begun later did not end before.
fn ended(select: &str) -> String {
    format!(
        "{select} FROM tasks WHERE id < ?1 AND state <> 'running' AND updated_at < ?2 \
         ORDER BY id LIMIT ?3"
    )
}

fn first_of(moment: Timestamp) -> TaskId {
    TaskId::minted(moment, [0; 15])
}
