//! What is kept of a request beside how it ended: how long each phase took, and the headers that it was sent with.
//!
//! Most requests to an endpoint carry the same headers but for a few values. Those names and values are a
//! *form*, kept once and known by a number; with an attempt stays what differs: signatures, and whatever its
//! event says of itself. What stands with the attempt anyway (the event's id, the second) is not kept twice.
//!
//! No secret is kept: of what an endpoint has set for itself, its credentials among it, only the names are. A
//! signature is no secret: it is good for the one body and the one second.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::id::EventId;
use super::time::Timestamp;

/// How long each phase of a request took, in milliseconds; `None` for one that it did not go through, or did not
/// come to. On a connection that was kept, only the last is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timing {
    /// Until its host's name was an address.
    pub dns_ms: Option<u32>,
    /// From there until there was a connection.
    pub connect_ms: Option<u32>,
    /// From there until TLS was spoken on it.
    pub tls_ms: Option<u32>,
    /// From there, or from the beginning on a kept connection, until the head of the answer was there.
    pub first_byte_ms: Option<u32>,
}

/// What stands in the place of a value that is nobody's to see.
pub const MASKED: &str = "********";

/// What is kept of one header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// This value, in every request of the form.
    Text(String),
    /// That it was there.
    Masked,
    /// Its value is with the attempt.
    Varied,
    /// Its value is the event's id.
    EventId,
    /// Its value is the second in which the attempt began.
    Second,
}

/// The headers of a request in this form, by the number that it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormNumber(pub i64);

/// The headers that a request was sent with, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentHeaders {
    form: Vec<(String, Kept)>,
    varied: String,
}

/// A content type that is the same for many events. Any other is its event's own, and would make a form of its
/// own for each.
const COMMON_TYPES: [&str; 2] = ["application/json", "application/cloudevents+json"];

impl SentHeaders {
    /// What is kept of these, in their order; of one name the last was sent. `is_own` says which the endpoint has
    /// set for itself.
    pub fn of(
        headers: &[(String, String)],
        is_own: impl Fn(&str) -> bool,
        event: EventId,
        started_at: Timestamp,
    ) -> Self {
        let (id, second) = (event.to_string(), started_at.as_seconds().to_string());
        let mut sent = Self { form: Vec::with_capacity(headers.len()), varied: String::new() };
        for (place, (name, value)) in headers.iter().enumerate() {
            if headers[place + 1..].iter().any(|(later, _)| later.eq_ignore_ascii_case(name)) {
                continue;
            }
            let kept = if is_own(name) {
                Kept::Masked
            } else if *value == id {
                Kept::EventId
            } else if *value == second {
                Kept::Second
            } else if COMMON_TYPES.contains(&value.as_str()) {
                Kept::Text(value.clone())
            } else {
                if sent.form.iter().any(|(_, kept)| *kept == Kept::Varied) {
                    sent.varied.push('\n'); // no header has one in it
                }
                sent.varied.push_str(value);
                Kept::Varied
            };
            sent.form.push((name.clone(), kept));
        }
        sent
    }

    /// The form; empty when nothing is known of the request.
    pub fn form(&self) -> &[(String, Kept)] {
        &self.form
    }

    /// The number of the form: the same for all that say the same. `None` when nothing is known of the request.
    pub fn number(&self) -> Option<FormNumber> {
        if self.form.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for (name, kept) in &self.form {
            let (kind, text) = match kept {
                Kept::Text(text) => (0_u8, text.as_str()),
                Kept::Masked => (1, ""),
                Kept::Varied => (2, ""),
                Kept::EventId => (3, ""),
                Kept::Second => (4, ""),
            };
            for part in [name.as_str(), text] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            hash.update([kind]);
        }
        let hash = hash.finalize();
        Some(FormNumber(i64::from_be_bytes(hash[..8].try_into().expect("eight bytes"))))
    }

    /// What differs from request to request, each on a line.
    pub fn varied(&self) -> &str {
        &self.varied
    }

    /// The headers as they are shown.
    pub fn shown(&self, event: EventId, started_at: Timestamp) -> Vec<(String, String)> {
        shown(&self.form, &self.varied, event, started_at)
    }
}

/// Headers as they are shown, from what was kept of them.
pub fn shown(
    form: &[(String, Kept)],
    varied: &str,
    event: EventId,
    started_at: Timestamp,
) -> Vec<(String, String)> {
    let mut varied = varied.split('\n');
    let mut value = |kept: &Kept| match kept {
        Kept::Text(text) => text.clone(),
        Kept::Masked => MASKED.to_owned(),
        Kept::Varied => varied.next().unwrap_or_default().to_owned(),
        Kept::EventId => event.to_string(),
        Kept::Second => started_at.as_seconds().to_string(),
    };
    form.iter().map(|(name, kept)| (name.clone(), value(kept))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Timestamp = Timestamp::from_millis(1_790_000_000_250);

    fn event() -> EventId {
        EventId::derived(&[b"event"])
    }

    fn sent(more: &[(&str, &str)]) -> SentHeaders {
        let id = event().to_string();
        let ours = [
            ("x-tenant", "open sesame"),
            ("Authorization", "Bearer secret"),
            ("content-type", "application/json"),
            ("webhook-id", id.as_str()),
            ("webhook-timestamp", "1790000000"),
            ("webhook-signature", "v1,abc v1,def"),
        ];
        let headers: Vec<_> = ours
            .iter()
            .chain(more)
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        let is_own = |name: &str| ["x-tenant", "authorization"].contains(&&*name.to_lowercase());
        SentHeaders::of(&headers, is_own, event(), BEGAN)
    }

    #[test]
    fn headers_are_shown_as_they_were_sent_and_of_the_endpoints_own_the_names_alone() {
        let shown = sent(&[("traceparent", "00-1-2-01")]).shown(event(), BEGAN);
        let shown: Vec<_> = shown.iter().map(|(name, value)| (&**name, &**value)).collect();
        let id = event().to_string();
        assert_eq!(
            shown,
            [
                ("x-tenant", MASKED),
                ("Authorization", MASKED),
                ("content-type", "application/json"),
                ("webhook-id", &id),
                ("webhook-timestamp", "1790000000"),
                ("webhook-signature", "v1,abc v1,def"),
                ("traceparent", "00-1-2-01"),
            ]
        );
    }

    #[test]
    fn nothing_that_is_kept_has_a_secret_in_it() {
        let sent = sent(&[]);
        let form = serde_json::to_string(sent.form()).expect("JSON");
        for secret in ["sesame", "Bearer", "secret"] {
            assert!(!form.contains(secret) && !sent.varied().contains(secret), "{secret}");
        }
        assert_eq!(sent.varied(), "v1,abc v1,def", "and nothing that stands with the attempt");
    }

    #[test]
    fn requests_that_differ_in_what_varies_have_one_form() {
        assert_eq!(sent(&[("ce-time", "1")]).number(), sent(&[("ce-time", "2")]).number());
        assert_ne!(sent(&[("ce-time", "1")]).number(), sent(&[]).number());
        assert_eq!(SentHeaders::default().number(), None);
        let odd = sent(&[("Content-Type", "text/plain; of=one")]);
        assert_eq!(odd.varied(), "v1,abc v1,def\ntext/plain; of=one", "of one name the last");
    }

    #[test]
    fn a_form_reads_back_as_it_was_written() {
        let sent = sent(&[]);
        let json = serde_json::to_string(sent.form()).expect("JSON");
        let form: Vec<(String, Kept)> = serde_json::from_str(&json).expect("read");
        assert_eq!(form, sent.form());
    }
}
