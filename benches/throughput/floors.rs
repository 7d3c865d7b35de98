//! What a router cannot do without, each by itself: posting, consuming and acknowledging, writing rows to disk.
//!
//! Their CPU together is the floor of the router's. Each is written as cheaply as these libraries allow: one thread, one
//! acknowledgement for many messages, 64 events in a transaction. And the bare loop: consume, sign, POST, acknowledge; the
//! same libraries and none of the promises.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as Hyper;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use posthaste::domain::signature::{SigningKey, sign};
use rusqlite::Connection as Sqlite;
use tokio::sync::Semaphore;

use super::payload;

/// Requests on the way at once to one endpoint, and events in memory: as the router has.
const AT_ONCE: usize = 32;
const PREFETCH: u16 = 1_000;

/// Messages that one acknowledgement is for.
const ACKED_AT_ONCE: usize = 64;

/// Events in one transaction.
const GROUP: usize = 64;

/// Which HTTP client.
#[derive(Clone)]
enum Client {
    /// The router's own.
    Hyper(Box<Hyper<HttpConnector, Full<Bytes>>>),
    Reqwest(reqwest::Client),
}

impl Client {
    fn named(name: &str) -> Self {
        if name == "hyper" {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            Self::Hyper(Box::new(Hyper::builder(TokioExecutor::new()).build(connector)))
        } else {
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build();
            Self::Reqwest(client.expect("a client"))
        }
    }

    /// Signs and POSTs; whether the answer was one of success.
    async fn post(self, url: String, id: String, key: Arc<SigningKey>, body: Bytes) -> bool {
        let now = posthaste::runtime::clock::now().as_seconds();
        let signature = sign([key.as_ref()], &id, now, &body);
        match self {
            Self::Hyper(client) => {
                let request = Request::post(url)
                    .header("content-type", "application/json")
                    .header("webhook-id", id)
                    .header("webhook-timestamp", now)
                    .header("webhook-signature", signature)
                    .body(Full::new(body));
                let Ok(answer) = client.request(request.expect("a request")).await else {
                    return false;
                };
                let well = answer.status().is_success();
                well && answer.into_body().collect().await.is_ok()
            }
            Self::Reqwest(client) => {
                let request = client
                    .post(url)
                    .header("content-type", "application/json")
                    .header("webhook-id", id)
                    .header("webhook-timestamp", now)
                    .header("webhook-signature", signature)
                    .body(body);
                let Ok(answer) = request.send().await else { return false };
                answer.status().is_success() && answer.bytes().await.is_ok()
            }
        }
    }
}

fn key() -> Arc<SigningKey> {
    Arc::new(SigningKey::generated([7; 32]))
}

/// The bare POST loop: makes the payloads, signs, sends, and stays to be measured.
pub(super) async fn post(arguments: &[String]) {
    let [client, events, endpoints] = arguments else { panic!("CLIENT EVENTS ENDPOINTS") };
    let events: usize = events.parse().expect("a number");
    let endpoints: Vec<String> = endpoints.split(',').map(Into::into).collect();
    let (client, key) = (Client::named(client), key());
    let room = Arc::new(Semaphore::new(AT_ONCE * endpoints.len()));
    for number in 0..events {
        let (id, body) = (format!("msg_{number}"), Bytes::from(payload(number)));
        for endpoint in &endpoints {
            let place = Arc::clone(&room).acquire_owned().await.expect("never closed");
            let posting =
                client.clone().post(endpoint.clone(), id.clone(), key.clone(), body.clone());
            tokio::spawn(async move {
                assert!(posting.await, "the receiver answers");
                drop(place);
            });
        }
    }
    std::future::pending::<()>().await;
}

async fn consumer(url: &str, queue: &str) -> (Connection, Channel, Consumer) {
    let connection = Connection::connect(url, ConnectionProperties::default());
    let connection = connection.await.expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.expect("qos");
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), options, none);
    let consumer = consumer.await.expect("the queue is there");
    (connection, channel, consumer)
}

/// The bare loop: consumes, signs, POSTs, acknowledges each, as one would write it in an afternoon.
pub(super) async fn bare(arguments: &[String]) {
    let [client, url, queue, endpoints] = arguments else { panic!("CLIENT URL QUEUE ENDPOINTS") };
    let endpoints: Vec<String> = endpoints.split(',').map(Into::into).collect();
    let (client, key) = (Client::named(client), key());
    let (_connection, _channel, mut arrivals) = consumer(url, queue).await;
    let room = Arc::new(Semaphore::new(AT_ONCE * endpoints.len()));
    while let Some(Ok(arrival)) = arrivals.next().await {
        let id = format!("msg_{}", arrival.delivery_tag);
        let body = Bytes::from(arrival.data);
        let mut posts = Vec::with_capacity(endpoints.len());
        for endpoint in &endpoints {
            let place = Arc::clone(&room).acquire_owned().await.expect("never closed");
            let posting =
                client.clone().post(endpoint.clone(), id.clone(), key.clone(), body.clone());
            posts.push(async move {
                let well = posting.await;
                drop(place);
                well
            });
        }
        let acker = arrival.acker;
        tokio::spawn(async move {
            if futures_util::future::join_all(posts).await.into_iter().all(|well| well) {
                let _ = acker.ack(BasicAckOptions::default()).await;
            }
        });
    }
}

/// The consume-and-acknowledge loop: says when the first has come and when the last is acknowledged.
pub(super) async fn consume(arguments: &[String]) {
    let [url, queue, events] = arguments else { panic!("URL QUEUE EVENTS") };
    let events: usize = events.parse().expect("a number");
    let (_connection, channel, mut arrivals) = consumer(url, queue).await;
    for count in 1..=events {
        let arrival = arrivals.next().await.expect("all are there").expect("the broker is up");
        if count == 1 {
            println!("begun");
        }
        if count % ACKED_AT_ONCE == 0 || count == events {
            let written =
                channel.basic_ack(arrival.delivery_tag, BasicAckOptions { multiple: true });
            written.await.expect("written");
        }
    }
    println!("done");
    std::future::pending::<()>().await;
}

/// The bare insert loop: for each event its row, that of one delivery and that of one attempt, durable by the same
/// settings as the router's file; says when it begins and when it has ended.
pub(super) fn insert(arguments: &[String]) {
    let [path, events] = arguments else { panic!("PATH EVENTS") };
    let events: usize = events.parse().expect("a number");
    let mut connection = Sqlite::open(path).expect("opens");
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
        CREATE TABLE events (seq INTEGER PRIMARY KEY, id BLOB UNIQUE, type TEXT, at INTEGER, payload BLOB); \
        CREATE TABLE deliveries (event INTEGER, endpoint BLOB, turn INTEGER, attempts INTEGER, state INTEGER, \
                                 PRIMARY KEY (event, endpoint)) WITHOUT ROWID; \
        CREATE TABLE attempts (event INTEGER, endpoint BLOB, id BLOB, started_at INTEGER, duration_ms INTEGER, \
                               outcome TEXT, status INTEGER, url TEXT, \
                               PRIMARY KEY (event, endpoint, id)) WITHOUT ROWID;";
    connection.execute_batch(settings).expect("tables");
    println!("begun");
    for group in (0..events).collect::<Vec<_>>().chunks(GROUP) {
        let transaction = connection.transaction().expect("begins");
        for number in group {
            // Scattered, as ids are that are made of a hash.
            let seq = i64::try_from(*number).expect("a row");
            let id = seq.wrapping_mul(0x1e37_79b9_7f4a_7c15).to_be_bytes();
            let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
                let mut statement = transaction.prepare_cached(sql).expect(sql);
                statement.execute(values).expect(sql);
            };
            let body = payload(*number);
            run(
                "INSERT INTO events (seq, id, type, at, payload) VALUES (?1, ?2, 'job.completed', 1, ?3)",
                &[&seq, &id, &body.as_bytes()],
            );
            run("INSERT INTO deliveries VALUES (?1, ?2, 0, 1, 2)", &[&seq, &[7_u8; 20]]);
            run(
                "INSERT INTO attempts VALUES (?1, ?2, ?3, 1, 1, 'answered', 200, 'http://127.0.0.1/well/0')",
                &[&seq, &[7_u8; 20], &id],
            );
        }
        transaction.commit().expect("committed");
    }
    println!("done");
    loop {
        std::thread::park();
    }
}
