//! `MessageIn` and `MessageOut`: an event as it is sent to the API and as it is answered.
//!
//! A payload is cut out of the body as it stands there, and never built up and written again: so
//! receivers get its sender's bytes, with its spaces, its numbers of any length and its escapes.
//!
//! What would change how an event is delivered and is not built is refused, and not passed over: an event
//! for one channel must not go to everybody.

use std::fmt;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::problem::{Fault, FaultKind};
use crate::control::publish::{self, Accepted, BATCH_MAX, Draft, Field};
use crate::domain::time::Timestamp;

/// Whether one event was sent or a list of them: it is answered in kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Shape {
    /// One.
    One,
    /// A list.
    Batch,
}

/// An event as it is published.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what `Sent` reads, for the description of the API")]
pub(in super::super) struct MessageIn {
    /// What happened: a dotted name.
    #[schema(max_length = 128, example = "job.completed")]
    event_type: String,
    /// The payload: passed on to the byte.
    #[schema(value_type = Object)]
    payload: Value,
    /// Your id for it: publishing it twice is one event, and told as a conflict.
    #[schema(min_length = 1, max_length = 255, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    event_id: Option<String>,
    /// What it is about: the id of a job.
    #[schema(min_length = 1, max_length = 255)]
    subject: Option<String>,
    /// When it happened; now, if nobody says.
    #[schema(format = DateTime)]
    occurred_at: Option<String>,
    /// Not to be delivered before this.
    #[schema(format = DateTime)]
    deliver_at: Option<String>,
}

/// An event.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "it describes what `Answered` writes, for the description of the API")]
pub(in super::super) struct MessageOut {
    /// Its id, which receivers see as `webhook-id`.
    #[schema(example = "msg_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// What happened.
    event_type: String,
    /// The payload; `{}` where it was not asked for, `{"expired": true}` when it is gone.
    #[schema(value_type = Object)]
    payload: Value,
    /// When it happened.
    #[schema(format = DateTime)]
    timestamp: String,
    /// Its producer's id for it.
    event_id: Option<String>,
    /// What it is about.
    subject: Option<String>,
    /// Not to be delivered before this.
    #[schema(format = DateTime)]
    deliver_at: Option<String>,
}

/// `MessageIn`, each field as it stands in the body.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Sent<'a> {
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow, alias = "data")]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    channels: Option<&'a RawValue>,
    #[serde(borrow)]
    transformations_params: Option<&'a RawValue>,
    // Ours.
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow)]
    deliver_at: Option<&'a RawValue>,
}

/// `MessageOut`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    id: String,
    event_type: &'a str,
    payload: &'a RawValue,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deliver_at: Option<Timestamp>,
}

/// Reads one `MessageIn`, or a list of them.
///
/// # Errors
/// Everything that has not the right form, with its place.
pub(in super::super) fn read(body: &Bytes) -> Result<(Shape, Vec<Draft>), Vec<Fault>> {
    let whole = |msg: String| vec![form(vec!["body".into()], msg)];
    let text = std::str::from_utf8(body)
        .map_err(|error| whole(format!("it is not UTF-8 from byte {} on", error.valid_up_to())))?;
    let (shape, items) = match text.trim_start_matches([' ', '\t', '\r', '\n']).chars().next() {
        Some('[') => {
            let Items(items) = serde_json::from_str(text).map_err(|e| whole(e.to_string()))?;
            (Shape::Batch, items)
        }
        Some(_) => {
            let item = serde_json::from_str(text).map_err(|e| whole(e.to_string()))?;
            (Shape::One, vec![item])
        }
        None => return Err(whole("it is empty: a message, or a list of them, is wanted".into())),
    };
    if items.is_empty() {
        return Err(whole(format!("the list is empty: 1 to {BATCH_MAX} messages are accepted")));
    }
    let (mut drafts, mut faults) = (Vec::with_capacity(items.len()), Vec::new());
    for (place, item) in items.into_iter().enumerate() {
        let mut reader = Reader { body, base: base(shape, place), faults: &mut faults };
        drafts.extend(reader.draft(item));
    }
    if faults.is_empty() { Ok((shape, drafts)) } else { Err(faults) }
}

/// Writes what was accepted in the shape it was sent; without the content, payloads are `{}`.
pub(in super::super) fn write(shape: Shape, accepted: &[Accepted], with_content: bool) -> Vec<u8> {
    let answered: Vec<_> = accepted.iter().map(|one| answered(one, with_content)).collect();
    let text = match (shape, answered.as_slice()) {
        (Shape::One, [one]) => serde_json::to_vec(one),
        (Shape::One | Shape::Batch, all) => serde_json::to_vec(all),
    };
    text.expect("texts and JSON are JSON")
}

/// A fault that the rules found, as it is written.
pub(in super::super) fn fault(shape: Shape, fault: publish::Fault) -> Fault {
    let field = match fault.field {
        Field::EventType => "eventType",
        Field::Payload => "payload",
        Field::EventId => "eventId",
        Field::Subject => "subject",
    };
    let mut loc = base(shape, fault.place);
    loc.push(field.into());
    Fault { loc, msg: fault.why, kind: FaultKind::Value }
}

fn answered(one: &Accepted, with_content: bool) -> Answered<'_> {
    let payload: &[u8] = if with_content { &one.payload } else { b"{}" };
    Answered {
        id: one.id.to_string(),
        event_type: one.event_type.as_str(),
        payload: serde_json::from_slice(payload).expect("a payload that was accepted is JSON"),
        timestamp: one.occurred_at,
        event_id: one.event_id.as_deref(),
        subject: one.subject.as_deref(),
        deliver_at: one.deliver_at,
    }
}

/// Where a message is in the body.
fn base(shape: Shape, place: usize) -> Vec<String> {
    match shape {
        Shape::One => vec!["body".into()],
        Shape::Batch => vec!["body".into(), format!("[{place}]")],
    }
}

const fn form(loc: Vec<String>, msg: String) -> Fault {
    Fault { loc, msg, kind: FaultKind::Form }
}

/// Reads one message and notes what is wrong with it.
struct Reader<'a> {
    body: &'a Bytes,
    base: Vec<String>,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn draft(&mut self, item: &RawValue) -> Option<Draft> {
        if !item.get().starts_with('{') {
            self.faults.push(form(self.base.clone(), "a message is an object".into()));
            return None;
        }
        let sent: Sent<'_> = match serde_json::from_str(item.get()) {
            Ok(sent) => sent,
            Err(error) => {
                self.faults.push(form(self.base.clone(), error.to_string()));
                return None;
            }
        };
        for (field, value) in
            [("channels", sent.channels), ("transformationsParams", sent.transformations_params)]
        {
            if value.is_some() {
                self.note(FaultKind::Value, field, "is not supported yet: leave it out");
            }
        }
        let event_type = self.text("eventType", sent.event_type);
        if sent.event_type.is_none() {
            self.note(FaultKind::Form, "eventType", "field required");
        }
        let payload = self.payload(sent.payload);
        let event_id = self.text("eventId", sent.event_id);
        let subject = self.text("subject", sent.subject);
        let occurred_at = self.moment("occurredAt", sent.occurred_at);
        let deliver_at = self.moment("deliverAt", sent.deliver_at);
        Some(Draft {
            event_type: event_type?,
            payload: payload?,
            event_id,
            subject,
            occurred_at,
            deliver_at,
        })
    }

    /// The payload's bytes as they stand in the body, which stays in memory with them.
    fn payload(&mut self, value: Option<&RawValue>) -> Option<Bytes> {
        let Some(value) = value else {
            self.note(FaultKind::Form, "payload", "field required");
            return None;
        };
        // Client libraries read payloads back as objects, and fail on anything else.
        if !value.get().starts_with('{') {
            self.note(FaultKind::Form, "payload", "an object is wanted");
            return None;
        }
        Some(self.body.slice_ref(value.get().as_bytes()))
    }

    fn text(&mut self, field: &str, value: Option<&RawValue>) -> Option<String> {
        let read = serde_json::from_str(value?.get());
        if read.is_err() {
            self.note(FaultKind::Form, field, "a text is wanted");
        }
        read.ok()
    }

    fn moment(&mut self, field: &str, value: Option<&RawValue>) -> Option<Timestamp> {
        let moment = self.text(field, value)?.parse();
        if moment.is_err() {
            let wanted = "an RFC 3339 time with a zone is wanted, as 2026-08-21T10:11:12Z";
            self.note(FaultKind::Value, field, wanted);
        }
        moment.ok()
    }

    fn note(&mut self, kind: FaultKind, field: &str, msg: &str) {
        let mut loc = self.base.clone();
        loc.push(field.into());
        self.faults.push(Fault { loc, msg: msg.into(), kind });
    }
}

/// The items of a list, no more than a batch may have: the bound is held while it is read, so that a
/// list of a million nothings costs no memory.
struct Items<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Collect).map(Self)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            if items.len() == BATCH_MAX {
                let why = format!("the list is too long: 1 to {BATCH_MAX} messages are accepted");
                return Err(serde::de::Error::custom(why));
            }
            items.push(item);
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(body: &'static str) -> Draft {
        let (shape, mut drafts) = read(&Bytes::from_static(body.as_bytes())).expect("a message");
        assert_eq!((shape, drafts.len()), (Shape::One, 1));
        drafts.remove(0)
    }

    fn locs(body: &[u8]) -> Vec<String> {
        let faults = read(&Bytes::copy_from_slice(body)).expect_err("faults");
        faults.iter().map(|fault| fault.loc.join(".")).collect()
    }

    #[test]
    fn a_payload_is_cut_out_as_it_stands() {
        let odd = r#"{ "n":1.50e+0400 ,"s":"\u00e9\ud83d\ude00é", "big":123456789012345678901234567890,"n":2}"#;
        let body = format!("\n {{\"payload\"  :\t{odd} , \"eventType\":\"job.completed\"}} ");
        let body: &'static str = body.leak();

        let draft = draft(body);

        assert_eq!(draft.payload, odd);
        let place = draft.payload.as_ptr() as usize - body.as_ptr() as usize;
        assert_eq!(&body[place..place + odd.len()], odd, "the body's own bytes, not a copy");
    }

    #[test]
    fn every_field_is_read_and_others_are_passed_over() {
        let sent = draft(
            r#"{"eventType":"job.done","data":{},"eventId":"run-7","subject":"7","tags":["x"],
                "occurredAt":"2026-08-21T12:11:12.5+02:00","deliverAt":"2026-08-21T10:11:12Z",
                "payloadRetentionPeriod":90,"channels":null}"#,
        );
        assert_eq!(sent.event_type, "job.done");
        assert_eq!(sent.payload, "{}");
        assert_eq!(sent.event_id.as_deref(), Some("run-7"));
        assert_eq!(sent.subject.as_deref(), Some("7"));
        assert_eq!(sent.occurred_at, Some(Timestamp::from_millis(1_787_307_072_500)));
        assert_eq!(sent.deliver_at, Some(Timestamp::from_millis(1_787_307_072_000)));
    }

    #[test]
    fn what_has_not_the_right_form_is_told_with_its_place() {
        for (body, expected) in [
            ("", vec!["body"]),
            ("{", vec!["body"]),
            ("7", vec!["body"]),
            ("[]", vec!["body"]),
            ("{}", vec!["body.eventType", "body.payload"]),
            (r#"{"eventType":null,"payload":null}"#, vec!["body.eventType", "body.payload"]),
            (r#"{"eventType":7,"payload":[]}"#, vec!["body.eventType", "body.payload"]),
            (r#"{"eventType":"a","payload":{},"data":{}}"#, vec!["body"]),
            (r#"{"eventType":"a","payload":{},"channels":["x"]}"#, vec!["body.channels"]),
            (r#"{"eventType":"a","payload":{},"deliverAt":"soon"}"#, vec!["body.deliverAt"]),
            (
                r#"[{"eventType":"a","payload":{}},{},7]"#,
                vec!["body.[1].eventType", "body.[1].payload", "body.[2]"],
            ),
        ] {
            assert_eq!(locs(body.as_bytes()), expected, "{body}");
        }
        assert_eq!(locs(b"{\"eventType\":\"\xff\"}"), ["body"]);
    }

    #[test]
    fn a_list_has_at_most_a_batch() {
        let list = |length: usize| {
            let items = vec![r#"{"eventType":"a","payload":{}}"#; length];
            Bytes::from(format!("[{}]", items.join(",")))
        };
        assert_eq!(read(&list(BATCH_MAX)).expect("a batch").1.len(), BATCH_MAX);
        let faults = read(&list(BATCH_MAX + 1)).expect_err("one too many");
        assert!(faults[0].msg.contains("1 to 500"), "{faults:?}");
    }

    #[test]
    fn an_answer_has_every_field_that_clients_need() {
        let accepted = Accepted {
            id: "msg_0ujtsYcgvSTl8PAuAdqWYSMnLOv".parse().expect("an id"),
            event_type: "job.done".parse().expect("a type"),
            payload: Bytes::from_static(b"{\"n\": 1.50}"),
            event_id: None,
            subject: None,
            occurred_at: Timestamp::from_seconds(1_790_000_000),
            deliver_at: None,
        };
        let text = |shape, content| {
            let one = std::slice::from_ref(&accepted);
            String::from_utf8(write(shape, one, content)).expect("text")
        };
        let whole = r#"{"id":"msg_0ujtsYcgvSTl8PAuAdqWYSMnLOv","eventType":"job.done","payload":{"n": 1.50},"timestamp":"2026-09-21T14:13:20.000Z"}"#;
        assert_eq!(text(Shape::One, true), whole);
        assert_eq!(text(Shape::Batch, true), format!("[{whole}]"));
        assert_eq!(text(Shape::One, false), whole.replace("{\"n\": 1.50}", "{}"));
    }
}
