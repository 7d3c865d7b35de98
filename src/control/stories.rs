//! The whole story of a delivery, and of an event: what is on record of it, gathered and put into words
//! ([`timeline`](super::timeline)); and what a person may do to one delivery.

use super::timeline::{self, Facts, Moment, Next, Whom};
use super::{Answer, Control, ControlError};
use crate::domain::application::Tenant;
use crate::domain::delivery::DeliveryKey;
use crate::domain::endpoint::{Endpoint, EndpointState, default_of};
use crate::domain::event::{ApplicationName, Event, WebhookMode};
use crate::domain::id::{AttemptId, EndpointId};
use crate::domain::settings::{DeliverySwitch, Settings};
use crate::storage::attention::{Looked, Routed, TakenBack, WorstBy};
use crate::storage::history::{AttemptFilter, TrackedDelivery};
use crate::storage::page::{Listed, Order, Page, Place};

/// Requests of one delivery that its story tells, the last of them: more than any policy makes.
const ATTEMPTS_MAX: usize = 100;

/// Deliveries of one event, and endpoints that it is not owed to, that its trail tells: a page of each.
pub const TRAIL_MAX: usize = 250;

/// Endpoints that one look at the worst names: a screen of them.
pub const WORST_MAX: usize = 100;

/// A delivery with what has happened to it.
#[derive(Debug)]
pub struct Story {
    /// The delivery.
    pub tracked: TrackedDelivery,
    /// The name of its endpoint, if it has one.
    pub uid: Option<String>,
    /// Why it is owed.
    pub why: String,
    /// What has happened, and what comes next.
    pub timeline: Vec<Moment>,
    /// When it is tried next, and why then; `None` when it is not.
    pub next: Option<Next>,
}

/// An endpoint that an event is not owed to.
#[derive(Debug, PartialEq, Eq)]
pub struct NotMatched {
    /// Which.
    pub endpoint: EndpointId,
    /// Its name.
    pub uid: Option<String>,
    /// Why not, as it is now.
    pub why: String,
}

/// All that became of an event.
#[derive(Debug)]
pub struct Trail {
    /// The event.
    pub event: Event,
    /// How far it came.
    pub routed: Routed,
    /// Whom it is owed to.
    pub matched: Vec<Story>,
    /// Which of today's endpoints it is not owed to.
    pub not_matched: Vec<NotMatched>,
    /// Whether that is all, of both.
    pub is_whole: bool,
}

impl Control {
    /// A delivery of a tenant's with its story, by its event and its endpoint, each as it is named elsewhere.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn story_of(&self, tenant: Tenant, event: &str, endpoint: &str) -> Answer<Story> {
        let tracked = self.delivery_of(tenant, event, endpoint).await?;
        let event = self.event_of(tenant, event).await?;
        let settings = self.catalogue.settings(tenant).await?;
        self.story(tenant, &event, &settings, tracked).await
    }

    /// All that became of a tenant's event.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn trail(&self, tenant: Tenant, event: &str) -> Answer<Trail> {
        let event = self.event_of(tenant, event).await?;
        let settings = self.catalogue.settings(tenant).await?;
        let routed = self.attention.routed(event.id).await?;
        let first = Page { limit: TRAIL_MAX, place: Place::Beginning, order: Order::Ascending };
        let Listed { rows, beyond } = self.history.deliveries_of(tenant, event.id, &first).await?;
        let mut is_whole = beyond.is_none();
        let (mut matched, now) = (Vec::with_capacity(rows.len()), (self.context.now)());
        for row in rows {
            let key = DeliveryKey { event: event.id, endpoint: row.endpoint.id };
            // Not there any more: removed for its age since the list was read.
            if let Some(tracked) = self.history.delivery_of(tenant, key, now).await? {
                matched.push(self.story(tenant, &event, &settings, tracked).await?);
            }
        }
        let mut not_matched = Vec::new();
        if is_whole {
            let endpoints = self.catalogue.endpoints(tenant, &first).await?;
            is_whole = endpoints.len() < TRAIL_MAX;
            let owed = |id| matched.iter().any(|one| one.tracked.delivery.key.endpoint == id);
            not_matched.extend(endpoints.into_iter().filter(|one| !owed(one.id)).map(|one| {
                let why = why_not(&event, &one, &settings, &routed);
                NotMatched { endpoint: one.id, uid: one.uid, why }
            }));
        }
        Ok(Trail { event, routed, matched, not_matched, is_whole })
    }

    /// The same of an event of the organisation's, by its id alone.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn any_trail(&self, event: &str) -> Answer<Trail> {
        let nothing = || ControlError::NotFound(format!("no event is called `{event}`"));
        let id = event.parse().map_err(|_| nothing())?;
        let found = self.ledger.event(id).await?.ok_or_else(nothing)?;
        let owner = ApplicationName::Id(found.application);
        let owner = self.catalogue.application(self.organisation, &owner).await?;
        self.trail(owner.ok_or_else(nothing)?.tenant(), event).await
    }

    /// Takes back a delivery that has not ended: it is not tried any more by itself.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended.
    pub async fn cancel_delivery(
        &self,
        tenant: Tenant,
        event: &str,
        endpoint: &str,
    ) -> Answer<Story> {
        let key = self.delivery_of(tenant, event, endpoint).await?.delivery.key;
        match self.attention.take_back(tenant, key).await? {
            Some(TakenBack::Now) => self.story_of(tenant, event, endpoint).await,
            Some(TakenBack::Ended(state)) => Err(ControlError::Conflict(format!(
                "delivery {} is {}: one that is pending or waiting can be cancelled",
                key.id(),
                state.as_str()
            ))),
            None => Err(ControlError::NotFound(format!(
                "event `{event}` is not owed to endpoint `{endpoint}`"
            ))),
        }
    }

    /// The organisation's worst endpoints, at most [`WORST_MAX`].
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn worst_endpoints(&self, by: WorstBy, limit: usize) -> Answer<Looked> {
        let (limit, now) = (limit.min(WORST_MAX), (self.context.now)());
        Ok(self.attention.worst(self.organisation, by, limit, now).await?)
    }

    async fn story(
        &self,
        tenant: Tenant,
        event: &Event,
        settings: &Settings,
        tracked: TrackedDelivery,
    ) -> Answer<Story> {
        let key = tracked.delivery.key;
        let listed = self.catalogue.endpoint(tenant, &key.endpoint.to_string()).await?;
        let whom = whom(event, key.endpoint, listed.as_ref(), settings);
        let page = Page::<AttemptId> {
            limit: ATTEMPTS_MAX,
            place: Place::Beginning,
            order: Order::Descending,
        };
        let filter = AttemptFilter { endpoint: Some(key.endpoint), ..AttemptFilter::default() };
        let attempts = self.history.attempts_for(tenant, event.id, &filter, &page, false).await?;
        let earlier = attempts.beyond.is_some();
        let attempts: Vec<_> = attempts.rows.into_iter().rev().collect();
        let facts = Facts {
            event,
            delivery: &tracked.delivery,
            whom: &whom,
            attempts: &attempts,
            earlier,
            death: self.attention.death(key).await?,
            policy: tracked.policy.as_ref(),
            offers: &self.replays.offers(key).await?,
            sends: settings.delivery.sends(),
            now: (self.context.now)(),
        };
        let (timeline, next) = (timeline::timeline(&facts), timeline::next(&facts));
        let why = timeline::why_matched(event, &whom);
        Ok(Story { uid: listed.and_then(|one| one.uid), why, timeline, next, tracked })
    }
}

/// Whom an id stands for today.
fn whom(event: &Event, id: EndpointId, listed: Option<&Endpoint>, settings: &Settings) -> Whom {
    if let Some(endpoint) = listed {
        return Whom::Listed {
            filter: endpoint.filter.clone(),
            channels: endpoint.channels.clone(),
            stopped: match endpoint.state {
                EndpointState::Active => None,
                EndpointState::Paused => Some("paused"),
                EndpointState::Disabled => Some("disabled"),
            },
        };
    }
    if id == default_of(event.application) {
        return Whom::Default(settings.default_url_when);
    }
    match &event.webhook {
        Some(webhook) if event.names(id) => Whom::Named(webhook.mode),
        Some(_) | None => Whom::Gone,
    }
}

/// Why an event is not owed to an endpoint, as far as today's catalogue tells.
fn why_not(event: &Event, endpoint: &Endpoint, settings: &Settings, routed: &Routed) -> String {
    match routed {
        Routed::NotYet => return "the event is not routed yet".into(),
        Routed::Never(why) => return format!("the event is in quarantine: {why}"),
        Routed::Yes => {}
    }
    if endpoint.created_at > event.received_at {
        return format!("the endpoint was made at {}, behind the event", endpoint.created_at);
    }
    if let Some(webhook) = &event.webhook
        && webhook.mode == WebhookMode::Override
    {
        return "the event names a URL of its own, instead of the endpoints".into();
    }
    if endpoint.state == EndpointState::Disabled {
        return "the endpoint is disabled: it is owed nothing new".into();
    }
    if settings.delivery == DeliverySwitch::Off {
        return "the application's deliveries are switched off".into();
    }
    timeline::unmatched(event, &endpoint.filter, &endpoint.channels).unwrap_or_else(|| {
        "it wants the event as it is now: it did not when the event was accepted".into()
    })
}
