//! What is kept of a request beside how it ended: how long each phase took, and the headers that it was sent with.
//!
//! Most requests to an endpoint carry the same headers but for a few values. Those names and values are a
//! *form*, kept once and known by a number; with an attempt stays what differs: signatures, and whatever its
//! event says of itself: of a `CloudEvent`'s attributes the names too, for producers choose them. So there are about
//! as many forms as endpoints. What stands with the attempt anyway (the event's id, the second) is not kept twice.
//!
//! No secret is kept: of what an endpoint has set for itself, its credentials among it, only the names are. A
//! signature is no secret: it is good for the one body and the one second.

use std::sync::Arc;

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
    /// Any number of headers, whose names and values are with the attempt.
    Many,
}

/// The headers of a request in this form, by the number that it is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormNumber(pub i64);

/// The headers that a request was sent with, as they are kept.
///
/// Shared, not copied: an attempt is cloned for each try of recording it, and names and values are a dozen allocations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentHeaders {
    form: Arc<[(String, Kept)]>,
    number: Option<FormNumber>,
    varied: Arc<str>,
}

/// What the names of an event's attributes begin with in a request's head.
const ATTRIBUTE: &str = "ce-";
/// Between two of the headers that are kept together. No header has one in it, nor a `\n`.
const BETWEEN: char = '\r';

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
        let mut form: Vec<(String, Kept)> = Vec::with_capacity(headers.len());
        let (mut varied, mut attributes) = (Vec::new(), None);
        for (place, (name, value)) in headers.iter().enumerate() {
            if headers[place + 1..].iter().any(|(later, _)| later.eq_ignore_ascii_case(name)) {
                continue;
            }
            let kept = if is_own(name) {
                Kept::Masked
            } else if name.starts_with(ATTRIBUTE) {
                let one = format!("{name}:{value}");
                if let Some(place) = attributes {
                    let together: &mut String = &mut varied[place];
                    together.push(BETWEEN);
                    together.push_str(&one);
                } else {
                    attributes = Some(varied.len());
                    varied.push(one);
                    form.push((ATTRIBUTE.to_owned(), Kept::Many));
                }
                continue;
            } else if *value == id {
                Kept::EventId
            } else if *value == second {
                Kept::Second
            } else if COMMON_TYPES.contains(&value.as_str()) {
                Kept::Text(value.clone())
            } else {
                varied.push(value.clone());
                Kept::Varied
            };
            form.push((name.clone(), kept));
        }
        Self { number: number_of(&form), form: form.into(), varied: varied.join("\n").into() }
    }

    /// The form; empty when nothing is known of the request.
    pub fn form(&self) -> &[(String, Kept)] {
        &self.form
    }

    /// The number of the form: the same for all that say the same. `None` when nothing is known of the request.
    pub const fn number(&self) -> Option<FormNumber> {
        self.number
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

/// The number of a form, from all that it says.
fn number_of(form: &[(String, Kept)]) -> Option<FormNumber> {
    if form.is_empty() {
        return None;
    }
    let mut hash = Sha256::new();
    for (name, kept) in form {
        let (kind, text) = match kept {
            Kept::Text(text) => (0_u8, text.as_str()),
            Kept::Masked => (1, ""),
            Kept::Varied => (2, ""),
            Kept::EventId => (3, ""),
            Kept::Second => (4, ""),
            Kept::Many => (5, ""),
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

/// Headers as they are shown, from what was kept of them.
pub fn shown(
    form: &[(String, Kept)],
    varied: &str,
    event: EventId,
    started_at: Timestamp,
) -> Vec<(String, String)> {
    let mut varied = varied.split('\n');
    let mut shown = Vec::with_capacity(form.len());
    for (name, kept) in form {
        let value = match kept {
            Kept::Text(text) => text.clone(),
            Kept::Masked => MASKED.to_owned(),
            Kept::Varied => varied.next().unwrap_or_default().to_owned(),
            Kept::EventId => event.to_string(),
            Kept::Second => started_at.as_seconds().to_string(),
            Kept::Many => {
                let many = varied.next().unwrap_or_default().split(BETWEEN);
                let pairs = many.filter_map(|one| one.split_once(':'));
                shown.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
                continue;
            }
        };
        shown.push((name.clone(), value));
    }
    shown
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
        let traced = sent(&[("traceparent", "00-1-2-01")]).number();
        assert_eq!(traced, sent(&[("traceparent", "00-3-4-01")]).number());
        assert_ne!(traced, sent(&[]).number());
        assert_eq!(SentHeaders::default().number(), None);
        let odd = sent(&[("Content-Type", "text/plain; of=one")]);
        assert_eq!(odd.varied(), "v1,abc v1,def\ntext/plain; of=one", "of one name the last");
    }

    #[test]
    fn however_producers_call_their_attributes_there_is_one_form_and_all_are_shown() {
        let named = |name: &str| {
            let more =
                [("ce-id", "é:1"), (name, "a: b"), ("ce-empty", ""), ("traceparent", "00-1")];
            let sent = sent(&more);
            let shown = sent.shown(event(), BEGAN);
            let told = more.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(shown[shown.len() - 4..], told);
            sent.number()
        };
        assert_eq!(named("ce-one"), named("ce-other"));
        assert_eq!(sent(&[("ce-x", "1")]).number(), sent(&[("ce-y", "1"), ("ce-z", "2")]).number());
    }

    #[test]
    fn a_form_reads_back_as_it_was_written() {
        let sent = sent(&[("ce-x", "1")]);
        let json = serde_json::to_string(sent.form()).expect("JSON");
        let form: Vec<(String, Kept)> = serde_json::from_str(&json).expect("read");
        assert_eq!(form.as_slice(), sent.form());
    }
}
