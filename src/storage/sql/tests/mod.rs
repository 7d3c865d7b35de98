//! What the ports promise, held against a file on disk.

mod attention;
mod backup;
mod balance;
mod catalogue;
mod dead_letters;
mod directory;
mod failing;
mod file;
mod history;
mod inbox;
mod inspector;
mod journal;
mod ledger;
mod long_history;
mod quarantine;
mod queues;
mod recovery;
mod replay_pace;
mod replay_steps;
mod replays;
mod resend;
mod retention;
mod rollups;
mod routers;
mod sessions;
mod tidings;
mod tracking;
mod undone;
mod unlisted;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretBox;
use tempfile::TempDir;

use super::engine::Connection;
use super::{Settings, Sql};
use crate::domain::application::{Application, Tenant};
use crate::domain::auth::Auth;
use crate::domain::delivery::{
    Attempt, Delivery, DeliveryKey, DeliveryState, Holder, Standing, Trigger, Turn,
};
use crate::domain::endpoint::{Endpoint, EndpointKey, EndpointState};
use crate::domain::event::Event;
use crate::domain::exchange::{SentHeaders, Timing};
use crate::domain::filter::Filter;
use crate::domain::id::{ApplicationId, AttemptId, EndpointId, EventId, OrganisationId};
use crate::domain::outcome::Outcome;
use crate::domain::policy::{Policy, PolicyPart, Resolved};
use crate::domain::retry::Due;
use crate::domain::settlement::{DeathReason, Postponed, Settlement};
use crate::domain::signature::SigningKey;
use crate::domain::time::Timestamp;
use crate::storage::catalogue::Catalogue;
use crate::storage::journal::{Journal, Overdue, Owed, Recorded, Settled};
use crate::storage::vault::Vault;
use crate::storage::{StorageError, sqlite};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const SECOND: Duration = Duration::from_secs(1);
const LONG_AGO: Timestamp = Timestamp::from_seconds(0);

/// A journal in a folder of its own, which goes with it.
struct Place {
    store: Sql,
    folder: TempDir,
}

impl std::ops::Deref for Place {
    type Target = Sql;
    fn deref(&self) -> &Sql {
        &self.store
    }
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Sql::open(&settings(&folder), vault()).expect("opens");
        Self { store, folder }
    }

    /// Another process with the same file.
    fn elsewhere(&self) -> Sql {
        Sql::open(&settings(&self.folder), vault()).expect("opens")
    }

    /// The same file after a restart.
    async fn restarted(self) -> Self {
        self.store.close().await;
        let store = Sql::open(&settings(&self.folder), vault()).expect("opens");
        Self { store, folder: self.folder }
    }

    /// The file, as another program opens it.
    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(path(&self.folder)).expect("opens")
    }

    /// The same in the language of the engines.
    fn beside(&self) -> Connection {
        Connection::Sqlite(self.file())
    }

    /// How a delivery stands.
    async fn standing(&self, key: DeliveryKey) -> Standing {
        self.standings(vec![key]).await.expect("read")[0].expect("it is owed")
    }

    /// Records one settlement.
    async fn settle(&self, settled: Settled) -> Recorded {
        self.record(vec![settled]).await.expect("recorded")[0]
    }

    /// Claims what is due at `now`, leased for a minute; nothing that a router holds.
    async fn claim_due(&self, now: Timestamp) -> Vec<Delivery> {
        self.claim(overdue(now, LONG_AGO), now + 60 * SECOND, 100).await.expect("claimed")
    }

    /// An event owed to some active endpoints of one application, accepted.
    async fn owe(&self, name: &str, endpoints: &[&str]) -> Arc<Event> {
        for endpoint in endpoints {
            self.have_endpoint(endpoint).await;
        }
        let event = event(name);
        self.accept(vec![owed(&event, endpoints)]).await.expect("accepted");
        event
    }

    /// An endpoint in the catalogue, unless it is there.
    async fn have_endpoint(&self, name: &str) {
        let endpoint = endpoint(name);
        if self.application(OrganisationId::DEFAULT, &"acme".into()).await.expect("read").is_none()
        {
            self.add_application(&application("acme")).await.expect("added");
        }
        if self.any_endpoint(endpoint.id).await.expect("read").is_none() {
            self.add_endpoint(&endpoint).await.expect("added");
        }
    }
}

fn settings(folder: &TempDir) -> Settings {
    Settings::Sqlite(sqlite::Settings { path: path(folder) })
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("journal.db")
}

fn vault() -> Arc<Vault> {
    let key = SecretBox::new(Box::new([7; 32]));
    Arc::new(Vault::new(vec![(1, key)]).expect("a keyring"))
}

/// The owner of the endpoints here.
fn acme() -> Tenant {
    application("acme").tenant()
}

fn application(uid: &str) -> Application {
    Application {
        id: ApplicationId::derived(&[uid.as_bytes()]),
        organisation: OrganisationId::DEFAULT,
        uid: Some(uid.to_owned()),
        name: uid.to_uppercase(),
        throttle_rate: None,
        metadata: std::collections::BTreeMap::new(),
        created_at: NOW,
        updated_at: NOW,
    }
}

fn endpoint_id(name: &str) -> EndpointId {
    EndpointId::derived(&[name.as_bytes()])
}

/// An active endpoint of `acme`, with one key and one header.
fn endpoint(name: &str) -> Endpoint {
    Endpoint {
        id: endpoint_id(name),
        application: application("acme").id,
        uid: Some(name.to_owned()),
        description: String::new(),
        url: format!("https://{name}.example/hook").parse().expect("a url"),
        filter: Filter::of(vec!["job.*".parse().expect("a pattern")]),
        channels: vec!["eu".to_owned()],
        disabled_because: None,
        state: EndpointState::Paused, // so that what is settled as paused waits as it should
        throttle_rate: std::num::NonZeroU32::new(5),
        policy: Arc::default(),
        headers: vec![("authorization".to_owned(), "Bearer tenants-secret".to_owned())],
        auth: Some(Auth::Basic {
            username: "tenants-user".into(),
            password: "tenants-password".into(),
        }),
        keys: vec![signing_key(1)],
        metadata: std::collections::BTreeMap::new(),
        version: std::num::NonZeroU16::MIN,
        created_at: NOW,
        updated_at: NOW,
        policy_part: PolicyPart::default(),
    }
}

fn signing_key(byte: u8) -> EndpointKey {
    let key = SigningKey::from_bytes(vec![byte; 32]).expect("a key");
    EndpointKey { key, created_at: NOW, expires_at: None }
}

fn event(name: &str) -> Arc<Event> {
    typed_event(name, "job.completed")
}

fn typed_event(name: &str, event_type: &str) -> Arc<Event> {
    Arc::new(Event {
        id: EventId::derived(&[name.as_bytes()]),
        application: application("acme").id,
        event_type: event_type.parse().expect("a type"),
        event_id: Some(name.into()),
        subject: Some("job-1".into()),
        occurred_at: NOW,
        received_at: NOW + SECOND,
        deliver_at: None,
        expires_at: Some(NOW + 3_600 * SECOND),
        content_type: None,
        traceparent: Some("00-abc-def-01".into()),
        channels: Box::from(["eu".into(), "beta".into()]),
        payload: Bytes::from_static(b"{\"amount\":1250.50}"),
        webhook: None,
        attributes: Box::default(),
    })
}

fn owed(event: &Arc<Event>, endpoints: &[&str]) -> Owed {
    let endpoints = endpoints.iter().map(|name| endpoint_id(name)).collect();
    Owed { event: Arc::clone(event), endpoints }
}

fn key(event: &Event, endpoint: &str) -> DeliveryKey {
    DeliveryKey { event: event.id, endpoint: endpoint_id(endpoint) }
}

/// What a request was sent with.
fn sent(key: DeliveryKey) -> SentHeaders {
    let headers = [("x-own", "open sesame"), ("webhook-signature", "v1,abc")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    SentHeaders::of(&headers, |name| name == "x-own", key.event, NOW)
}

/// A settlement of one turn, behind a request if its outcome is given.
fn settled(
    key: DeliveryKey,
    turn: u32,
    outcome: Option<Outcome>,
    settlement: Settlement,
) -> Settled {
    let attempts = turn + u32::from(outcome.is_some());
    let attempt = outcome.map(|outcome| Attempt {
        id: AttemptId::derived(&[key.id().as_bytes(), &turn.to_be_bytes()]),
        number: attempts,
        started_at: NOW + turn * SECOND,
        duration_ms: 120,
        timing: Timing { connect_ms: Some(3), first_byte_ms: Some(100), ..Timing::default() },
        headers: sent(key),
        meaning: Policy::default().judge(&outcome),
        outcome,
        url: "https://a.example/hook".into(),
        response: Bytes::from_static(b"no"),
        detail: "the receiver said 500".to_owned(),
        policy: Arc::default(),
    });
    Settled {
        key,
        turn: Turn(turn),
        trigger: Trigger::Turn,
        attempts,
        attempt,
        settlement,
        held_by: Holder::Router,
        at: NOW + turn * SECOND,
        tells: false,
    }
}

const FAILURE: Outcome = Outcome::Answered { status: 500, retry_after: None };

fn delivered(key: DeliveryKey, turn: u32) -> Settled {
    let success = Outcome::Answered { status: 200, retry_after: None };
    settled(key, turn, Some(success), Settlement::Delivered)
}

fn failed(key: DeliveryKey, turn: u32) -> Settled {
    settled(key, turn, Some(FAILURE), Settlement::Retry(Due::exactly(NOW + 5 * SECOND)))
}

fn paused(key: DeliveryKey, turn: u32) -> Settled {
    let never = Due::exactly(Timestamp::NEVER);
    settled(key, turn, None, Settlement::Postpone(never, Postponed::Paused))
}

fn given_up(key: DeliveryKey, turn: u32) -> Settled {
    settled(key, turn, Some(FAILURE), Settlement::DeadLetter(DeathReason::AttemptsExhausted))
}

fn standing(turn: u32, attempts: u32, state: DeliveryState) -> Standing {
    Standing { turn: Turn(turn), attempts, state }
}

/// What is due by `due_by`, and what routers and the ladder have had since before `abandoned_before`.
fn overdue(due_by: Timestamp, abandoned_before: Timestamp) -> Overdue {
    Overdue {
        due_by,
        abandoned_before,
        lost_before: abandoned_before,
        forgotten_before: LONG_AGO,
        replayed: true,
    }
}
