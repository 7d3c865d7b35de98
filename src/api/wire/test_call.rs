//! Test calls, and what came of them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::control::test_calls::{TestWish, Tested};
use crate::control::tracking::told;

/// What a test is to be about. Nothing has to be said.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "an object")]
pub(in super::super) struct TestIn {
    /// What happened, as it were.
    #[schema(example = "job.completed", max_length = 128)]
    event_type: Option<String>,
    /// The payload, to the byte; else the type's example, or a small one that says what it is.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
}

/// What came of a test.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct TestOut {
    /// Whether the receiver has taken it.
    ok: bool,
    /// What it answered; 0 when there was no answer.
    #[schema(minimum = 0, maximum = 999, example = 200)]
    status: u16,
    /// How long it took, in milliseconds.
    latency_ms: u32,
    /// Why there was no answer: `dns`, `connect`, `tls`, `timeout`, `connection_lost`, `protocol`,
    /// `target_not_allowed`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error_code: Option<String>,
    /// What went wrong, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    #[schema(required = false)]
    detail: String,
    /// Where it went.
    #[schema(format = "uri")]
    url: String,
    /// The first KiB of the answer's body, if it is text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    response: Option<String>,
}

impl From<TestIn> for TestWish {
    fn from(sent: TestIn) -> Self {
        let payload = sent.payload.map(|payload| Bytes::from(payload.get().to_owned()));
        Self { event_type: sent.event_type, payload }
    }
}

impl From<Tested> for TestOut {
    fn from(tested: Tested) -> Self {
        let url = String::from(tested.url);
        Self {
            ok: tested.ok,
            status: tested.status,
            latency_ms: tested.latency_ms,
            error_code: tested.error.map(|error| told(error, &url)),
            detail: tested.detail,
            url,
            response: tested.response,
        }
    }
}
