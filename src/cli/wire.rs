//! What a router answers, as far as people are shown it.
//!
//! Programs are given each thing as it came ([`Told`]): the fields of `--json` are the fields of the API,
//! one contract for both, and what a newer router adds is not lost on the way.

use std::fmt;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::replay::ReplayState;

/// A thing as it came, and as it was read.
#[derive(Debug)]
pub(super) struct Told<T> {
    raw: Box<RawValue>,
    /// What people are shown of it.
    pub(super) read: T,
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Told<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let read = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        Ok(Self { raw, read })
    }
}

impl<T> Serialize for Told<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw.serialize(serializer)
    }
}

/// A part of a list.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub(super) struct ListAnswer<T> {
    /// Its rows.
    pub(super) data: Vec<Told<T>>,
    /// Where the next part begins.
    #[serde(default)]
    pub(super) iterator: Option<String>,
    /// Whether there is nothing beyond.
    pub(super) done: bool,
}

/// Why not.
#[derive(Debug, Deserialize)]
pub(super) struct Problem {
    /// What is wrong.
    pub(super) detail: Fault,
}

/// A sentence, or which parts of the request are not accepted.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Fault {
    /// A sentence.
    Sentence(String),
    /// Parts.
    Parts(Vec<Part>),
}

/// One part of a request that is not accepted.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    loc: Vec<String>,
    msg: String,
}

impl fmt::Display for Part {
    /// `filter.status: …`: in the words of the API, which are those of the flags.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place: Vec<_> = self
            .loc
            .iter()
            .map(String::as_str)
            .filter(|part| !matches!(*part, "body" | "query" | "path" | "__all__"))
            .collect();
        if place.is_empty() {
            return formatter.write_str(&self.msg);
        }
        write!(formatter, "{}: {}", place.join("."), self.msg)
    }
}

/// A delivery that was given up.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetter {
    pub(super) id: String,
    pub(super) msg_id: String,
    pub(super) application_id: String,
    pub(super) endpoint_id: String,
    pub(super) event_type: String,
    pub(super) subject: Option<String>,
    pub(super) reason: String,
    pub(super) attempt_count: u32,
    pub(super) last_status: Option<u16>,
    pub(super) last_error: Option<String>,
    pub(super) last_detail: Option<String>,
    pub(super) died_at: String,
}

/// A dead letter with its event and every attempt.
#[derive(Debug, Deserialize)]
pub(super) struct InspectedLetter {
    #[serde(flatten)]
    pub(super) letter: DeadLetter,
    #[serde(default)]
    pub(super) event: Option<Event>,
    #[serde(default)]
    pub(super) attempts: Vec<Attempt>,
}

/// What happened, and what is sent of it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    #[serde(default)]
    pub(super) received_at: Option<String>,
    #[serde(default)]
    pub(super) payload: Option<String>,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Attempt {
    pub(super) number: u32,
    pub(super) started_at: String,
    pub(super) status: Option<u16>,
    pub(super) outcome: Option<String>,
    pub(super) url: String,
    #[serde(default)]
    pub(super) detail: Option<String>,
    #[serde(default)]
    pub(super) timing: Option<Timing>,
    #[serde(default)]
    pub(super) request_headers: Option<Value>,
    #[serde(default)]
    pub(super) response: Option<String>,
}

/// What was put away.
#[derive(Debug, Deserialize)]
pub(super) struct Discarded {
    pub(super) discarded: u64,
    /// Whether these were all that match.
    pub(super) done: bool,
}

/// How long each phase of a request took, in milliseconds.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names of the API, which say their unit")]
pub(super) struct Timing {
    pub(super) dns_ms: Option<u64>,
    pub(super) connect_ms: Option<u64>,
    pub(super) tls_ms: Option<u64>,
    pub(super) first_byte_ms: Option<u64>,
    pub(super) total_ms: Option<u64>,
}

impl fmt::Display for Timing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phases = [
            ("dns", self.dns_ms),
            ("connect", self.connect_ms),
            ("tls", self.tls_ms),
            ("first byte", self.first_byte_ms),
            ("total", self.total_ms),
        ];
        let told: Vec<_> = phases
            .into_iter()
            .filter_map(|(phase, ms)| ms.map(|ms| format!("{phase} {ms} ms")))
            .collect();
        formatter.write_str(&told.join(", "))
    }
}

/// Dead letters of one endpoint that died of the same.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Group {
    pub(super) endpoint_id: String,
    #[serde(default)]
    pub(super) endpoint_uid: Option<String>,
    pub(super) reason: String,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) count: u64,
    pub(super) first_seen_at: String,
    pub(super) last_seen_at: String,
    pub(super) sample_id: String,
}

/// What a replay would do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Preview {
    pub(super) matched: Option<u64>,
    pub(super) replayable: u64,
    #[serde(default)]
    pub(super) not_replayable: Vec<NotReplayable>,
    #[serde(default)]
    pub(super) by_endpoint: Vec<ForEndpoint>,
    #[serde(default)]
    pub(super) bytes: Option<u64>,
    #[serde(default)]
    pub(super) oldest_died_at: Option<String>,
    #[serde(default)]
    pub(super) newest_died_at: Option<String>,
    #[serde(default)]
    pub(super) rate: Option<u32>,
    #[serde(default)]
    pub(super) estimated_seconds: Option<f64>,
    #[serde(default)]
    pub(super) paused: Vec<String>,
}

/// What stays as it is, and why.
#[derive(Debug, Deserialize)]
pub(super) struct NotReplayable {
    pub(super) why: String,
    pub(super) count: u64,
}

/// What an endpoint would be offered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ForEndpoint {
    pub(super) endpoint_id: String,
    #[serde(default)]
    pub(super) reason: Option<String>,
    pub(super) count: u64,
}

/// A replay.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Replay {
    pub(super) id: String,
    pub(super) scope: String,
    #[serde(deserialize_with = "state")]
    pub(super) state: ReplayState,
    pub(super) because: Option<String>,
    pub(super) application_id: Option<String>,
    pub(super) endpoint_id: Option<String>,
    pub(super) to_endpoint_id: Option<String>,
    pub(super) rate: u32,
    pub(super) matched: Option<u64>,
    pub(super) offered: u64,
    pub(super) skipped: u64,
    pub(super) tried: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) actor: String,
    pub(super) reason: Option<String>,
    pub(super) created_at: String,
    pub(super) ended_at: Option<String>,
}

/// A state, by its word.
fn state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ReplayState, D::Error> {
    let word = String::deserialize(deserializer)?;
    let known = ReplayState::ALL.into_iter().find(|state| state.as_str() == word);
    known.ok_or_else(|| {
        D::Error::custom(format!("`{word}` is no state of a replay that is known here"))
    })
}

/// One event owed to one endpoint.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) msg_id: String,
    pub(super) event_type: String,
    pub(super) subject: Option<String>,
    pub(super) endpoint_id: String,
    pub(super) url: Option<String>,
    pub(super) state: String,
    pub(super) attempt_count: u32,
    pub(super) last_attempt_at: Option<String>,
    pub(super) last_response_status: Option<u16>,
    pub(super) last_error_code: Option<String>,
    pub(super) next_attempt_at: Option<String>,
    #[serde(default)]
    pub(super) next_attempt_why: Option<String>,
    #[serde(default)]
    pub(super) timeline: Vec<Step>,
}

/// One line of what became of a delivery.
#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub(super) at: Option<String>,
    pub(super) words: String,
}

/// What became of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Trail {
    pub(super) message: Map<String, Value>,
    pub(super) application_id: String,
    /// How far it came.
    pub(super) routed: String,
    pub(super) quarantined_because: Option<String>,
    pub(super) matched: Vec<Matched>,
    pub(super) not_matched: Vec<NotMatched>,
    /// Whether both lists are whole.
    pub(super) is_whole: bool,
}

/// Endpoints that are worse off than others.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Top {
    pub(super) data: Vec<Told<Worst>>,
    /// Whether everything was looked at.
    pub(super) is_whole: bool,
}

/// One of them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Worst {
    pub(super) application_id: String,
    pub(super) endpoint_id: String,
    pub(super) uid: Option<String>,
    pub(super) url: Option<String>,
    pub(super) count: u64,
    pub(super) since: String,
    pub(super) mean_ms: Option<u32>,
    pub(super) max_ms: Option<u32>,
}

/// An endpoint that the event is owed to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Matched {
    pub(super) endpoint_id: String,
    #[serde(default)]
    pub(super) uid: Option<String>,
    pub(super) why: String,
    pub(super) delivery_id: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) timeline: Vec<Step>,
}

/// One that it is not owed to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotMatched {
    pub(super) endpoint_id: String,
    #[serde(default)]
    pub(super) uid: Option<String>,
    pub(super) why: String,
}
