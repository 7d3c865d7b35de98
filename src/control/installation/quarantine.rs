//! Looking after messages that are no events: what lies on which shelf, one of them whole, corrected and resubmitted, or
//! thrown away for a reason.
//!
//! How each shelf keeps its promises is told at the port ([`storage::quarantine`](crate::storage::quarantine)). Here what a person
//! sends is judged before anything is done: a correction that would only come back is refused, in the words that it would come
//! back with.

use std::sync::Arc;

use tracing::info;

use super::Installation;
use crate::control::{Answer, ControlError, reasons};
use crate::domain::event::{ApplicationName, EventType, NotAnEventType};
use crate::domain::id::{HeldId, OrganisationId};
use crate::storage::catalogue::Catalogue;
use crate::storage::quarantine::{
    DISCARD_MAX, Fix, HeldMessage, Look, Quarantine, Resubmitted, Shelf,
};

/// Longest routing key, in bytes: what AMQP carries.
const ROUTING_KEY_MAX: usize = 255;

/// What throwing messages away came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discarded {
    /// So many are gone.
    pub gone: usize,
    /// So many were not there any more, or not among those that a look goes over.
    pub missing: usize,
}

/// Where they are looked after.
#[derive(Clone)]
pub struct QuarantineDesk {
    stores: Arc<[Arc<dyn Quarantine>]>,
    catalogue: Arc<dyn Catalogue>,
}

impl QuarantineDesk {
    /// A desk over these stores; the catalogue says who is there to get what is corrected.
    pub fn new(stores: Vec<Arc<dyn Quarantine>>, catalogue: Arc<dyn Catalogue>) -> Self {
        Self { stores: stores.into(), catalogue }
    }

    /// The shelves that there are, in the order in which they are shown.
    pub fn shelves(&self) -> Vec<Shelf> {
        let mut all: Vec<_> =
            self.stores.iter().flat_map(|store| store.shelves()).copied().collect();
        all.sort_unstable();
        all
    }

    /// Looks at a shelf.
    ///
    /// # Errors
    /// `NotFound` for a shelf that there is not; `Unavailable`.
    pub async fn look(&self, _: Installation, on: Shelf) -> Answer<Look> {
        Ok(self.store(on)?.look(on).await?)
    }

    /// One message, whole.
    ///
    /// # Errors
    /// `NotFound` when it is not there (any more); `Unavailable`.
    pub async fn held(&self, _: Installation, on: Shelf, id: &str) -> Answer<HeldMessage> {
        let id = read(id)?;
        self.store(on)?.held(on, id).await?.ok_or_else(|| gone(on, id))
    }

    /// Publishes a message anew with this correction, and takes it off its shelf when that is durable.
    ///
    /// # Errors
    /// `InvalidField` (`routingKey`, `eventType`), or `Invalid`: even so it is no event, or there is nobody to get it; nothing
    /// was done. `NotFound`; `Unavailable`: done, half done or not; doing it again is safe.
    pub async fn resubmit(
        &self,
        _: Installation,
        on: Shelf,
        id: &str,
        fix: &Fix,
    ) -> Answer<Resubmitted> {
        let id = read(id)?;
        self.judge(fix).await?;
        let done = self.store(on)?.resubmit(on, id, fix).await.map_err(|error| {
            match ControlError::from(error) {
                ControlError::Conflict(why) => ControlError::Invalid(why), // as the store reads it, it is no event
                other => other,
            }
        })?;
        let done = done.ok_or_else(|| gone(on, id))?;
        info!(shelf = %on, %id, message_id = done.message_id, "{id} was resubmitted from {on}");
        Ok(done)
    }

    /// Throws messages away for good. The reason is logged; the audit log has it from whoever asks.
    ///
    /// # Errors
    /// `InvalidField`: no id, too many, or no reason; `NotFound` for a shelf that there is not; `Unavailable`: some may be gone.
    pub async fn discard(
        &self,
        _: Installation,
        on: Shelf,
        ids: &[&str],
        reason: &str,
    ) -> Answer<Discarded> {
        let reason = reasons::said(Some(reason))?.ok_or_else(|| {
            ControlError::field("reason", "why are they thrown away? Some words are wanted")
        })?;
        if !(1..=DISCARD_MAX).contains(&ids.len()) {
            let why = format!("{} messages are named: 1 to {DISCARD_MAX} are accepted", ids.len());
            return Err(ControlError::field("ids", why));
        }
        let mut ids = ids.iter().map(|id| read(id)).collect::<Answer<Vec<_>>>()?;
        ids.sort_unstable();
        ids.dedup();
        let gone = self.store(on)?.discard(on, &ids).await?;
        info!(shelf = %on, gone, reason, "{gone} messages of {on} were thrown away: {reason}");
        Ok(Discarded { gone, missing: ids.len().saturating_sub(gone) })
    }

    fn store(&self, on: Shelf) -> Answer<&dyn Quarantine> {
        let found = self.stores.iter().find(|store| store.shelves().contains(&on));
        found.map(AsRef::as_ref).ok_or_else(|| {
            ControlError::NotFound(format!("there is no shelf `{on}` in this installation"))
        })
    }

    /// Refuses what can be seen to be wrong from here: the rest is the store's to read.
    async fn judge(&self, fix: &Fix) -> Answer<()> {
        if let Some(event_type) = fix.event_type.as_deref().filter(|named| !named.is_empty()) {
            check_type(event_type).map_err(|fault| ControlError::field("eventType", fault))?;
        }
        let Some(key) = &fix.routing_key else { return Ok(()) };
        let wanted = |why: String| ControlError::field("routingKey", why);
        let (application, tail) = key.split_once('.').unwrap_or((key, ""));
        if application.is_empty() || key.len() > ROUTING_KEY_MAX {
            return Err(wanted(format!(
                "`<application>.<event type>` of at most {ROUTING_KEY_MAX} bytes is wanted"
            )));
        }
        if fix.event_type.as_deref().unwrap_or_default().is_empty() && !tail.is_empty() {
            check_type(tail).map_err(wanted)?;
        }
        let name = ApplicationName::from(application);
        // An id may be of any organisation's application, and a uid alone is the default one's: the router tells.
        if let ApplicationName::Uid(_) = &name {
            let known = self.catalogue.application(OrganisationId::DEFAULT, &name).await?;
            if known.is_none() {
                return Err(wanted(format!("no application is called `{application}`")));
            }
        }
        Ok(())
    }
}

fn check_type(text: &str) -> Result<(), String> {
    let read: Result<EventType, NotAnEventType> = text.parse();
    read.map(drop).map_err(|fault| fault.to_string())
}

fn read(id: &str) -> Answer<HeldId> {
    id.parse().map_err(|_| ControlError::NotFound(format!("no message is called `{id}` here")))
}

fn gone(on: Shelf, id: HeldId) -> ControlError {
    ControlError::NotFound(format!(
        "{id} is not on the shelf `{on}` (any more), or lies further back than is looked at"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;

    use super::*;
    use crate::control::applications::NewApplication;
    use crate::control::fake::World;
    use crate::storage::StorageError;

    /// A shelf with whatever one asks for; what was resubmitted is written down.
    #[derive(Default)]
    struct Shelves(Mutex<Vec<Fix>>);

    #[async_trait]
    impl Quarantine for Shelves {
        fn shelves(&self) -> &'static [Shelf] {
            &[Shelf::Poison, Shelf::Quarantine]
        }

        async fn look(&self, _: Shelf) -> Result<Look, StorageError> {
            Ok(Look::default())
        }

        async fn held(&self, _: Shelf, _: HeldId) -> Result<Option<HeldMessage>, StorageError> {
            Ok(None)
        }

        async fn resubmit(
            &self,
            _: Shelf,
            id: HeldId,
            fix: &Fix,
        ) -> Result<Option<Resubmitted>, StorageError> {
            if id != one() {
                return Ok(None);
            }
            self.0.lock().expect("one test").push(fix.clone());
            if fix.body.is_some() {
                return Err(StorageError::Conflict("the payload is not JSON: EOF".into()));
            }
            let message_id = "run-7".into();
            Ok(Some(Resubmitted { message_id, routing_key: "acme.job.done".into() }))
        }

        async fn discard(&self, _: Shelf, ids: &[HeldId]) -> Result<usize, StorageError> {
            Ok(ids.iter().filter(|id| **id == one()).count())
        }
    }

    fn one() -> HeldId {
        HeldId::derived(&[b"one"])
    }

    fn keeper() -> Installation {
        Installation::of(OrganisationId::DEFAULT).expect("it keeps the installation")
    }

    async fn desk() -> (QuarantineDesk, Arc<Shelves>) {
        let world = World::new();
        let acme = NewApplication::named("acme", Some("acme"));
        world.control.create_application(acme).await.expect("made");
        let shelves = Arc::new(Shelves::default());
        let store: Arc<dyn Quarantine> = Arc::clone(&shelves) as _;
        (QuarantineDesk::new(vec![store], Arc::clone(&world.stores) as _), shelves)
    }

    fn to(key: &str) -> Fix {
        Fix { routing_key: Some(key.into()), ..Fix::default() }
    }

    #[tokio::test]
    async fn a_correction_that_would_only_come_back_is_refused_before_anything_is_done() {
        let (desk, shelves) = desk().await;
        let typed = Fix { event_type: Some("no type".into()), ..Fix::default() };
        for (fix, field) in [
            (to("nobody.job.done"), "routingKey"),
            (to(".job.done"), "routingKey"),
            (to("acme.no type"), "routingKey"),
            (to(&format!("acme.{}", "x".repeat(300))), "routingKey"),
            (typed, "eventType"),
        ] {
            let refused =
                desk.resubmit(keeper(), Shelf::Quarantine, &one().to_string(), &fix).await;
            let Err(ControlError::InvalidField { field: of, .. }) = &refused else {
                panic!("{fix:?}: {refused:?}")
            };
            assert_eq!(*of, field, "{fix:?}");
        }
        assert!(shelves.0.lock().expect("one test").is_empty(), "nothing was done");

        let (id, fix) = (one().to_string(), to("acme.job.done"));
        let done = desk.resubmit(keeper(), Shelf::Quarantine, &id, &fix).await;
        assert_eq!(done.expect("published").message_id, "run-7");
        let broken = Fix { body: Some("{".into()), ..Fix::default() };
        let refused = desk.resubmit(keeper(), Shelf::Quarantine, &one().to_string(), &broken).await;
        assert_eq!(refused, Err(ControlError::Invalid("the payload is not JSON: EOF".into())));
    }

    #[tokio::test]
    async fn what_is_not_there_is_said_to_be_not_there() {
        let (desk, _) = desk().await;
        assert_eq!(desk.shelves(), [Shelf::Quarantine, Shelf::Poison]);
        let other = HeldId::derived(&[b"other"]).to_string();
        for id in ["", "held_x", &other] {
            let refused = desk.held(keeper(), Shelf::Quarantine, id).await;
            assert!(matches!(refused, Err(ControlError::NotFound(_))), "{id}: {refused:?}");
        }
        let refused = desk.resubmit(keeper(), Shelf::Quarantine, &other, &Fix::default()).await;
        assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
        let refused = desk.look(keeper(), Shelf::Record).await;
        assert!(matches!(refused, Err(ControlError::NotFound(_))), "no such shelf here");
    }

    #[tokio::test]
    async fn what_is_thrown_away_is_named_with_a_reason_and_counted() {
        let (desk, _) = desk().await;
        let (known, other) = (one().to_string(), HeldId::derived(&[b"other"]).to_string());
        let discard = async |ids: &[&str], reason| {
            desk.discard(keeper(), Shelf::Quarantine, ids, reason).await
        };
        let gone = discard(&[&known, &other, &known], "a test producer").await;
        assert_eq!(gone, Ok(Discarded { gone: 1, missing: 1 }), "each once");
        for (ids, reason) in [(&[][..], "why"), (&[&*known][..], " ")] {
            let refused = discard(ids, reason).await;
            assert!(matches!(refused, Err(ControlError::InvalidField { .. })), "{refused:?}");
        }
    }
}
