//! Signing keys: making them, showing them, and replacing them without a gap.
//!
//! A rotated key signs on beside the new one for the overlap, so that a receiver can change over
//! whenever it likes; an overlap of zero is for a key that got out.

use std::time::Duration;

use super::{Answer, Control, ControlError};
use crate::domain::endpoint::{Endpoint, EndpointKey};
use crate::domain::signature::SigningKey;

/// Most keys that sign at the same time: each adds a token to a header, and receivers bound those.
pub const KEYS_MAX: usize = 3;
/// Longest overlap, in seconds: a week.
pub const OVERLAP_S_MAX: u32 = 604_800;
/// Overlap unless another is asked for, in seconds: a day.
pub const OVERLAP_S_DEFAULT: u32 = 86_400;

impl Control {
    /// Gives an endpoint a new key, the given one or one that is made. The older ones stop at the
    /// end of the overlap, or when they were to stop anyway.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for key or overlap; `Conflict` when [`KEYS_MAX`] keys would be live.
    pub async fn rotate_secret(
        &self,
        application: Option<&str>,
        name: &str,
        secret: Option<&str>,
        overlap_s: u32,
    ) -> Answer<Endpoint> {
        if overlap_s > OVERLAP_S_MAX {
            return Err(ControlError::Invalid(format!(
                "an overlap of {overlap_s} s is too long: 0 to {OVERLAP_S_MAX} s is accepted"
            )));
        }
        let mut endpoint = self.endpoint(application, name).await?;
        let tenant = endpoint.tenant();
        let now = (self.context.now)();
        let end = now + Duration::from_secs(u64::from(overlap_s));
        let key = key(secret, self.context.chance)?;
        if endpoint.live_keys(now).any(|live| live.expose() == key.expose()) {
            return Err(ControlError::Invalid(
                "the new key is one of those in use: another one is wanted".into(),
            ));
        }
        let mut keys = vec![EndpointKey { key, created_at: now, expires_at: None }];
        for mut old in endpoint.keys {
            old.expires_at = Some(old.expires_at.map_or(end, |earlier| earlier.min(end)));
            if old.is_live(now) {
                keys.push(old);
            }
        }
        if keys.len() > KEYS_MAX {
            return Err(ControlError::Conflict(format!(
                "endpoint {} would have {} live keys: at most {KEYS_MAX} are accepted; wait for \
                 one to end, or rotate with an overlap of 0",
                endpoint.id,
                keys.len()
            )));
        }
        self.catalogue.set_endpoint_keys(tenant, endpoint.id, &keys, now).await?;
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
}

/// The given key, or a new one.
pub(super) fn key(given: Option<&str>, chance: fn() -> [u8; 32]) -> Answer<SigningKey> {
    match given {
        Some(text) => text.parse().map_err(|fault| ControlError::Invalid(format!("{fault}"))),
        None => Ok(SigningKey::generated(chance())),
    }
}
