//! Port: events that were accepted and are not finished yet.
//!
//! An arrival stays the inbox's own until its [`Receipt`] is given back: whoever drops a receipt,
//! by mistake, by a crash, sees the event again. That default is the pessimistic one on purpose.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::StorageError;
use crate::domain::delivery::Delivery;
use crate::domain::event::{
    Attributes, EventType, Identity, NewEvent, NotAnEventType, Rejection, SHORT_TEXT_MAX, Webhook,
    check_channels, too_late,
};
use crate::domain::time::Timestamp;

/// Where arrivals come from.
#[async_trait]
pub trait Inbox: Send {
    /// The next arrival: an event, or a delivery whose wait is over.
    ///
    /// Waits for as long as there is none, over lost connections too. `None` once the inbox was
    /// told to stop and nothing is left to hand over. Cancel safe.
    async fn next(&mut self) -> Option<Arrival>;

    /// Another arrival, if one is here already: so that a batch is what has come, without waiting.
    fn ready(&mut self) -> Option<Arrival>;
}

/// What a producer has to say about an event it publishes.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// The application's id or uid.
    pub application: String,
    /// The event type.
    pub event_type: String,
    /// What the event is recognised by: its producer's id for it, or a text in the form of our own ids.
    /// Publishing it twice is one event.
    pub event_id: String,
    /// What the request that publishes it is recognised by when it is repeated, if not by `event_id`.
    pub idempotency_key: Option<String>,
    /// What the event is about.
    pub subject: Option<String>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// Not to be delivered before this.
    pub deliver_at: Option<Timestamp>,
    /// Of no use after this.
    pub expires_at: Option<Timestamp>,
    /// The payload's media type; `application/json` when nobody says.
    pub content_type: Option<String>,
    /// The W3C trace that it belongs to.
    pub traceparent: Option<String>,
    /// Channels that it is for.
    pub channels: Vec<String>,
    /// A URL of its own.
    pub webhook: Option<Webhook>,
    /// What its producer said of it beside all this, as a `CloudEvent`; its `source` tells its id apart.
    pub attributes: Attributes,
    /// The payload.
    pub payload: Bytes,
}

impl Publication {
    /// Refuses what can never be an event, in the same words whatever the back end; its type.
    ///
    /// # Errors
    /// `Conflict`, with what is accepted.
    pub fn check(&self) -> Result<EventType, StorageError> {
        let length = self.event_id.len();
        if !(1..=SHORT_TEXT_MAX).contains(&length) {
            return Err(StorageError::Conflict(format!(
                "an event id has {length} bytes: 1 to {SHORT_TEXT_MAX} are accepted"
            )));
        }
        check_channels(&self.channels).map_err(StorageError::Conflict)?;
        if let Some(wanted) = too_late(self.deliver_at, self.expires_at) {
            return Err(StorageError::Conflict(format!(
                "an event expires before it may be delivered: {wanted} is accepted"
            )));
        }
        self.event_type
            .parse()
            .map_err(|fault: NotAnEventType| StorageError::Conflict(fault.to_string()))
    }

    /// What it is recognised by when it comes again.
    pub fn identity(&self) -> Identity {
        let id = self.event_id.as_str().into();
        match self.attributes.iter().find(|(name, _)| &**name == "source") {
            Some((_, source)) => Identity::Sourced { source: source.clone(), id },
            None => Identity::Given(id),
        }
    }

    /// The event that it is, wherever it is published.
    ///
    /// # Errors
    /// As for [`check`](Self::check).
    pub fn event(&self) -> Result<NewEvent, StorageError> {
        Ok(NewEvent {
            application: self.application.as_str().into(),
            event_type: self.check()?,
            identity: self.identity(),
            subject: self.subject.as_deref().map(Into::into),
            occurred_at: self.occurred_at,
            received_at: None,
            deliver_at: self.deliver_at,
            expires_at: self.expires_at,
            content_type: self.content_type.as_deref().map(Into::into),
            traceparent: self.traceparent.as_deref().map(Into::into),
            channels: self.channels.iter().map(|name| name.as_str().into()).collect(),
            webhook: self.webhook.clone(),
            attributes: self.attributes.clone(),
            payload: self.payload.clone(),
        })
    }
}

/// What publishing an event came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is durable and will arrive. A broker cannot tell more: whether the event was published before
    /// shows when it is accepted.
    Now,
    /// This same request has published it before. Nothing was written.
    Before,
    /// Another request has published an event of that id. Nothing was written.
    Taken,
}

/// Where events are published.
#[async_trait]
pub trait Publish: Send + Sync {
    /// Publishes events, one answer each and in their order. When this returns `Ok`, each is durable
    /// and will arrive, or was there before.
    ///
    /// # Errors
    /// `Unavailable`: some may be published, none is known to be. Repeating the call is safe for
    /// events with an id of their own. `Conflict` when one can never be an event: none is published.
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError>;

    /// The same for a batch that stands and falls as one: when any answer is `Taken`, nothing was
    /// written, whatever the other answers are.
    ///
    /// Where nothing is ever `Taken`, there is no difference.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    async fn publish_whole(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        self.publish(batch).await
    }
}

/// The record, asked and told about events that are published elsewhere: on a broker, which cannot look
/// anything up.
#[async_trait]
pub trait Record: Send + Sync {
    /// What publishing each of these would be answered, by what is on record, in their order. Nothing is
    /// written.
    ///
    /// # Errors
    /// As for [`Publish::publish`].
    async fn foresee(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError>;

    /// Records events that were published and will arrive, so that they are found before they do: accepting
    /// one is still what fixes what it owes. One that was accepted meanwhile stays as it is.
    ///
    /// # Errors
    /// `Unavailable`: recorded or not, we cannot know. They arrive in any case.
    async fn announce(&self, batch: &[Publication]) -> Result<(), StorageError>;
}

/// Something arrived.
#[derive(Debug)]
pub struct Arrival {
    /// What it is.
    pub content: Content,
    /// Whether it was handed out before: by us before a crash, or to another router.
    pub redelivered: bool,
    /// To be given back when it is finished.
    pub receipt: Receipt,
    /// The original, for quarantine.
    pub original: Box<dyn Original>,
}

/// What can arrive.
#[derive(Debug)]
pub enum Content {
    /// A published event.
    Event(Box<NewEvent>),
    /// A delivery that has waited until `due_at`, or for a part of that time.
    Due {
        /// The delivery, as it was postponed.
        delivery: Box<Delivery>,
        /// When it may go on.
        due_at: Timestamp,
    },
    /// Something that is not what it should be.
    Unreadable(Rejection),
}

/// The message as it came, for when it cannot be what it claims to be.
#[async_trait]
pub trait Original: Send + Sync + std::fmt::Debug {
    /// Keeps the message in quarantine with the reason. When this returns `Ok`, it is durable there
    /// and its receipt may be given back.
    ///
    /// # Errors
    /// `Unavailable`: not known to be kept; the receipt must not be given back.
    async fn quarantine(&self, why: &Rejection) -> Result<(), StorageError>;
}

/// The right to say, once, that an arrival is finished.
#[derive(Debug)]
#[must_use = "a receipt that is dropped brings its arrival back"]
pub struct Receipt {
    number: u64,
    desk: Arc<dyn Desk>,
}

/// Where receipts are given back.
pub trait Desk: Send + Sync + std::fmt::Debug {
    /// Arrival `number` is finished. Does not wait; a number of a lost connection means nothing.
    fn finished(&self, number: u64);
}

impl Receipt {
    /// A receipt for arrival `number` of this desk.
    pub fn new(number: u64, desk: Arc<dyn Desk>) -> Self {
        Self { number, desk }
    }

    /// Says that the arrival is finished. It will not come again, unless the broker is lost before
    /// it has heard: then it comes again and is recognised.
    pub fn give_back(self) {
        self.desk.finished(self.number);
    }
}
