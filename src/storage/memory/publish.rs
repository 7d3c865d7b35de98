//! Where events are published: appended to the record and noted, or sent to the broker.

use std::sync::Arc;

use async_trait::async_trait;

use super::faults::Call;
use super::{Memory, Shape, Store};
use crate::domain::event::{ApplicationName, Identity, NewEvent, Rejection};
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::inbox::{Publication, Publish, Published};

#[async_trait]
impl Publish for Memory {
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let (shape, now) = (self.shape(), self.now());
        let published = self
            .call(Call::Publish, |store| match shape {
                Shape::OneStore => append(store, entries, now),
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
    let event = NewEvent {
        application: publication.application.as_str().into(),
        event_type: publication.check()?,
        identity: Identity::Given(publication.event_id.as_str().into()),
        subject: publication.subject.as_deref().map(Into::into),
        occurred_at: publication.occurred_at,
        received_at: None,
        deliver_at: publication.deliver_at,
        expires_at: None,
        content_type: None,
        traceparent: None,
        payload: publication.payload.clone(),
    };
    Ok((event, publication.idempotency_key.clone()))
}

/// All or none: an application that nobody knows refuses the whole batch.
fn append(
    store: &mut Store,
    entries: Vec<Entry>,
    now: Timestamp,
) -> Result<Vec<Published>, StorageError> {
    let mut named = Vec::with_capacity(entries.len());
    for (event, key) in entries {
        let application = store.catalogue.application(OrganisationId::DEFAULT, &event.application);
        let application = application.ok_or_else(|| unknown(&event.application))?.id;
        named.push((application, Arc::new(event.of(application, now)), key));
    }
    let mut answers = Vec::with_capacity(named.len());
    for (application, event, key) in named {
        let request = key.map(|key| (application, key));
        if let Some(number) = store.rows.add_event(&event) {
            store.noted.add(number);
            if let Some(request) = request {
                store.noted.requests.insert(request, number);
            }
            answers.push(Published::Now);
        } else {
            let number = store.rows.number(event.id);
            let by = request.and_then(|request| store.noted.requests.get(&request).copied());
            let before = by.is_some() && by == number;
            answers.push(if before { Published::Before } else { Published::Taken });
        }
    }
    Ok(answers)
}

fn unknown(name: &ApplicationName) -> StorageError {
    StorageError::Conflict(Rejection::UnknownApplication(name.to_string()).to_string())
}
