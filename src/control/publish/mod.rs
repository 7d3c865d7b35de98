//! Publishing: what an event has to be, what it is recognised by, and what a repeated request is
//! answered.
//!
//! Each event has a *name* within its application, and its id is derived from that, so that a request
//! that is repeated finds its event there already:
//!
//! | event id | idempotency key | the name | when it is known already |
//! |---|---|---|---|
//! | given | none | the event id | a conflict |
//! | given | given | the event id | the same answer, if the same key published it; else a conflict |
//! | none | given | made of the key and the place in the batch | the same answer |
//! | none | none | made by chance | cannot be |
//!
//! A `CloudEvent` has its `source` and `id` for a name, and is told from a repetition of itself by its content:
//! the same again has the same answer.
//!
//! The same answer is given for the same content alone: a key that comes back with something else is a
//! mistake of its sender, and taking either for the other would lose an event.
//!
//! A broker alone cannot tell what was published before; who publishes over one asks the record first, and
//! records what was confirmed (`storage::recorded`), so that all of this holds there too.
//!
//! A batch is published whole or not at all. Not here: how a message is written on the wire (`api`).
//!
//! **What if we die right here?** Before the store has answered, nobody was told that anything is
//! published; the sender repeats its request, and with an event id or a key it is one event still.

mod by_schema;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use url::Url;

use self::by_schema::Held;
use super::names::is_plain;
use super::{Control, ControlError};
use crate::domain::application::Application;
use crate::domain::event::{
    self, Attributes, EventType, Rejection, SHORT_TEXT_MAX, Webhook, check_channels, check_payload,
    too_late,
};
use crate::domain::id::{ApplicationId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::inbox::{Publication, Publish, Published};

/// Most events in one batch: what one batch of confirms takes, and a fraction of a second of the
/// embedded writer's time.
pub const BATCH_MAX: usize = 500;

/// An event as somebody wants it published, nothing of it checked yet.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// What happened.
    pub event_type: String,
    /// The payload.
    pub payload: Bytes,
    /// Its producer's id for it.
    pub event_id: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened; now, if nobody says.
    pub occurred_at: Option<Timestamp>,
    /// Not to be delivered before this.
    pub deliver_at: Option<Timestamp>,
    /// Of no use after this.
    pub expires_at: Option<Timestamp>,
    /// Channels that it is for.
    pub channels: Vec<String>,
    /// A URL of its own.
    pub webhook_url: Option<String>,
    /// Whether it goes to anybody beside that URL: `override`, if nobody says, or `add`.
    pub webhook_mode: Option<String>,
    /// The payload's media type; `application/json` when nobody says.
    pub content_type: Option<String>,
    /// The W3C trace that it belongs to.
    pub traceparent: Option<String>,
    /// What its producer said of it as a `CloudEvent`: its `source` tells its id apart.
    pub attributes: Attributes,
}

impl Draft {
    /// The `source` of a `CloudEvent`, which its id belongs to.
    fn source(&self) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| &**name == "source").map(|(_, source)| &**source)
    }
}

/// An event that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its id, as receivers see it.
    pub id: EventId,
    /// What happened.
    pub event_type: EventType,
    /// The payload.
    pub payload: Bytes,
    /// Its producer's id for it.
    pub event_id: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened; when it was received, if its producer did not say.
    pub occurred_at: Timestamp,
    /// Not to be delivered before this.
    pub deliver_at: Option<Timestamp>,
    /// Of no use after this.
    pub expires_at: Option<Timestamp>,
    /// Channels that it is for.
    pub channels: Vec<String>,
    /// A URL of its own.
    pub webhook: Option<Webhook>,
}

/// Which part of an event is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Its type.
    EventType,
    /// Its payload.
    Payload,
    /// Its producer's id for it.
    EventId,
    /// What it is about.
    Subject,
    /// Channels that it is for.
    Channels,
    /// When it is of no use any more.
    ExpiresAt,
    /// A URL of its own.
    WebhookUrl,
    /// Whether it goes to anybody beside that URL.
    WebhookMode,
}

/// One thing that is wrong with one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its place in the batch, from 0 on.
    pub place: usize,
    /// The part.
    pub field: Field,
    /// What is wrong with it, and what is accepted.
    pub why: String,
}

/// Why nothing was published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Some of it cannot be an event: every fault.
    #[error("{} faults in what was to be published", .0.len())]
    Refused(Vec<Fault>),
    /// A payload is larger than we carry.
    #[error("{0}")]
    TooLarge(String),
    /// Everything else.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// Takes events in.
#[derive(Clone)]
pub struct Intake {
    control: Control,
    publisher: Arc<dyn Publish>,
    urls: Arc<Urls>,
    max_payload_bytes: usize,
    held: Held,
}

/// Judges the URLs that events name, as endpoints' are judged.
pub type Urls = dyn Fn(&str) -> Result<Url, String> + Send + Sync;

/// A draft that can be an event, with what the store is to be told.
struct Checked {
    accepted: Accepted,
    /// Whether the time is its producer's word.
    timed: bool,
    publication: Publication,
}

impl Intake {
    /// An intake for the applications of `control`.
    pub fn new(
        control: Control,
        publisher: Arc<dyn Publish>,
        urls: Arc<Urls>,
        max_payload_bytes: usize,
    ) -> Self {
        Self { control, publisher, urls, max_payload_bytes, held: Held::default() }
    }

    /// Publishes events of one application, all or none; `key` is what the request is recognised by when
    /// it is repeated. When this returns `Ok`, each is durable and will be delivered.
    ///
    /// # Errors
    /// `Refused`, also by the schemas of their types, `TooLarge`; `Conflict` when an event id is taken, or
    /// `key` was used for something else; `Unavailable`: published or not, nobody knows, and the same
    /// may be asked again: with an event id or a key it stays one event.
    pub async fn publish(
        &self,
        application: &Application,
        drafts: Vec<Draft>,
        key: Option<&str>,
    ) -> Result<Vec<Accepted>, PublishError> {
        let checked = self.check(application.id, drafts, key)?;
        self.hold_to_schemas(application, &checked).await?;
        let batch: Vec<_> = checked.iter().map(|one| one.publication.clone()).collect();
        let answers = self.publisher.publish_whole(&batch).await.map_err(ControlError::from)?;
        self.judge(checked, &answers).await
    }

    /// Every fault of every draft, or all of them ready to be published.
    fn check(
        &self,
        application: ApplicationId,
        drafts: Vec<Draft>,
        key: Option<&str>,
    ) -> Result<Vec<Checked>, PublishError> {
        let mut faults = Vec::new();
        let mut checked = Vec::with_capacity(drafts.len());
        let mut seen = HashMap::new();
        for (place, draft) in drafts.into_iter().enumerate() {
            let mut wrong = |field, why: String| faults.push(Fault { place, field, why });
            match check_payload(&draft.payload, self.max_payload_bytes) {
                Ok(()) => {}
                Err(fault @ Rejection::TooLarge { .. }) => {
                    return Err(PublishError::TooLarge(fault.to_string()));
                }
                Err(fault) => wrong(Field::Payload, fault.to_string()),
            }
            if let Some(id) = &draft.event_id {
                // A CloudEvent's id is its own within its source, and looks as it likes.
                let checked = if draft.source().is_some() { Ok(()) } else { check_event_id(id) };
                if let Err(why) = checked {
                    wrong(Field::EventId, why);
                } else if let Some(first) = seen.insert(id.clone(), place) {
                    wrong(Field::EventId, format!("`{id}` is the id of [{first}] already"));
                }
            }
            if draft.subject.as_ref().is_some_and(|s| !(1..=SHORT_TEXT_MAX).contains(&s.len())) {
                wrong(Field::Subject, format!("1 to {SHORT_TEXT_MAX} bytes are accepted"));
            }
            if let Err(why) = check_channels(&draft.channels) {
                wrong(Field::Channels, why);
            }
            if let Some(wanted) = too_late(draft.deliver_at, draft.expires_at) {
                wrong(Field::ExpiresAt, format!("it is too early: {wanted} is accepted"));
            }
            let webhook = self.webhook(&draft).unwrap_or_else(|(field, why)| {
                wrong(field, why);
                None
            });
            match draft.event_type.parse::<EventType>() {
                Ok(event_type) => {
                    checked.push(self.ready(application, place, draft, webhook, event_type, key));
                }
                Err(fault) => wrong(Field::EventType, fault.to_string()),
            }
        }
        if faults.is_empty() { Ok(checked) } else { Err(PublishError::Refused(faults)) }
    }

    /// The URL that a draft names, if it names one; or which of its fields is wrong, and how.
    fn webhook(&self, draft: &Draft) -> Result<Option<Webhook>, (Field, String)> {
        let mode = match draft.webhook_mode.as_deref().filter(|mode| !mode.is_empty()) {
            None => None,
            Some(text) => Some(text.parse().map_err(|why| (Field::WebhookMode, why))?),
        };
        let Some(url) = draft.webhook_url.as_deref().filter(|url| !url.is_empty()) else {
            let alone = "it says nothing without a URL: give one, or leave it out";
            return if mode.is_some() { Err((Field::WebhookMode, alone.into())) } else { Ok(None) };
        };
        let url = (self.urls)(url).map_err(|why| (Field::WebhookUrl, why))?;
        Ok(Some(Webhook { url, mode: mode.unwrap_or_default() }))
    }

    fn ready(
        &self,
        application: ApplicationId,
        place: usize,
        draft: Draft,
        webhook: Option<Webhook>,
        event_type: EventType,
        key: Option<&str>,
    ) -> Checked {
        let now = (self.control.context.now)();
        let source = draft.source().map(str::to_owned);
        let (name, request) = match (&draft.event_id, key) {
            // A source and an id are the same event whenever they come: that is what they are for.
            (Some(id), None) if let Some(source) = &source => {
                (id.clone(), Some(format!("cloudevent\n{source}\n{id}")))
            }
            // Each event of a batch is remembered by itself: a key has no line feed in it.
            (Some(id), Some(key)) => (id.clone(), Some(format!("{key}\n{place}"))),
            (Some(id), None) => (id.clone(), None),
            // In the form of our own ids, so that it is not taken for its producer's.
            (None, Some(key)) => (of_key(application, key, place).to_string(), None),
            (None, None) => {
                (EventId::minted(now, self.control.context.id_chance()).to_string(), None)
            }
        };
        let occurred_at = draft.occurred_at.unwrap_or(now);
        let publication = Publication {
            application: application.to_string(),
            event_type: event_type.to_string(),
            event_id: name,
            idempotency_key: request,
            subject: draft.subject.clone(),
            occurred_at: Some(occurred_at),
            deliver_at: draft.deliver_at,
            expires_at: draft.expires_at,
            channels: draft.channels.clone(),
            content_type: draft.content_type,
            traceparent: draft.traceparent,
            attributes: draft.attributes,
            webhook: webhook.clone(),
            payload: draft.payload.clone(),
        };
        let accepted = Accepted {
            id: match &source {
                Some(source) => event::id_of_sourced(application, source, &publication.event_id),
                None => event::id_of(application, &publication.event_id),
            },
            event_type,
            payload: draft.payload,
            event_id: draft.event_id,
            subject: draft.subject,
            occurred_at,
            deliver_at: draft.deliver_at,
            expires_at: draft.expires_at,
            channels: draft.channels,
            webhook,
        };
        Checked { accepted, timed: draft.occurred_at.is_some(), publication }
    }

    /// What the store's answers mean for the one who asked.
    async fn judge(
        &self,
        checked: Vec<Checked>,
        answers: &[Published],
    ) -> Result<Vec<Accepted>, PublishError> {
        let taken = |one: &Checked, answer: &Published| match (&one.accepted.event_id, answer) {
            (Some(id), Published::Taken) => Some(format!(
                "an event with the event id `{id}` is there already: a repetition of it is done, and \
                 another event needs another id"
            )),
            (None, Published::Taken) if answers.contains(&Published::Now) => Some(key_was_used()),
            (None, Published::Taken) | (_, Published::Now | Published::Before) => None,
        };
        if let Some(why) = checked.iter().zip(answers).find_map(|(one, answer)| taken(one, answer))
        {
            return Err(ControlError::Conflict(why).into());
        }
        let mut accepted = Vec::with_capacity(checked.len());
        for (one, answer) in checked.into_iter().zip(answers) {
            accepted.push(match answer {
                Published::Now => one.accepted,
                Published::Before | Published::Taken => self.repeated(one).await?,
            });
        }
        Ok(accepted)
    }

    /// The answer that was given the first time, if this is the same event.
    async fn repeated(&self, one: Checked) -> Result<Accepted, PublishError> {
        let again = one.accepted;
        let stored = self.control.ledger.event(again.id).await.map_err(ControlError::from)?;
        let Some(stored) = stored else {
            return Ok(again); // removed by age since: nothing is left to compare it with
        };
        let same = stored.event_type == again.event_type
            && stored.payload == again.payload
            && stored.subject.as_deref() == again.subject.as_deref()
            && stored.deliver_at == again.deliver_at
            && stored.expires_at == again.expires_at
            && stored.webhook == again.webhook
            && stored.channels.iter().map(AsRef::as_ref).eq(&again.channels)
            && stored.attributes == one.publication.attributes
            && (!one.timed || stored.occurred_at == again.occurred_at);
        if same {
            Ok(Accepted { occurred_at: stored.occurred_at, ..again })
        } else {
            Err(ControlError::Conflict(key_was_used()).into())
        }
    }
}

fn key_was_used() -> String {
    "the idempotency key was used for another request: a repeated request has to be the same, and \
     another one needs another key"
        .into()
}

/// The name of what a request with this key publishes.
fn of_key(application: ApplicationId, key: &str, place: usize) -> EventId {
    let place = (place as u64).to_be_bytes();
    EventId::derived(&[b"idempotency key", application.as_bytes(), key.as_bytes(), &place])
}

/// Checks a producer's id for an event. It may not look like an id of ours: then nobody could tell which
/// is meant.
fn check_event_id(id: &str) -> Result<(), String> {
    if !is_plain(id, SHORT_TEXT_MAX) {
        return Err(format!(
            "1 to {SHORT_TEXT_MAX} letters, digits, `-`, `_` and `.` are accepted"
        ));
    }
    if id.starts_with(EventId::PREFIX) {
        return Err(format!("it may not begin with `{}`, as our own ids do", EventId::PREFIX));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
