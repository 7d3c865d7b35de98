//! Dead letters: looking for them, looking at them, putting them away, and replaying them.
//!
//! Who looks after dead letters is an application, for its own, or its organisation, for all: every question
//! is asked with that beside it, and what is another's is not found. What is put away is counted first where
//! the asker says how many it should be.
//!
//! A replay is counted before it is run, and what is counted is what is run: the filter is pinned
//! to the moment of counting, so that what dies in between stays out.

use super::{Answer, Control, ControlError};
use crate::domain::application::Tenant;
use crate::domain::dead_letter::StatusIs;
use crate::domain::event::SHORT_TEXT_MAX;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, Discarded, GroupPlace,
    Inspected,
};
use crate::storage::journal::ReplayCount;
use crate::storage::page::{Listed, Page};

/// Most dead letters that are named one by one: what a small body has room for.
pub const IDS_MAX: usize = 5_000;
/// Longest text that is looked for, in bytes: a line of a log.
pub const TEXT_MAX_BYTES: usize = 256;
/// Longest reason that a person gives, in bytes: a paragraph.
pub const REASON_MAX_BYTES: usize = 1_000;
/// Most dead letters that one request puts away: some two seconds of the writer's time, between other work.
pub const DISCARD_MAX: u64 = 20_000;

/// A search, with names in it as people type them. All that is given holds together.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// An application's id or uid: for its organisation to say.
    pub application: Option<String>,
    /// An endpoint's id; or its uid, beside its application.
    pub endpoint: Option<String>,
    /// Everything else.
    pub filter: DeadLetterFilter,
}

impl Search {
    /// Whether it leaves nothing out.
    pub fn is_everything(&self) -> bool {
        self.application.is_none()
            && self.endpoint.is_none()
            && self.filter == DeadLetterFilter::default()
    }
}

/// Dead letters that are to be put away.
#[derive(Debug, Clone, Default)]
pub struct Discard {
    /// Which.
    pub search: Search,
    /// Whether all are meant, where the search leaves nothing out.
    pub all: bool,
    /// Why, in the asker's words.
    pub reason: String,
    /// How many they should be: else nothing is done.
    pub expect: Option<u64>,
}

impl Control {
    /// What a search comes to for who asks: `tenant` for itself, or the organisation.
    ///
    /// # Errors
    /// `NotFound` or `InvalidField` for what it names.
    pub async fn dead_letter_filter(
        &self,
        tenant: Option<Tenant>,
        search: Search,
    ) -> Answer<DeadLetterFilter> {
        let Search { application, endpoint, filter } = search;
        check(&filter)?;
        let application = match (tenant, application) {
            (Some(tenant), None) => Some(tenant.application()),
            (Some(_), Some(_)) => {
                return Err(ControlError::field(
                    "applicationId",
                    "this path is about one application: none is accepted beside it",
                ));
            }
            (None, named) => self.application_id(named.as_deref()).await?,
        };
        let endpoint = match (endpoint.as_deref(), tenant) {
            (None, _) => None,
            (Some(name), Some(tenant)) => Some(self.owed_endpoint(tenant, name).await?),
            (Some(name), None) => {
                let within = application.map(|id| id.to_string());
                Some(
                    self.endpoint_id(within.as_deref(), name)
                        .await
                        .map_err(|e| e.about("endpointId"))?,
                )
            }
        };
        let organisation = Some(self.organisation);
        Ok(DeadLetterFilter { organisation, application, endpoint, ..filter })
    }

    /// A page of the dead letters that a search finds, newest first.
    ///
    /// # Errors
    /// As [`dead_letter_filter`](Self::dead_letter_filter).
    pub async fn dead_letters_of(
        &self,
        tenant: Option<Tenant>,
        search: Search,
        page: &Page<DeadLetterPlace>,
    ) -> Answer<Listed<DeadLetter, DeadLetterPlace>> {
        let filter = self.dead_letter_filter(tenant, search).await?;
        Ok(self.dead_letters.dead_letters_of(&filter, page).await?)
    }

    /// A page of the groups that a search finds, largest first.
    ///
    /// # Errors
    /// As [`dead_letter_filter`](Self::dead_letter_filter); `InvalidField` for what groups are not told apart by.
    pub async fn dead_letter_groups(
        &self,
        tenant: Option<Tenant>,
        search: Search,
        page: &Page<GroupPlace>,
    ) -> Answer<Listed<DeadLetterGroup, GroupPlace>> {
        let filter = self.dead_letter_filter(tenant, search).await?;
        Ok(self.dead_letters.dead_letter_groups(&filter, page).await?)
    }

    /// One dead letter, with its event and its attempts.
    ///
    /// # Errors
    /// `NotFound`, also for a delivery that is not dead.
    pub async fn inspect_dead_letter(
        &self,
        tenant: Option<Tenant>,
        name: &str,
    ) -> Answer<Inspected> {
        let nothing = || no_dead_letter(name);
        let id = name.parse().map_err(|_| nothing())?;
        let whose = self.dead_letter_filter(tenant, Search::default()).await?;
        self.dead_letters.inspect(&whose, id).await?.ok_or_else(nothing)
    }

    /// Puts dead letters away for good; at the most [`DISCARD_MAX`], and whether these were all.
    ///
    /// # Errors
    /// `InvalidField` for a search that leaves nothing out and does not say that it should, and for no reason;
    /// `Conflict` when they are not as many as were expected: then nothing is done.
    pub async fn discard_dead_letters(
        &self,
        tenant: Option<Tenant>,
        discard: Discard,
    ) -> Answer<Discarded> {
        let Discard { search, all, reason, expect } = discard;
        if search.is_everything() && !all {
            return Err(ControlError::field(
                "filter",
                "it leaves nothing out: say which, or `\"all\": true` for every dead letter",
            ));
        }
        if reason.trim().is_empty() || reason.len() > REASON_MAX_BYTES {
            return Err(ControlError::field(
                "reason",
                format!("why they are put away is wanted, in 1 to {REASON_MAX_BYTES} bytes"),
            ));
        }
        let filter = self.dead_letter_filter(tenant, search).await?;
        if let Some(expected) = expect {
            let counted = self.dead_letters.count_up_to(&filter, expected).await?;
            if counted != expected {
                let more = if counted > expected { "more" } else { "fewer" };
                return Err(ControlError::Conflict(format!(
                    "{more} dead letters match than the {expected} that were expected: nothing was discarded"
                )));
            }
        }
        Ok(self.dead_letters.discard(&filter, DISCARD_MAX).await?)
    }
}

/// Checks what a filter says that no type has checked.
fn check(filter: &DeadLetterFilter) -> Answer<()> {
    let fits = |text: &Option<String>, most: usize| {
        text.as_ref().is_none_or(|text| !text.is_empty() && text.len() <= most)
    };
    if filter.ids.len() > IDS_MAX {
        let why = format!("{} are named: at most {IDS_MAX} are accepted", filter.ids.len());
        return Err(ControlError::field("ids", why));
    }
    if !fits(&filter.text, TEXT_MAX_BYTES) {
        let why = format!("1 to {TEXT_MAX_BYTES} bytes are accepted");
        return Err(ControlError::field("text", why));
    }
    if !fits(&filter.subject, SHORT_TEXT_MAX) {
        let why = format!("1 to {SHORT_TEXT_MAX} bytes are accepted");
        return Err(ControlError::field("subject", why));
    }
    match (filter.since, filter.until) {
        (Some(since), Some(until)) if since >= until => {
            let why = format!("{until} is not behind since, {since}: a later moment is accepted");
            Err(ControlError::field("until", why))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn no_dead_letter(name: &str) -> ControlError {
    ControlError::NotFound(format!(
        "no dead letter is called `{name}`: was it replayed, or discarded?"
    ))
}

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
    /// Their last status.
    pub status: Option<StatusIs>,
    /// Given up at this moment or later.
    pub since: Option<Timestamp>,
    /// Given up before this moment.
    pub until: Option<Timestamp>,
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

    async fn filter(&self, which: &Which) -> Answer<DeadLetterFilter> {
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
            endpoint: match which.endpoint.as_deref() {
                None => None,
                Some(name) => Some(self.endpoint_id(which.application.as_deref(), name).await?),
            },
            event_type,
            reason: which.reason,
            status: which.status,
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

    async fn endpoint_id(&self, application: Option<&str>, name: &str) -> Answer<EndpointId> {
        match name.parse() {
            Ok(id) => Ok(id),
            Err(_) => Ok(self.endpoint(application, name).await?.id),
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
