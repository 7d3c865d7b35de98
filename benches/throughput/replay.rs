//! What a replay costs live traffic, and that killing anybody in the middle of one loses and doubles nothing.
//!
//! The file is filled by SQL, as a long outage of a receiver would have filled it. Live events come at a steady
//! pace over HTTP, to the same endpoint that the dead letters were for, which is the hardest case; each has the
//! moment in it at which it was sent, and the receiver, in this process, reads its age. Quiet spans and spans
//! with a replay take turns in one run of one router: only their ratio means anything.
//!
//! Then a second replay of as many, with the router killed three times and the command that watches it twice;
//! what was offered is read from the file.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use posthaste::domain::delivery::DeliveryKey;
use posthaste::domain::id::{EndpointId, EventId};
use rusqlite::{Connection, params};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::embedded::{client, free_port, token};
use super::process::{Killed, Router, precise, setting};
use super::receiver::{ANSWER, request_length};
use super::{PATIENCE, payload};

/// Live events a second.
const LIVE: u32 = 100;

/// How long each span lasts.
const SPAN: Duration = Duration::from_secs(10);

/// A type that only live events have.
const LIVE_TYPE: &str = "job.created";

/// How old live events were when they came, in microseconds.
type Ages = Arc<Mutex<Vec<u64>>>;

pub(super) async fn measure() {
    let (dead, rounds) = (setting("BENCH_DEAD", 100_000), setting("BENCH_ROUNDS", 5));
    let rate = setting("BENCH_RATE", 500);
    println!(
        "Replay of {dead} dead letters at {rate}/s beside {LIVE} live events/s, {rounds} rounds\n"
    );
    let (address, ages) = receive().await;
    let port = free_port();
    let router = Router::new(vec![("POSTHASTE_API__LISTEN", format!("127.0.0.1:{port}"))]);
    router.endpoints(&[format!("http://{address}/hook")]);
    fill(&router, dead);
    let running = router.start();
    let live = Arc::new(Live::new(port, &token(&router)));
    live.ready().await;
    let rate = rate.to_string();
    let start = ["replay", "start", "--all", "--yes", "--detach", "--why", "measured"];
    router.run(&[start.as_slice(), &["--rate", &rate]].concat());
    control(&router, "pause");

    println!("{:<8} {:>14} {:>14} {:>10}", "round", "quiet p99, us", "replay p99, us", "ratio");
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let quiet = live.span(&ages).await;
        control(&router, "resume");
        let beside = live.span(&ages).await;
        control(&router, "pause");
        let ratio = precise(beside) / precise(quiet);
        println!("{round:<8} {quiet:>14} {beside:>14} {ratio:>9.2}x");
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("{:<8} {:>14} {:>14} {:>9.2}x", "median", "", "", ratios[ratios.len() / 2]);
    control(&router, "cancel");
    drop(running);

    kill(&router, &live).await;
}

/// Replays what is left, and kills the router three times and the command that watches twice.
async fn kill(router: &Router, live: &Live) {
    let left = number(router, "SELECT count(*) FROM dead_letters");
    let before = number(router, "SELECT count(*) FROM offers");
    let mut running = Some(router.start());
    live.ready().await;
    let start = ["replay", "start", "--all", "--yes", "--rate", "4000", "--why", "a drill"];
    let mut watching = Some(Killed(router.command(&start).spawn().expect("starts")));
    for kills in 1..=3 {
        until(|| number(router, "SELECT count(*) FROM offers") >= before + left * kills / 4).await;
        if kills < 3 {
            drop(watching.take());
        }
        drop(running.take());
        running = Some(router.start());
        live.ready().await;
    }
    until(|| number(router, "SELECT count(*) FROM replays WHERE state = 'finished'") >= 1).await;
    until(|| number(router, "SELECT count(*) FROM deliveries WHERE state < 2") == 0).await;
    drop((running, watching));
    let twice = "SELECT count(*) FROM \
                 (SELECT 1 FROM offers GROUP BY event, endpoint HAVING count(*) > 1)";
    let unbalanced = "SELECT owed - pending - waiting - delivered - dead - discarded - cancelled \
                             - dropped - unknown FROM books";
    println!(
        "\nThe router killed 3 times and the command twice: of {left} dead letters {} were offered, \
         {} of them twice; the books are out by {}\n",
        number(router, "SELECT count(*) FROM offers") - before,
        number(router, twice),
        number(router, unbalanced),
    );
}

/// Live traffic.
struct Live {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Live {
    fn new(port: u16, token: &str) -> Self {
        let url = format!("http://127.0.0.1:{port}/api/v1/app/bench/msg");
        Self { client: client(), url, token: token.to_owned() }
    }

    /// Waits until the router takes events.
    async fn ready(&self) {
        let taken = async {
            while !self.send().await {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, taken).await.expect("the router listens");
    }

    async fn send(&self) -> bool {
        let payload = format!(r#"{{"at":{}}}"#, now_us());
        let body = format!(r#"{{"eventType":"{LIVE_TYPE}","payload":{payload}}}"#);
        let request = self.client.post(&self.url).bearer_auth(&self.token).body(body);
        let request = request.header("content-type", "application/json");
        request.send().await.is_ok_and(|answer| answer.status() == 202)
    }

    /// Sends at the steady pace for a span, and waits until all have come; the 99th percentile of their ages.
    async fn span(self: &Arc<Self>, ages: &Ages) -> u64 {
        ages.lock().expect("no panic").clear();
        let count = usize::try_from(u64::from(LIVE) * SPAN.as_secs()).expect("few");
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / LIVE);
        let mut sending = tokio::task::JoinSet::new();
        for _ in 0..count {
            ticks.tick().await;
            let live = Arc::clone(self);
            sending.spawn(async move { assert!(live.send().await, "a live event is taken") });
        }
        sending.join_all().await;
        until(|| ages.lock().expect("no panic").len() >= count).await;
        let mut ages = std::mem::take(&mut *ages.lock().expect("no panic"));
        ages.sort_unstable();
        ages[ages.len() * 99 / 100]
    }
}

/// A receiver that answers 200 at once and notes how old live events are; where it listens.
async fn receive() -> (std::net::SocketAddr, Ages) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let ages = Ages::default();
    let noted = Arc::clone(&ages);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            tokio::spawn(answer(stream, Arc::clone(&noted)));
        }
    });
    (address, ages)
}

async fn answer(mut stream: TcpStream, ages: Ages) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::with_capacity(8 * 1024);
    loop {
        while let Some(length) = request_length(&buffer) {
            if let Some(at) = sent_at(&buffer[..length]) {
                ages.lock().expect("no panic").push(now_us().saturating_sub(at));
            }
            if stream.write_all(ANSWER).await.is_err() {
                return;
            }
            buffer.drain(..length);
        }
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// When a live event was sent; `None` for a dead letter.
fn sent_at(request: &[u8]) -> Option<u64> {
    let body = request.rsplit(|byte| *byte == b'\n').next()?;
    let number = std::str::from_utf8(body).ok()?.strip_prefix(r#"{"at":"#)?;
    number.strip_suffix('}')?.parse().ok()
}

fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_micros()).expect("before the end of time")
}

async fn until(mut is_so: impl FnMut() -> bool) {
    let asking = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while !is_so() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("in time");
}

/// What a query over the router's file says.
fn number(router: &Router, sql: &str) -> i64 {
    let file = Connection::open(router.folder.path().join("posthaste.db")).expect("opens");
    file.query_row(sql, [], |row| row.get(0)).expect(sql)
}

fn last_replay(router: &Router) -> String {
    let listed = router.command(&["--json", "replay", "list"]).stdout(Stdio::piped()).output();
    let listed = String::from_utf8(listed.expect("runs").stdout).expect("text");
    let newest: serde_json::Value =
        serde_json::from_str(listed.lines().next().expect("there is one")).expect("JSON");
    newest["id"].as_str().expect("an id").to_owned()
}

fn control(router: &Router, verb: &str) {
    router.run(&["replay", verb, &last_replay(router)]);
}

/// Makes events whose one delivery was given up.
fn fill(router: &Router, dead: usize) {
    let now = posthaste::runtime::clock::now().as_millis();
    let mut connection =
        Connection::open(router.folder.path().join("posthaste.db")).expect("opens");
    let transaction = connection.transaction().expect("begins");
    let group = "INSERT INTO dead_letter_groups \
                 SELECT 1, a.organisation, a.id, p.id, 'attempts_exhausted', 503, 'server_error', 0 \
                 FROM applications a, endpoints p WHERE p.application = a.id";
    transaction.execute(group, []).expect("a group");
    let endpoint = "SELECT id FROM endpoints";
    let endpoint = transaction.query_row(endpoint, [], |row| row.get(0)).expect("one");
    let endpoint = EndpointId::from_bytes(endpoint);
    {
        let mut statements = [
            "INSERT INTO events (seq, id, application, type, occurred_at, received_at, payload) \
             SELECT ?1, ?4, id, 'job.completed', ?2, ?2, ?3 FROM applications \
             WHERE ?5 IS NOT NULL",
            "INSERT INTO deliveries (event, endpoint, turn, attempts, state) \
             SELECT ?1, id, 1, 1, 3 FROM endpoints \
             WHERE coalesce(?2, ?3, ?4, ?5) IS NOT NULL",
            "INSERT INTO dead_letters (id, event, event_id, endpoint, application, organisation, \
                                       kind, event_type, reason, attempts, last_status, \
                                       last_outcome, last_detail, payload_bytes, died_at) \
             SELECT ?5, e.seq, e.id, g.endpoint, g.application, g.organisation, \
                    g.number, e.type, g.reason, 1, g.last_status, g.last_outcome, '', \
                    length(e.payload), ?2 \
             FROM events e, dead_letter_groups g \
             WHERE e.seq = ?1 AND coalesce(?3, ?4) IS NOT NULL",
        ]
        .map(|sql| transaction.prepare(sql).expect(sql));
        for number in 0..dead {
            let seq = i64::try_from(number).expect("a row") + 1;
            let body = payload(number);
            let event = EventId::derived(&[&seq.to_be_bytes()]);
            let id = DeliveryKey { event, endpoint }.id();
            let row = params![seq, now, body.as_bytes(), event.as_bytes(), id.as_bytes()];
            for statement in &mut statements {
                statement.execute(row).expect("inserted");
            }
        }
        let count = i64::try_from(dead).expect("a count");
        transaction
            .execute("UPDATE books SET owed = owed + ?1, dead = dead + ?1", [count])
            .expect("posted");
    }
    transaction.commit().expect("committed");
}
