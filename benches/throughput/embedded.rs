//! The embedded router beside the two things that it cannot do without: posting, and writing to disk.
//!
//! The bare POST loop signs and sends, the bare insert loop writes each event with a delivery and an attempt to a SQLite
//! file with the same settings, 64 to a transaction. Their CPU together is the floor. The router works off a
//! backlog, and then takes the same events over HTTP while it delivers them.

use std::process::Stdio;
use std::sync::Arc;

use super::process::{Killed, Role, Router, cpu_us, median, own_role, precise};
use super::report::Report;
use super::{Figures, PATIENCE, Plan, backlog, payload, receiver};

/// Producers that publish over HTTP at the same time.
const PRODUCERS: usize = 64;

/// What takes its turn.
#[derive(Clone, Copy)]
enum Kind {
    Post,
    Insert,
    Backlog,
    Http,
}

pub(super) async fn compare(plan: &Plan, report: &mut Report) {
    let events = plan.of(10_000, 100);
    for fanout in [1, 5] {
        report.case(&format!("Embedded: {events} events in one SQLite file, fan-out {fanout}"));
        let mut turns = [const { Vec::new() }; 4];
        for _ in 0..plan.runs {
            for (kind, turns) in
                [Kind::Post, Kind::Insert, Kind::Backlog, Kind::Http].into_iter().zip(&mut turns)
            {
                turns.push(turn(kind, events, fanout).await);
            }
        }
        let [post, insert, backlog, http] = turns.map(median);
        report.head(&["", "deliveries/s", "own CPU, µs each", "of POST and insert together"]);
        let floor = post.own_us + insert.own_us;
        for (name, figures) in [
            ("bare POST loop", post),
            ("bare insert loop", insert),
            ("posthaste, backlog", backlog),
            ("posthaste, over HTTP", http),
        ] {
            report.row(&[
                name.to_owned(),
                format!("{:.0}", figures.per_second),
                format!("{:.1}", figures.own_us),
                format!("{:.2}×", figures.own_us / floor),
            ]);
        }
    }
}

async fn turn(kind: Kind, events: usize, fanout: usize) -> Figures {
    if matches!(kind, Kind::Insert) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bare.db");
        let role = Role::start("insert", &[path.to_str().expect("a path"), &events.to_string()]);
        return backlog::figures_of(&role, events * fanout, None).await;
    }
    let receiver = receiver::Process::start();
    let urls: Vec<String> = (0..fanout).map(|n| receiver.url(n)).collect();
    let deliveries = events * fanout;
    let port = free_port();
    let router = Router::new(vec![("POSTHASTE_API__LISTEN", format!("127.0.0.1:{port}"))]);
    router.endpoints(&urls);
    let mut load = None;
    let worker = match kind {
        Kind::Post => Killed(own_role("post", &["hyper", &events.to_string(), &urls.join(",")])),
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
