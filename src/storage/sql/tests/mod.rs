//! What the ports promise, held against a file on disk; and, with `POSTHASTE_TEST_POSTGRES` set to the URL of a server on
//! which databases may be made (`tests/support/postgres.sh` starts a private one), against PostgreSQL.

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
mod writers;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rusqlite::types::FromSql;
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
use crate::storage::postgres::connect::Purpose;
use crate::storage::postgres::connection::Session;
use crate::storage::vault::Vault;
use crate::storage::{StorageError, sqlite};

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);
const SECOND: Duration = Duration::from_secs(1);
const LONG_AGO: Timestamp = Timestamp::from_seconds(0);

/// Tables of a test's own, which go with it.
struct Place {
    store: Sql,
    settings: Settings,
    /// Where the file is, if it is one.
    folder: TempDir,
}

impl std::ops::Deref for Place {
    type Target = Sql;
    fn deref(&self) -> &Sql {
        &self.store
    }
}

impl Place {
    /// In a file; or, where the environment names a server, in a database of its own there: what is promised is promised
    /// of both.
    fn new() -> Self {
        match server() {
            Some(url) => Self::in_database(&url),
            None => Self::on_file(),
        }
    }

    /// In a file, for what is about files, and about how SQLite carries out what it is asked.
    fn on_file() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self::of(settings(&folder), folder)
    }

    fn in_database(url: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("case_{}_{number}", std::process::id());
        aside(|| {
            let mut client = ::postgres::Client::connect(url, ::postgres::NoTls).expect("a server");
            client
                .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
                .expect("made");
        });
        let (server, _) = url.rsplit_once('/').expect("a URL that names a database");
        let settings = format!("{server}/{name}?sslmode=disable").parse().expect("a URL");
        Self::of(Settings::Postgres(Box::new(settings)), tempfile::tempdir().expect("a folder"))
    }

    fn of(settings: Settings, folder: TempDir) -> Self {
        Self { store: open(&settings), settings, folder }
    }

    /// Another process with the same tables.
    fn elsewhere(&self) -> Sql {
        open(&self.settings)
    }

    /// The same after a restart.
    async fn restarted(self) -> Self {
        self.store.close().await;
        Self::of(self.settings, self.folder)
    }

    /// The file, as another program opens it.
    fn file(&self) -> rusqlite::Connection {
        assert!(matches!(self.settings, Settings::Sqlite(_)), "a test of the file: `on_file`");
        rusqlite::Connection::open(path(&self.folder)).expect("opens")
    }

    /// The same in the language of the engines.
    fn beside(&self) -> Connection {
        Connection::Sqlite(self.file())
    }

    /// Says something to the tables, as somebody with another hand might.
    fn say(&self, sql: &str) {
        aside(|| {
            let connection = match &self.settings {
                Settings::Sqlite(_) => self.beside(),
                Settings::Postgres(server) => Connection::Postgres(Box::new(Session::new(
                    (**server).clone(),
                    Purpose::Writing,
                ))),
            };
            let transaction = connection.write().expect("begun");
            transaction.execute_batch(sql).expect("it is said");
            transaction.commit().expect("committed");
        });
    }

    /// What the tables answer in one row of one column.
    fn ask<T: FromSql + Send>(&self, sql: &str) -> T {
        aside(|| {
            let connection = match &self.settings {
                Settings::Sqlite(_) => self.beside(),
                Settings::Postgres(server) => Connection::Postgres(Box::new(Session::new(
                    (**server).clone(),
                    Purpose::Reading,
                ))),
            };
            let transaction = connection.read().expect("begun");
            transaction.query_row(sql, [], |row| row.get(0)).expect("answered")
        })
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

/// The server that the environment names for these tests: then they are held against PostgreSQL.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says it, and no router")]
fn server() -> Option<String> {
    std::env::var("POSTHASTE_TEST_POSTGRES").ok()
}

fn open(settings: &Settings) -> Sql {
    aside(|| Sql::open(settings, vault()).expect("opens"))
}

/// Does it on a thread of its own: who talks to a server waits for it, which a test's runtime lets nobody do.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
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
