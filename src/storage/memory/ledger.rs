//! The ledger's port: dead letters, attempts, and what a person moves: replay, recall, cancel.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use async_trait::async_trait;

use super::faults::Call;
use super::rows::{Place, Rows};
use super::{Memory, Store};
use crate::domain::application::Tenant;
use crate::domain::delivery::{DeliveryKey, DeliveryState, Holder, Standing, Turn};
use crate::domain::endpoint::{EndpointState, default_of};
use crate::domain::event::Event;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::dead_letters::{DeadLetter, DeadLetterFilter};
use crate::storage::journal::{AttemptRecord, Ledger, ReplayCount};

#[async_trait]
impl Ledger for Memory {
    async fn dead_letters(
        &self,
        filter: &DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StorageError> {
        self.call(Call::Ledger, |store| dead_letters(store, filter, after, limit)).await
    }

    async fn count_dead_letters(&self, filter: &DeadLetterFilter) -> Result<u64, StorageError> {
        self.call(Call::Ledger, |store| Ok(those_of(store, filter).len() as u64)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>, StorageError> {
        self.call(Call::Ledger, |store| {
            let rows = &store.rows;
            Ok(rows.number(id).map(|number| rows.event(number).as_ref().clone()))
        })
        .await
    }

    async fn attempts(&self, key: DeliveryKey) -> Result<Vec<AttemptRecord>, StorageError> {
        self.call(Call::Ledger, |store| {
            let place = store.rows.place(key);
            Ok(place.map(|place| store.rows.attempts(place)).unwrap_or_default())
        })
        .await
    }

    async fn count_replay(&self, filter: &DeadLetterFilter) -> Result<ReplayCount, StorageError> {
        self.call(Call::Ledger, |store| Ok(count_replay(store, filter))).await
    }

    async fn replay(&self, filter: &DeadLetterFilter, now: Timestamp) -> Result<u64, StorageError> {
        let replayed = self.call(Call::Ledger, |store| Ok(replay(store, filter, now))).await;
        self.ring();
        replayed
    }

    async fn recall(&self, endpoint: EndpointId, now: Timestamp) -> Result<u64, StorageError> {
        self.call(Call::Ledger, |store| Ok(recall(&mut store.rows, endpoint, now))).await
    }

    async fn recall_held(
        &self,
        application: ApplicationId,
        now: Timestamp,
    ) -> Result<u64, StorageError> {
        self.call(Call::Ledger, |store| Ok(recall_held(store, application, now))).await
    }

    async fn resend(
        &self,
        tenant: Tenant,
        key: DeliveryKey,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        self.call(Call::Ledger, |store| resend(store, tenant, key, now)).await
    }

    async fn cancel(&self, endpoint: EndpointId, _now: Timestamp) -> Result<u64, StorageError> {
        self.call(Call::Ledger, |store| Ok(cancel(&mut store.rows, endpoint))).await
    }
}

/// The numbers of those that match.
fn those_of(store: &Store, filter: &DeadLetterFilter) -> Vec<u64> {
    let meant = |(_, one): &(&u64, &DeadLetter)| {
        filter.matches(store.catalogue.organisation_of(one.application), one)
    };
    store.rows.dead_letters.iter().filter(meant).map(|(number, _)| *number).collect()
}

fn dead_letters(
    store: &Store,
    filter: &DeadLetterFilter,
    after: Option<DeliveryId>,
    limit: usize,
) -> Result<Vec<DeadLetter>, StorageError> {
    let (mut found, rows) = (those_of(store, filter), &store.rows);
    found.sort_by_key(|number| Reverse((rows.dead_letters[number].died_at, *number)));
    if let Some(after) = after {
        let seen = rows.dead_letters.iter().find(|(_, one)| one.id == after);
        let (number, seen) = seen.ok_or_else(|| {
            StorageError::Conflict(format!(
                "{after} is no longer among the dead letters: begin the list anew"
            ))
        })?;
        let place = (seen.died_at, *number);
        found.retain(|number| (rows.dead_letters[number].died_at, *number) < place);
    }
    found.truncate(limit);
    Ok(found.iter().map(|number| rows.dead_letters[number].clone()).collect())
}

/// Whether an endpoint is there and not disabled, or a URL that nobody lists as one: dead letters of others
/// stay where they are.
fn takes_replays(store: &Store, key: DeliveryKey) -> bool {
    match store.catalogue.endpoint(key.endpoint) {
        Some(endpoint) => endpoint.state != EndpointState::Disabled,
        None => is_unlisted(store, key),
    }
}

/// Whether an event can be sent to a URL of this id: its application's default one, or one that it names.
fn is_unlisted(store: &Store, key: DeliveryKey) -> bool {
    let Some(number) = store.rows.number(key.event) else { return false };
    let event = store.rows.event(number);
    let settings = store.catalogue.settings_of(event.application);
    let by_default = key.endpoint == default_of(event.application)
        && settings.is_some_and(|settings| settings.default_url.is_some());
    store.catalogue.has(event.application) && (by_default || event.names(key.endpoint))
}

fn count_replay(store: &Store, filter: &DeadLetterFilter) -> ReplayCount {
    let mut counted: BTreeMap<EndpointId, u64> = BTreeMap::new();
    let mut replay = ReplayCount::default();
    for number in those_of(store, filter) {
        let one = &store.rows.dead_letters[&number];
        if !takes_replays(store, one.key) {
            replay.without_endpoint += 1;
            continue;
        }
        *counted.entry(one.key.endpoint).or_default() += 1;
        let event = store.rows.number(one.key.event).map(|number| store.rows.event(number));
        replay.bytes += event.map_or(0, |event| event.payload.len() as u64);
        replay.span = Some(match replay.span {
            Some((first, last)) => (first.min(one.died_at), last.max(one.died_at)),
            None => (one.died_at, one.died_at),
        });
    }
    replay.by_endpoint = counted.into_iter().collect();
    replay.by_endpoint.sort_by_key(|(endpoint, count)| (Reverse(*count), *endpoint));
    replay
}

fn replay(store: &mut Store, filter: &DeadLetterFilter, now: Timestamp) -> u64 {
    let mut replayed = 0;
    for number in those_of(store, filter) {
        let key = store.rows.dead_letters[&number].key;
        if takes_replays(store, key) {
            store.rows.dead_letters.remove(&number);
            let (place, standing) = row(&store.rows, key);
            offer(&mut store.rows, place, Standing { attempts: 0, ..standing }, now);
            replayed += 1;
        }
    }
    replayed
}

fn row(rows: &Rows, key: DeliveryKey) -> (Place, Standing) {
    let place = rows.place(key).expect("a dead letter's event is there");
    (place, rows.standing(place).expect("and its row"))
}

/// Not what a router holds or has claimed: that copy goes on by itself. Nor what is on offer already.
fn recall(rows: &mut Rows, endpoint: EndpointId, now: Timestamp) -> u64 {
    let mut recalled = 0;
    for (place, standing) in rows.unfinished(endpoint) {
        let DeliveryState::Waiting { due_at, held_by } = standing.state else { continue };
        let idle = match held_by {
            Holder::Ladder | Holder::Circuit => true,
            Holder::Journal => due_at == Timestamp::NEVER,
            Holder::Router => false,
        };
        if idle {
            offer(rows, place, standing, now);
            recalled += 1;
        }
    }
    recalled
}

/// What an application has held back; not what waits for an endpoint that is not active.
fn recall_held(store: &mut Store, application: ApplicationId, now: Timestamp) -> u64 {
    let held = |(place, standing): &(Place, Standing)| {
        let endpoint = store.catalogue.endpoint(place.1);
        let waits = DeliveryState::Waiting { due_at: Timestamp::NEVER, held_by: Holder::Journal };
        standing.state == waits
            && store.rows.event(place.0).application == application
            && endpoint.is_none_or(|endpoint| endpoint.state == EndpointState::Active)
    };
    let found: Vec<_> = store.rows.every_unfinished().filter(held).collect();
    for (place, standing) in &found {
        offer(&mut store.rows, *place, *standing, now);
    }
    found.len() as u64
}

/// Held by the journal, due now, at the next turn: copies elsewhere die when they come back.
fn offer(rows: &mut Rows, place: Place, standing: Standing, now: Timestamp) {
    let state = DeliveryState::Waiting { due_at: now, held_by: Holder::Journal };
    rows.put(place, Standing { turn: standing.turn.next(), state, ..standing });
}

fn cancel(rows: &mut Rows, endpoint: EndpointId) -> u64 {
    let unfinished = rows.unfinished(endpoint);
    for (place, standing) in &unfinished {
        let state = DeliveryState::Cancelled;
        rows.put(*place, Standing { turn: standing.turn.next(), state, ..*standing });
    }
    unfinished.len() as u64
}

fn resend(
    store: &mut Store,
    tenant: Tenant,
    key: DeliveryKey,
    now: Timestamp,
) -> Result<bool, StorageError> {
    let owner = Some(tenant.application());
    let endpoint = store.catalogue.endpoint(key.endpoint).map(|one| one.application);
    let Some(place) = store.rows.place(key) else { return Ok(false) };
    if Some(store.rows.event(place.0).application) != owner
        || !(endpoint == owner || (endpoint.is_none() && is_unlisted(store, key)))
    {
        return Ok(false);
    }
    if store.noted.has(place.0) {
        let event = key.event;
        return Err(StorageError::Conflict(format!("event {event} is not routed yet")));
    }
    if store.rows.standing(place).is_none() {
        store.rows.owe(place);
        let turn = Turn::FIRST.next();
        store.rows.put(place, Standing { turn, attempts: 0, state: DeliveryState::Cancelled });
    }
    store.resends.ask(place, now);
    Ok(true)
}
