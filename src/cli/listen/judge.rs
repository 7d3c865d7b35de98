//! What the receiver thinks of a request, and how it answers: no sockets, no clock.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::domain::signature::{ReceiverKey, verify};
use crate::domain::time::Timestamp;

/// A request that came, whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub(super) at: Timestamp,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) body: &'a [u8],
}

/// Whether a request is from whom it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// No key was given to check it with.
    Unchecked,
    /// It is signed with one of the keys.
    Verified,
    /// It is not, and why.
    Refused(String),
}

/// How the receiver was told to behave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manners {
    pub(super) status: u16,
    pub(super) delay: Duration,
    pub(super) fail_first: u32,
    pub(super) retry_after: Option<u32>,
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) delay: Duration,
    pub(super) retry_after: Option<u32>,
}

impl Answer {
    /// That status, at once.
    pub(super) const fn plain(status: u16) -> Self {
        Self { status, delay: Duration::ZERO, retry_after: None }
    }
}

impl Manners {
    /// The answer to a request of an id that came `seen` times before.
    pub(super) fn answer(&self, seen: u32) -> Answer {
        let status = if seen < self.fail_first { 500 } else { self.status };
        let retry_after = self.retry_after.filter(|_| !(200..=299).contains(&status));
        Answer { status, delay: self.delay, retry_after }
    }
}

/// Checks the signature, when there is a key to check it with.
pub(super) fn judge(arrival: &Arrival<'_>, keys: &[ReceiverKey]) -> Verdict {
    if keys.is_empty() {
        return Verdict::Unchecked;
    }
    let [id, timestamp, signature] =
        ["webhook-id", "webhook-timestamp", "webhook-signature"].map(|name| arrival.header(name));
    match verify(keys, id, timestamp, signature, arrival.body, arrival.at.as_seconds()) {
        Ok(()) => Verdict::Verified,
        Err(fault) => Verdict::Refused(fault.to_string()),
    }
}

impl Arrival<'_> {
    /// The header's value; empty when there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The line for people.
    pub(super) fn as_line(&self, verdict: &Verdict, status: u16) -> String {
        let what = self.event_type().unwrap_or_else(|| format!("{} bytes", self.body.len()));
        let id = match self.header("webhook-id") {
            "" => "no webhook-id",
            id => id,
        };
        let verdict = match verdict {
            Verdict::Unchecked => "- unchecked".into(),
            Verdict::Verified => "✓ verified".into(),
            Verdict::Refused(why) => format!("✗ {why}"),
        };
        format!("{}  {what}  {id}  {verdict}  → {status}", self.at)
    }

    /// The object for programs. Several headers of one name are joined as HTTP allows.
    pub(super) fn as_json(&self, verdict: &Verdict, status: u16, with_body: bool) -> Value {
        let mut headers = serde_json::Map::new();
        for (name, value) in self.headers {
            match headers.get_mut(name) {
                Some(Value::String(known)) => {
                    known.push_str(", ");
                    known.push_str(value);
                }
                _ => {
                    headers.insert(name.clone(), value.as_str().into());
                }
            }
        }
        let (verified, why) = match verdict {
            Verdict::Unchecked => (None, None),
            Verdict::Verified => (Some(true), None),
            Verdict::Refused(why) => (Some(false), Some(why)),
        };
        let mut object = json!({
            "atMs": self.at.as_millis(),
            "method": self.method,
            "path": self.path,
            "webhookId": self.header("webhook-id"),
            "type": self.event_type(),
            "bodyBytes": self.body.len(),
            "bodySha256": sha256(self.body),
            "verified": verified,
            "why": why,
            "status": status,
            "headers": headers,
        });
        if with_body {
            object["body"] = String::from_utf8_lossy(self.body).into();
        }
        object
    }

    /// The type that the payload names, if it is JSON and names one.
    fn event_type(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Typed {
            r#type: String,
        }
        serde_json::from_slice::<Typed>(self.body).ok().map(|typed| typed.r#type)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes it all");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::signature::{Scheme, SigningKey, sign};

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
    const BODY: &[u8] = br#"{"type":"job.completed"}"#;

    fn key(byte: u8) -> SigningKey {
        SigningKey::generated([byte; 32])
    }

    fn pair(byte: u8) -> SigningKey {
        SigningKey::generated_for(Scheme::V1a, [byte; 32])
    }

    fn signed_with(key: &SigningKey, at_s: i64) -> Vec<(String, String)> {
        vec![
            ("webhook-id".into(), "msg_1".into()),
            ("webhook-timestamp".into(), at_s.to_string()),
            ("webhook-signature".into(), sign([key], "msg_1", at_s, BODY)),
        ]
    }

    fn arrival(headers: &[(String, String)]) -> Arrival<'_> {
        Arrival { at: NOW, method: "POST", path: "/", headers, body: BODY }
    }

    #[test]
    fn a_request_is_verified_by_any_of_the_keys_and_only_by_them() {
        for (signing, other) in [(key(1), key(2)), (key(1), pair(2)), (pair(1), pair(2))] {
            let headers = signed_with(&signing, NOW.as_seconds());
            let (known, other) = (signing.for_receiver(), other.for_receiver());

            assert!(matches!(
                judge(&arrival(&headers), std::slice::from_ref(&other)),
                Verdict::Refused(_)
            ));
            assert_eq!(judge(&arrival(&headers), &[other, known]), Verdict::Verified);
            assert_eq!(judge(&arrival(&headers), &[]), Verdict::Unchecked);
        }
    }

    #[test]
    fn an_old_or_unsigned_request_is_refused_with_the_reason() {
        let old = signed_with(&key(1), NOW.as_seconds() - 3_600);
        let Verdict::Refused(why) = judge(&arrival(&old), &[key(1).for_receiver()]) else {
            panic!("verified")
        };
        assert!(why.contains("3600 s old"), "{why}");
        assert!(matches!(judge(&arrival(&[]), &[key(1).for_receiver()]), Verdict::Refused(_)));
    }

    #[test]
    fn the_first_requests_of_an_id_fail_when_that_is_asked_for() {
        let manners =
            Manners { status: 204, delay: Duration::ZERO, fail_first: 2, retry_after: Some(7) };

        let statuses: Vec<u16> = (0..4).map(|seen| manners.answer(seen).status).collect();

        assert_eq!(statuses, [500, 500, 204, 204]);
        assert_eq!(manners.answer(0).retry_after, Some(7));
        assert_eq!(manners.answer(2).retry_after, None, "a success asks nobody to come back");
    }

    #[test]
    fn a_line_names_the_type_or_else_the_size() {
        let headers = signed_with(&key(1), NOW.as_seconds());
        assert_eq!(
            arrival(&headers).as_line(&Verdict::Verified, 200),
            "2026-09-21T14:13:20.000Z  job.completed  msg_1  ✓ verified  → 200"
        );
        let plain = Arrival { body: b"[1,2]", ..arrival(&[]) };
        let line = plain.as_line(&Verdict::Refused("why".into()), 500);
        assert!(line.ends_with("5 bytes  no webhook-id  ✗ why  → 500"), "{line}");
    }

    #[test]
    fn programs_get_headers_hash_and_moment() {
        let twice = [("x-a".to_owned(), "1".to_owned()), ("x-a".to_owned(), "2".to_owned())];
        let plain = Arrival { body: b"", ..arrival(&twice) };

        let object = plain.as_json(&Verdict::Unchecked, 200, true);

        assert_eq!(object["headers"]["x-a"], "1, 2");
        assert_eq!(object["atMs"], 1_790_000_000_000_i64);
        assert_eq!(object["verified"], Value::Null);
        assert_eq!(
            object["bodySha256"],
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(object["body"], "");
    }
}
