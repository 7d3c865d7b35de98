//! How an endpoint is called: its policy and its credentials, as the API describes them.
//!
//! Ours, and not of the API that client libraries know: so here an unknown field is a mistake and not
//! somebody else's word. Policies are read and written by their own words (`control::policies`,
//! `domain::policy`); what stands here describes those, with units, ranges and examples, and a test holds
//! the two together.

#![expect(unused_qualifications, reason = "the derived descriptions name their types in full")]

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::auth::Auth;

/// What is to change about how requests are made. What is left out stays; null clears: then it is as the
/// level below has it, an endpoint's as its application's settings do, and theirs as the defaults do.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PolicyIn {
    /// Whether a request may be made twice, or not at all, when nobody can know.
    guarantee: Option<Guarantee>,
    /// When failed deliveries are tried again. With `at_most_once`: never.
    retry: Option<Retry>,
    /// How long one exchange may take in all, in milliseconds: name, connection, TLS, request and answer.
    #[schema(minimum = 1000, maximum = 60000, example = 15000)]
    timeout_ms: Option<u32>,
    /// Requests that may be on the way at the same time.
    #[schema(minimum = 1, maximum = 1000, example = 32)]
    max_in_flight: Option<u16>,
    /// Answers that say that the receiver has it.
    #[schema(min_items = 1, max_items = 50)]
    success_status: Option<Vec<Status>>,
    /// Answers behind which trying again is no use.
    #[schema(max_items = 50)]
    give_up_status: Option<Vec<Status>>,
    /// What becomes of a delivery that is given up.
    on_exhausted: Option<OnExhausted>,
    /// Whether plain http is called, where the operator allows it.
    allow_http: Option<bool>,
    /// Whether an endpoint that does nothing but fail is left alone for a while: what waits for that costs no attempt.
    circuit_breaker: Option<bool>,
    /// What a request's body is.
    format: Option<Format>,
    /// How requests are signed.
    signing: Option<Signing>,
}

/// What is said of a policy at one level; what it leaves out is as the level below has it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct OwnPolicy {
    /// Whether a request may be made twice, or not at all.
    #[schema(nullable = false)]
    guarantee: Option<Guarantee>,
    /// When failed deliveries are tried again.
    #[schema(nullable = false)]
    retry: Option<Retry>,
    /// How long one exchange may take in all, in milliseconds.
    #[schema(nullable = false)]
    timeout_ms: Option<u32>,
    /// Requests that may be on the way at the same time.
    #[schema(nullable = false)]
    max_in_flight: Option<u16>,
    /// Answers that say that the receiver has it.
    #[schema(nullable = false)]
    success_status: Option<Vec<Status>>,
    /// Answers behind which trying again is no use.
    #[schema(nullable = false)]
    give_up_status: Option<Vec<Status>>,
    /// What becomes of a delivery that is given up.
    #[schema(nullable = false)]
    on_exhausted: Option<OnExhausted>,
    /// Whether plain http is called, where the operator allows it.
    #[schema(nullable = false)]
    allow_http: Option<bool>,
    /// Whether an endpoint that does nothing but fail is left alone for a while: what waits for that costs no attempt.
    #[schema(nullable = false)]
    circuit_breaker: Option<bool>,
    /// What a request's body is.
    #[schema(nullable = false)]
    format: Option<Format>,
    /// How requests are signed.
    #[schema(nullable = false)]
    signing: Option<Signing>,
}

/// How requests are made, in all.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct PolicyOut {
    /// Whether a request may be made twice, or not at all.
    guarantee: Guarantee,
    /// When failed deliveries are tried again.
    retry: Retry,
    /// How long one exchange may take in all, in milliseconds.
    timeout_ms: u32,
    /// Requests that may be on the way at the same time.
    max_in_flight: u16,
    /// Answers that say that the receiver has it.
    success_status: Vec<Status>,
    /// Answers behind which trying again is no use.
    give_up_status: Vec<Status>,
    /// What becomes of a delivery that is given up.
    on_exhausted: OnExhausted,
    /// Whether plain http is called, where the operator allows it.
    allow_http: bool,
    /// Whether an endpoint that does nothing but fail is left alone for a while: what waits for that costs no attempt.
    circuit_breaker: bool,
    /// What a request's body is.
    format: Format,
    /// How requests are signed.
    signing: Signing,
}

/// Whether a request may be made twice, or not at all, when nobody can know whether it was made:
/// `at_least_once` repeats it with the same id, `at_most_once` never does, and calls it `unknown`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum Guarantee {
    AtLeastOnce,
    AtMostOnce,
}

/// What becomes of a delivery that is given up: it is kept as a dead letter and can be replayed, or is only
/// on record.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum OnExhausted {
    DeadLetter,
    Drop,
}

/// What a request's body is: the producer's bytes; an object with `id`, `type`, `timestamp` and the bytes as
/// `data`; a `CloudEvent` in one object; or the bytes, with a `CloudEvent`'s attributes as headers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum Format {
    Passthrough,
    Standard,
    Cloudevents,
    CloudeventsBinary,
}

/// How requests are signed.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Signing {
    /// Whether they carry `webhook-signature`: `none` only where the operator allows it.
    #[schema(required = false)]
    scheme: SigningScheme,
    /// A header of older make, beside it.
    #[schema(required = false)]
    legacy: Option<LegacyHeader>,
}

/// Whether requests carry `webhook-signature`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum SigningScheme {
    Standard,
    None,
}

/// A header with an HMAC-SHA256 under the newest shared key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct LegacyHeader {
    /// Its name; not one of ours.
    #[schema(min_length = 1, max_length = 64, example = "X-Acme-Signature")]
    header: String,
    /// How the HMAC is written.
    #[schema(required = false)]
    encoding: SignatureEncoding,
    /// What stands in front of it.
    #[schema(required = false, max_length = 64, example = "sha256=")]
    prefix: String,
    /// What is signed.
    #[schema(required = false)]
    content: SignedContent,
    /// Which bytes are the key: what the base64 behind `whsec_` says, or the secret's text itself.
    #[schema(required = false)]
    key: SignatureKey,
}

/// How an HMAC is written: in lower-case hexadecimal, or in padded base64.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum SignatureEncoding {
    Hex,
    Base64,
}

/// What is signed.
#[derive(Serialize, ToSchema)]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum SignedContent {
    #[serde(rename = "{body}")]
    Body,
    #[serde(rename = "{timestamp}.{body}")]
    TimestampBody,
    #[serde(rename = "{id}.{timestamp}.{body}")]
    IdTimestampBody,
}

/// Which bytes of a secret are the key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes the domain's, for the description of the API")]
pub(in super::super) enum SignatureKey {
    Decoded,
    Literal,
}

/// A status code, or a class of them.
#[derive(Serialize)]
pub(in super::super) struct Status;

impl PartialSchema for Status {
    fn schema() -> RefOr<Schema> {
        let code = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .description(Some("This one"))
            .minimum(Some(200))
            .maximum(Some(599));
        let class = ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("All of this hundred"))
            .pattern(Some("^[2-5]xx$"));
        let one_of = OneOfBuilder::new().item(code).item(class);
        one_of.description(Some("A status code, or a class of them, as `2xx`")).into()
    }
}

impl ToSchema for Status {
    fn name() -> Cow<'static, str> {
        "Status".into()
    }
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
        #[schema(max_items = 50, example = json!([500, 1000]))]
        delays_ms: Vec<u64>,
        /// How far each wait may move, as a share of it.
        #[schema(minimum = 0, maximum = 0.5, default = 0.2, required = false)]
        jitter: f64,
    },
    /// Behind growing waits.
    #[serde(rename_all = "camelCase")]
    Exponential {
        /// The first wait, in milliseconds.
        #[schema(minimum = 1, maximum = 604_800_000_u64, example = 5000)]
        base_ms: u64,
        /// What each wait is multiplied with to give the next.
        #[schema(minimum = 1, maximum = 10, example = 2)]
        factor: f64,
        /// The longest wait, in milliseconds.
        #[schema(minimum = 1, maximum = 604_800_000_u64, example = 3_600_000)]
        max_delay_ms: u64,
        /// Attempts in all, the first among them.
        #[schema(minimum = 1, maximum = 50, example = 8)]
        max_attempts: u32,
        /// How old an event may be, from when it was received, and still be tried again, in milliseconds. As
        /// old as the attempts last, if nobody says.
        #[schema(minimum = 1000, maximum = 2_592_000_000_u64, required = false)]
        max_age_ms: u64,
        /// How far each wait may move, as a share of it.
        #[schema(minimum = 0, maximum = 0.5, default = 0.2, required = false)]
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::policy::Policy;

    fn described<T: PartialSchema>() -> BTreeSet<String> {
        let schema = serde_json::to_value(T::schema()).expect("JSON");
        schema["properties"].as_object().expect("fields").keys().cloned().collect()
    }

    #[test]
    fn each_field_of_a_policy_is_described_wherever_it_can_stand() {
        let whole = serde_json::to_value(Policy::default()).expect("JSON");
        let fields: BTreeSet<_> = whole.as_object().expect("fields").keys().cloned().collect();
        assert_eq!(fields.len(), 11);
        assert_eq!(described::<PolicyIn>(), fields);
        assert_eq!(described::<OwnPolicy>(), fields);
        assert_eq!(described::<PolicyOut>(), fields);
    }
}
