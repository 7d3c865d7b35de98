//! A PostgreSQL server of a test binary's own: on a free port, in a temporary folder, gone afterwards; and a fresh
//! database in it for each case.
//!
//! A thin layer over `postgres.sh`, which can be used by hand as well. The server is stopped when the [`Postgres`] is
//! dropped, and by a watcher when the test process ends without dropping it: the shared one is never dropped.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::broker::database_port;

/// How often a start is tried: between our look at a port and the server's use of it, somebody else may take it.
const TRIES: usize = 3;

/// A running server, or one that was killed and can be started again.
pub(crate) struct Postgres {
    port: u16,
    data: TempDir,
    /// Whether what is answered survives a power cut. A kill of the server's processes alone leaves what they wrote to
    /// the system, but a test that kills is held to the real thing.
    fsync: bool,
    databases: AtomicU32,
}

static SHARED: OnceCell<Postgres> = OnceCell::const_new();

impl Postgres {
    /// The server that the tests of one binary share. It is never killed, and does not wait for the disk.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start(false)).await
    }

    /// A server for this test alone.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start, with what the script says.
    pub(crate) async fn start(fsync: bool) -> Self {
        let mut said = String::new();
        for _ in 0..TRIES {
            let data = tempfile::tempdir().expect("a temporary folder");
            let server = Self { port: database_port(), data, fsync, databases: AtomicU32::new(0) };
            match server.run("start").await {
                Ok(()) => return server,
                Err(error) => said = error,
            }
        }
        panic!("no PostgreSQL server for the tests: {said}");
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// An empty database that nobody else has: its URL.
    pub(crate) async fn database(&self) -> String {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("case_{number}");
        self.order("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0")).await;
        self.url(&name)
    }

    /// Where a database of this name is.
    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://posthaste@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }

    /// Says something to a database, as its owner might.
    pub(crate) async fn order(&self, database: &str, sql: &str) {
        say(&self.url(database), sql).await;
    }

    /// Kills it, as a power cut would.
    pub(crate) async fn kill_9(&self) {
        self.run("kill9").await.expect("a server that runs can be killed");
    }

    /// Starts it again with the data it had, and waits until it accepts connections.
    pub(crate) async fn restart(&self) {
        self.run("restart").await.expect("a server that ran before starts again");
    }

    async fn run(&self, command: &str) -> Result<(), String> {
        let mut script = self.script(command);
        let output = tokio::task::spawn_blocking(move || script.output())
            .await
            .expect("the script does not panic")
            .map_err(|error| format!("postgres.sh cannot be run: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn script(&self, command: &str) -> Command {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/postgres.sh");
        let mut script = Command::new("bash");
        script
            .arg(path)
            .arg(command)
            .env("DATA", self.data.path())
            .env("PORT", self.port.to_string())
            .env("FSYNC", if self.fsync { "on" } else { "off" })
            .env("OWNER", std::process::id().to_string())
            .stdin(Stdio::null());
        script
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A failure leaves it to the watcher.
        let _ = self.script("stop").output();
    }
}

/// Says something to the database of that URL.
pub(crate) async fn say(url: &str, sql: &str) {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    let said =
        tokio::task::spawn_blocking(move || Client::connect(&url, NoTls)?.batch_execute(&sql));
    said.await.expect("no panic").expect("it is said");
}

/// The one number that a query answers.
pub(crate) async fn count(url: &str, sql: &str) -> i64 {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    let counted = tokio::task::spawn_blocking(move || {
        Client::connect(&url, NoTls)?.query_one(&sql, &[]).map(|row| row.get::<_, i64>(0))
    });
    counted.await.expect("no panic").expect("it is answered")
}
