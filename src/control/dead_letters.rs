//! Dead letters: looking for them, looking at them, and putting them away.
//!
//! Who looks after dead letters is an application, for its own, or its organisation, for all: every question
//! is asked with that beside it, and what is another's is not found. What is put away is counted first where
//! the asker says how many it should be. Sending them again is a replay ([`replays`](super::replays)).

use super::{Answer, Control, ControlError, reasons};
use crate::domain::application::Tenant;
use crate::domain::dead_letter::{ErrorIs, StatusIs};
use crate::domain::event::SHORT_TEXT_MAX;
use crate::domain::id::{ApplicationId, DeliveryId, EndpointId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterGroup, DeadLetterPlace, Discarded, GroupPlace,
    Inspected,
};
use crate::storage::page::{Listed, Page};

/// Most dead letters that are named one by one: what a small body has room for.
pub const IDS_MAX: usize = 10_000;
/// Longest text that is looked for, in bytes: a line of a log.
pub const TEXT_MAX_BYTES: usize = 256;
/// Most dead letters that one request puts away: some two seconds of the writer's time, between other work.
pub const DISCARD_MAX: u64 = 20_000;

/// Which dead letters, as people say it. All that is given holds together.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Deliveries by id.
    pub ids: Vec<String>,
    /// An application's id or uid: for its organisation to say.
    pub application: Option<String>,
    /// An endpoint's id, or its uid beside its application.
    pub endpoint: Option<String>,
    /// A pattern of event types.
    pub event_type: Option<String>,
    /// Why they were given up.
    pub reason: Option<DeathReason>,
    /// Their last status.
    pub status: Option<StatusIs>,
    /// How their last attempt ended.
    pub error: Option<ErrorIs>,
    /// What they are about.
    pub subject: Option<String>,
    /// What is in their subject, their last failure or their type.
    pub text: Option<String>,
    /// Given up at this moment or later.
    pub since: Option<Timestamp>,
    /// Given up before this moment.
    pub until: Option<Timestamp>,
}

impl Which {
    /// Whether it says anything about which are meant, beside whose they are.
    pub(super) const fn says_anything(&self) -> bool {
        let Self {
            ids,
            application: _,
            endpoint,
            event_type,
            reason,
            status,
            error,
            subject,
            text,
            since,
            until,
        } = self;
        !ids.is_empty()
            || endpoint.is_some()
            || event_type.is_some()
            || reason.is_some()
            || status.is_some()
            || error.is_some()
            || subject.is_some()
            || text.is_some()
            || since.is_some()
            || until.is_some()
    }
}

/// Dead letters that are to be put away.
#[derive(Debug, Clone, Default)]
pub struct Discard {
    /// Which.
    pub which: Which,
    /// Whether all are meant, where the search leaves nothing out.
    pub all: bool,
    /// Why, in the asker's words.
    pub reason: String,
    /// How many they should be: else nothing is done.
    pub expect: Option<u64>,
}

impl Control {
    /// What is looked for, for who asks: `tenant` for itself, or the organisation.
    ///
    /// # Errors
    /// `NotFound` or `InvalidField` for what it names.
    pub async fn dead_letter_filter(
        &self,
        tenant: Option<Tenant>,
        which: &Which,
    ) -> Answer<DeadLetterFilter> {
        let Some(tenant) = tenant else { return self.filter(which).await };
        if which.application.is_some() {
            return Err(ControlError::field(
                "applicationId",
                "this path is about one application: none is accepted beside it",
            ));
        }
        let application = Some(tenant.application().to_string());
        self.filter(&Which { application, ..which.clone() }).await
    }

    /// The same where whose it is stands in what is looked for.
    pub(super) async fn filter(&self, which: &Which) -> Answer<DeadLetterFilter> {
        check(which)?;
        let ids: Result<Vec<_>, _> = which.ids.iter().map(|id| delivery_id(id)).collect();
        let event_type = match &which.event_type {
            Some(text) => Some(text.parse().map_err(|fault| {
                ControlError::field("eventType", format!("the event type does not fit: {fault}"))
            })?),
            None => None,
        };
        Ok(DeadLetterFilter {
            ids: ids?,
            organisation: Some(self.organisation),
            application: self.application_id(which.application.as_deref()).await?,
            endpoint: self.endpoint_id(which).await.map_err(|error| error.about("endpointId"))?,
            event_type,
            reason: which.reason,
            status: which.status,
            error: which.error,
            subject: which.subject.clone(),
            text: which.text.clone(),
            since: which.since,
            until: which.until,
        })
    }

    /// An id is taken as it is: what is deleted may have dead letters still, and another's is not found.
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

    /// A page of the dead letters that a search finds, newest first.
    ///
    /// # Errors
    /// As [`dead_letter_filter`](Self::dead_letter_filter).
    pub async fn dead_letters_of(
        &self,
        tenant: Option<Tenant>,
        which: &Which,
        page: &Page<DeadLetterPlace>,
    ) -> Answer<Listed<DeadLetter, DeadLetterPlace>> {
        let filter = self.dead_letter_filter(tenant, which).await?;
        Ok(self.dead_letters.dead_letters_of(&filter, page).await?)
    }

    /// A page of the groups that a search finds, largest first.
    ///
    /// # Errors
    /// As [`dead_letter_filter`](Self::dead_letter_filter); `InvalidField` for what groups are not told apart by.
    pub async fn dead_letter_groups(
        &self,
        tenant: Option<Tenant>,
        which: &Which,
        page: &Page<GroupPlace>,
    ) -> Answer<Listed<DeadLetterGroup, GroupPlace>> {
        let filter = self.dead_letter_filter(tenant, which).await?;
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
        if let Ok(id) = name.parse() {
            let whose = self.dead_letter_filter(tenant, &Which::default()).await?;
            if let Some(found) = self.dead_letters.inspect(&whose, id).await? {
                return Ok(found);
            }
        }
        let Some(tenant) = tenant else { return Err(no_dead_letter(name, None)) };
        let application = self.application(&tenant.application().to_string()).await?;
        let called = application.uid.unwrap_or_else(|| application.id.to_string());
        Err(no_dead_letter(name, Some(&called)))
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
        let Discard { which, all, reason, expect } = discard;
        if !(which.says_anything() || which.application.is_some() || all) {
            return Err(ControlError::field(
                "filter",
                "it leaves nothing out: say which, or `\"all\": true` for every dead letter",
            ));
        }
        if reasons::said(Some(&reason))?.is_none() {
            return Err(ControlError::field("reason", "why they are put away is wanted"));
        }
        let filter = self.dead_letter_filter(tenant, &which).await?;
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

/// Checks what no type has checked.
fn check(which: &Which) -> Answer<()> {
    let fits = |text: &Option<String>, most: usize| {
        text.as_ref().is_none_or(|text| !text.is_empty() && text.len() <= most)
    };
    if which.ids.len() > IDS_MAX {
        let why = format!("{} are named: at most {IDS_MAX} are accepted", which.ids.len());
        return Err(ControlError::field("ids", why));
    }
    if !fits(&which.text, TEXT_MAX_BYTES) {
        let why = format!("1 to {TEXT_MAX_BYTES} bytes are accepted");
        return Err(ControlError::field("text", why));
    }
    if !fits(&which.subject, SHORT_TEXT_MAX) {
        let why = format!("1 to {SHORT_TEXT_MAX} bytes are accepted");
        return Err(ControlError::field("subject", why));
    }
    match (which.since, which.until) {
        (Some(since), Some(until)) if since >= until => {
            let why = format!("{until} is not behind since, {since}: a later moment is accepted");
            Err(ControlError::field("until", why))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn delivery_id(text: &str) -> Answer<DeliveryId> {
    text.parse().map_err(|fault| ControlError::field("ids", format!("{fault}")))
}

/// Says whose were looked through: of another application's nothing is said, as if there were none.
fn no_dead_letter(name: &str, application: Option<&str>) -> ControlError {
    let whose =
        application.map_or_else(String::new, |called| format!(" of application `{called}`"));
    ControlError::NotFound(format!(
        "no dead letter{whose} is called `{name}`: was it replayed, delivered or discarded? Such a one is \
         told of as a delivery, by its message and its endpoint (`posthaste deliveries show`)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fake::{NOW, World};
    use crate::storage::page::{Order, Place};

    fn first() -> Page<DeadLetterPlace> {
        Page { limit: 10, place: Place::Beginning, order: Order::Descending }
    }

    fn discard(which: Which) -> Discard {
        Discard { which, reason: "no use".into(), ..Discard::default() }
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

        let found = world.control.dead_letters_of(None, &which, &first()).await.expect("none");
        assert!(found.rows.is_empty());
        let refused = world.control.dead_letters_of(None, &named("hook"), &first()).await;
        assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_dead_letter_that_is_not_there_is_not_found_and_neither_is_another_text() {
        let control = World::new().control;
        for name in [DeliveryId::derived(&[b"x"]).to_string(), "x".into()] {
            let found = control.inspect_dead_letter(None, &name).await;
            let Err(ControlError::NotFound(said)) = found else { panic!("{name}: {found:?}") };
            assert!(said.contains(&name) && said.contains("deliveries show"), "{said}");
        }
    }

    #[tokio::test]
    async fn nothing_is_discarded_by_having_left_something_out() {
        let world = World::new();
        world.bury("msg-1", NOW);
        let no_reason = Discard { reason: " ".into(), all: true, ..discard(Which::default()) };
        let too_few = Discard { expect: Some(2), all: true, ..discard(Which::default()) };
        for wrong in [discard(Which::default()), no_reason, too_few] {
            let refused = world.control.discard_dead_letters(None, wrong.clone()).await;
            assert!(refused.is_err(), "{wrong:?}");
        }
        assert!(world.log().is_empty(), "{:?}", world.log());

        let all = Discard { expect: Some(1), all: true, ..discard(Which::default()) };
        let done = world.control.discard_dead_letters(None, all).await;
        assert_eq!(done, Ok(Discarded { discarded: 1, done: true }));
        assert_eq!(world.log(), ["discarded 1"]);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_by_its_field() {
        let control = World::new().control;
        let table = [
            (Which { ids: vec!["x".into()], ..Which::default() }, "ids"),
            (Which { event_type: Some("*.x".into()), ..Which::default() }, "eventType"),
            (Which { endpoint: Some("hook".into()), ..Which::default() }, "endpointId"),
            (Which { text: Some("x".repeat(TEXT_MAX_BYTES + 1)), ..Which::default() }, "text"),
            (Which { subject: Some(String::new()), ..Which::default() }, "subject"),
            (Which { since: Some(NOW), until: Some(NOW), ..Which::default() }, "until"),
        ];
        for (which, expected) in table {
            let refused = control.dead_letters_of(None, &which, &first()).await;
            let field = match refused {
                Err(ControlError::InvalidField { field, .. }) => field,
                other => panic!("{which:?}: {other:?}"),
            };
            assert_eq!(field, expected);
        }
    }
}
