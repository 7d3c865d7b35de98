//! Publishing into the file: the event is appended, and noted as not routed yet. Beside a broker it is the
//! same, behind its confirm, and the broker brings the event.
//!
//! The payload is written once: accepting the event later adds what it owes beside it.
//!
//! **What if we die right here?** Before the commit nobody was answered, and the request is repeated.
//! Behind it the event is noted in `inbox`, and whoever opens the file next takes it from there.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::engine::{Connection, OptionalExtension, params};
use super::{Sql, rows};
use crate::domain::event::{ApplicationName, NewEvent, Rejection};
use crate::domain::id::{ApplicationId, OrganisationId};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::storage::StorageError;
use crate::storage::inbox::{Publication, Publish, Published, Record};

/// Publishes into the file.
pub struct SqlPublisher {
    store: Sql,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Sql {
    /// Where events are published; `now` says when they are received.
    pub fn publisher(&self, now: Arc<dyn Fn() -> Timestamp + Send + Sync>) -> SqlPublisher {
        SqlPublisher { store: self.clone(), now }
    }
}

#[async_trait]
impl Publish for SqlPublisher {
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let now = (self.now)();
        let answers = self.store.write(move |connection| append(connection, &entries, now)).await?;
        failpoint!("publish.appended");
        if answers.contains(&Published::Now) {
            self.store.bell.events();
        }
        Ok(answers)
    }

    async fn publish_whole(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        if batch.len() == 1 {
            return self.publish(batch).await; // what is taken is not written: whole by itself
        }
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let now = (self.now)();
        let answers =
            self.store.write(move |connection| append_whole(connection, &entries, now)).await?;
        if !answers.contains(&Published::Taken) {
            self.store.bell.events();
        }
        Ok(answers)
    }
}

#[async_trait]
impl Record for SqlPublisher {
    async fn foresee(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let now = (self.now)();
        self.store.read(move |connection| foresee(connection, &entries, now)).await
    }

    async fn announce(&self, batch: &[Publication]) -> Result<(), StorageError> {
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let now = (self.now)();
        self.store.write(move |connection| announce(connection, &entries, now)).await
    }
}

/// An event with what its request is recognised by.
type Arriving = (NewEvent, Option<String>);

fn entry(publication: &Publication) -> Result<Arriving, StorageError> {
    Ok((publication.event()?, publication.idempotency_key.clone()))
}

/// Appends all, or none when one is taken.
fn append_whole(
    connection: &Connection,
    entries: &[Arriving],
    now: Timestamp,
) -> Result<Vec<Published>, StorageError> {
    connection.guard()?;
    let answers = append(connection, entries, now)?; // what fails undoes the savepoint, too
    if answers.contains(&Published::Taken) {
        connection.undo()?;
    } else {
        connection.keep()?;
    }
    Ok(answers)
}

fn append(
    connection: &Connection,
    entries: &[Arriving],
    now: Timestamp,
) -> Result<Vec<Published>, StorageError> {
    let mut note = connection.prepare_cached("INSERT INTO inbox (event) VALUES (?1)")?;
    let mut applications = Applications::new(connection);
    let mut answers = Vec::with_capacity(entries.len());
    for (event, key) in entries {
        let application = applications.id(&event.application)?;
        let event = event.clone().of(application, now);
        let request = key.as_deref().map(|key| request(application, key));
        if let Some(seq) = rows::add_event(connection, &event)? {
            note.execute([seq])?;
            if let Some(request) = request {
                remember(connection, request, seq, now)?;
            }
            answers.push(Published::Now);
        } else {
            let seq = rows::seq_of(connection, event.id)?;
            answers.push(known(connection, seq, request)?);
        }
    }
    Ok(answers)
}

/// What publishing something again is answered that has this number.
fn known(
    connection: &Connection,
    seq: Option<i64>,
    request: Option<[u8; 16]>,
) -> Result<Published, StorageError> {
    let before = match request {
        Some(request) => published_by(connection, request)? == seq,
        None => false,
    };
    Ok(if before { Published::Before } else { Published::Taken })
}

fn foresee(
    connection: &Connection,
    entries: &[Arriving],
    now: Timestamp,
) -> Result<Vec<Published>, StorageError> {
    let mut applications = Applications::new(connection);
    let mut answers = Vec::with_capacity(entries.len());
    for (event, key) in entries {
        let application = applications.id(&event.application)?;
        let request = key.as_deref().map(|key| request(application, key));
        let seq = rows::seq_of(connection, event.clone().of(application, now).id)?;
        answers.push(match seq {
            Some(seq) => known(connection, Some(seq), request)?,
            None => Published::Now,
        });
    }
    Ok(answers)
}

fn announce(
    connection: &Connection,
    entries: &[Arriving],
    now: Timestamp,
) -> Result<(), StorageError> {
    let answers = append(connection, entries, now)?;
    let mut applications = Applications::new(connection);
    for ((event, key), answer) in entries.iter().zip(answers) {
        let (Some(key), Published::Taken) = (key, answer) else { continue };
        // The broker was faster, and it is accepted already: by this request all the same.
        let application = applications.id(&event.application)?;
        let id = event.clone().of(application, now).id;
        if let Some(seq) = rows::seq_of(connection, id)? {
            remember(connection, request(application, key), seq, now)?;
        }
    }
    Ok(())
}

/// Applications by what they are called: a batch is nearly always of one.
struct Applications<'a> {
    connection: &'a Connection,
    known: HashMap<ApplicationName, ApplicationId>,
}

impl<'a> Applications<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self { connection, known: HashMap::new() }
    }

    fn id(&mut self, name: &ApplicationName) -> Result<ApplicationId, StorageError> {
        Ok(match self.known.entry(name.clone()) {
            Entry::Occupied(found) => *found.get(),
            Entry::Vacant(place) => *place.insert(application(self.connection, name)?),
        })
    }
}

fn application(
    connection: &Connection,
    name: &ApplicationName,
) -> Result<ApplicationId, StorageError> {
    let found = match name {
        ApplicationName::Id(id) => connection
            .prepare_cached("SELECT id FROM applications WHERE id = ?1 AND deleted_at IS NULL")?
            .query_row([id], |row| row.get(0))
            .optional()?,
        // A uid alone is one of the default organisation's.
        ApplicationName::Uid(uid) => connection
            .prepare_cached(
                "SELECT id FROM applications \
                 WHERE organisation = ?1 AND uid = ?2 AND deleted_at IS NULL",
            )?
            .query_row(params![OrganisationId::DEFAULT, uid], |row| row.get(0))
            .optional()?,
    };
    found.ok_or_else(|| {
        StorageError::Conflict(Rejection::UnknownApplication(name.to_string()).to_string())
    })
}

/// What a request is remembered by: no key of one application is another's.
fn request(application: ApplicationId, key: &str) -> [u8; 16] {
    let digest = Sha256::new().chain_update(application.as_bytes()).chain_update(key).finalize();
    let (head, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    *head
}

fn remember(
    connection: &Connection,
    request: [u8; 16],
    event: i64,
    now: Timestamp,
) -> Result<(), StorageError> {
    // A key that was used for another event before is now this one's.
    let mut insert = connection.prepare_cached(
        "INSERT INTO requests (key, event, at) VALUES (?1, ?2, ?3) \
             ON CONFLICT (key) DO UPDATE SET event = ?2, at = ?3",
    )?;
    insert.execute(params![request, event, now])?;
    Ok(())
}

fn published_by(connection: &Connection, request: [u8; 16]) -> Result<Option<i64>, StorageError> {
    let mut find = connection.prepare_cached("SELECT event FROM requests WHERE key = ?1")?;
    Ok(find.query_row([request], |row| row.get(0)).optional()?)
}
