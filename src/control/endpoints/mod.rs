//! Endpoints: making, editing, pausing, resuming and deleting them.

use std::num::{NonZeroU16, NonZeroU32};

use super::names::{check_description, check_uid};
use super::{Answer, Control, ControlError, UrlRule, headers, secrets};
use crate::domain::application::Metadata;
use crate::domain::auth::Auth;
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointKey, EndpointState, Policy};
use crate::domain::filter::{Filter, Pattern};
use crate::domain::id::EndpointId;
use crate::domain::retry::RetryPolicy;
use crate::storage::page::{Order, Page};

/// Most patterns of one filter: each is compared with each event.
const PATTERNS_MAX: usize = 100;

/// Highest rate that can be agreed to: the API's field is a 16-bit number.
const THROTTLE_RATE_MAX: u32 = 65_535;

/// An endpoint as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewEndpoint {
    /// Its application's id or uid.
    pub application: String,
    /// Where requests go.
    pub url: String,
    /// A name of its owner's choice.
    pub uid: Option<String>,
    /// For people.
    pub description: String,
    /// What it wants, as patterns; none means everything.
    pub patterns: Vec<String>,
    /// Requests per second.
    pub throttle_rate: Option<u32>,
    /// How it is called, where that is not the default.
    pub policy: PolicyEdit,
    /// Headers of its own.
    pub headers: Vec<(String, String)>,
    /// Credentials that requests carry.
    pub auth: Option<Auth>,
    /// A signing key of its owner's choice; else one is made.
    pub secret: Option<String>,
}

/// What is to change about a policy.
#[derive(Debug, Clone, Default)]
pub struct PolicyEdit {
    /// When failed deliveries are tried again.
    pub retry: Option<RetryPolicy>,
    /// How far each wait may move, as a share of it.
    pub jitter: Option<f64>,
    /// How long one exchange may take, in milliseconds.
    pub timeout_ms: Option<u32>,
    /// Requests that may be on the way at the same time.
    pub max_in_flight: Option<u16>,
}

/// What is to become of one property.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It becomes unset.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Change<T> {
    /// What is there instead, if anything changes.
    pub fn wanted(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}

/// What is to change about an endpoint.
#[derive(Debug, Clone, Default)]
pub struct EndpointEdit {
    /// Where requests go.
    pub url: Option<String>,
    /// Its owner's name for it.
    pub uid: Change<String>,
    /// For people.
    pub description: Option<String>,
    /// What it wants: all patterns anew; none means everything.
    pub patterns: Option<Vec<String>>,
    /// Requests per second.
    pub throttle_rate: Change<u32>,
    /// How it is called.
    pub policy: PolicyEdit,
    /// Headers of its own: all anew.
    pub headers: Option<Vec<(String, String)>>,
    /// Credentials that requests carry.
    pub auth: Change<Auth>,
}

impl Control {
    /// Makes an endpoint. Its key is the first of its keys: the one moment to show it unasked.
    ///
    /// # Errors
    /// `NotFound` for its application; `Invalid` for anything about it; `Conflict` when its uid is
    /// taken.
    pub async fn create_endpoint(&self, new: NewEndpoint, rule: UrlRule<'_>) -> Answer<Endpoint> {
        let application = self.application(&new.application).await?;
        let now = (self.context.now)();
        let key = secrets::made(new.secret.as_deref().into(), self.context.chance)?;
        let headers = headers::check(new.headers)?;
        let endpoint = Endpoint {
            id: EndpointId::minted(now, self.context.id_chance()),
            application: application.id,
            uid: check_uid(new.uid, EndpointId::PREFIX)?,
            description: check_description(new.description)?,
            url: rule(&new.url).map_err(ControlError::Invalid)?,
            filter: filter(&new.patterns)?,
            channels: Vec::new(),
            state: EndpointState::Active,
            disabled_because: None,
            throttle_rate: new.throttle_rate.map(throttle_rate).transpose()?,
            policy: edited(Policy::default(), new.policy)?,
            auth: headers::check_auth(new.auth, &headers)?,
            headers,
            keys: vec![EndpointKey { key, created_at: now, expires_at: None }],
            metadata: Metadata::new(),
            version: NonZeroU16::MIN,
            created_at: now,
            updated_at: now,
        };
        self.catalogue.add_endpoint(&endpoint).await?;
        self.holds_here().await;
        Ok(endpoint)
    }

    /// The endpoints of an application, or all, newest first.
    ///
    /// # Errors
    /// `NotFound` for the application.
    pub async fn endpoints(&self, application: Option<&str>) -> Answer<Vec<Endpoint>> {
        let applications = match application {
            Some(name) => vec![self.application(name).await?],
            None => self.applications().await?,
        };
        let whole = Page::whole(Order::Descending);
        let mut endpoints = Vec::new();
        for application in applications {
            endpoints.extend(self.catalogue.endpoints(application.tenant(), &whole).await?);
        }
        endpoints.sort_by_key(|endpoint| std::cmp::Reverse(endpoint.id));
        Ok(endpoints)
    }

    /// Changes an endpoint. What changes holds from the next attempt on.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for anything about it; `Conflict` when its uid is taken.
    pub async fn edit_endpoint(
        &self,
        application: Option<&str>,
        name: &str,
        edit: EndpointEdit,
        rule: UrlRule<'_>,
    ) -> Answer<Endpoint> {
        let mut endpoint = self.endpoint(application, name).await?;
        if let Some(url) = edit.url {
            endpoint.url = rule(&url).map_err(ControlError::Invalid)?;
        }
        match edit.uid {
            Change::Keep => {}
            Change::Clear => endpoint.uid = None,
            Change::Set(uid) => endpoint.uid = check_uid(Some(uid), EndpointId::PREFIX)?,
        }
        if let Some(description) = edit.description {
            endpoint.description = check_description(description)?;
        }
        if let Some(patterns) = edit.patterns {
            endpoint.filter = filter(&patterns)?;
        }
        match edit.throttle_rate {
            Change::Keep => {}
            Change::Clear => endpoint.throttle_rate = None,
            Change::Set(rate) => endpoint.throttle_rate = Some(throttle_rate(rate)?),
        }
        if let Some(headers) = edit.headers {
            endpoint.headers = headers::check(headers)?;
        }
        match edit.auth {
            Change::Keep => {}
            Change::Clear => endpoint.auth = None,
            Change::Set(auth) => endpoint.auth = Some(auth),
        }
        // Also when it stays: a new header may want its place.
        endpoint.auth = headers::check_auth(endpoint.auth, &endpoint.headers)?;
        endpoint.policy = edited(endpoint.policy, edit.policy)?;
        endpoint.updated_at = (self.context.now)();
        self.catalogue.edit_endpoint(&endpoint).await?;
        self.holds_here().await;
        Ok(endpoint)
    }

    /// Pauses an endpoint: what it is owed waits until it is resumed. When this returns `Ok`, no attempt
    /// starts any more.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` says whether it is paused, should a router not have confirmed it.
    pub async fn pause_endpoint(&self, application: Option<&str>, name: &str) -> Answer<Endpoint> {
        let mut endpoint = self.endpoint(application, name).await?;
        self.set_state(&mut endpoint, EndpointState::Paused).await?;
        self.holds_everywhere(&format!("endpoint {} is paused", endpoint.id)).await?;
        Ok(endpoint)
    }

    /// Disables an endpoint: it is owed nothing new, and what it is owed waits until it is enabled. When
    /// this returns `Ok`, no attempt starts any more.
    ///
    /// # Errors
    /// As [`pause_endpoint`](Self::pause_endpoint).
    pub async fn disable_endpoint(
        &self,
        application: Option<&str>,
        name: &str,
    ) -> Answer<Endpoint> {
        let mut endpoint = self.endpoint(application, name).await?;
        self.set_state(&mut endpoint, EndpointState::Disabled).await?;
        self.holds_everywhere(&format!("endpoint {} is disabled", endpoint.id)).await?;
        Ok(endpoint)
    }

    /// Enables an endpoint, whyever it was disabled, and offers it at once what waits for it; how many
    /// deliveries that are. What was published meanwhile it was not owed.
    ///
    /// # Errors
    /// As [`resume_endpoint`](Self::resume_endpoint).
    pub async fn enable_endpoint(
        &self,
        application: Option<&str>,
        name: &str,
    ) -> Answer<(Endpoint, u64)> {
        self.resume_endpoint(application, name).await
    }

    /// Resumes an endpoint and offers it at once what waits for it; how many deliveries that are.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` may leave it resumed with its deliveries still waiting: resuming
    /// again offers them.
    pub async fn resume_endpoint(
        &self,
        application: Option<&str>,
        name: &str,
    ) -> Answer<(Endpoint, u64)> {
        let mut endpoint = self.endpoint(application, name).await?;
        // Active before the recall: what is offered to a paused endpoint is put back to wait.
        self.set_state(&mut endpoint, EndpointState::Active).await?;
        // And known to be, for the same reason. A router that does not confirm it only puts it back once more.
        let _ = self.holds_everywhere("").await;
        let recalled = self.ledger.recall(endpoint.id, (self.context.now)()).await?;
        Ok((endpoint, recalled))
    }

    /// Deletes an endpoint and takes back what it is owed; how many deliveries that were. When this
    /// returns `Ok`, no attempt starts any more.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` may leave deliveries of a deleted endpoint: the same call with its
    /// id takes them back. It says so when a router has not confirmed that it calls it no more.
    pub async fn delete_endpoint(&self, application: Option<&str>, name: &str) -> Answer<u64> {
        let now = (self.context.now)();
        let endpoint = match self.endpoint(application, name).await {
            Ok(endpoint) => endpoint,
            Err(ControlError::NotFound(what)) => {
                // Perhaps an earlier call came as far as deleting it, and no further.
                let Ok(id) = name.parse() else { return Err(ControlError::NotFound(what)) };
                return match self.ledger.cancel(id, now).await? {
                    0 => Err(ControlError::NotFound(what)),
                    cancelled => Ok(cancelled),
                };
            }
            Err(error) => return Err(error),
        };
        self.catalogue.delete_endpoint(endpoint.tenant(), endpoint.id, now).await?;
        let holds = self.holds_everywhere(&format!("endpoint {} is deleted", endpoint.id)).await;
        // Behind the deletion: before it, a router could still owe it something new.
        let cancelled = self.ledger.cancel(endpoint.id, now).await?;
        holds.map(|()| cancelled)
    }

    async fn set_state(&self, endpoint: &mut Endpoint, state: EndpointState) -> Answer<()> {
        let now = (self.context.now)();
        let because = (state == EndpointState::Disabled).then_some(DisabledBecause::Asked);
        let (tenant, id) = (endpoint.tenant(), endpoint.id);
        if !self.catalogue.set_endpoint_state(tenant, id, state, because, now).await? {
            return Err(ControlError::NotFound(format!("endpoint {id} is gone")));
        }
        (endpoint.state, endpoint.disabled_because) = (state, because);
        endpoint.updated_at = now;
        Ok(())
    }
}

fn filter(patterns: &[String]) -> Answer<Filter> {
    if patterns.len() > PATTERNS_MAX {
        return Err(ControlError::Invalid(format!(
            "the filter has {} patterns: at most {PATTERNS_MAX} are accepted",
            patterns.len()
        )));
    }
    let patterns: Result<Vec<Pattern>, ControlError> = patterns
        .iter()
        .map(|text| {
            text.parse().map_err(|_| {
                ControlError::Invalid(format!(
                    "`{text}` is not a pattern: a type as job.completed, a prefix as job.* or * is \
                     accepted"
                ))
            })
        })
        .collect();
    Ok(Filter::of(patterns?))
}

fn throttle_rate(rate: u32) -> Answer<NonZeroU32> {
    NonZeroU32::new(rate).filter(|rate| rate.get() <= THROTTLE_RATE_MAX).ok_or_else(|| {
        ControlError::Invalid(format!(
            "a throttle rate of {rate} is out of range: 1 to {THROTTLE_RATE_MAX} requests per \
             second are accepted"
        ))
    })
}

fn edited(mut policy: Policy, edit: PolicyEdit) -> Answer<Policy> {
    if let Some(retry) = edit.retry {
        policy.retry = retry;
    }
    if let Some(wanted) = edit.jitter {
        match &mut policy.retry {
            RetryPolicy::Schedule { jitter, .. } | RetryPolicy::Exponential { jitter, .. } => {
                *jitter = wanted;
            }
            RetryPolicy::None => {
                return Err(ControlError::Invalid(
                    "jitter is given, but there are no retries that it could move".into(),
                ));
            }
        }
    }
    if let Some(timeout_ms) = edit.timeout_ms {
        policy.timeout_ms = timeout_ms;
    }
    if let Some(most) = edit.max_in_flight {
        policy.max_in_flight = NonZeroU16::new(most).ok_or_else(|| {
            ControlError::Invalid("maxInFlight is 0: 1 to 1000 is accepted".into())
        })?;
    }
    policy.check().map_err(ControlError::Invalid)?;
    Ok(policy)
}

#[cfg(test)]
mod tests;
