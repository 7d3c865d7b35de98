//! Signing keys: making them, showing them, and replacing them without a gap.
//!
//! A rotated key signs on beside the new one for the overlap, so that a receiver can change over
//! whenever it likes; an overlap of zero is for a key that got out. The new key may be of the other
//! scheme: then a request carries tokens of both until the overlap ends.

use std::time::Duration;

use super::{Answer, Context, Control, ControlError};
use crate::domain::application::Tenant;
use crate::domain::endpoint::{Endpoint, EndpointKey};
use crate::domain::signature::{Scheme, SigningKey};
use crate::domain::time::Timestamp;

/// Most keys that sign at the same time: the newest, and ten that are being left.
///
/// Ten, because clients of the compatible API count on it, and because whoever rotates a few times
/// in a day must not have to choose between waiting and cutting their receiver off. Each adds a token
/// of at most 92 characters, so that the header stays under 1.1 kB; receivers take 8 kB and more.
pub const KEYS_MAX: usize = 11;
/// Longest overlap, in seconds: a week.
pub const OVERLAP_S_MAX: u32 = 604_800;
/// Overlap unless another is asked for, in seconds: a day.
pub const OVERLAP_S_DEFAULT: u32 = 86_400;

/// The key that is wanted.
#[derive(Debug, Clone, Copy)]
pub enum NewKey<'a> {
    /// This one, as its owner wrote it: `whsec_…`, the base64 alone, or `whsk_…`.
    Given(&'a str),
    /// One that is made, of that scheme.
    Made(Scheme),
}

/// The given one, or else a shared one that is made.
impl<'a> From<Option<&'a str>> for NewKey<'a> {
    fn from(given: Option<&'a str>) -> Self {
        given.map_or(Self::Made(Scheme::V1), Self::Given)
    }
}

impl Control {
    /// Gives an endpoint a new key. The older ones stop at the end of the overlap, or when they were
    /// to stop anyway.
    ///
    /// # Errors
    /// `NotFound`; `InvalidField` for key or overlap; `LimitReached` when more than [`KEYS_MAX`] keys would
    /// be live.
    pub async fn rotate_secret(
        &self,
        application: Option<&str>,
        name: &str,
        key: NewKey<'_>,
        overlap_s: u32,
    ) -> Answer<Endpoint> {
        let endpoint = self.endpoint(application, name).await?;
        self.rotate(endpoint, key, overlap_s).await
    }

    /// The same for a tenant's own endpoint.
    ///
    /// # Errors
    /// As [`Control::rotate_secret`].
    pub async fn rotate_secret_of(
        &self,
        tenant: Tenant,
        name: &str,
        key: NewKey<'_>,
        overlap_s: u32,
    ) -> Answer<Endpoint> {
        let endpoint = self.endpoint_of(tenant, name).await?;
        self.rotate(endpoint, key, overlap_s).await
    }

    async fn rotate(
        &self,
        mut endpoint: Endpoint,
        key: NewKey<'_>,
        overlap_s: u32,
    ) -> Answer<Endpoint> {
        let (tenant, now) = (endpoint.tenant(), (self.context.now)());
        let whose = format!("endpoint {}", endpoint.id);
        let keys = rotated(endpoint.keys, key, overlap_s, self.context, &whose)?;
        self.catalogue.set_endpoint_keys(tenant, endpoint.id, &keys, now).await?;
        self.holds_here().await;
        endpoint.keys = keys;
        endpoint.updated_at = now;
        Ok(endpoint)
    }

    /// The keys that requests are signed with now, newest first.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn secrets(&self, application: Option<&str>, name: &str) -> Answer<Vec<EndpointKey>> {
        let now = (self.context.now)();
        let endpoint = self.endpoint(application, name).await?;
        Ok(endpoint.keys.into_iter().filter(|key| key.is_live(now)).collect())
    }

    /// The newest key of a tenant's own endpoint.
    ///
    /// # Errors
    /// `NotFound`; `Corrupt` when it has none.
    pub async fn newest_key_of(&self, tenant: Tenant, name: &str) -> Answer<SigningKey> {
        let endpoint = self.endpoint_of(tenant, name).await?;
        let newest = newest(&endpoint.keys, (self.context.now)());
        newest.ok_or_else(|| ControlError::Corrupt(format!("endpoint {} has no key", endpoint.id)))
    }
}

/// The newest of these keys that signs at `now`.
pub(super) fn newest(keys: &[EndpointKey], now: Timestamp) -> Option<SigningKey> {
    keys.iter().find(|key| key.is_live(now)).map(|key| key.key.clone())
}

/// These keys with a new one in front; the older ones stop at the end of the overlap, or when they were to
/// stop anyway. `whose` they are is named to people.
pub(super) fn rotated(
    keys: Vec<EndpointKey>,
    key: NewKey<'_>,
    overlap_s: u32,
    context: Context,
    whose: &str,
) -> Answer<Vec<EndpointKey>> {
    if overlap_s > OVERLAP_S_MAX {
        let why =
            format!("an overlap of {overlap_s} s is too long: 0 to {OVERLAP_S_MAX} s is accepted");
        return Err(ControlError::field("gracePeriodSeconds", why));
    }
    let now = (context.now)();
    let end = now + Duration::from_secs(u64::from(overlap_s));
    let key = made(key, context.chance).map_err(|error| error.about("key"))?;
    // A key is one of its scheme: the same bytes under the other sign otherwise.
    let is_same = |live: &EndpointKey| {
        live.is_live(now) && live.key.scheme() == key.scheme() && live.key.expose() == key.expose()
    };
    if keys.iter().any(is_same) {
        let why = "the new key is one of those in use: another one is wanted";
        return Err(ControlError::field("key", why));
    }
    let mut all = vec![EndpointKey { key, created_at: now, expires_at: None }];
    for mut old in keys {
        old.expires_at = Some(old.expires_at.map_or(end, |earlier| earlier.min(end)));
        if old.is_live(now) {
            all.push(old);
        }
    }
    if all.len() > KEYS_MAX {
        return Err(ControlError::LimitReached(format!(
            "{whose} would have {} live keys: at most {KEYS_MAX} are accepted; wait for one to end, \
             or rotate with an overlap of 0",
            all.len()
        )));
    }
    Ok(all)
}

/// The key that is wanted.
pub(super) fn made(wanted: NewKey<'_>, chance: fn() -> [u8; 32]) -> Answer<SigningKey> {
    match wanted {
        NewKey::Given(text) => {
            text.parse().map_err(|fault| ControlError::Invalid(format!("{fault}")))
        }
        NewKey::Made(scheme) => Ok(SigningKey::generated_for(scheme, chance())),
    }
}
