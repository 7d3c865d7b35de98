//! Replaying: what people ask for, counted first and begun when they mean it, and what they do to a replay that
//! goes on.
//!
//! Names come in as people type them and are resolved within one organisation, and for a tenant within its
//! application. A replay that is about many says why; one that is about everything says that it is.
//!
//! Not here: what a step is and that none is taken twice (`storage`), and when steps are taken ([`runner`]).

pub mod runner;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use super::dead_letters::Which;
use super::reasons::{self, REASON_ABOVE};
use super::{Answer, Context, Control, ControlError, no_endpoint};
use crate::domain::application::Tenant;
use crate::domain::event::ApplicationName;
use crate::domain::filter::Pattern;
use crate::domain::id::{ApplicationId, EndpointId, ReplayId};
use crate::domain::replay::{Rate, Scope};
use crate::domain::time::Timestamp;
use crate::storage::page::Page;
use crate::storage::replays::{Change, NewReplay, OfEndpoint, Preview, Replay, Replays, Selection};

/// How far back client libraries' `recover` and `replay-missing` may begin: two weeks, the limit that their
/// documents name.
const SINCE_MOST: Duration = Duration::from_hours(14 * 24);

/// Deliveries a second that `recover` and `replay-missing` offer.
///
/// A thousand: their callers know no rate and expect their work to be done while they look, so it is more than
/// the default; and little enough to leave the writer alone. An endpoint that is slower is called as fast as it
/// answers, behind its live traffic.
const CATCH_UP_RATE: u32 = 1_000;

/// Where people count, begin and look after replays.
#[derive(Clone)]
pub struct ReplayDesk {
    replays: Arc<dyn Replays>,
    context: Context,
}

/// What a person wants to be replayed.
#[derive(Debug, Clone)]
pub struct Wish {
    /// Which deliveries it is about.
    pub scope: Scope,
    /// Of dead letters: which. Of an endpoint's: their event type alone.
    pub which: Which,
    /// Every dead letter is meant, when `which` says nothing.
    pub all: bool,
    /// Of an endpoint's: which endpoint, by id or uid.
    pub endpoint: Option<String>,
    /// Of an endpoint's: of events received at this moment or later; of all, if nobody says.
    pub since: Option<Timestamp>,
    /// Of an endpoint's: of events received before this moment.
    pub until: Option<Timestamp>,
    /// To this endpoint instead, by id or uid.
    pub to: Option<String>,
    /// Deliveries a second.
    pub rate: Option<u32>,
    /// Why.
    pub reason: Option<String>,
    /// How many have to match.
    pub expect: Option<u64>,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            scope: Scope::DeadLetters,
            which: Which::default(),
            all: false,
            endpoint: None,
            since: None,
            until: None,
            to: None,
            rate: None,
            reason: None,
            expect: None,
        }
    }
}

/// What a replay would do.
#[derive(Debug, Clone)]
pub struct Previewed {
    /// The counts.
    pub preview: Preview,
    /// As fast as this.
    pub rate: Rate,
}

impl Previewed {
    /// How long it would take at its rate, in seconds, if nothing holds it back.
    pub fn estimated_seconds(&self) -> u64 {
        self.preview.replayable().div_ceil(u64::from(self.rate.per_second()))
    }
}

/// A wish whose names are resolved.
struct Resolved {
    selection: Selection,
    to: Option<EndpointId>,
    rate: Rate,
    reason: Option<String>,
}

impl ReplayDesk {
    /// A desk in front of these replays.
    pub fn new(replays: Arc<dyn Replays>, context: Context) -> Self {
        Self { replays, context }
    }

    /// What a replay would do, for the organisation of `control`; for a tenant, within its application.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` or `InvalidField` for what is named.
    pub async fn preview(
        &self,
        control: &Control,
        tenant: Option<Tenant>,
        wish: &Wish,
    ) -> Answer<Previewed> {
        let Resolved { selection, to, rate, .. } = resolved(control, tenant, wish).await?;
        let preview = self.count(control, &selection, to).await?;
        Ok(Previewed { preview, rate })
    }

    /// Begins a replay. When this returns `Ok`, it is durable and goes on, whoever dies.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` or `InvalidField` for what is named, and when it is about more than
    /// [`REASON_ABOVE`] and says no reason; `Conflict` when another one is active for one of its endpoints, or
    /// another number matches than is expected.
    pub async fn begin(
        &self,
        control: &Control,
        tenant: Option<Tenant>,
        wish: &Wish,
        actor: &str,
    ) -> Answer<Replay> {
        let resolved = resolved(control, tenant, wish).await?;
        if resolved.reason.is_none() {
            let matched = self.count(control, &resolved.selection, resolved.to).await?.matched;
            if matched.is_none_or(|matched| matched > REASON_ABOVE) {
                let count = matched.map_or_else(
                    || "more deliveries than could be counted".to_owned(),
                    |matched| format!("{matched} deliveries"),
                );
                return Err(ControlError::field(
                    "reason",
                    format!("{count} match: above {REASON_ABOVE} a reason is wanted"),
                ));
            }
        }
        self.start(control, resolved, wish.expect, actor).await
    }

    /// Begins what client libraries know: offering again what an endpoint was owed and was given up
    /// ([`Scope::GivenUp`]), or what it has missed ([`Scope::Missing`]), of a span of time; at
    /// [`CATCH_UP_RATE`], and without a reason, for they have none to give.
    ///
    /// # Errors
    /// `Invalid` when the span is empty or begins more than two weeks ago; `Conflict` as for
    /// [`begin`](Self::begin).
    pub async fn catch_up(
        &self,
        control: &Control,
        tenant: Tenant,
        endpoint: EndpointId,
        scope: Scope,
        (since, until): (Timestamp, Option<Timestamp>),
        actor: &str,
    ) -> Answer<Replay> {
        let now = (self.context.now)();
        if now.since(since) > SINCE_MOST {
            return Err(ControlError::Invalid(format!(
                "since is {since}: at most two weeks ago is accepted"
            )));
        }
        not_backwards(Some(since), until)?;
        let application = tenant.application();
        let of = OfEndpoint { scope, application, endpoint, event_type: None, since, until };
        let rate = Rate::try_from(CATCH_UP_RATE).expect("a rate");
        let selection = Selection::OfEndpoint(of);
        let resolved = Resolved { selection, to: None, rate, reason: None };
        self.start(control, resolved, None, actor).await
    }

    /// One of the organisation's; for a tenant, of its application.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn replay(
        &self,
        control: &Control,
        tenant: Option<Tenant>,
        name: &str,
    ) -> Answer<Replay> {
        let id: ReplayId = name.parse().map_err(|_| no_replay(name))?;
        let found = self.replays.replay(control.organisation(), id).await?;
        found.filter(|replay| is_of(replay, tenant)).ok_or_else(|| no_replay(name))
    }

    /// A part of the list of the organisation's; for a tenant, of its application's.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn replays(
        &self,
        control: &Control,
        tenant: Option<Tenant>,
        page: &Page<ReplayId>,
    ) -> Answer<Vec<Replay>> {
        let application = tenant.map(Tenant::application);
        Ok(self.replays.replays(control.organisation(), application, page).await?)
    }

    /// Pauses, resumes or cancels one, or sets how fast it is.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it has ended.
    pub async fn change(
        &self,
        control: &Control,
        tenant: Option<Tenant>,
        name: &str,
        change: Change,
    ) -> Answer<Replay> {
        let id = self.replay(control, tenant, name).await?.id;
        let now = (self.context.now)();
        let changed = self.replays.change(control.organisation(), id, change, now).await?;
        changed.ok_or_else(|| no_replay(name))
    }

    async fn count(
        &self,
        control: &Control,
        selection: &Selection,
        to: Option<EndpointId>,
    ) -> Answer<Preview> {
        let now = (self.context.now)();
        Ok(self.replays.preview(control.organisation(), selection, to, now).await?)
    }

    async fn start(
        &self,
        control: &Control,
        resolved: Resolved,
        expect: Option<u64>,
        actor: &str,
    ) -> Answer<Replay> {
        let Resolved { selection, to, rate, reason } = resolved;
        let now = (self.context.now)();
        let new = NewReplay {
            id: ReplayId::minted(now, self.context.id_chance()),
            organisation: control.organisation(),
            selection,
            to,
            rate,
            actor: actor.to_owned(),
            reason,
            expect,
        };
        Ok(self.replays.begin(new, now).await?)
    }
}

/// A rate as people say it.
///
/// # Errors
/// `InvalidField` for one that is none.
pub fn rate(per_second: u32) -> Answer<Rate> {
    Rate::try_from(per_second).map_err(|error| ControlError::field("rate", error.to_string()))
}

/// Resolves what a wish names.
async fn resolved(control: &Control, tenant: Option<Tenant>, wish: &Wish) -> Answer<Resolved> {
    let rate = wish.rate.map(rate).transpose()?.unwrap_or_default();
    let reason = reasons::said(wish.reason.as_deref())?.map(ToOwned::to_owned);
    let (mut selection, application) = match wish.scope {
        Scope::DeadLetters => dead_letters(control, tenant, wish).await?,
        Scope::GivenUp | Scope::Missing | Scope::Delivered => {
            of_endpoint(control, tenant, wish).await?
        }
    };
    let Some(name) = &wish.to else { return Ok(Resolved { selection, to: None, rate, reason }) };
    let (owner, to) = endpoint(control, tenant, wish.which.application.as_deref(), name)
        .await
        .map_err(|error| error.about("toEndpointId"))?;
    match application {
        Some(application) if application != owner => {
            return Err(ControlError::field(
                "toEndpointId",
                format!("endpoint {to} is another application's: one of {application} is wanted"),
            ));
        }
        Some(_) => {}
        None => {
            if let Selection::DeadLetters(filter) = &mut selection {
                filter.application = Some(owner); // events are sent within their application
            }
        }
    }
    Ok(Resolved { selection, to: Some(to), rate, reason })
}

async fn dead_letters(
    control: &Control,
    tenant: Option<Tenant>,
    wish: &Wish,
) -> Answer<(Selection, Option<ApplicationId>)> {
    if wish.endpoint.is_some() || wish.since.is_some() || wish.until.is_some() {
        return Err(ControlError::field(
            "scope",
            "dead letters are chosen by `filter`: `endpointId`, `since` and `until` belong into it",
        ));
    }
    if !wish.all && !wish.which.says_anything() {
        return Err(ControlError::field(
            "filter",
            "it matches every dead letter: say `all` if that is meant, or which are",
        ));
    }
    let mut which = wish.which.clone();
    if let Some(tenant) = tenant {
        which.application = Some(tenant.application().to_string());
    }
    let filter = control.filter(&which).await?;
    let application = filter.application;
    Ok((Selection::DeadLetters(filter), application))
}

async fn of_endpoint(
    control: &Control,
    tenant: Option<Tenant>,
    wish: &Wish,
) -> Answer<(Selection, Option<ApplicationId>)> {
    let only_type =
        Which { event_type: None, application: None, ..wish.which.clone() }.says_anything();
    if only_type {
        return Err(ControlError::field(
            "filter",
            format!(
                "of what is {} an event type can be chosen: everything else is said by `endpointId`, \
                 `since` and `until`",
                wish.scope.as_str()
            ),
        ));
    }
    let name = wish.endpoint.as_deref().ok_or_else(|| {
        ControlError::field(
            "endpointId",
            format!("of which endpoint? What is {} is one endpoint's", wish.scope.as_str()),
        )
    })?;
    not_backwards(wish.since, wish.until)?;
    let (application, endpoint) =
        endpoint(control, tenant, wish.which.application.as_deref(), name)
            .await
            .map_err(|error| error.about("endpointId"))?;
    let event_type = match &wish.which.event_type {
        None => None,
        Some(text) => Some(text.parse::<Pattern>().map_err(|fault| {
            ControlError::field("eventType", format!("the event type does not fit: {fault}"))
        })?),
    };
    let since = wish.since.unwrap_or(Timestamp::from_seconds(0));
    let scope = wish.scope;
    let of = OfEndpoint { scope, application, endpoint, event_type, since, until: wish.until };
    Ok((Selection::OfEndpoint(of), Some(application)))
}

/// An endpoint of the organisation's, with whose it is.
async fn endpoint(
    control: &Control,
    tenant: Option<Tenant>,
    application: Option<&str>,
    name: &str,
) -> Answer<(ApplicationId, EndpointId)> {
    if let Some(tenant) = tenant {
        let found = control.endpoint_of(tenant, name).await?;
        return Ok((tenant.application(), found.id));
    }
    let found = control.endpoint(application, name).await?;
    let owner = ApplicationName::Id(found.application);
    let owner = control.catalogue.application(control.organisation(), &owner).await?;
    owner.map(|owner| (owner.id, found.id)).ok_or_else(|| no_endpoint(name))
}

fn not_backwards(since: Option<Timestamp>, until: Option<Timestamp>) -> Answer<()> {
    match (since, until) {
        (Some(since), Some(until)) if until <= since => {
            Err(ControlError::Invalid("until is not after since".to_owned()))
        }
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn is_of(replay: &Replay, tenant: Option<Tenant>) -> bool {
    tenant.is_none_or(|tenant| replay.application == Some(tenant.application()))
}

fn no_replay(name: &str) -> ControlError {
    ControlError::NotFound(format!("no replay is called `{name}`"))
}
