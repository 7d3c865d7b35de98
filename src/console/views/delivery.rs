//! One delivery: how it stands, in a sentence and by its story, and each of its requests with what it was answered.
//!
//! One request is shown whole at a time, the newest unless another is asked for (`?attempt=`): an answer may have 16 KiB.

use askama::Template;
use askama::filters::HtmlSafe;

use super::curl::curl;
use super::json::indented;
use crate::console::form::Fields;
use crate::console::frame::Frame;
use crate::console::parts::{Badge, Tone, When};
use crate::console::text::Text;
use crate::control::stories::Story;
use crate::control::timeline::Moment;
use crate::control::tracking::told;
use crate::domain::body::Body;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::Event;
use crate::domain::id::AttemptId;
use crate::domain::policy::{Format, Guarantee, Policy};
use crate::storage::history::{AttemptEntry, EXPUNGED};
use crate::storage::page::Listed;

/// Requests that its page lists, the last of them.
pub(in crate::console) const ATTEMPTS_SHOWN: usize = 50;

/// Longest body that is written into a command line, in bytes: a longer one is read from a file.
const CURL_BODY_MAX: usize = 2_048;

/// Where the page leads.
pub(in crate::console) struct Ways {
    /// This page, without a question mark: `…/retry` and `…/cancel` below it are its deeds.
    pub(in crate::console) this: String,
    /// Its event's.
    pub(in crate::console) event: Option<String>,
    /// Its endpoint's, if somebody lists it.
    pub(in crate::console) endpoint: Option<String>,
    /// The list that one came from.
    pub(in crate::console) list: String,
    /// The delivery beside it that is newer, within the same filters.
    pub(in crate::console) newer: Option<String>,
    /// The one that is older.
    pub(in crate::console) older: Option<String>,
}

/// One delivery.
#[derive(Template)]
#[template(path = "views/delivery.html")]
pub(in crate::console) struct DeliveryView {
    ways: Ways,
    form_token: String,
    id: String,
    event_id: String,
    producers_id: Option<Text>,
    event_type: Text,
    subject: Option<Text>,
    badge: Badge,
    headline: Vec<Text>,
    why: Text,
    url: Option<Text>,
    uid: Option<Text>,
    accepted_at: When,
    attempts: u32,
    attempts_most: Option<u32>,
    next_at: Option<When>,
    policy: Option<&'static str>,
    timeout_ms: Option<u32>,
    can_retry: bool,
    can_cancel: bool,
    moments: Vec<MomentRow>,
    rows: Vec<AttemptRow>,
    earlier: bool,
    chosen: Option<AttemptWhole>,
    body: Option<BodyShown>,
}

impl HtmlSafe for DeliveryView {}

struct MomentRow {
    at: Option<When>,
    badge: Badge,
    words: Text,
}

/// A row of the table of requests.
struct AttemptRow {
    number: u32,
    manual: bool,
    at: When,
    badge: Badge,
    status: u16,
    error: Text,
    duration_ms: u32,
    href: String,
    here: bool,
}

/// One request with its answer.
struct AttemptWhole {
    id: String,
    number: u32,
    manual: bool,
    at: When,
    status: u16,
    duration_ms: u32,
    timing: Vec<(&'static str, u32)>,
    url: Text,
    headers: Vec<(Text, Text)>,
    detail: Text,
    response: Text,
    response_bytes: usize,
    expunged: bool,
    curl: Text,
    /// The command is shown whole.
    curl_exact: bool,
}

/// What is sent.
struct BodyShown {
    text: Text,
    /// It can be copied: what is shown is what is sent, to the byte.
    exact: bool,
    bytes: usize,
    raw: bool,
    /// What leads to the other way of showing it.
    other: String,
    note: &'static str,
}

impl DeliveryView {
    /// A delivery by its story; `attempts` are the newest of its requests, newest first, with answers, and `asked` is
    /// what the address says.
    pub(in crate::console) fn of(
        story: Story,
        event: &Event,
        attempts: Listed<AttemptEntry, AttemptId>,
        ways: Ways,
        asked: &Fields,
        frame: &Frame,
    ) -> Self {
        let headline = headline(&story.timeline);
        let Story { tracked, uid, why, timeline, next, .. } = story;
        let (delivery, policy) = (tracked.delivery, tracked.policy);
        let format = policy.as_ref().map_or(Format::default(), |policy| policy.format);
        let body = Body::of(event, format, false);
        let earlier = attempts.beyond.is_some();
        let wanted = asked.one("attempt").and_then(|name| name.parse().ok());
        let known = |id: &AttemptId| attempts.rows.iter().any(|row| row.attempt.id == *id);
        let last = attempts.rows.iter().max_by_key(|row| row.attempt.started_at);
        let shown = wanted.filter(known).or(last.map(|row| row.attempt.id));
        let filters = asked.without(&["attempt", "done"]);
        let mut rows = Vec::with_capacity(attempts.rows.len());
        let mut chosen = None;
        // By their beginning: ids of one second are in no order.
        let mut newest_first: Vec<_> = attempts.rows.iter().collect();
        newest_first.sort_by_key(|entry| std::cmp::Reverse(entry.attempt.started_at));
        for entry in newest_first {
            let here = Some(entry.attempt.id) == shown;
            rows.push(attempt_row(entry, &filters, here));
            if here {
                chosen = Some(attempt_whole(entry, &body.bytes));
            }
        }
        let state = delivery.standing.state;
        Self {
            form_token: frame.form_token.clone(),
            id: delivery.key.id().to_string(),
            event_id: delivery.key.event.to_string(),
            producers_id: delivery.event_id.as_deref().map(Text::line),
            event_type: Text::line(&delivery.event_type),
            subject: delivery.subject.as_deref().map(Text::line),
            badge: Badge::delivery(delivery.state()),
            headline,
            why: Text::line(&why),
            url: delivery.url.as_deref().map(Text::line),
            uid: uid.as_deref().map(Text::line),
            accepted_at: When(delivery.created_at),
            attempts: delivery.attempts(),
            attempts_most: policy.as_ref().map(|policy| policy.retry.max_attempts()),
            next_at: next.and_then(|next| next.at).map(When),
            policy: policy.as_ref().map(promise),
            timeout_ms: policy.as_ref().map(|policy| policy.timeout_ms),
            can_retry: frame.may.make_attempts && !event.payload.is_empty(),
            can_cancel: frame.may.make_attempts
                && matches!(state, DeliveryState::Pending | DeliveryState::Waiting { .. }),
            moments: timeline.iter().map(moment_row).collect(),
            rows,
            earlier,
            chosen,
            body: (!event.payload.is_empty()).then(|| {
                let raw = asked.one("body") == Some("raw");
                let text = shown_body(&body.bytes, raw);
                BodyShown {
                    exact: text.is(&body.bytes),
                    text,
                    bytes: body.bytes.len(),
                    raw,
                    other: asked.without(&["done"]).with("body", if raw { "" } else { "raw" }),
                    note: format_note(format),
                }
            }),
            ways,
        }
    }
}

/// A body for people: JSON with lines, or as it was sent.
pub(in crate::console) fn shown_body(bytes: &[u8], raw: bool) -> Text {
    match std::str::from_utf8(bytes) {
        Ok(text) if !raw => Text::block(&indented(text)),
        Ok(_) | Err(_) => Text::bytes(bytes),
    }
}

/// What it comes to, in a sentence or two: how the last request went, and what that means.
fn headline(timeline: &[Moment]) -> Vec<Text> {
    let last = timeline.iter().rfind(|moment| moment.what == "attempt");
    let end = timeline.last().filter(|moment| moment.what != "attempt");
    let sentences = last.into_iter().chain(end).map(|moment| sentence(&moment.words));
    sentences.map(|words| Text::line(&words)).collect()
}

/// Words as a sentence.
pub(in crate::console) fn sentence(words: &str) -> String {
    let mut characters = words.chars();
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", characters.as_str())
}

fn moment_row(moment: &Moment) -> MomentRow {
    let badge = match moment.what {
        "accepted" => Badge::new(Tone::Plain, "accepted"),
        "matched" => Badge::new(Tone::Plain, "owed"),
        "attempt" => Badge::new(Tone::Busy, "attempt"),
        "replayed" => Badge::new(Tone::Busy, "replayed"),
        "delivered" => Badge::new(Tone::Good, "delivered"),
        "given_up" => Badge::new(Tone::Bad, "given up"),
        "discarded" => Badge::new(Tone::Plain, "discarded"),
        "cancelled" => Badge::new(Tone::Plain, "cancelled"),
        "unknown" => Badge::new(Tone::Warn, "unknown"),
        "next" => Badge::new(Tone::Warn, "next"),
        _ => Badge::new(Tone::Plain, "then"),
    };
    MomentRow { at: moment.at.map(When), badge, words: Text::line(&sentence(&moment.words)) }
}

/// How a request ended.
fn ended(entry: &AttemptEntry) -> Badge {
    match entry.attempt.outcome.as_str() {
        _ if entry.success => Badge::new(Tone::Good, "accepted"),
        "interrupted" | "internal" => Badge::new(Tone::Plain, "does not count"),
        "unknown" => Badge::new(Tone::Warn, "unknown"),
        _ => Badge::new(Tone::Bad, "failed"),
    }
}

fn attempt_row(entry: &AttemptEntry, filters: &Fields, here: bool) -> AttemptRow {
    let one = &entry.attempt;
    AttemptRow {
        number: one.number,
        manual: entry.manual,
        at: When(one.started_at),
        badge: ended(entry),
        status: one.status,
        error: Text::line(&told(&one.outcome, &one.url).replace('_', " ")),
        duration_ms: one.duration_ms,
        href: filters.with("attempt", &one.id.to_string()),
        here,
    }
}

fn attempt_whole(entry: &AttemptEntry, body: &[u8]) -> AttemptWhole {
    let one = &entry.attempt;
    let timing = [
        ("name looked up", one.timing.dns_ms),
        ("connected", one.timing.connect_ms),
        ("TLS", one.timing.tls_ms),
        ("first byte", one.timing.first_byte_ms),
    ];
    let pair = |(name, value): &(String, String)| (Text::line(name), Text::line(value));
    let sent = match std::str::from_utf8(body) {
        Ok(text) if text.len() <= CURL_BODY_MAX => text,
        Ok(_) | Err(_) => "@body.json", // as curl reads a file
    };
    let command = curl(&one.url, &one.headers, sent);
    let shown = Text::block(&command);
    AttemptWhole {
        id: one.id.to_string(),
        number: one.number,
        manual: entry.manual,
        at: When(one.started_at),
        status: one.status,
        duration_ms: one.duration_ms,
        timing: timing.into_iter().filter_map(|(what, ms)| Some((what, ms?))).collect(),
        url: Text::line(&one.url),
        headers: one.headers.iter().map(pair).collect(),
        detail: Text::line(&one.detail),
        response: Text::bytes(&one.response),
        response_bytes: one.response.len(),
        expunged: one.response == EXPUNGED.as_bytes(),
        curl_exact: shown.is(command.as_bytes()),
        curl: shown,
    }
}

const fn promise(policy: &Policy) -> &'static str {
    match policy.guarantee {
        Guarantee::AtLeastOnce => "at least once",
        Guarantee::AtMostOnce => "at most once",
    }
}

const fn format_note(format: Format) -> &'static str {
    match format {
        Format::Passthrough => "The producer's bytes, as they were published.",
        Format::Standard => {
            "The producer's bytes as data, in an object with id, type and timestamp."
        }
        Format::Cloudevents => {
            "A CloudEvent in one JSON object, with the producer's bytes as data."
        }
        Format::CloudeventsBinary => {
            "The producer's bytes; a CloudEvent's attributes are among the headers."
        }
    }
}
