//! The words, as tables.

use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::domain::delivery::{DeliveryKey, Holder, Standing, Turn};
use crate::domain::event::Webhook;
use crate::domain::exchange::Timing;
use crate::domain::id::{ApplicationId, AttemptId, EndpointId, EventId, ReplayId};
use crate::storage::journal::AttemptRecord;

const START: Timestamp = Timestamp::from_seconds(1_790_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn event(event_type: &str, channels: &[&str]) -> Event {
    Event {
        id: EventId::derived(&[b"event"]),
        application: ApplicationId::derived(&[b"acme"]),
        event_type: event_type.parse().expect("a type"),
        event_id: None,
        subject: Some("job-17".into()),
        occurred_at: START,
        received_at: START,
        deliver_at: None,
        expires_at: None,
        content_type: None,
        traceparent: None,
        channels: channels.iter().map(|name| Box::from(*name)).collect(),
        payload: Bytes::new(),
        webhook: None,
        attributes: Box::default(),
    }
}

fn listed(patterns: &[&str], channels: &[&str]) -> Whom {
    Whom::Listed {
        filter: filter(patterns),
        channels: channels.iter().map(|name| (*name).to_owned()).collect(),
        stopped: None,
    }
}

fn filter(patterns: &[&str]) -> Filter {
    Filter::of(patterns.iter().map(|one| one.parse().expect("a pattern")).collect())
}

fn request(number: u32, outcome: &str, status: u16, at: Timestamp) -> AttemptEntry {
    AttemptEntry {
        event: EventId::derived(&[b"event"]),
        endpoint: EndpointId::derived(&[b"hook"]),
        manual: false,
        success: outcome == "success",
        attempt: AttemptRecord {
            id: AttemptId::derived(&[&number.to_be_bytes()]),
            number,
            started_at: at,
            duration_ms: 40,
            outcome: outcome.into(),
            status,
            url: "https://hook.example/".into(),
            response: Vec::new(),
            detail: String::new(),
            timing: Timing::default(),
            headers: Vec::new(),
        },
    }
}

fn delivery(state: DeliveryState, attempts: u32) -> DeliveryEntry {
    DeliveryEntry {
        key: DeliveryKey {
            event: EventId::derived(&[b"event"]),
            endpoint: EndpointId::derived(&[b"hook"]),
        },
        event_id: None,
        event_type: "job.completed".into(),
        subject: None,
        url: None,
        standing: Standing { turn: Turn(attempts), attempts, state },
        is_on_the_way: false,
        first_attempt_at: None,
        last: None,
        policy: None,
        created_at: START,
    }
}

/// A story of these, at a minute behind the start.
struct Told {
    event: Event,
    delivery: DeliveryEntry,
    whom: Whom,
    attempts: Vec<AttemptEntry>,
    death: Option<Death>,
    policy: Policy,
    offers: Vec<Offer>,
    sends: bool,
}

impl Told {
    fn of(state: DeliveryState, attempts: Vec<AttemptEntry>) -> Self {
        let count = u32::try_from(attempts.len()).expect("few");
        Self {
            event: event("job.completed", &[]),
            delivery: delivery(state, count),
            whom: listed(&["job.*"], &[]),
            attempts,
            death: None,
            policy: Policy::default(),
            offers: Vec::new(),
            sends: true,
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            event: &self.event,
            delivery: &self.delivery,
            whom: &self.whom,
            attempts: &self.attempts,
            earlier: false,
            death: self.death,
            policy: Some(&self.policy),
            offers: &self.offers,
            sends: self.sends,
            now: START + 60 * SECOND,
        }
    }

    fn timeline(&self) -> Vec<Moment> {
        timeline(&self.facts())
    }

    fn next(&self) -> Option<Next> {
        next(&self.facts())
    }
}

fn waiting(due_at: Timestamp) -> DeliveryState {
    DeliveryState::Waiting { due_at, held_by: Holder::Ladder }
}

#[test]
fn why_an_event_is_owed() {
    let named = |mode| Event {
        webhook: Some(Webhook { url: "https://own.example/".parse().expect("a URL"), mode }),
        ..event("job.completed", &[])
    };
    let plain = || event("job.completed", &[]);
    let table = [
        (plain(), listed(&[], &[]), "the endpoint wants everything"),
        (plain(), listed(&["*"], &[]), "the endpoint wants everything"),
        (plain(), listed(&["job.completed"], &[]), "the endpoint wants job.completed"),
        (
            plain(),
            listed(&["document.*", "job.*"], &[]),
            "the endpoint wants job.*, which matches job.completed",
        ),
        (
            event("job.completed", &["us", "eu"]),
            listed(&[], &["eu"]),
            "the endpoint wants everything, and listens on the channel eu",
        ),
        (
            plain(),
            listed(&["document.*"], &[]),
            "it was owed when the event was accepted, or a person asked for it; as the endpoint is now it would \
             not be: it wants document.*, and this is job.completed",
        ),
        (
            plain(),
            Whom::Default(DefaultUrlWhen::NoMatch),
            "no endpoint wanted it, and the application has a default URL",
        ),
        (
            plain(),
            Whom::Default(DefaultUrlWhen::NoOverride),
            "the application's default URL gets every event that names no URL itself",
        ),
        (
            named(WebhookMode::Override),
            Whom::Named(WebhookMode::Override),
            "the event names this URL, instead of the endpoints",
        ),
        (
            named(WebhookMode::Add),
            Whom::Named(WebhookMode::Add),
            "the event names this URL, beside the endpoints",
        ),
        (
            plain(),
            Whom::Gone,
            "it was owed when the event was accepted; the endpoint is gone since",
        ),
    ];
    for (event, whom, words) in table {
        assert_eq!(why_matched(&event, &whom), words);
    }
}

#[test]
fn why_an_event_is_not_owed() {
    let why = |event: &Event, patterns: &[&str], channels: &[&str]| {
        let channels: Vec<_> = channels.iter().map(|name| (*name).to_owned()).collect();
        unmatched(event, &filter(patterns), &channels)
    };
    let (plain, for_us) = (event("job.completed", &[]), event("job.completed", &["us"]));
    assert_eq!(why(&plain, &["job.*"], &[]), None);
    assert_eq!(why(&for_us, &["job.*"], &["eu", "us"]), None);
    let by_type = "it wants job.failed,document.*, and this is job.completed";
    assert_eq!(why(&plain, &["job.failed", "document.*"], &[]).as_deref(), Some(by_type));
    let by_channel = "it listens on the channels eu, and the event is for us";
    assert_eq!(why(&for_us, &[], &["eu"]).as_deref(), Some(by_channel));
    let for_none = "it listens on the channels eu, and the event is for none";
    assert_eq!(why(&plain, &[], &["eu"]).as_deref(), Some(for_none));
}

#[test]
fn what_each_request_came_to() {
    let table = [
        ("success", 204, "attempt 1 was answered 204, and the receiver has it after 40 ms"),
        (
            "redirect",
            302,
            "attempt 1 was answered 302: redirects are not followed, and it failed after 40 ms",
        ),
        (
            "server_error",
            503,
            "attempt 1 was answered 503: the receiver could not do it after 40 ms",
        ),
        (
            "odd_status",
            200,
            "attempt 1 was answered 200, which its policy does not take for a success after 40 ms",
        ),
        ("timeout", 0, "attempt 1 had no answer in time after 40 ms"),
        // Whether a name leads inside is not told.
        (
            "target_not_allowed",
            0,
            "attempt 1 was not made: the host's name leads nowhere after 40 ms",
        ),
        (
            "interrupted",
            0,
            "attempt 1 was interrupted when the router stopped after 40 ms: it does not count",
        ),
        ("unknown", 0, "attempt 1 was let go, and how it ended is not on record"),
    ];
    for (outcome, status, words) in table {
        assert_eq!(attempt(&request(1, outcome, status, START)).words, words);
    }
    for outcome in crate::domain::outcome::CLASSES {
        assert!(!ended(outcome, 500).starts_with("ended as"), "{outcome} has words");
    }
    let by_hand = AttemptEntry { manual: true, ..request(2, "server_error", 500, START) };
    let words = attempt(&by_hand).words;
    assert!(words.starts_with("a request that a person asked for was answered 500"), "{words}");
    assert!(words.ends_with("it does not count against the delivery"), "{words}");
}

#[test]
fn when_it_is_tried_next_and_why_then() {
    let failed = |outcome, status| vec![request(1, outcome, status, START)];
    let in_5_s = START + Duration::from_millis(5_040);
    let later = START + 300 * SECOND;
    let soon = START + 100 * SECOND;
    let told = |state, attempts| Told::of(state, attempts);
    let by_schedule = {
        let mut one = told(waiting(later), failed("timeout", 0));
        one.delivery.standing.attempts = 2;
        one.attempts[0].attempt.number = 2;
        one
    };
    let next_of = |one: &Told| one.next().map(|next| (next.at, next.why));
    let some = |at, why: &str| Some((at, why.to_owned()));

    assert_eq!(next_of(&told(DeliveryState::Delivered, failed("success", 200))), None);
    assert_eq!(
        next_of(&told(DeliveryState::Pending, vec![])),
        some(None, "it is on its way to its first attempt")
    );
    assert_eq!(
        next_of(&told(waiting(in_5_s), failed("timeout", 0))),
        some(Some(in_5_s), "due now: it is tried as soon as its endpoint has room for it")
    );
    assert_eq!(
        next_of(&by_schedule),
        some(Some(later), "attempt 3 of 10: its schedule waits 4 min here, some of it by chance")
    );
    assert_eq!(
        next_of(&told(waiting(soon), failed("too_many_requests", 429))),
        some(Some(soon), "the receiver has asked to be called later, or less")
    );
    assert_eq!(
        next_of(&told(waiting(soon), vec![])),
        some(Some(soon), "put off: its endpoint has no room before")
    );
    assert_eq!(
        next_of(&told(waiting(Timestamp::NEVER), vec![])),
        some(None, "it waits until a person lets it go on")
    );
    let held = Told { sends: false, ..told(waiting(soon), vec![]) };
    assert_eq!(
        next_of(&held),
        some(None, "the application holds back all that it sends: it waits until that is lifted")
    );
    let whom = Whom::Listed { filter: filter(&[]), channels: Vec::new(), stopped: Some("paused") };
    let paused = Told { whom, ..told(waiting(soon), vec![]) };
    assert_eq!(
        next_of(&paused),
        some(None, "the endpoint is paused: it waits until a person lets it go on")
    );
    let event = Event { deliver_at: Some(soon), ..event("job.completed", &[]) };
    let wanted_then = Told { event, ..told(waiting(soon), vec![]) };
    assert_eq!(next_of(&wanted_then), some(Some(soon), "its producer wants it then"));
}

#[test]
fn a_story_is_in_the_order_in_which_it_happened_and_ends_with_how_it_stands() {
    let replay = ReplayId::derived(&[b"replay"]);
    let mut told = Told::of(
        DeliveryState::Dead,
        vec![
            request(1, "timeout", 0, START + SECOND),
            request(1, "server_error", 500, START + 30 * SECOND),
        ],
    );
    told.offers = vec![Offer { replay, turn: Turn(3), at: START + 20 * SECOND }];
    let at = START + 31 * SECOND;
    told.death = Some(Death { reason: DeathReason::AttemptsExhausted, at });

    let moments = told.timeline();

    let what: Vec<_> = moments.iter().map(|moment| moment.what).collect();
    assert_eq!(what, ["accepted", "matched", "attempt", "replayed", "attempt", "given_up"]);
    assert_eq!(moments[0].words, "job.completed about job-17 was accepted");
    assert!(moments[3].words.contains(&replay.to_string()), "{}", moments[3].words);
    assert_eq!(moments[5].at, Some(at));
    let id = told.delivery.key.id();
    let words = format!(
        "given up, because all its attempts have failed: kept as dead letter {id}, which can be replayed"
    );
    assert_eq!(moments[5].words, words);
}

#[test]
fn every_end_has_its_word() {
    let table = [
        (DeliveryState::Delivered, "delivered"),
        (DeliveryState::Dead, "given_up"),
        (DeliveryState::Dropped, "given_up"),
        (DeliveryState::Discarded, "discarded"),
        (DeliveryState::Cancelled, "cancelled"),
        (DeliveryState::Unknown, "unknown"),
        (DeliveryState::Pending, "next"),
        (waiting(START + 100 * SECOND), "next"),
    ];
    for (state, what) in table {
        let end = Told::of(state, vec![]).timeline().pop().expect("an end");
        assert_eq!(end.what, what, "{state:?}");
        assert!(!end.words.is_empty());
    }
}

#[test]
fn spans_are_said_as_people_say_them() {
    for (ms, words) in [
        (40, "40 ms"),
        (1_540, "1.5 s"),
        (59_000, "59 s"),
        (300_000, "5 min"),
        (18_000_000, "5 h 0 min"),
    ] {
        assert_eq!(spoken(Duration::from_millis(ms)), words);
    }
}
