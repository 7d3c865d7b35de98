//! How an endpoint is called: its policy and its credentials.
//!
//! Ours, and not of the API that client libraries know: so here an unknown field is a mistake and not
//! somebody else's word.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::change;
use crate::control::endpoints::{Change, PolicyEdit};
use crate::domain::auth::Auth;
use crate::domain::policy::Policy;
use crate::domain::retry::RetryPolicy;

/// How an endpoint is to be called. What is left out stays, or is as usual.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in super::super) struct PolicyIn {
    /// When failed deliveries are tried again.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<Retry>)]
    retry: Change<RetryPolicy>,
    /// How long one exchange may take in all, in milliseconds.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u32>, minimum = 1000, maximum = 60000)]
    timeout_ms: Change<u32>,
    /// Requests that may be on the way at the same time.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    max_in_flight: Change<NonZeroU16>,
}

/// How an endpoint is called.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PolicyOut {
    /// When failed deliveries are tried again.
    #[schema(value_type = Retry)]
    retry: RetryPolicy,
    /// How long one exchange may take in all, in milliseconds.
    timeout_ms: u32,
    /// Requests that may be on the way at the same time.
    max_in_flight: u16,
}

/// When failed deliveries are tried again.
#[derive(Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes `RetryPolicy`, for the description of the API")]
pub(in super::super) enum Retry {
    /// Never.
    None,
    /// Behind each of these waits.
    #[serde(rename_all = "camelCase")]
    Schedule {
        /// The waits, in milliseconds.
        delays_ms: Vec<u64>,
        /// How far each wait may move, as a share of it.
        #[schema(minimum = 0, maximum = 1, default = 0.2, required = false)]
        jitter: f64,
    },
    /// Behind growing waits.
    #[serde(rename_all = "camelCase")]
    Exponential {
        /// The first wait, in milliseconds.
        base_ms: u64,
        /// What each wait is multiplied with to give the next.
        factor: f64,
        /// The longest wait, in milliseconds.
        max_delay_ms: u64,
        /// Attempts in all, the first among them.
        max_attempts: u32,
        /// How far each wait may move, as a share of it.
        #[schema(minimum = 0, maximum = 1, default = 0.2, required = false)]
        jitter: f64,
    },
}

/// Credentials that requests carry, beside their signature. Written, and never read back.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(in super::super) enum AuthIn {
    /// A user and a password.
    Basic {
        /// Who we are there.
        username: String,
        /// What proves it.
        #[schema(write_only)]
        password: String,
    },
    /// A token, as `Authorization: Bearer`.
    Bearer {
        /// The token.
        #[schema(write_only)]
        token: String,
    },
    /// A header of the receiver's choice.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        #[schema(write_only)]
        value: String,
    },
}

impl From<PolicyIn> for PolicyEdit {
    fn from(sent: PolicyIn) -> Self {
        let PolicyIn { retry, timeout_ms, max_in_flight } = sent;
        Self { retry, timeout_ms, max_in_flight, ..Self::default() }
    }
}

impl From<&Policy> for PolicyOut {
    fn from(policy: &Policy) -> Self {
        let Policy { retry, timeout_ms, max_in_flight, .. } = policy.clone();
        Self { retry, timeout_ms, max_in_flight: max_in_flight.get() }
    }
}

impl From<AuthIn> for Auth {
    fn from(sent: AuthIn) -> Self {
        match sent {
            AuthIn::Basic { username, password } => {
                Self::Basic { username, password: password.into() }
            }
            AuthIn::Bearer { token } => Self::Bearer { token: token.into() },
            AuthIn::Header { name, value } => Self::Header { name, value: value.into() },
        }
    }
}
