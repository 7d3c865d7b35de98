//! The store looked after, with the real binary: a copy made under load is restored and goes on, and a
//! disk that is full refuses with the reason, loses nothing, and is left behind by itself.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::until;

const SOON: Duration = Duration::from_mins(2);

/// A schedule that goes on for longer than a test does.
const LONG_SCHEDULE: &str = "\
    2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,\
    2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s,2s";

/// The body of an event whose id begins with this: what a receiver knows it by.
fn body(id: &str) -> String {
    format!(r#"{{"batch":"{id}"}}"#)
}

fn publish(id: &str, count: usize) -> Vec<String> {
    let (data, count) = (body(id), count.to_string());
    ["publish", "--app", "acme", "--type", "job.completed", "--id", id, "--data", &data, "--count"]
        .into_iter()
        .chain([count.as_str()])
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_copy_does_not_take_the_place_of_a_file_of_ours() {
    let posthaste = Posthaste::embedded().with_application();
    for own in ["posthaste.db", "posthaste.db-wal", "secret.key"] {
        let to = posthaste.folder().join(own).display().to_string();
        let refused = posthaste.run(&["backup", "--to", &to, "--force"]);
        assert!(!refused.status.success(), "{own}");
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(why.contains("belongs to the data folder"), "{why}");
    }
    let key = posthaste.folder().join("secret.key");
    std::fs::remove_file(&key).expect("there was one");
    let refused = posthaste.run(&["app", "list"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("secret.key is missing"), "{why}");
    assert!(!key.exists(), "and none is made in its place");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_under_load_has_all_that_was_confirmed_and_goes_on_elsewhere() {
    let posthaste = Posthaste::embedded().with_application();
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("late", Script::Answer(503));
    posthaste.endpoint("late", &url, &["--retry", LONG_SCHEDULE, "--jitter", "0"]);
    let mut router = posthaste.serve().await;
    let copy = posthaste.folder().join("copy.db");

    // One producer goes on publishing while the copy is made.
    let enough = AtomicBool::new(false);
    let before = std::thread::scope(|scope| {
        let (confirmed, hear) = std::sync::mpsc::channel();
        let (posthaste, enough) = (&posthaste, &enough);
        scope.spawn(move || {
            for number in 0.. {
                let id = format!("b{number}");
                let arguments = publish(&id, 40);
                let output =
                    posthaste.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                if confirmed.send(id).is_err() || enough.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let mut before: Vec<String> = hear.iter().take(10).collect();
        before.extend(hear.try_iter());
        let made = posthaste.json(&["backup", "--to", copy.to_str().expect("UTF-8")]);
        enough.store(true, Ordering::Relaxed);
        assert_eq!(made["path"].as_str(), copy.to_str());
        assert_eq!(made["bytes"].as_u64(), Some(std::fs::metadata(&copy).expect("there").len()));
        before
    });

    let database = rusqlite::Connection::open(&copy).expect("opens");
    let one = |sql: &str| database.query_row(sql, [], |row| row.get::<_, String>(0)).expect("read");
    assert_eq!(one("PRAGMA integrity_check"), "ok");
    for id in &before {
        let sql = format!("SELECT cast(count(*) AS TEXT) FROM events WHERE event_id GLOB '{id}-*'");
        assert_eq!(one(&sql), "40", "{id}");
    }
    drop(database);

    // The machine is lost; the copy and the keys are not.
    router.kill_9();
    let restored = Posthaste::embedded();
    for (from, to) in [("copy.db", "posthaste.db"), ("secret.key", "secret.key")] {
        std::fs::copy(posthaste.folder().join(from), restored.folder().join(to)).expect("copied");
    }
    receiver.endpoint("late", Script::Answer(200));
    let router = restored.serve().await;
    until("all that was not finished is delivered", SOON, async || {
        let accepted = receiver.accepted_bodies("late");
        before.iter().all(|id| accepted.contains(&body(id)))
            && router.metric("posthaste_ledger_deliveries{state=\"pending\"}").await == Some(0)
            && router.metric("posthaste_ledger_deliveries{state=\"waiting\"}").await == Some(0)
            // The books are read a moment after the start: until then, all is 0.
            && router.metric("posthaste_ledger_deliveries{state=\"delivered\"}").await
                >= i64::try_from(before.len() * 40).ok()
    })
    .await;
    let again = restored.run(&["backup", "--to", copy.to_str().expect("UTF-8")]);
    assert_eq!(again.status.code(), Some(5), "it is there already");
}

#[tokio::test]
async fn the_size_of_the_store_is_shown_and_nothing_of_a_broker() {
    let posthaste = Posthaste::embedded().with_application();
    let router = posthaste.serve().await;
    posthaste.run(&["publish", "--app", "acme", "--type", "job.completed"]);
    let oldest = "posthaste_store_oldest_event_timestamp_seconds";
    until("the event is kept", SOON, async || router.metric(oldest).await > Some(0)).await;

    let file = router.metric("posthaste_store_bytes{part=\"file\"}").await;
    assert!(file > Some(4_096), "{file:?}");
    for series in [
        "posthaste_store_bytes{part=\"log\"}",
        "posthaste_store_free_bytes",
        "posthaste_store_rows_removed_total{table=\"events\"}",
        "posthaste_ledger_deliveries{state=\"discarded\"}",
    ] {
        assert!(router.metric(series).await >= Some(0), "{series}");
    }
    assert_eq!(router.metric("posthaste_ready{component=\"journal\"}").await, Some(1));
    let (_, metrics) = router.get("/metrics").await.expect("answered");
    assert!(!metrics.contains("posthaste_broker"), "{metrics}");
}

/// A router whose data folder is a file system of its own, with little room.
struct SmallDisk {
    posthaste: Posthaste,
    /// The data folder, as the router sees it. For everybody else it is empty.
    data: PathBuf,
    router: Running,
}

/// What makes a namespace: mounting is root's, or that of somebody who is root in a namespace.
fn namespace() -> [&'static str; 2] {
    let output = Command::new("id").arg("-u").output().expect("id runs");
    if output.stdout == b"0\n" { ["--mount", "--mount"] } else { ["--map-root-user", "--mount"] }
}

impl SmallDisk {
    /// Of so many MiB.
    async fn start(mib: u32) -> Self {
        let mut posthaste = Posthaste::embedded();
        let data = posthaste.folder().join("data");
        std::fs::create_dir(&data).expect("made");
        posthaste.set("POSTHASTE_DATA_DIR", data.to_str().expect("UTF-8"));
        let serve = posthaste.command(&["serve"]);
        let mount = format!(
            r#"mount -t tmpfs -o size={mib}m,mode=0700 none "$POSTHASTE_DATA_DIR" && exec "$0" serve"#
        );
        let mut command = Command::new("unshare");
        command
            .args(namespace())
            .args(["sh", "-c", &mount])
            .arg(serve.get_program())
            .envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let router = posthaste.start_by(command);
        until("the router is ready (mounting wants unshare and namespaces)", SOON, async || {
            router.get("/readyz").await.is_some_and(|(status, _)| status == 200)
        })
        .await;
        Self { posthaste, data, router }
    }

    /// Runs a command where the router is.
    fn run(&self, arguments: &[&str]) -> Output {
        let inner = self.posthaste.command(arguments);
        let user = ["--user", "--preserve-credentials"];
        let as_root_in_it = namespace()[0] == "--map-root-user";
        Command::new("nsenter")
            .args(["--target", &self.router.pid().to_string(), "--mount"])
            .args(user.iter().filter(|_| as_root_in_it))
            .arg("--")
            .arg(inner.get_program())
            .args(inner.get_args())
            .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .output()
            .expect("nsenter runs")
    }

    /// Runs a command that has to succeed.
    fn done(&self, arguments: &[&str]) {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Its API, with a token.
    fn api(&self) -> Api {
        let output = self.run(&["--json", "token", "create"]);
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let token = made["token"].as_str().expect("a token").to_owned();
        Api { address: self.router.api.clone(), token }
    }

    /// A file on the small disk, as it is reached from outside.
    fn file(&self, name: &str) -> PathBuf {
        let root = format!("/proc/{}/root", self.router.pid());
        let data = self.data.strip_prefix("/").expect("an absolute path");
        Path::new(&root).join(data).join(name)
    }

    /// Takes all the room that is left. There may be some again when the log has been cut.
    fn fill(&self) {
        use std::io::Write as _;
        let mut filler = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.file("filler"))
            .expect("made");
        while filler.write_all(&[b'x'; 4_096]).is_ok() {}
    }

    fn free(&self) {
        std::fs::remove_file(self.file("filler")).expect("removed");
    }

    /// Whether it says that it is ready, and what else it says.
    async fn readiness(&self) -> (u16, String) {
        self.router.get("/readyz").await.expect("it answers, whatever the disk does")
    }
}

/// Publishes one event of 2 kB; its body is among the `confirmed` if it was.
async fn publish_over(api: &Api, id: &str, confirmed: &mut BTreeSet<String>) -> Answer {
    let payload = format!(r#"{{"id":"{id}","filler":"{}"}}"#, "x".repeat(2_000));
    let body = format!(r#"{{"eventType":"job.completed","eventId":"{id}","payload":{payload}}}"#);
    let form = [("content-type", "application/json")];
    let answer = api.post("/api/v1/app/acme/msg", &form, body.as_bytes()).await;
    if answer.status == 202 {
        confirmed.insert(payload);
    }
    answer
}

#[tokio::test]
async fn a_full_disk_refuses_with_the_reason_loses_nothing_and_is_over_by_itself() {
    let mut disk = SmallDisk::start(24).await;
    let receiver = Receiver::start().await;
    let good = receiver.endpoint("good", Script::Answer(200));
    let late = receiver.endpoint("late", Script::Answer(503));
    disk.done(&["app", "create", "Acme", "--uid", "acme"]);
    for (uid, url) in [("good", &good), ("late", &late)] {
        let more = ["--retry", LONG_SCHEDULE, "--jitter", "0"];
        let create = ["endpoint", "create", "--app", "acme", "--uid", uid, "--url", url.as_str()];
        disk.done(&[create.as_slice(), more.as_slice()].concat());
    }
    let api = disk.api();
    let mut confirmed = BTreeSet::new();
    for number in 0..100 {
        let answer = publish_over(&api, &format!("before{number}"), &mut confirmed).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    let (mut refused, mut number) = (0, 0);
    until("twenty are refused with the reason", SOON, async || {
        disk.fill();
        number += 1;
        let answer = publish_over(&api, &format!("full{number}"), &mut confirmed).await;
        if answer.status != 202 {
            assert_eq!(answer.status, 503, "{answer:?}");
            let why = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
            assert!(why.contains("database or disk is full"), "{answer:?}");
            refused += 1;
        }
        refused == 20
    })
    .await;
    until("it says that it is not ready, and why", SOON, async || {
        disk.fill();
        let (status, why) = disk.readiness().await;
        status == 503
            && why.contains("the database cannot be written (sqlite: ")
            && disk.router.metric("posthaste_journal_up").await == Some(0)
    })
    .await;
    assert!(disk.router.ended().is_none(), "it lives");

    disk.free();
    until("it is ready again", SOON, async || {
        disk.readiness().await.0 == 200
            && disk.router.metric("posthaste_journal_up").await == Some(1)
    })
    .await;
    let answer = publish_over(&api, "after", &mut confirmed).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    receiver.endpoint("late", Script::Answer(200));
    until("all is delivered", SOON, async || {
        let state = async |state: &str| {
            let series = format!("posthaste_ledger_deliveries{{state=\"{state}\"}}");
            disk.router.metric(&series).await
        };
        let owed = i64::try_from(confirmed.len() * 2).expect("few");
        state("owed").await >= Some(owed) && state("delivered").await == state("owed").await
    })
    .await;
    for name in ["good", "late"] {
        let lost: Vec<_> = confirmed.difference(&receiver.accepted_bodies(name)).cloned().collect();
        assert!(lost.is_empty(), "{name}: {lost:?}");
    }
    assert_eq!(disk.router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));

    // Trouble is told when it begins and when it is over, not each time that somebody meets it.
    let log = disk.posthaste.log();
    let told =
        log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
    assert!((1..20).contains(&told), "{told} lines, and twenty at least met it:\n{log}");
    let copy = disk.posthaste.folder().join("copy.db");
    disk.done(&["backup", "--to", copy.to_str().expect("UTF-8")]);
    let database = rusqlite::Connection::open(&copy).expect("opens");
    let check = database.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.as_deref(), Ok("ok"));
}
