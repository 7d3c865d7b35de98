//! Where events are published: appended to the record and noted, or sent to the broker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::faults::Call;
use super::{Memory, Shape, Store};
use crate::domain::event::{ApplicationName, NewEvent, Rejection};
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inbox::{Publication, Publish, Published};

#[async_trait]
impl Publish for Memory {
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        self.publish_as(batch, Batch::Single).await
    }

    async fn publish_whole(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        self.publish_as(batch, Batch::Whole).await
    }
}

/// Whether what is taken keeps the rest of its batch from being published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Batch {
    Single,
    Whole,
}

impl Memory {
    async fn publish_as(
        &self,
        batch: &[Publication],
        kind: Batch,
    ) -> Result<Vec<Published>, StorageError> {
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let (shape, now) = (self.shape(), self.now());
        let published = self
            .call(Call::Publish, |store| match shape {
                Shape::OneStore => append(store, entries, kind, now),
                Shape::Broker { .. } => Ok(entries
                    .into_iter()
                    .map(|(event, _)| {
                        store.broker.publish(event);
                        Published::Now
                    })
                    .collect()),
            })
            .await;
        self.ring();
        published
    }
}

/// An event with what its request is recognised by.
type Entry = (NewEvent, Option<String>);

fn entry(publication: &Publication) -> Result<Entry, StorageError> {
    Ok((publication.event()?, publication.idempotency_key.clone()))
}

/// All or none: an application that nobody knows refuses the whole batch. Answers first, and then the
/// effect: a whole batch may have none.
fn append(
    store: &mut Store,
    entries: Vec<Entry>,
    kind: Batch,
    now: Timestamp,
) -> Result<Vec<Published>, StorageError> {
    let mut named = Vec::with_capacity(entries.len());
    for (event, key) in entries {
        let application = store.catalogue.application(OrganisationId::DEFAULT, &event.application);
        let application = application.ok_or_else(|| unknown(&event.application))?.id;
        let request = key.map(|key| (application, key));
        named.push((Arc::new(event.of(application, now)), request));
    }
    let (mut new, mut requested) = (BTreeSet::new(), BTreeMap::new());
    let mut answers = Vec::with_capacity(named.len());
    for (event, request) in &named {
        let number = store.rows.number(event.id);
        if number.is_none() && new.insert(event.id) {
            requested.extend(request.as_ref().map(|request| (request, event.id)));
            answers.push(Published::Now);
            continue;
        }
        let before = request.as_ref().is_some_and(|request| match requested.get(request) {
            Some(id) => *id == event.id,
            None => number.is_some() && store.noted.requests.get(request).copied() == number,
        });
        answers.push(if before { Published::Before } else { Published::Taken });
    }
    if kind == Batch::Whole && answers.contains(&Published::Taken) {
        return Ok(answers);
    }
    for (event, request) in named {
        if let Some(number) = store.rows.add_event(&event) {
            store.noted.add(number);
            store.noted.requests.extend(request.map(|request| (request, number)));
        }
    }
    Ok(answers)
}

fn unknown(name: &ApplicationName) -> StorageError {
    StorageError::Conflict(Rejection::UnknownApplication(name.to_string()).to_string())
}
