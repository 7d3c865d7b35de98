//! What the promises are written with: a house that is open, and the steps of the pipeline in its own
//! order (take in, accept, settle, postpone), each of them failing as a [`Breach`].
//!
//! One application, `acme`, with two active endpoints, `one` and `two`. Events go by the names that
//! their producer gave them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use posthaste::domain::application::{Application, Tenant};
use posthaste::domain::delivery::{
    Attempt, Delivery, DeliveryKey, DeliveryState, Fence, Holder, Standing, Trigger,
};
use posthaste::domain::endpoint::{Endpoint, EndpointState};
use posthaste::domain::event::{Event, NewEvent};
use posthaste::domain::exchange::{SentHeaders, Timing};
use posthaste::domain::filter::Filter;
use posthaste::domain::id::{ApplicationId, AttemptId, EndpointId, EventId, OrganisationId};
use posthaste::domain::outcome::Outcome;
use posthaste::domain::policy::{Policy, PolicyPart};
use posthaste::domain::retry::Due;
use posthaste::domain::settlement::{DeathReason, Postponed, Settlement};
use posthaste::domain::time::Timestamp;
use posthaste::storage::inbox::{Arrival, Content, Inbox, Original, Publication, Receipt};
use posthaste::storage::journal::{Acceptance, Overdue, Owed, Recorded, Settled};
use posthaste::storage::ladder::Waiting;

use crate::breach::{Breach, Kept, hold, same};
use crate::house::{Character, House, Ports};
use crate::support::clock;

/// A house that is open.
pub(crate) struct Bench {
    pub(crate) house: Box<dyn House>,
    pub(crate) character: Character,
    ports: Option<Ports>,
}

/// An event that arrived, of the application that it names.
pub(crate) struct Came {
    pub(crate) event: Arc<Event>,
    pub(crate) redelivered: bool,
    pub(crate) receipt: Receipt,
    pub(crate) original: Box<dyn Original>,
}

/// A delivery that arrived, and when it did.
pub(crate) struct Back {
    pub(crate) delivery: Delivery,
    pub(crate) due_at: Timestamp,
    pub(crate) at: Timestamp,
    pub(crate) receipt: Receipt,
}

/// Whatever arrived.
pub(crate) enum Anything {
    Event(Came),
    Delivery(Back),
}

/// How a settled delivery gets on the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// The record says that the ladder holds it. Only where ladder and journal are one.
    ByRecord,
    /// The record says that the router holds it, and the router hands it on.
    ByHand,
}

impl Bench {
    /// Opens a house for the first time.
    pub(crate) async fn of(mut house: Box<dyn House>) -> Kept<Self> {
        let (character, ports) = (house.character(), house.open().await);
        ports.catalogue.add_application(&acme()).await?;
        for name in ["one", "two"] {
            ports.catalogue.add_endpoint(&endpoint_of_acme(name)).await?;
        }
        Ok(Self { house, character, ports: Some(ports) })
    }

    /// The ports of this life.
    pub(crate) fn ports(&self) -> &Ports {
        self.ports.as_ref().expect("it is open between two kills")
    }

    /// Its inbox.
    pub(crate) fn inbox(&mut self) -> &mut dyn Inbox {
        self.ports.as_mut().expect("it is open between two kills").inbox.as_mut()
    }

    /// Ends this life, and begins another on what is left of it.
    pub(crate) async fn kill(&mut self) {
        let ports = self.ports.take().expect("it is open between two kills");
        self.house.kill(ports).await;
        self.ports = Some(self.house.open().await);
    }

    /// Publishes events by these names, in one call.
    pub(crate) async fn publish(&self, names: &[&str]) -> Kept {
        let events: Vec<_> = names.iter().map(|name| publication(name)).collect();
        let answers = self.ports().publisher.publish(&events).await?;
        same!(answers.len(), events.len(), "answers to a publish");
        Ok(())
    }

    /// The next arrival, whatever it is.
    pub(crate) async fn anything(&mut self) -> Kept<Anything> {
        let patience = self.character.patience;
        match tokio::time::timeout(patience, self.inbox().next()).await {
            Ok(Some(arrival)) => taken(arrival),
            Ok(None) => Err(Breach("the inbox ended, and nobody told it to".into())),
            Err(_) => Err(Breach(format!("nothing arrived within {patience:?}"))),
        }
    }

    /// The next arrival, which has to be an event.
    pub(crate) async fn event(&mut self) -> Kept<Came> {
        match self.anything().await? {
            Anything::Event(came) => Ok(came),
            Anything::Delivery(back) => {
                Err(Breach(format!("a delivery came instead of an event: {:?}", back.delivery)))
            }
        }
    }

    /// The next arrival, which has to be this event.
    pub(crate) async fn event_named(&mut self, name: &str) -> Kept<Came> {
        let came = self.event().await?;
        same!(came.event.id, event_id(name), format!("event {name} is awaited"));
        Ok(came)
    }

    /// The next arrival, which has to be a delivery.
    pub(crate) async fn back(&mut self) -> Kept<Back> {
        match self.anything().await? {
            Anything::Delivery(back) => Ok(back),
            Anything::Event(came) => {
                Err(Breach(format!("an event came instead of a delivery: {:?}", came.event)))
            }
        }
    }

    /// Holds that nothing arrives.
    pub(crate) async fn nothing_arrives(&mut self) -> Kept {
        let silence = self.character.silence;
        match tokio::time::timeout(silence, self.inbox().next()).await {
            Err(_) => Ok(()),
            Ok(arrival) => Err(Breach(format!("there is more than was expected: {arrival:?}"))),
        }
    }

    /// Another event, if one is here already.
    pub(crate) fn ready(&mut self) -> Kept<Option<Came>> {
        match self.inbox().ready().map(taken).transpose()? {
            None => Ok(None),
            Some(Anything::Event(came)) => Ok(Some(came)),
            Some(Anything::Delivery(back)) => {
                Err(Breach(format!("a delivery came instead of an event: {:?}", back.delivery)))
            }
        }
    }

    /// Everything that still arrives, until nothing does.
    pub(crate) async fn rest(&mut self) -> Kept<Vec<Anything>> {
        let mut came = Vec::new();
        let silence = self.character.silence;
        while let Ok(arrival) = tokio::time::timeout(silence, self.inbox().next()).await {
            let arrival = arrival.ok_or_else(|| Breach("the inbox ended by itself".into()))?;
            came.push(taken(arrival)?);
        }
        Ok(came)
    }

    /// The next so many events: as they came.
    pub(crate) async fn events(&mut self, count: usize) -> Kept<Vec<Came>> {
        let mut came = Vec::with_capacity(count);
        while came.len() < count {
            came.push(self.event().await?);
        }
        Ok(came)
    }

    /// Accepts an event that is owed to these endpoints.
    pub(crate) async fn accept(&self, event: &Arc<Event>, endpoints: &[&str]) -> Kept<Acceptance> {
        let answers = self.ports().journal.accept(vec![owed(event, endpoints)]).await?;
        same!(answers.len(), 1, "answers to an accept");
        Ok(answers.into_iter().next().expect("there is one"))
    }

    /// An event that was published, has arrived and is owed to these endpoints since just now.
    pub(crate) async fn owing(&mut self, name: &str, endpoints: &[&str]) -> Kept<Came> {
        self.publish(&[name]).await?;
        let came = self.event_named(name).await?;
        let accepted = self.accept(&came.event, endpoints).await?;
        same!(accepted, Acceptance::New, format!("event {name} is accepted"));
        Ok(came)
    }

    /// The same, for endpoint `one`: the delivery, and the receipt of its event.
    pub(crate) async fn delivery(&mut self, name: &str) -> Kept<(Delivery, Receipt)> {
        let came = self.owing(name, &["one"]).await?;
        Ok((Delivery::first(came.event, endpoint("one")), came.receipt))
    }

    /// Records one settlement.
    pub(crate) async fn record(&self, settled: Settled) -> Kept<Recorded> {
        let answers = self.ports().journal.record(vec![settled]).await?;
        same!(answers.len(), 1, "answers to a record");
        Ok(answers[0])
    }

    /// Records one settlement of a turn that is not over.
    pub(crate) async fn settle(&self, settled: Settled) -> Kept {
        let key = settled.key;
        same!(
            self.record(settled).await?,
            Recorded::Now,
            format!("the turn of {key:?} is settled")
        );
        Ok(())
    }

    /// How a delivery stands.
    pub(crate) async fn standing(&self, key: DeliveryKey) -> Kept<Standing> {
        let found = self.ports().journal.standings(vec![key]).await?;
        same!(found.len(), 1, "standings of one delivery");
        found[0].ok_or_else(|| Breach(format!("{key:?} is owed, and is not on record")))
    }

    /// Holds that a delivery is where it should be.
    pub(crate) async fn is(&self, key: DeliveryKey, state: DeliveryState) -> Kept {
        same!(self.standing(key).await?.state, state, format!("where {key:?} is"));
        Ok(())
    }

    /// The ways onto the ladder that this back end has.
    pub(crate) fn ways(&self) -> &'static [Way] {
        if self.ports().ladder.is_the_journal() {
            &[Way::ByRecord, Way::ByHand]
        } else {
            &[Way::ByHand]
        }
    }

    /// Settles deliveries as failed and puts them on the ladder; as they wait there.
    pub(crate) async fn postpone(
        &self,
        deliveries: Vec<(Delivery, Due)>,
        way: Way,
    ) -> Kept<Vec<Delivery>> {
        let held_by = match way {
            Way::ByRecord => Holder::Ladder,
            Way::ByHand => Holder::Router,
        };
        let settled =
            |(delivery, due): &(Delivery, Due)| Settled { held_by, ..failed(delivery, *due) };
        let batch: Vec<_> = deliveries.iter().map(settled).collect();
        let answers = self.ports().journal.record(batch.clone()).await?;
        same!(answers, vec![Recorded::Now; batch.len()], "first settlements of their turns");
        let up: Vec<_> = deliveries
            .into_iter()
            .zip(batch)
            .map(|((delivery, due), settled)| Waiting {
                delivery: delivery.after(settled.attempts),
                due,
            })
            .collect();
        if way == Way::ByHand {
            self.ports().ladder.postpone(&up).await?;
            let noted = up.iter().map(|up| (up.delivery.key(), up.delivery.turn)).collect();
            self.ports().journal.handed_on(noted).await?;
        }
        Ok(up.into_iter().map(|up| up.delivery).collect())
    }

    /// The same for one delivery, exactly so long from now; with its due time.
    pub(crate) async fn postpone_by(
        &self,
        delivery: Delivery,
        wait_ms: u64,
        way: Way,
    ) -> Kept<(Delivery, Timestamp)> {
        let due = Due::exactly(clock() + Duration::from_millis(wait_ms));
        let waiting = self.postpone(vec![(delivery, due)], way).await?;
        Ok((waiting.into_iter().next().expect("there is one"), due.at))
    }

    /// Takes a copy that came back through the fence: attempts and delivers it if it is its turn;
    /// whether it was. An old copy has nothing to settle either.
    pub(crate) async fn through_the_fence(&self, back: Back) -> Kept<bool> {
        let Back { delivery, receipt, .. } = back;
        let key = delivery.key();
        let is_its_turn = match self.standing(key).await?.judge(delivery.turn) {
            Fence::Attempt => true,
            Fence::Drop => false,
            Fence::TakeOver => {
                return Err(Breach(format!(
                    "nobody is known to hold what comes after {delivery:?}"
                )));
            }
        };
        let expected = if is_its_turn { Recorded::Now } else { Recorded::Stale };
        same!(self.record(delivered(&delivery)).await?, expected, format!("settling {delivery:?}"));
        receipt.give_back();
        Ok(is_its_turn)
    }

    /// Claims what the journal itself holds and is due by this moment.
    pub(crate) async fn claim(
        &self,
        due_by: Timestamp,
        lease_until: Timestamp,
    ) -> Kept<Vec<Delivery>> {
        Ok(self.ports().journal.claim(journals_own(due_by), lease_until, 100).await?)
    }

    /// Waits until something is so.
    pub(crate) async fn until(
        &mut self,
        what: &str,
        mut is_so: impl AsyncFnMut(&mut Self) -> Kept<bool>,
    ) -> Kept {
        let patience = self.character.patience;
        let asking = async {
            let mut time = tokio::time::interval(Duration::from_millis(10));
            loop {
                time.tick().await;
                if is_so(self).await? {
                    return Ok(());
                }
            }
        };
        let asked = tokio::time::timeout(patience, asking).await;
        asked.unwrap_or_else(|_| Err(Breach(format!("not within {patience:?}: {what}"))))
    }

    /// Holds that everything that is owed is accounted for.
    pub(crate) async fn books_balance(&self) -> Kept {
        let books = self.ports().journal.books().await?;
        hold!(books.unaccounted() == 0, "the books do not balance: {books:?}");
        Ok(())
    }
}

/// An arrival as it was taken, just now.
pub(crate) fn taken(arrival: Arrival) -> Kept<Anything> {
    let at = clock();
    let Arrival { content, redelivered, receipt, original } = arrival;
    match content {
        Content::Event(new) => {
            let event = Arc::new(NewEvent::of(*new, acme().id, at));
            Ok(Anything::Event(Came { event, redelivered, receipt, original }))
        }
        Content::Due { delivery, due_at } => {
            Ok(Anything::Delivery(Back { delivery: *delivery, due_at, at, receipt }))
        }
        Content::Unreadable(why) => Err(Breach(format!("what arrived cannot be read: {why}"))),
    }
}

/// What the journal itself holds and is due by this moment, and nothing that others hold.
pub(crate) fn journals_own(due_by: Timestamp) -> Overdue {
    let long_ago = Timestamp::default();
    Overdue {
        due_by,
        abandoned_before: long_ago,
        forgotten_before: long_ago,
        lost_before: long_ago,
        replayed: true,
    }
}

/// The application.
pub(crate) fn acme() -> Application {
    Application {
        id: ApplicationId::derived(&[b"acme"]),
        organisation: OrganisationId::DEFAULT,
        uid: Some("acme".into()),
        name: "Acme".into(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
    }
}

/// Its leave to ask.
pub(crate) fn tenant() -> Tenant {
    acme().tenant()
}

/// The id of the endpoint of this name.
pub(crate) fn endpoint(name: &str) -> EndpointId {
    EndpointId::derived(&[name.as_bytes()])
}

fn endpoint_of_acme(name: &str) -> Endpoint {
    Endpoint {
        id: endpoint(name),
        application: acme().id,
        uid: Some(name.into()),
        description: String::new(),
        url: "https://example.com/hook".parse().expect("a URL"),
        filter: Filter::of(Vec::new()),
        channels: Vec::new(),
        state: EndpointState::Active,
        disabled_because: None,
        throttle_rate: None,
        policy: Arc::default(),
        headers: Vec::new(),
        auth: None,
        keys: Vec::new(),
        metadata: std::collections::BTreeMap::new(),
        version: std::num::NonZeroU16::MIN,
        created_at: Timestamp::default(),
        updated_at: Timestamp::default(),
        policy_part: PolicyPart::default(),
    }
}

/// An event as its producer has it.
pub(crate) fn publication(name: &str) -> Publication {
    Publication {
        application: "acme".into(),
        event_type: "job.completed".into(),
        event_id: name.into(),
        payload: Bytes::from(format!("{{\"name\":\"{name}\"}}")),
        ..Publication::default()
    }
}

/// The id that an event of this name has.
pub(crate) fn event_id(name: &str) -> EventId {
    EventId::derived(&[acme().id.as_bytes(), name.as_bytes()])
}

/// The delivery of that event to this endpoint.
pub(crate) fn key(name: &str, endpoint_name: &str) -> DeliveryKey {
    DeliveryKey { event: event_id(name), endpoint: endpoint(endpoint_name) }
}

/// An event that is owed to these endpoints.
pub(crate) fn owed(event: &Arc<Event>, endpoints: &[&str]) -> Owed {
    let endpoints = endpoints.iter().map(|name| endpoint(name)).collect();
    Owed { event: Arc::clone(event), endpoints }
}

/// A settlement of this copy's turn, behind a request if it was answered with a status.
pub(crate) fn settled(delivery: &Delivery, status: Option<u16>, settlement: Settlement) -> Settled {
    let (key, turn, at) = (delivery.key(), delivery.turn, clock());
    let attempts = delivery.attempts + u32::from(status.is_some());
    let attempt = status.map(|status| Attempt {
        id: AttemptId::derived(&[key.id().as_bytes(), &turn.0.to_be_bytes()]),
        number: attempts,
        started_at: at,
        duration_ms: 12,
        timing: Timing { first_byte_ms: Some(11), ..Timing::default() },
        headers: SentHeaders::default(),
        outcome: Outcome::Answered { status, retry_after: None },
        url: "https://example.com/hook".into(),
        response: Bytes::from_static(b"as you say"),
        detail: String::new(),
        meaning: Policy::default().judge(&Outcome::Answered { status, retry_after: None }),
        policy: Arc::default(),
    });
    Settled {
        key,
        turn,
        trigger: Trigger::Turn,
        attempts,
        attempt,
        settlement,
        held_by: Holder::Router,
        at,
        tells: false,
    }
}

/// The receiver has it.
pub(crate) fn delivered(delivery: &Delivery) -> Settled {
    settled(delivery, Some(200), Settlement::Delivered)
}

/// It failed and is tried again; the router holds it.
pub(crate) fn failed(delivery: &Delivery, due: Due) -> Settled {
    settled(delivery, Some(503), Settlement::Retry(due))
}

/// It failed for the last time.
pub(crate) fn given_up(delivery: &Delivery) -> Settled {
    settled(delivery, Some(500), Settlement::DeadLetter(DeathReason::AttemptsExhausted))
}

/// Its receiver says that nobody is there any more.
pub(crate) fn gone(delivery: &Delivery) -> Settled {
    settled(delivery, Some(410), Settlement::DeadLetter(DeathReason::Gone))
}

/// It was not attempted: its endpoint is paused.
pub(crate) fn paused(delivery: &Delivery) -> Settled {
    let never = Due::exactly(Timestamp::NEVER);
    settled(delivery, None, Settlement::Postpone(never, Postponed::Paused))
}
