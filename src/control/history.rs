//! What tenants see of their events, and what they may do about each: lists, what became of it, forgetting it
//! and sending it once more.
//!
//! Everything is asked for by a [`Tenant`], and what is not the tenant's is not found. Not here: how a
//! question is read from a request and an answer written (`api`), and work on many events (`replays`).

use std::collections::HashMap;
use std::time::Duration;

use super::{Answer, Control, ControlError, no_endpoint};
use crate::domain::application::Tenant;
use crate::domain::delivery::{DeliveryKey, Shown};
use crate::domain::endpoint::{EndpointState, default_of};
use crate::domain::event::Event;
use crate::domain::id::{AttemptId, EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::history::{
    AttemptEntry, AttemptFilter, DeliveryCounts, EndpointDelivery, EventDelivery, EventFilter,
};
use crate::storage::page::{Listed, Page};

/// How long a time may be counted over: what client libraries know.
const COUNT_SPAN: Duration = Duration::from_hours(24 * 28);

/// A page of attempts with their events ends when the payloads come to this: each attempt shows its event's,
/// and 250 of the largest would be gigabytes.
const PAYLOADS_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Why an event is not sent once more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResendError {
    /// Its payload was deleted.
    #[error("the payload of event {0} was deleted: there is nothing to send")]
    MissingPayload(EventId),
    /// The endpoint is not called.
    #[error("endpoint {0} is {1}: it has to be active to be called")]
    NotActive(EndpointId, EndpointState),
    /// Everything else.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// An attempt with its event, unless that is gone.
pub type AttemptWithEvent = (AttemptEntry, Option<Event>);

impl Control {
    /// A tenant's events.
    ///
    /// # Errors
    /// `Conflict` when the page lies beside an event that is not there.
    pub async fn events(
        &self,
        tenant: Tenant,
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Answer<Listed<Event, EventId>> {
        Ok(self.history.events(tenant, filter, page, payloads).await?)
    }

    /// A tenant's event of that id, or that its producer called so.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn event_of(&self, tenant: Tenant, name: &str) -> Answer<Event> {
        self.history.event_of(tenant, name).await?.ok_or_else(|| no_event(name))
    }

    /// Attempts at an endpoint.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn attempts_at(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
        responses: bool,
    ) -> Answer<Listed<AttemptEntry, AttemptId>> {
        Ok(self.history.attempts_at(tenant, endpoint, filter, page, responses).await?)
    }

    /// Attempts for an event.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn attempts_for(
        &self,
        tenant: Tenant,
        event: EventId,
        filter: &AttemptFilter,
        page: &Page<AttemptId>,
        responses: bool,
    ) -> Answer<Listed<AttemptEntry, AttemptId>> {
        Ok(self.history.attempts_for(tenant, event, filter, page, responses).await?)
    }

    /// The same attempts with their events, as many of them as their payloads allow: a page that ends
    /// early says where to go on.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn with_events(
        &self,
        tenant: Tenant,
        page: &Page<AttemptId>,
        mut listed: Listed<AttemptEntry, AttemptId>,
    ) -> Answer<Listed<AttemptWithEvent, AttemptId>> {
        let (_, backwards) = page.reading();
        if backwards {
            listed.rows.reverse(); // what is left out is what was read last
        }
        let Listed { rows, mut beyond } = listed;
        let (mut known, mut bytes) = (HashMap::<EventId, Option<Event>>::new(), 0);
        let mut with = Vec::with_capacity(rows.len());
        for entry in rows {
            let event = if let Some(event) = known.get(&entry.event) {
                event.clone()
            } else {
                let found = self.history.event_of(tenant, &entry.event.to_string()).await?;
                known.insert(entry.event, found.clone());
                found
            };
            bytes += event.as_ref().map_or(0, |event| event.payload.len());
            if bytes > PAYLOADS_MAX_BYTES
                && let Some((last, _)) = with.last()
            {
                let last: &AttemptEntry = last;
                beyond = Some(last.attempt.id);
                break;
            }
            with.push((entry, event));
        }
        if backwards {
            with.reverse();
        }
        Ok(Listed { rows: with, beyond })
    }

    /// An attempt for an event.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn attempt_of(
        &self,
        tenant: Tenant,
        event: EventId,
        name: &str,
    ) -> Answer<AttemptEntry> {
        let id = name.parse().map_err(|_| no_attempt(name))?;
        self.history.attempt_of(tenant, event, id).await?.ok_or_else(|| no_attempt(name))
    }

    /// Events owed to an endpoint, with how each stands.
    ///
    /// # Errors
    /// `Conflict` when the page lies beside an event that is not there.
    pub async fn deliveries_to(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        shown: Option<Shown>,
        filter: &EventFilter,
        page: &Page<EventId>,
        payloads: bool,
    ) -> Answer<Listed<EventDelivery, EventId>> {
        Ok(self.history.deliveries_to(tenant, endpoint, shown, filter, page, payloads).await?)
    }

    /// The endpoints that an event is owed to, with how each stands.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn deliveries_of(
        &self,
        tenant: Tenant,
        event: EventId,
        page: &Page<EndpointId>,
    ) -> Answer<Listed<EndpointDelivery, EndpointId>> {
        Ok(self.history.deliveries_of(tenant, event, page).await?)
    }

    /// What became of an endpoint's deliveries of the time from `since`, or as far back as can be asked,
    /// until `until`, or now.
    ///
    /// # Errors
    /// `Invalid` when that is longer than 28 days, backwards, or to come.
    pub async fn delivery_counts(
        &self,
        tenant: Tenant,
        endpoint: EndpointId,
        since: Option<Timestamp>,
        until: Option<Timestamp>,
    ) -> Answer<DeliveryCounts> {
        let now = (self.context.now)();
        let until = until.unwrap_or(now);
        let since = since.unwrap_or(until - COUNT_SPAN);
        let days = COUNT_SPAN.as_secs() / 86_400;
        let wrong = |why: String| Err(ControlError::Invalid(why));
        if until > now {
            return wrong(format!("until {until} is yet to come: a moment up to now is accepted"));
        }
        if since > until {
            return wrong(format!("since {since} is behind until {until}"));
        }
        if until.since(since) > COUNT_SPAN {
            return wrong(format!(
                "from {since} until {until} is too long: at most {days} days are accepted"
            ));
        }
        Ok(self.history.delivery_counts(tenant, endpoint, since, until).await?)
    }

    /// Forgets an event's payload for good.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn expunge_payload(&self, tenant: Tenant, event: EventId) -> Answer<()> {
        let was_there = self.history.expunge_payload(tenant, event).await?;
        was_there.then_some(()).ok_or_else(|| no_event(&event.to_string()))
    }

    /// Forgets what a receiver answered to an attempt, for good.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn expunge_response(&self, tenant: Tenant, event: EventId, name: &str) -> Answer<()> {
        let id = name.parse().map_err(|_| no_attempt(name))?;
        let was_there = self.history.expunge_response(tenant, event, id).await?;
        was_there.then_some(()).ok_or_else(|| no_attempt(name))
    }

    /// Sends an event to an endpoint once more, now, whatever the endpoint's filter says and however the
    /// delivery stands: what waits goes on waiting, unless this succeeds. When it returns `Ok`, that is
    /// durable and will be done.
    ///
    /// # Errors
    /// `NotFound`; `MissingPayload`; `NotActive`; `Conflict` when the event is not routed yet.
    ///
    /// What went to a URL that nobody lists as an endpoint is sent again by the id that its attempts show: to
    /// the URL that the event names, or to the application's default one as it is now.
    pub async fn resend(
        &self,
        tenant: Tenant,
        event: &str,
        endpoint: &str,
    ) -> Result<(), ResendError> {
        let event = self.event_of(tenant, event).await?;
        let to =
            match self.catalogue.endpoint(tenant, endpoint).await.map_err(ControlError::from)? {
                Some(listed) if listed.state != EndpointState::Active => {
                    return Err(ResendError::NotActive(listed.id, listed.state));
                }
                Some(listed) => listed.id,
                None => self.unlisted(tenant, &event, endpoint).await?,
            };
        if event.payload.is_empty() {
            return Err(ResendError::MissingPayload(event.id));
        }
        let key = DeliveryKey { event: event.id, endpoint: to };
        let now = (self.context.now)();
        let asked = self.ledger.resend(tenant, key, now).await.map_err(ControlError::from)?;
        asked.then_some(()).ok_or_else(|| no_event(&event.id.to_string()).into())
    }

    /// The id of a URL that nobody lists as an endpoint, if this event can be sent there.
    async fn unlisted(&self, tenant: Tenant, event: &Event, name: &str) -> Answer<EndpointId> {
        let id = name.parse().map_err(|_| no_endpoint(name))?;
        let there = event.names(id)
            || (id == default_of(event.application)
                && self.catalogue.settings(tenant).await?.default_url.is_some());
        there.then_some(id).ok_or_else(|| no_endpoint(name))
    }
}

fn no_event(name: &str) -> ControlError {
    ControlError::NotFound(format!("no event is called `{name}`"))
}

fn no_attempt(name: &str) -> ControlError {
    ControlError::NotFound(format!("no attempt for this event is called `{name}`"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::super::applications::NewApplication;
    use super::super::fake::{NOW, World};
    use super::super::fake_history::Past;
    use super::*;
    use crate::domain::event::{Identity, NewEvent};
    use crate::domain::exchange::Timing;
    use crate::storage::journal::AttemptRecord;
    use crate::storage::page::{Order, Place};

    const DAY: Duration = Duration::from_hours(24);

    async fn tenant(control: &Control) -> Tenant {
        let made = control.create_application(NewApplication::named("Acme", Some("acme"))).await;
        made.expect("a free uid").tenant()
    }

    fn event(name: &str, payload_bytes: usize) -> Event {
        let event = NewEvent {
            application: "acme".into(),
            event_type: "job.completed".parse().expect("a type"),
            identity: Identity::Given(name.into()),
            subject: None,
            occurred_at: None,
            received_at: None,
            deliver_at: None,
            expires_at: None,
            content_type: None,
            traceparent: None,
            channels: Box::default(),
            payload: Bytes::from(vec![b' '; payload_bytes]),
            webhook: None,
            attributes: Box::default(),
        };
        event.of(crate::domain::id::ApplicationId::derived(&[b"acme"]), NOW)
    }

    fn attempt(event: &Event, number: u32) -> AttemptEntry {
        AttemptEntry {
            event: event.id,
            endpoint: EndpointId::derived(&[b"hook"]),
            manual: false,
            success: true,
            attempt: AttemptRecord {
                id: AttemptId::derived(&[&number.to_be_bytes()]),
                number,
                started_at: NOW,
                duration_ms: 7,
                timing: Timing::default(),
                headers: Vec::new(),
                outcome: "success".into(),
                status: 200,
                url: "https://hook.example/".into(),
                response: Vec::new(),
                detail: String::new(),
            },
        }
    }

    #[tokio::test]
    async fn a_page_of_attempts_with_their_events_ends_before_it_is_too_much() {
        let large = [event("a", 5 << 20), event("b", 5 << 20), event("c", 5 << 20)];
        let past = Past { events: large.to_vec(), ..Past::default() };
        let control = World::with(Arc::new(past)).control;
        let tenant = tenant(&control).await;
        let rows: Vec<_> = large.iter().zip(1..).map(|(event, n)| attempt(event, n)).collect();
        let gone = attempt(&event("gone", 0), 4);
        let id = |number: usize| rows[number - 1].attempt.id;
        let with = async |place, rows: Vec<AttemptEntry>| {
            let page = Page { limit: 50, place, order: Order::Descending };
            let listed = Listed { rows, beyond: None };
            let listed = control.with_events(tenant, &page, listed).await.expect("read");
            let numbers: Vec<_> = listed
                .rows
                .iter()
                .map(|(one, event)| (one.attempt.number, event.is_some()))
                .collect();
            (numbers, listed.beyond)
        };

        let all = rows.clone();
        assert_eq!(with(Place::Beginning, all).await, (vec![(1, true)], Some(id(1))));
        let all = rows.clone();
        assert_eq!(with(Place::InFrontOf(id(1)), all).await, (vec![(3, true)], Some(id(3))));
        let two = vec![rows[0].clone(), gone];
        assert_eq!(with(Place::Beginning, two).await, (vec![(1, true), (4, false)], None));
    }

    #[tokio::test]
    async fn counts_are_of_the_last_four_weeks_at_the_most() {
        let past = Arc::new(Past::default());
        let control = World::with(past.clone()).control;
        let (tenant, hook) = (tenant(&control).await, EndpointId::derived(&[b"hook"]));
        let count = async |since, until| control.delivery_counts(tenant, hook, since, until).await;

        for (since, until) in
            [(None, None), (Some(NOW - DAY), None), (Some(NOW - 60 * DAY), Some(NOW - 40 * DAY))]
        {
            assert!(count(since, until).await.is_ok(), "{since:?} {until:?}");
        }
        let counted = past.counted.lock().expect("no panic").clone();
        assert_eq!(counted[0], (NOW - 28 * DAY, NOW));
        for (since, until) in [
            (None, Some(NOW + Duration::from_millis(1))),
            (Some(NOW - 29 * DAY), None),
            (Some(NOW - DAY), Some(NOW - 2 * DAY)),
        ] {
            let refused = count(since, until).await;
            assert!(matches!(refused, Err(ControlError::Invalid(_))), "{since:?} {until:?}");
        }
    }
}
