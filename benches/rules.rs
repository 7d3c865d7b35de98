//! What the rules cost by themselves: each is a pure function that every delivery goes through.
//!
//! Microseconds here are the machine's; what they are good for is to see that one has become dearer than it was, and that
//! the index of routes costs an event the same whether there are ten endpoints or a hundred thousand.

#![allow(
    clippy::print_stdout,
    missing_docs,
    reason = "criterion prints, and makes functions of its own"
)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use posthaste::domain::application::Application;
use posthaste::domain::breaker::Health;
use posthaste::domain::cloudevent;
use posthaste::domain::endpoint::{Endpoint, EndpointKey, EndpointState};
use posthaste::domain::event::{Channels, Event};
use posthaste::domain::filter::Filter;
use posthaste::domain::id::{ApplicationId, EndpointId, EventId, OrganisationId};
use posthaste::domain::lane::{Lane, Numbers};
use posthaste::domain::outcome::{Outcome, Pressure, Sign};
use posthaste::domain::policy::{PolicyPart, Resolved};
use posthaste::domain::retry::Chance;
use posthaste::domain::settlement::decide;
use posthaste::domain::signature::{SigningKey, sign};
use posthaste::domain::time::Timestamp;
use posthaste::pipeline::request::{Options, signed};
use posthaste::pipeline::route::Table;
use posthaste::storage::catalogue::Snapshot;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// A payload of 1 KiB, as a job's event is.
fn payload() -> String {
    format!(r#"{{"padding":"{}"}}"#, "x".repeat(1_024 - 14))
}

fn application() -> ApplicationId {
    ApplicationId::derived(&[b"bench"])
}

/// An event of the type with this number.
fn event(number: usize) -> Event {
    Event {
        id: EventId::derived(&[b"event", &number.to_be_bytes()]),
        application: application(),
        event_type: format!("job.t{number}").parse().expect("a type"),
        event_id: None,
        subject: Some("job-7".into()),
        occurred_at: NOW,
        received_at: NOW,
        deliver_at: None,
        expires_at: None,
        content_type: None,
        traceparent: None,
        channels: Channels::default(),
        webhook: None,
        attributes: Box::default(),
        payload: payload().into(),
    }
}

/// An endpoint that wants the type with this number.
fn endpoint(number: usize) -> Endpoint {
    let key = SigningKey::generated([7; 32]);
    let pattern = format!("job.t{number}").parse().expect("a pattern");
    Endpoint {
        id: EndpointId::derived(&[b"endpoint", &number.to_be_bytes()]),
        application: application(),
        uid: None,
        description: String::new(),
        url: "https://example.com/hook".parse().expect("a URL"),
        filter: Filter::of(vec![pattern]),
        channels: Vec::new(),
        state: EndpointState::Active,
        disabled_because: None,
        throttle_rate: None,
        policy: Arc::default(),
        policy_part: PolicyPart::default(),
        headers: Vec::new(),
        auth: None,
        keys: vec![EndpointKey { key, created_at: NOW, expires_at: None }],
        metadata: BTreeMap::new(),
        version: NonZeroU16::MIN,
        created_at: NOW,
        updated_at: NOW,
    }
}

fn table(endpoints: usize) -> Table {
    Table::of(Snapshot {
        version: 1,
        applications: vec![Application {
            id: application(),
            organisation: OrganisationId::DEFAULT,
            uid: Some("bench".into()),
            name: "Bench".into(),
            throttle_rate: None,
            metadata: BTreeMap::new(),
            created_at: NOW,
            updated_at: NOW,
        }],
        endpoints: (0..endpoints).map(|number| Arc::new(endpoint(number))).collect(),
        settings: Vec::new(),
        schemas: Vec::new(),
    })
}

fn signing(bench: &mut Criterion) {
    let (key, body) = (SigningKey::generated([7; 32]), payload());
    bench.bench_function("sign 1 KiB", |timed| {
        timed.iter(|| sign([&key], "msg_7", NOW.as_seconds(), black_box(body.as_bytes())));
    });
    let (event, endpoint) = (event(0), endpoint(0));
    bench.bench_function("make a signed request of 1 KiB", |timed| {
        timed.iter(|| signed(black_box(&event), &endpoint, NOW, Options::default()));
    });
}

fn routing(bench: &mut Criterion) {
    for endpoints in [10, 100_000] {
        let table = table(endpoints);
        let event = event(endpoints / 2);
        assert_eq!(table.wanting(&event).len(), 1);
        bench.bench_function(&format!("find who wants an event, {endpoints} endpoints"), |timed| {
            timed.iter(|| table.wanting(black_box(&event)));
        });
    }
}

fn settling(bench: &mut Criterion) {
    let (policy, event) = (Resolved::default(), event(0));
    for (name, status) in [("delivered", 204), ("tried again", 503)] {
        let outcome = Outcome::Answered { status, retry_after: None };
        bench.bench_function(&format!("decide what an answer means: {name}"), |timed| {
            timed.iter(|| {
                let (life, chance) = ((&event).into(), Chance::from_bits(7));
                decide(black_box(&outcome), 1, &policy, life, NOW, chance)
            });
        });
    }
}

/// Offered, started and ended: limiter, allowance and breaker have each had a word.
fn lanes(bench: &mut Criterion) {
    const WELL: Sign = Sign { pressure: Pressure::Eased, health: Health::Well };
    for (name, per_second) in [("without a rate", None), ("with a rate", Some(1_000_000))] {
        let endpoint = Endpoint {
            throttle_rate: per_second.and_then(std::num::NonZeroU32::new),
            ..endpoint(0)
        };
        let mut lane = Lane::new(Numbers::of(&endpoint, Some(NonZeroU16::MIN)));
        let mut now = NOW;
        bench.bench_function(&format!("a delivery through its lane, {name}"), |timed| {
            timed.iter(|| {
                now = now + Duration::from_millis(1);
                lane.offer(7, now).expect("there is place");
                let (permit, _) = lane.next(now).expect("it may start");
                lane.finished(permit, Duration::from_millis(1), WELL, now, Chance::from_bits(7))
            });
        });
    }
}

fn reading(bench: &mut Criterion) {
    let least = r#""specversion":"1.0","id":"A-1","source":"/jobs","type":"job.completed""#;
    let body = Bytes::from(format!(r#"{{{least},"subject":"job-7","data":{}}}"#, payload()));
    bench.bench_function("read a structured CloudEvent of 1 KiB", |timed| {
        timed.iter(|| cloudevent::structured(black_box(&body)));
    });
}

criterion_group!(rules, signing, routing, settling, lanes, reading);
criterion_main!(rules);
