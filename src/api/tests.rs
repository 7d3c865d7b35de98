//! The bounds of the API: what clients can make us wait for, and for how long. Time is tokio's, and moves
//! when there is nothing else to do.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::response::IntoResponse as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use secrecy::SecretBox;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::problem::Problem;
use super::routes::{Api, Parts, routes};
use super::server;
use crate::control::Context;
use crate::control::applications::NewApplication;
use crate::control::fake::{NOW, World};
use crate::control::fake_replays::FakeReplays;
use crate::control::inspector::InspectorDesk;
use crate::control::publish::Intake;
use crate::control::replays::ReplayDesk;
use crate::control::sessions::SessionDesk;
use crate::control::test_calls::{Called, TestCaller, TestCalls};
use crate::control::tokens::{Caller, TokenKey};
use crate::domain::application::Tenant;
use crate::domain::capability::Capability;
use crate::domain::endpoint::Endpoint;
use crate::domain::event::Event;
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::answers::{Answers, Hash, Kept};
use crate::storage::audit::{Audit, AuditEntry, Deed};
use crate::storage::inbox::{Publication, Publish, Published};
use crate::storage::inspector::{Inspected, Inspectors, TokenHash};
use crate::storage::page::Page;
use crate::storage::sessions::{Sessions, Visitor};

/// A store that never answers.
struct Silent;

#[async_trait]
impl Publish for Silent {
    async fn publish(&self, _: &[Publication]) -> Result<Vec<Published>, StorageError> {
        std::future::pending().await
    }
}

#[async_trait]
impl TestCaller for Silent {
    async fn call(&self, _: &Event, _: &Endpoint) -> Called {
        std::future::pending().await
    }
}

/// Stores that are not asked for anything in these tests.
struct Nothing;

#[async_trait]
impl Answers for Nothing {
    async fn answer(&self, _: Hash, _: Timestamp) -> Result<Option<Kept>, StorageError> {
        Ok(None)
    }

    async fn keep_answer(&self, _: Hash, _: &Kept, _: Timestamp) -> Result<(), StorageError> {
        Ok(())
    }
}

#[async_trait]
impl Audit for Nothing {
    async fn begin_deed(&self, _: &Deed) -> Result<i64, StorageError> {
        Ok(1)
    }

    async fn end_deed(
        &self,
        _: i64,
        _: u16,
        _: Option<serde_json::Value>,
    ) -> Result<(), StorageError> {
        Ok(())
    }

    async fn deeds(
        &self,
        _: OrganisationId,
        _: &Page<i64>,
    ) -> Result<Vec<AuditEntry>, StorageError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Inspectors for Nothing {
    async fn inspector(&self, _: Tenant) -> Result<Option<String>, StorageError> {
        Ok(None)
    }

    async fn make_inspector(&self, _: Tenant, _: &str, _: Timestamp) -> Result<(), StorageError> {
        Ok(())
    }

    async fn renew_inspector(&self, _: Tenant, _: &str, _: Timestamp) -> Result<(), StorageError> {
        Ok(())
    }

    async fn is_inspector(&self, _: TokenHash) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn keep_inspected(
        &self,
        _: TokenHash,
        _: Inspected,
        _: u32,
    ) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn inspected(
        &self,
        _: Tenant,
        _: Timestamp,
        _: u32,
    ) -> Result<Vec<Inspected>, StorageError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Sessions for Nothing {
    async fn add_link(
        &self,
        _: TokenHash,
        _: &Visitor,
        _: Timestamp,
        _: Timestamp,
    ) -> Result<(), StorageError> {
        Ok(())
    }

    async fn link(&self, _: TokenHash, _: Timestamp) -> Result<Option<Visitor>, StorageError> {
        Ok(None)
    }

    async fn enter(
        &self,
        _: TokenHash,
        _: TokenHash,
        _: Timestamp,
    ) -> Result<Option<Visitor>, StorageError> {
        Ok(None)
    }

    async fn begin_session(
        &self,
        _: TokenHash,
        _: &Visitor,
        _: Timestamp,
    ) -> Result<(), StorageError> {
        Ok(())
    }

    async fn session(&self, _: TokenHash, _: Timestamp) -> Result<Option<Visitor>, StorageError> {
        Ok(None)
    }

    async fn watched_session(
        &self,
        _: TokenHash,
        _: Timestamp,
    ) -> Result<Option<Visitor>, StorageError> {
        Ok(None)
    }

    async fn end_session(&self, _: TokenHash) -> Result<(), StorageError> {
        Ok(())
    }

    async fn end_sessions(
        &self,
        _: Tenant,
        _: &[String],
        _: Timestamp,
    ) -> Result<u64, StorageError> {
        Ok(0)
    }
}

fn key() -> TokenKey {
    TokenKey::new(SecretBox::new(Box::new([1; 32])))
}

/// The API over a store that never answers, with the application `acme`.
async fn silent() -> axum::Router {
    let control = World::new().control;
    let context = Context { now: || NOW, chance: || [7; 32] };
    control
        .create_application(NewApplication::named("Acme", Some("acme")))
        .await
        .expect("a free uid");
    routes(Arc::new(Api::new(Parts {
        intake: Intake::new(
            control.clone(),
            Arc::new(Silent),
            Arc::new(|_: &str| Err("no URL is accepted here".into())),
            1_024,
        ),
        control,
        test_calls: TestCalls::new(Arc::new(Silent)),
        tokens: Arc::new(key()),
        urls: Box::new(|_| Err("no URL is accepted here".into())),
        now: || NOW,
        max_payload_bytes: 1_024,
        public_url: "http://api.example".parse().expect("a URL"),
        answers: Arc::new(Nothing),
        audit: Arc::new(Nothing),
        inspector: InspectorDesk::new(Arc::new(Nothing), context),
        replays: ReplayDesk::new(Arc::new(FakeReplays::default()), context),
        sessions: SessionDesk::new(Arc::new(Nothing), context),
        recovery: None,
        requests_per_second: 0,
    })))
}

fn message() -> Request<Body> {
    let token =
        key().token(&Caller::Organisation(OrganisationId::DEFAULT), NOW, Duration::from_mins(1));
    let body = r#"{"eventType":"job.completed","payload":{}}"#;
    Request::post("/api/v1/app/acme/msg")
        .header("authorization", format!("Bearer {token}"))
        .header("content-length", body.len())
        .body(Body::from(body))
        .expect("a request")
}

fn retry_after(answer: &Response<Body>) -> &str {
    answer.headers()["retry-after"].to_str().expect("a number")
}

#[tokio::test(start_paused = true)]
async fn more_than_can_be_done_at_once_is_refused_at_once_and_nothing_is_waited_for_without_end() {
    let service = TowerToHyperService::new(silent().await);
    let began = Instant::now();
    let many: Vec<_> = (0..256).map(|_| tokio::spawn(service.call(message()))).collect();
    for _ in &many {
        tokio::task::yield_now().await; // each time some of them begin, and at least one
    }

    let answer = service.call(message()).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), retry_after(&answer)), (503, "1"));
    assert_eq!(began.elapsed(), Duration::ZERO);

    for one in many {
        let answer = one.await.expect("no panic").expect("an answer");
        assert_eq!((answer.status().as_u16(), retry_after(&answer)), (503, "5"));
    }
    assert_eq!(began.elapsed().as_secs(), 45);
}

/// What is answered to these bytes, and after how many seconds the connection was closed.
async fn answer_to(bytes: &[u8]) -> (String, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server::serve(listener, silent().await, stop.clone()));
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(bytes).await.expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    let took = began.elapsed().as_secs();
    stop.cancel();
    serving.await.expect("no panic");
    (answer, took)
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_or_not_all_is_hung_up_on() {
    let (answer, took) = answer_to(b"").await;
    assert_eq!((answer.as_str(), took), ("", 30), "silence");
    let (answer, took) = answer_to(b"POST /api/v1/app/acme/msg HTTP/1.1\r\nhost").await;
    assert_eq!((answer.contains(" 202 "), took), (false, 30), "half a head: {answer}");

    let token =
        key().token(&Caller::Organisation(OrganisationId::DEFAULT), NOW, Duration::from_mins(1));
    let head = format!(
        "POST /api/v1/app/acme/msg HTTP/1.1\r\nhost: api\r\nauthorization: bearer {token}\r\n\
         content-length: 10\r\nconnection: close\r\n\r\n{{"
    );
    let (answer, took) = answer_to(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
    assert_eq!(took, 15, "half a body");
}

#[tokio::test]
async fn every_problem_is_json() {
    let why = || "why".to_owned();
    for (problem, status) in [
        (Problem::Unauthenticated, 401),
        (Problem::Forbidden, 403),
        (Problem::Lacks(Capability::ManageEndpoint), 403),
        (Problem::NoSuchPath, 404),
        (Problem::NoSuchMethod, 405),
        (Problem::NotFound(why()), 404),
        (Problem::Conflict(why()), 409),
        (Problem::EventTypeExists(why()), 409),
        (Problem::Invalid(why()), 400),
        (Problem::Faults(Vec::new()), 422),
        (Problem::TooLarge(why()), 413),
        (Problem::Encoded(why()), 415),
        (Problem::Slow(Duration::from_secs(1)), 408),
        (Problem::Busy, 503),
        (Problem::Away(why()), 503),
        (Problem::Corrupt("which rows".into()), 500),
    ] {
        let answer = problem.into_response();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-type"], "application/json");
        let body = axum::body::to_bytes(answer.into_body(), 1_024).await.expect("a short body");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["detail"].is_string(), status != 422, "{body}");
        assert_eq!(body["code"].is_string(), status != 422, "{body}");
        assert!(!body.to_string().contains("which rows"), "what is stored is nobody's business");
    }
}
