//! `MessageIn`: an event as it is sent to the API.
//!
//! A payload is cut out of the body as it stands there, and never built up and written again: so
//! receivers get its sender's bytes, with its spaces, its numbers of any length and its escapes.
//!
//! What would change what is delivered and is not built is refused, and not passed over: an event that is
//! to be made over first must not go out as it is.

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::json;
use super::super::problem::{Fault, FaultKind};
use super::application::ApplicationIn;
use crate::control::applications::NewApplication;
use crate::control::publish::{self, BATCH_MAX, Draft, Field};
use crate::domain::event::CHANNELS_MAX;
use crate::domain::time::Timestamp;

/// Days that a sender may ask for a payload to be kept: what client libraries know.
const RETENTION_DAYS: RangeInclusive<u64> = 5..=90;

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
    /// Of no use after this: what is not delivered by then is given up.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    /// A URL of its own: what is accepted is as for an endpoint's. The delivery is signed with the keys of
    /// the application's settings, and made as these say.
    #[schema(max_length = 2048, format = "uri")]
    webhook_url: Option<String>,
    /// Whether it goes to that URL alone, or to the endpoints that want it as well.
    #[schema(value_type = Option<WebhookMode>, default = "override")]
    webhook_mode: Option<String>,
    /// Channels that it is for: endpoints with channels of their own get it when they share one.
    #[schema(min_items = 1, max_items = 5)]
    channels: Option<Vec<String>>,
    /// Accepted, and without effect: payloads are kept for as long as the operator says
    /// (`retention.events_days`), all alike.
    #[schema(minimum = 5, maximum = 90, default = 90)]
    payload_retention_period: Option<u16>,
    /// Made first, when there is no application of the path's name; its uid is that name. Is there one, it
    /// stays as it is.
    application: Option<ApplicationIn>,
}

/// Whether a message that names a URL goes to anybody else.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what is read, for the description of the API")]
pub(in super::super) enum WebhookMode {
    /// To that URL alone.
    Override,
    /// To that URL, and to the endpoints that want it.
    Add,
}

/// What was sent.
#[derive(Debug)]
pub(in super::super) struct Reading {
    /// One event or a list.
    pub(in super::super) shape: Shape,
    /// The events.
    pub(in super::super) drafts: Vec<Draft>,
    /// The application to be made when there is none of the path's name.
    pub(in super::super) application: Option<NewApplication>,
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
    #[serde(borrow)]
    payload_retention_period: Option<&'a RawValue>,
    #[serde(borrow)]
    application: Option<&'a RawValue>,
    // Ours.
    #[serde(borrow)]
    subject: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow)]
    deliver_at: Option<&'a RawValue>,
    #[serde(borrow)]
    expires_at: Option<&'a RawValue>,
    #[serde(borrow)]
    webhook_url: Option<&'a RawValue>,
    #[serde(borrow)]
    webhook_mode: Option<&'a RawValue>,
}

/// `transformationsParams`, as far as there is something to do.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawPayload {
    raw_payload: String,
}

/// Reads one `MessageIn`, or a list of them, sent to the application that the path calls `named`.
///
/// # Errors
/// Everything that has not the right form, with its place.
pub(in super::super) fn read(body: &Bytes, named: &str) -> Result<Reading, Vec<Fault>> {
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
    let mut application = None;
    for (place, item) in items.into_iter().enumerate() {
        let mut reader = Reader { body, named, base: base(shape, place), faults: &mut faults };
        if let Some((draft, wanted)) = reader.message(item) {
            drafts.push(draft);
            application = application.or(wanted);
        }
    }
    if faults.is_empty() { Ok(Reading { shape, drafts, application }) } else { Err(faults) }
}

/// A fault that the rules found, as it is written.
pub(in super::super) fn fault(shape: Shape, fault: publish::Fault) -> Fault {
    let field = match fault.field {
        Field::EventType => "eventType",
        Field::Payload => "payload",
        Field::EventId => "eventId",
        Field::Subject => "subject",
        Field::Channels => "channels",
        Field::ExpiresAt => "expiresAt",
        Field::WebhookUrl => "webhookUrl",
        Field::WebhookMode => "webhookMode",
    };
    let mut loc = base(shape, fault.place);
    loc.push(field.into());
    Fault { loc, msg: fault.why, kind: FaultKind::Value }
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
    /// What the path calls the application.
    named: &'a str,
    base: Vec<String>,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn message(&mut self, item: &RawValue) -> Option<(Draft, Option<NewApplication>)> {
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
        self.retention(sent.payload_retention_period);
        let event_type = self.text("eventType", sent.event_type);
        if sent.event_type.is_none() {
            self.note(FaultKind::Form, "eventType", "field required");
        }
        let payload = self.payload(sent.payload);
        let payload = match sent.transformations_params {
            None => payload,
            Some(value) => self.raw_payload(value),
        };
        let event_id = self.text("eventId", sent.event_id);
        let subject = self.text("subject", sent.subject);
        let occurred_at = self.moment("occurredAt", sent.occurred_at);
        let deliver_at = self.moment("deliverAt", sent.deliver_at);
        let expires_at = self.moment("expiresAt", sent.expires_at);
        let webhook_url = self.text("webhookUrl", sent.webhook_url);
        let webhook_mode = self.text("webhookMode", sent.webhook_mode);
        let channels = self.channels(sent.channels);
        let application = self.application(sent.application);
        let draft = Draft {
            event_type: event_type?,
            payload: payload?,
            event_id,
            subject,
            occurred_at,
            deliver_at,
            expires_at,
            channels,
            webhook_url,
            webhook_mode,
            ..Draft::default()
        };
        Some((draft, application))
    }

    /// Says that it was read, and nothing more: payloads are kept for as long as the operator says.
    fn retention(&mut self, value: Option<&RawValue>) {
        let Some(value) = value else { return };
        let [first, last] = [RETENTION_DAYS.start(), RETENTION_DAYS.end()];
        let why = format!("{first} to {last} days are accepted");
        match serde_json::from_str::<u64>(value.get()) {
            Ok(days) if RETENTION_DAYS.contains(&days) => {}
            Ok(_) => self.note(FaultKind::Value, "payloadRetentionPeriod", &why),
            Err(_) => self.note(FaultKind::Form, "payloadRetentionPeriod", &why),
        }
    }

    fn channels(&mut self, value: Option<&RawValue>) -> Vec<String> {
        let Some(value) = value else { return Vec::new() };
        match serde_json::from_str::<Vec<String>>(value.get()) {
            Ok(names) if names.is_empty() => {
                let why = format!("the list is empty: 1 to {CHANNELS_MAX} are accepted");
                self.note(FaultKind::Value, "channels", &why);
            }
            Ok(names) => return names,
            Err(_) => self.note(FaultKind::Form, "channels", "a list of texts is wanted"),
        }
        Vec::new()
    }

    /// The application that the path names, should there be none.
    fn application(&mut self, value: Option<&RawValue>) -> Option<NewApplication> {
        let mut fault = match json::read::<ApplicationIn>(value?.get().as_bytes()) {
            Ok(sent) => match sent.under(self.named) {
                Ok(wanted) => return Some(wanted),
                Err(msg) => {
                    let loc = vec!["body".into(), "uid".into()];
                    Fault { loc, msg, kind: FaultKind::Value }
                }
            },
            Err(fault) => fault,
        };
        let inner = fault.loc.split_off(1);
        fault.loc = [self.base.clone(), vec!["application".into()], inner].concat();
        self.faults.push(fault);
        None
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

    /// The payload as a text within the body: the one thing that is asked of transformations and needs
    /// none. Payloads go out to the byte in any case.
    fn raw_payload(&mut self, value: &RawValue) -> Option<Bytes> {
        let sent: Option<RawPayload> = serde_json::from_str(value.get()).ok();
        let text = sent.map(|sent| sent.raw_payload).filter(|text| {
            text.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(text).is_ok()
        });
        if text.is_none() {
            let why = "only `rawPayload` is supported, a text that is a JSON object";
            self.note(FaultKind::Value, "transformationsParams", why);
        }
        text.map(Bytes::from)
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

    fn reading(body: &'static str) -> Reading {
        let reading = read(&Bytes::from_static(body.as_bytes()), "acme").expect("a message");
        assert_eq!((reading.shape, reading.drafts.len()), (Shape::One, 1));
        reading
    }

    fn draft(body: &'static str) -> Draft {
        reading(body).drafts.remove(0)
    }

    fn locs(body: &[u8]) -> Vec<String> {
        let faults = read(&Bytes::copy_from_slice(body), "acme").expect_err("faults");
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
                "payloadRetentionPeriod":90,"channels":["eu","us"],"webhookMode":"add",
                "webhookUrl":"https://hook.example/","expiresAt":"2026-08-21T10:11:13Z"}"#,
        );
        assert_eq!(sent.webhook_url.as_deref(), Some("https://hook.example/"));
        assert_eq!(sent.webhook_mode.as_deref(), Some("add"));
        assert_eq!(sent.expires_at, Some(Timestamp::from_millis(1_787_307_073_000)));
        assert_eq!(sent.channels, ["eu", "us"]);
        assert!(draft(r#"{"eventType":"a","payload":{},"channels":null}"#).channels.is_empty());
        assert_eq!(sent.event_type, "job.done");
        assert_eq!(sent.payload, "{}");
        assert_eq!(sent.event_id.as_deref(), Some("run-7"));
        assert_eq!(sent.subject.as_deref(), Some("7"));
        assert_eq!(sent.occurred_at, Some(Timestamp::from_millis(1_787_307_072_500)));
        assert_eq!(sent.deliver_at, Some(Timestamp::from_millis(1_787_307_072_000)));
    }

    #[test]
    fn an_application_to_be_made_has_the_name_of_the_path() {
        for application in [r#"{"name":"A"}"#, r#"{"name":"A","uid":"acme"}"#] {
            let body = format!(r#"{{"eventType":"a","payload":{{}},"application":{application}}}"#);
            let wanted = reading(body.leak()).application.expect("one is wanted");
            assert_eq!((wanted.name.as_str(), wanted.uid.as_deref()), ("A", Some("acme")));
        }
        assert!(reading(r#"{"eventType":"a","payload":{}}"#).application.is_none());
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
            (r#"{"eventType":"a","payload":{},"channels":[]}"#, vec!["body.channels"]),
            (r#"{"eventType":"a","payload":{},"channels":"x"}"#, vec!["body.channels"]),
            (
                r#"{"eventType":"a","payload":{},"payloadRetentionPeriod":4}"#,
                vec!["body.payloadRetentionPeriod"],
            ),
            (
                r#"{"eventType":"a","payload":{},"transformationsParams":{}}"#,
                vec!["body.transformationsParams"],
            ),
            (
                r#"{"eventType":"a","payload":{},"application":{"uid":"acme"}}"#,
                vec!["body.application.name"],
            ),
            (
                r#"{"eventType":"a","payload":{},"application":{"name":"A","uid":"other"}}"#,
                vec!["body.application.uid"],
            ),
            (r#"{"eventType":"a","payload":{},"deliverAt":"soon"}"#, vec!["body.deliverAt"]),
            (r#"{"eventType":"a","payload":{},"expiresAt":"soon"}"#, vec!["body.expiresAt"]),
            (r#"{"eventType":"a","payload":{},"webhookUrl":7}"#, vec!["body.webhookUrl"]),
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
    fn a_payload_may_be_given_as_a_text() {
        let sent = draft(
            r#"{"eventType":"a","payload":{},"transformationsParams":{"rawPayload":"{ \"n\" : 1.50 }"}}"#,
        );
        assert_eq!(sent.payload, r#"{ "n" : 1.50 }"#);
        for raw in [
            r#"{"rawPayload":"[1]"}"#,
            r#"{"rawPayload":"{"}"#,
            r#"{"rawPayload":"{}","headers":{}}"#,
        ] {
            let body =
                format!(r#"{{"eventType":"a","payload":{{}},"transformationsParams":{raw}}}"#);
            assert_eq!(locs(body.as_bytes()), ["body.transformationsParams"], "{raw}");
        }
    }

    #[test]
    fn a_list_has_at_most_a_batch() {
        let list = |length: usize| {
            let items = vec![r#"{"eventType":"a","payload":{}}"#; length];
            Bytes::from(format!("[{}]", items.join(",")))
        };
        let reading = read(&list(BATCH_MAX), "acme").expect("a batch");
        assert_eq!(reading.drafts.len(), BATCH_MAX);
        let faults = read(&list(BATCH_MAX + 1), "acme").expect_err("one too many");
        assert!(faults[0].msg.contains("1 to 500"), "{faults:?}");
    }
}
