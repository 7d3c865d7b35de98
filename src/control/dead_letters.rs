//! Dead letters: looking at them, and replaying them.
//!
//! A replay is counted before it is run, and what is counted is what is run: the filter is pinned
//! to the moment of counting, so that what dies in between stays out.

use super::{Answer, Control, ControlError};
use crate::domain::dead_letter::StatusIs;
use crate::domain::event::Event;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::dead_letters::{DeadLetter, DeadLetterFilter};
use crate::storage::journal::{AttemptRecord, ReplayCount};

/// Which dead letters, as people say it. All that is given holds together.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Deliveries by id.
    pub ids: Vec<String>,
    /// An application's id or uid.
    pub application: Option<String>,
    /// An endpoint's id, or its uid beside its application.
    pub endpoint: Option<String>,
    /// A pattern of event types.
    pub event_type: Option<String>,
    /// Why they were given up.
    pub reason: Option<DeathReason>,
    /// Their last status; 0 is no answer.
    pub status: Option<u16>,
    /// Given up at this moment or later.
    pub since: Option<Timestamp>,
    /// Given up before this moment.
    pub until: Option<Timestamp>,
}

impl Which {
    /// Whether it says anything about which are meant, beside whose they are.
    pub(super) fn says_anything(&self) -> bool {
        let Self { ids, application: _, endpoint, event_type, reason, status, since, until } = self;
        !ids.is_empty()
            || endpoint.is_some()
            || event_type.is_some()
            || reason.is_some()
            || status.is_some()
            || since.is_some()
            || until.is_some()
    }
}

/// A dead letter with all that is known of it.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// The dead letter.
    pub letter: DeadLetter,
    /// Its event; `None` when it is not kept any more.
    pub event: Option<Event>,
    /// Every attempt, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// A replay, counted and not run yet.
#[derive(Debug, Clone)]
pub struct CountedReplay {
    /// What it would do.
    pub count: ReplayCount,
    filter: DeadLetterFilter,
}

impl Control {
    /// Dead letters, newest first; `after` continues behind the last one seen.
    ///
    /// # Errors
    /// `NotFound` or `Invalid` for what a condition names.
    pub async fn dead_letters(
        &self,
        which: &Which,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Answer<Vec<DeadLetter>> {
        let filter = self.filter(which).await?;
        Ok(self.ledger.dead_letters(&filter, after, limit).await?)
    }

    /// How many dead letters there are.
    ///
    /// # Errors
    /// `NotFound` or `Invalid` for what a condition names.
    pub async fn count_dead_letters(&self, which: &Which) -> Answer<u64> {
        let filter = self.filter(which).await?;
        Ok(self.ledger.count_dead_letters(&filter).await?)
    }

    /// One dead letter, with its event and its attempts.
    ///
    /// # Errors
    /// `NotFound`, also for a delivery that is not dead.
    pub async fn dead_letter(&self, id: &str) -> Answer<Inspected> {
        let filter =
            DeadLetterFilter { ids: vec![delivery_id(id)?], ..DeadLetterFilter::default() };
        let letter = self.ledger.dead_letters(&filter, None, 1).await?.pop().ok_or_else(|| {
            ControlError::NotFound(format!("no dead letter is called `{id}`: was it replayed?"))
        })?;
        let event = self.ledger.event(letter.key.event).await?;
        let attempts = self.ledger.attempts(letter.key).await?;
        Ok(Inspected { letter, event, attempts })
    }

    /// What a replay would do.
    ///
    /// # Errors
    /// `NotFound` or `Invalid` for what a condition names.
    pub async fn count_replay(&self, which: &Which) -> Answer<CountedReplay> {
        let mut filter = self.filter(which).await?;
        // `until` is exclusive: the next millisecond, so that what died just now is in.
        let moment = (self.context.now)() + std::time::Duration::from_millis(1);
        filter.until = Some(filter.until.map_or(moment, |until| until.min(moment)));
        let count = self.ledger.count_replay(&filter).await?;
        Ok(CountedReplay { count, filter })
    }

    /// Replays what was counted; how many deliveries go on.
    ///
    /// # Errors
    /// `Unavailable` may have replayed a part: the same call replays the rest.
    pub async fn replay(&self, counted: &CountedReplay) -> Answer<u64> {
        Ok(self.ledger.replay(&counted.filter, (self.context.now)()).await?)
    }

    /// The filter that this means, its names resolved.
    ///
    /// # Errors
    /// `NotFound` or `Invalid` for what a condition names.
    pub(super) async fn filter(&self, which: &Which) -> Answer<DeadLetterFilter> {
        let ids: Result<Vec<_>, _> = which.ids.iter().map(|id| delivery_id(id)).collect();
        let event_type = match &which.event_type {
            Some(text) => Some(text.parse().map_err(|fault| {
                ControlError::Invalid(format!("the event type does not fit: {fault}"))
            })?),
            None => None,
        };
        Ok(DeadLetterFilter {
            ids: ids?,
            organisation: None,
            application: self.application_id(which.application.as_deref()).await?,
            endpoint: self.endpoint_id(which).await?,
            event_type,
            reason: which.reason,
            status: which.status.map(StatusIs::Code),
            error: None,
            subject: None,
            text: None,
            since: which.since,
            until: which.until,
        })
    }

    /// An id is taken as it is: what is deleted may have dead letters still.
    async fn application_id(&self, name: Option<&str>) -> Answer<Option<ApplicationId>> {
        match name {
            None => Ok(None),
            Some(name) => match name.parse() {
                Ok(id) => Ok(Some(id)),
                Err(_) => Ok(Some(self.application(name).await?.id)),
            },
        }
    }

    async fn endpoint_id(&self, which: &Which) -> Answer<Option<EndpointId>> {
        match which.endpoint.as_deref() {
            None => Ok(None),
            Some(name) => match name.parse() {
                Ok(id) => Ok(Some(id)),
                Err(_) => Ok(Some(self.endpoint(which.application.as_deref(), name).await?.id)),
            },
        }
    }
}

fn delivery_id(text: &str) -> Answer<DeliveryId> {
    text.parse().map_err(|fault| ControlError::Invalid(format!("{fault}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fake::{NOW, World};

    #[tokio::test]
    async fn a_replay_is_pinned_to_the_moment_of_counting() {
        let world = World::new();
        world.bury("msg-1", NOW);

        let counted = world.control.count_replay(&Which::default()).await.expect("counted");
        world.bury("msg-2", NOW + std::time::Duration::from_secs(1));
        let replayed = world.control.replay(&counted).await.expect("replayed");

        assert_eq!((counted.count.total(), replayed), (1, 1));
    }

    #[tokio::test]
    async fn a_deleted_endpoint_can_be_named_by_its_id_and_not_by_its_uid() {
        let world = World::new();
        let named = |endpoint: &str| Which {
            endpoint: Some(endpoint.into()),
            application: Some("app_gone".into()),
            ..Which::default()
        };
        let gone = EndpointId::derived(&[b"gone"]).to_string();
        let which = Which { endpoint: Some(gone), ..Which::default() };

        assert!(world.control.dead_letters(&which, None, 10).await.expect("none").is_empty());
        let refused = world.control.dead_letters(&named("hook"), None, 10).await;
        assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_dead_letter_that_is_not_there_is_not_found_and_another_text_is_no_id() {
        let control = World::new().control;
        let id = DeliveryId::derived(&[b"x"]).to_string();

        assert!(matches!(control.dead_letter(&id).await, Err(ControlError::NotFound(_))));
        assert!(matches!(control.dead_letter("x").await, Err(ControlError::Invalid(_))));
    }
}
