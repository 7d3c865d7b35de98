//! Endpoints: making, editing, pausing, resuming and deleting them.
//!
//! Everything is there twice where it has to be: for a tenant and its own endpoint (`…_of`), as the API
//! asks, and for the operator, who names an endpoint at the command line by its id alone.

mod wishes;

use std::num::NonZeroU16;
use std::sync::Arc;

pub(super) use self::wishes::filter as checked_filter;
use self::wishes::{channels, filter, throttle_rate};
use super::applications::Put;
use super::names::{check_description, check_metadata, check_uid};
use super::policies::edited;
pub use super::policies::{Change, PolicyEdit};
use super::{Answer, Control, ControlError, UrlRule, headers, secrets};
use crate::domain::application::{Metadata, Tenant};
use crate::domain::auth::Auth;
use crate::domain::endpoint::{DisabledBecause, Endpoint, EndpointKey, EndpointState};
use crate::domain::id::EndpointId;
use crate::domain::policy::{Policy, PolicyPart};
use crate::storage::page::{Order, Page};

/// An endpoint as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewEndpoint {
    /// Where requests go.
    pub url: String,
    /// A name of its owner's choice.
    pub uid: Option<String>,
    /// For people.
    pub description: String,
    /// What it wants, as patterns; none means everything.
    pub patterns: Vec<String>,
    /// Channels that it listens on; none means all.
    pub channels: Vec<String>,
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
    /// What its owner keeps with it.
    pub metadata: Metadata,
    /// The version of the payloads that its owner expects; the first, if nobody says.
    pub version: Option<NonZeroU16>,
    /// Whether it is not to be called for now, and owed nothing.
    pub disabled: bool,
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
    /// Channels that it listens on: all anew; none means all.
    pub channels: Option<Vec<String>>,
    /// Requests per second.
    pub throttle_rate: Change<u32>,
    /// How it is called.
    pub policy: PolicyEdit,
    /// Headers of its own: all anew.
    pub headers: Option<Vec<(String, String)>>,
    /// What its owner keeps with it: all anew.
    pub metadata: Option<Metadata>,
    /// The version of the payloads that its owner expects.
    pub version: Option<NonZeroU16>,
    /// Whether it is disabled. Enabled again, it gets at once what waits for it; one that is paused stays
    /// so.
    pub disabled: Option<bool>,
    /// Credentials that requests carry.
    pub auth: Change<Auth>,
}

impl Control {
    /// Makes an endpoint. Its key is the first of its keys: the one moment to show it unasked.
    ///
    /// # Errors
    /// `InvalidField` for anything about it; `Conflict` when its uid is taken.
    pub async fn create_endpoint(
        &self,
        tenant: Tenant,
        new: NewEndpoint,
        rule: UrlRule<'_>,
    ) -> Answer<Endpoint> {
        let now = (self.context.now)();
        let key = secrets::made(new.secret.as_deref().into(), self.context.chance)
            .map_err(|error| error.about("secret"))?;
        let headers = headers::check(new.headers).map_err(|error| error.about("headers"))?;
        let below = self.policy_of(tenant).await?;
        let policy_part = edited(PolicyPart::default(), new.policy, &below, self.ceiling)?;
        let policy = policy_part.over(&below);
        let url = rule(&new.url).and_then(|url| policy.check_url(&url).map(|()| url));
        let because = new.disabled.then_some(DisabledBecause::Asked);
        let endpoint = Endpoint {
            id: EndpointId::minted(now, self.context.id_chance()),
            application: tenant.application(),
            uid: check_uid(new.uid, EndpointId::PREFIX)?,
            description: check_description(new.description)?,
            url: url.map_err(|why| ControlError::field("url", why))?,
            filter: filter(&new.patterns)?,
            channels: channels(new.channels)?,
            state: because.map_or(EndpointState::Active, |_| EndpointState::Disabled),
            disabled_because: because,
            throttle_rate: new.throttle_rate.map(throttle_rate).transpose()?,
            policy: Arc::new(policy.into()),
            policy_part,
            auth: headers::check_auth(new.auth, &headers).map_err(|error| error.about("auth"))?,
            headers,
            keys: vec![EndpointKey { key, created_at: now, expires_at: None }],
            metadata: check_metadata(new.metadata)?,
            version: new.version.unwrap_or(NonZeroU16::MIN),
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

    /// A part of the list of a tenant's endpoints, by id: in the order of their making.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn endpoint_page(
        &self,
        tenant: Tenant,
        page: &Page<EndpointId>,
    ) -> Answer<Vec<Endpoint>> {
        Ok(self.catalogue.endpoints(tenant, page).await?)
    }

    /// Writes all of the tenant's endpoint of that id or uid anew, but its keys, its headers, and what is
    /// not said of its credentials and its policy; makes one when there is none, with this uid unless another is given.
    ///
    /// A uid that it is named by stays when none is given: else the same request again would make another.
    ///
    /// # Errors
    /// As [`create_endpoint`](Self::create_endpoint) and [`edit_endpoint`](Self::edit_endpoint).
    pub async fn put_endpoint(
        &self,
        tenant: Tenant,
        name: &str,
        new: NewEndpoint,
        rule: UrlRule<'_>,
    ) -> Answer<Put<Endpoint>> {
        let Some(known) = self.catalogue.endpoint(tenant, name).await? else {
            let uid = new.uid.or_else(|| Some(name.to_owned()));
            let new = NewEndpoint { uid, ..new };
            return self.create_endpoint(tenant, new, rule).await.map(Put::Made);
        };
        let edit = EndpointEdit {
            url: Some(new.url),
            uid: match new.uid {
                Some(uid) => Change::Set(uid),
                None if known.uid.as_deref() == Some(name) => Change::Keep,
                None => Change::Clear,
            },
            description: Some(new.description),
            patterns: Some(new.patterns),
            channels: Some(new.channels),
            throttle_rate: new.throttle_rate.map_or(Change::Clear, Change::Set),
            // Who sends back all that was answered does not mean to say all of it from now on.
            policy: if new.policy.repeats(&known.policy) {
                PolicyEdit::default()
            } else {
                new.policy
            },
            headers: None,
            auth: new.auth.map_or(Change::Keep, Change::Set),
            metadata: Some(new.metadata),
            version: Some(new.version.unwrap_or(NonZeroU16::MIN)),
            disabled: Some(new.disabled),
        };
        self.edit(known, edit, rule).await.map(Put::Known)
    }

    /// Changes an endpoint. What changes holds from the next attempt on.
    ///
    /// # Errors
    /// `NotFound`; `InvalidField` for anything about it; `Conflict` when its uid is taken. `Unavailable`
    /// may leave it enabled with its deliveries still waiting: resuming it offers them.
    pub async fn edit_endpoint(
        &self,
        application: Option<&str>,
        name: &str,
        edit: EndpointEdit,
        rule: UrlRule<'_>,
    ) -> Answer<Endpoint> {
        self.edit(self.endpoint(application, name).await?, edit, rule).await
    }

    /// The same for a tenant's own endpoint.
    ///
    /// # Errors
    /// As [`edit_endpoint`](Self::edit_endpoint).
    pub async fn edit_endpoint_of(
        &self,
        tenant: Tenant,
        name: &str,
        edit: EndpointEdit,
        rule: UrlRule<'_>,
    ) -> Answer<Endpoint> {
        self.edit(self.endpoint_of(tenant, name).await?, edit, rule).await
    }

    /// Changes some of a tenant's endpoint's own headers: each to its value, or to none.
    ///
    /// # Errors
    /// As [`edit_endpoint`](Self::edit_endpoint).
    pub async fn patch_headers_of(
        &self,
        tenant: Tenant,
        name: &str,
        changes: Vec<(String, Option<String>)>,
        rule: UrlRule<'_>,
    ) -> Answer<Endpoint> {
        let endpoint = self.endpoint_of(tenant, name).await?;
        let headers = Some(headers::merged(endpoint.headers.clone(), changes));
        self.edit(endpoint, EndpointEdit { headers, ..EndpointEdit::default() }, rule).await
    }

    async fn edit(
        &self,
        mut endpoint: Endpoint,
        edit: EndpointEdit,
        rule: UrlRule<'_>,
    ) -> Answer<Endpoint> {
        // Which of them is at fault, should URL and policy not go together. One that was put into that
        // state by its application's settings can still be edited otherwise: its requests fail, and say why.
        let at_fault = match (&edit.url, &edit.policy.allow_http) {
            (Some(_), _) => Some("url"),
            (None, Change::Set(_) | Change::Clear) => Some("policy"),
            (None, Change::Keep) => None,
        };
        if let Some(url) = edit.url {
            endpoint.url = rule(&url).map_err(|why| ControlError::field("url", why))?;
        }
        if let Some(uid) = edit.uid.wanted() {
            endpoint.uid = check_uid(uid, EndpointId::PREFIX)?;
        }
        if let Some(description) = edit.description {
            endpoint.description = check_description(description)?;
        }
        if let Some(patterns) = edit.patterns {
            endpoint.filter = filter(&patterns)?;
        }
        if let Some(wanted) = edit.channels {
            endpoint.channels = channels(wanted)?;
        }
        if let Some(rate) = edit.throttle_rate.wanted() {
            endpoint.throttle_rate = rate.map(throttle_rate).transpose()?;
        }
        if let Some(headers) = edit.headers {
            endpoint.headers = headers::check(headers).map_err(|error| error.about("headers"))?;
        }
        if let Some(metadata) = edit.metadata {
            endpoint.metadata = check_metadata(metadata)?;
        }
        if let Some(version) = edit.version {
            endpoint.version = version;
        }
        if let Some(auth) = edit.auth.wanted() {
            endpoint.auth = auth;
        }
        // Also when it stays: a new header may want its place.
        endpoint.auth = headers::check_auth(endpoint.auth, &endpoint.headers)
            .map_err(|error| error.about("auth"))?;
        let below = self.policy_of(endpoint.tenant()).await?;
        endpoint.policy_part = edited(endpoint.policy_part, edit.policy, &below, self.ceiling)?;
        endpoint.policy = Arc::new(endpoint.policy_part.over(&below).into());
        if let (Some(field), Err(why)) = (at_fault, endpoint.policy.check_url(&endpoint.url)) {
            return Err(ControlError::field(field, why));
        }
        endpoint.updated_at = (self.context.now)();
        // Before its state: of the two only this can be refused.
        self.catalogue.edit_endpoint(&endpoint).await?;
        self.holds_here().await;
        match (edit.disabled, endpoint.state) {
            // Also when it was before: perhaps the call that did it was not confirmed.
            (Some(true), _) => self.disable(&mut endpoint).await?,
            (Some(false), EndpointState::Disabled) => {
                self.activate(&mut endpoint).await?;
            }
            // An active one is not activated again: every `PUT` says so, and each would bring forward
            // what waits for its next attempt. Should an earlier call have been cut off behind the state,
            // what it left is found by itself (`Upkeep::left_undone`).
            (Some(false), EndpointState::Active | EndpointState::Paused) | (None, _) => {}
        }
        Ok(endpoint)
    }

    /// The policy that a tenant's endpoints have where they say nothing themselves.
    async fn policy_of(&self, tenant: Tenant) -> Answer<Policy> {
        Ok(self.catalogue.settings(tenant).await?.policy.over(&Policy::default()))
    }

    /// Pauses an endpoint: what it is owed waits until it is resumed. When this returns `Ok`, no attempt
    /// starts any more.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for one that is disabled: it would be owed what nobody wants any more.
    /// `Unavailable` says whether it is paused, should a router not have confirmed it.
    pub async fn pause_endpoint(&self, application: Option<&str>, name: &str) -> Answer<Endpoint> {
        self.pause(self.endpoint(application, name).await?).await
    }

    /// The same for a tenant's own endpoint.
    ///
    /// # Errors
    /// As [`pause_endpoint`](Self::pause_endpoint).
    pub async fn pause_endpoint_of(&self, tenant: Tenant, name: &str) -> Answer<Endpoint> {
        self.pause(self.endpoint_of(tenant, name).await?).await
    }

    async fn pause(&self, mut endpoint: Endpoint) -> Answer<Endpoint> {
        match endpoint.state {
            EndpointState::Active | EndpointState::Paused => {
                self.set_state(&mut endpoint, EndpointState::Paused).await?;
                self.holds_everywhere(&format!("endpoint {} is paused", endpoint.id)).await?;
                Ok(endpoint)
            }
            EndpointState::Disabled => Err(ControlError::Conflict(format!(
                "endpoint {} is disabled and owed nothing new: enable it first, or leave it so",
                endpoint.id
            ))),
        }
    }

    /// Disables an endpoint: it is owed nothing new, and what it is owed waits until it is enabled. When
    /// this returns `Ok`, no attempt starts any more.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` says whether it is disabled, should a router not have confirmed it.
    pub async fn disable_endpoint(
        &self,
        application: Option<&str>,
        name: &str,
    ) -> Answer<Endpoint> {
        let mut endpoint = self.endpoint(application, name).await?;
        self.disable(&mut endpoint).await?;
        Ok(endpoint)
    }

    async fn disable(&self, endpoint: &mut Endpoint) -> Answer<()> {
        match endpoint.state {
            EndpointState::Active | EndpointState::Paused => {
                self.set_state(endpoint, EndpointState::Disabled).await?;
            }
            EndpointState::Disabled => {} // whyever it is: the first reason is the one to know
        }
        self.holds_everywhere(&format!("endpoint {} is disabled", endpoint.id)).await
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

    /// Resumes an endpoint, paused or disabled, and offers it at once what waits for it; how many
    /// deliveries that are.
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
        let recalled = self.activate(&mut endpoint).await?;
        Ok((endpoint, recalled))
    }

    /// The same for a tenant's own endpoint.
    ///
    /// # Errors
    /// As [`resume_endpoint`](Self::resume_endpoint).
    pub async fn resume_endpoint_of(&self, tenant: Tenant, name: &str) -> Answer<(Endpoint, u64)> {
        let mut endpoint = self.endpoint_of(tenant, name).await?;
        let recalled = self.activate(&mut endpoint).await?;
        Ok((endpoint, recalled))
    }

    async fn activate(&self, endpoint: &mut Endpoint) -> Answer<u64> {
        // Active before the recall: what is offered to a paused endpoint is put back to wait.
        self.set_state(endpoint, EndpointState::Active).await?;
        // And known to be, for the same reason. A router that does not confirm it only puts it back once more.
        let _ = self.holds_everywhere("").await;
        Ok(self.ledger.recall(endpoint.id, (self.context.now)()).await?)
    }

    /// Deletes an endpoint and takes back what it is owed; how many deliveries that were. When this
    /// returns `Ok`, no attempt starts any more.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` may leave deliveries of a deleted endpoint: the same call with its
    /// id takes them back. It says so when a router has not confirmed that it calls it no more.
    pub async fn delete_endpoint(&self, application: Option<&str>, name: &str) -> Answer<u64> {
        let what = match self.endpoint(application, name).await {
            Ok(endpoint) => return self.delete(&endpoint).await,
            Err(ControlError::NotFound(what)) => what,
            Err(error) => return Err(error),
        };
        // Perhaps an earlier call came as far as deleting it, and no further. Another application's
        // endpoint keeps what it is owed.
        let Ok(id) = name.parse() else { return Err(ControlError::NotFound(what)) };
        if self.catalogue.any_endpoint(id).await?.is_some() {
            return Err(ControlError::NotFound(what));
        }
        match self.ledger.cancel(id, (self.context.now)()).await? {
            0 => Err(ControlError::NotFound(what)),
            cancelled => Ok(cancelled),
        }
    }

    /// The same for a tenant's own endpoint.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` may leave deliveries of a deleted endpoint: a router takes each back when
    /// its time comes.
    pub async fn delete_endpoint_of(&self, tenant: Tenant, name: &str) -> Answer<u64> {
        self.delete(&self.endpoint_of(tenant, name).await?).await
    }

    async fn delete(&self, endpoint: &Endpoint) -> Answer<u64> {
        let now = (self.context.now)();
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

#[cfg(test)]
mod tests;
