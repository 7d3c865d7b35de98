//! The embedded router beside the two things that it cannot do without: posting, and writing to disk.
//!
//! The bare POST loop signs and sends, the bare insert loop appends the same payloads to a SQLite file
//! with the same settings, 64 to a transaction. Their CPU together is the floor. The router works off a
//! backlog, and then takes the same events over HTTP while it delivers them.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::Arc;

use posthaste::domain::signature::{SigningKey, sign};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::process::{Killed, Router, cpu_us, median, own_role, precise};
use super::{Figures, PATIENCE, Plan, payload, receiver};

/// Requests on the way at once to one endpoint: as the router has.
const AT_ONCE: usize = 32;

/// Producers that publish over HTTP at the same time.
const PRODUCERS: usize = 64;

/// Events in one transaction of the insert loop: as many jobs as the router's writer commits at once.
const GROUP: usize = 64;

/// What takes its turn.
#[derive(Clone, Copy)]
enum Kind {
    Post,
    Insert,
    Backlog,
    Http,
}

pub(super) async fn compare(plan: Plan) {
    println!("Embedded: everything in one SQLite file\n");
    println!("{:<9} {:<22} {:>14} {:>18}", "fan-out", "", "deliveries/s", "own CPU us each");
    for fanout in [1, 5] {
        let mut turns = [const { Vec::new() }; 4];
        for _ in 0..plan.rounds {
            for (kind, turns) in
                [Kind::Post, Kind::Insert, Kind::Backlog, Kind::Http].into_iter().zip(&mut turns)
            {
                turns.push(turn(kind, plan.events, fanout).await);
            }
        }
        let [post, insert, backlog, http] = turns.map(median);
        for (name, figures) in [
            ("bare POST loop", post),
            ("bare insert loop", insert),
            ("posthaste, backlog", backlog),
            ("posthaste, over HTTP", http),
        ] {
            println!(
                "{fanout:<9} {name:<22} {:>14.0} {:>18.1}",
                figures.per_second, figures.own_us
            );
        }
        let floor = post.own_us + insert.own_us;
        for (name, figures) in [("backlog / POST loop", backlog), ("HTTP / POST loop", http)] {
            println!(
                "{fanout:<9} {name:<22} {:>13.2}x {:>17.2}x   ({:.2}x of POST and insert together)",
                figures.per_second / post.per_second,
                figures.own_us / post.own_us,
                figures.own_us / floor
            );
        }
        println!();
    }
}

async fn turn(kind: Kind, events: usize, fanout: usize) -> Figures {
    match kind {
        Kind::Insert => insert_turn(events, fanout),
        Kind::Post | Kind::Backlog | Kind::Http => post_turn(kind, events, fanout).await,
    }
}

async fn post_turn(kind: Kind, events: usize, fanout: usize) -> Figures {
    let mut receiver = receiver::Process::start();
    let urls: Vec<String> = (0..fanout).map(|n| receiver.url(n)).collect();
    let deliveries = events * fanout;
    let port = free_port();
    let router = Router::new(vec![("POSTHASTE_API__LISTEN", format!("127.0.0.1:{port}"))]);
    router.endpoints(&urls);
    let mut load = None;
    let worker = match kind {
        Kind::Post => Killed(own_role("post", &[&events.to_string(), &urls.join(",")])),
        Kind::Backlog => {
            let data = payload(0);
            let count = events.to_string();
            let one = ["publish", "--app", "bench", "--type", "job.completed", "--data", &data];
            router.run(&[one.as_slice(), &["--count", &count]].concat());
            router.start()
        }
        Kind::Http | Kind::Insert => {
            let router_process = router.start();
            let token = token(&router);
            load =
                Some(Killed(own_role("load", &[&port.to_string(), &token, &events.to_string()])));
            router_process
        }
    };
    let took = receiver.wait_for(deliveries, PATIENCE).await;
    let own = cpu_us(worker.0.id());
    drop((worker, load));
    Figures {
        per_second: precise(deliveries as u64) / took.as_secs_f64(),
        own_us: precise(own) / precise(deliveries as u64),
        store_us: 0.0,
    }
}

pub(super) fn token(router: &Router) -> String {
    let made = router
        .command(&["--json", "token", "create"])
        .stdout(Stdio::piped())
        .output()
        .expect("the binary runs");
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).expect("a token in JSON");
    made["token"].as_str().expect("is shown").to_owned()
}

pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

/// The bare POST loop: makes the payloads, signs, sends, and stays to be measured.
pub(super) async fn post(arguments: &[String]) {
    let [events, endpoints] = arguments else { panic!("EVENTS ENDPOINTS") };
    let events: usize = events.parse().expect("a number");
    let endpoints: Vec<String> = endpoints.split(',').map(Into::into).collect();
    let client = client();
    let key = Arc::new(SigningKey::generated([7; 32]));
    let room = Arc::new(Semaphore::new(AT_ONCE * endpoints.len()));
    for number in 0..events {
        let id = format!("msg_{number}");
        let body = bytes::Bytes::from(payload(number));
        for endpoint in &endpoints {
            let place = Arc::clone(&room).acquire_owned().await.expect("never closed");
            let now = posthaste::runtime::clock::now().as_seconds();
            let request = client
                .post(endpoint)
                .header("content-type", "application/json")
                .header("webhook-id", &id)
                .header("webhook-timestamp", now)
                .header("webhook-signature", sign([key.as_ref()], &id, now, &body))
                .body(body.clone());
            tokio::spawn(async move {
                let _ = request.send().await;
                drop(place);
            });
        }
    }
    std::future::pending::<()>().await;
}

/// Producers over HTTP: each waits for its answer before it publishes the next.
pub(super) async fn load(arguments: &[String]) {
    let [port, token, events] = arguments else { panic!("PORT TOKEN EVENTS") };
    let events: usize = events.parse().expect("a number");
    let client = client();
    let url = format!("http://127.0.0.1:{port}/api/v1/app/bench/msg");
    let next = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let producers = (0..PRODUCERS).map(|_| {
        let (client, url, token, next) =
            (client.clone(), url.clone(), token.clone(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if number >= events {
                    return;
                }
                let body =
                    format!(r#"{{"eventType":"job.completed","payload":{}}}"#, payload(number));
                // Not yet listening: again. Everything else would show as a delivery that is missing.
                loop {
                    let request = client.post(&url).bearer_auth(&token).body(body.clone());
                    let request = request.header("content-type", "application/json");
                    match request.send().await {
                        Ok(answer) if answer.status() == 202 => break,
                        Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text().await),
                        Err(_) => tokio::task::yield_now().await,
                    }
                }
            }
        })
    });
    futures_util::future::join_all(producers).await;
    std::future::pending::<()>().await;
}

pub(super) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().expect("a client")
}

fn insert_turn(events: usize, fanout: usize) -> Figures {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bare.db");
    let mut role =
        Killed(own_role("insert", &[path.to_str().expect("a path"), &events.to_string()]));
    let mut line = String::new();
    let mut lines = BufReader::new(role.0.stdout.take().expect("piped"));
    lines.read_line(&mut line).expect("how long it took");
    let seconds: f64 = line.trim().parse().expect("seconds");
    let deliveries = precise((events * fanout) as u64);
    Figures {
        per_second: deliveries / seconds,
        own_us: precise(cpu_us(role.0.id())) / deliveries,
        store_us: 0.0,
    }
}

/// The bare insert loop: appends every payload durably, and stays to be measured.
pub(super) fn insert(arguments: &[String]) {
    let [path, events] = arguments else { panic!("PATH EVENTS") };
    let events: usize = events.parse().expect("a number");
    let mut connection = Connection::open(path).expect("opens");
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                    CREATE TABLE events (seq INTEGER PRIMARY KEY, id BLOB, payload BLOB);";
    connection.execute_batch(settings).expect("a table");
    let begun = std::time::Instant::now();
    for group in (0..events).collect::<Vec<_>>().chunks(GROUP) {
        let transaction = connection.transaction().expect("begins");
        for number in group {
            transaction
                .prepare_cached("INSERT INTO events (id, payload) VALUES (?1, ?2)")
                .expect("a statement")
                .execute((number.to_be_bytes(), payload(*number).as_bytes()))
                .expect("inserted");
        }
        transaction.commit().expect("committed");
    }
    println!("{}", begun.elapsed().as_secs_f64());
    loop {
        std::thread::park();
    }
}
