//! A RabbitMQ node of a test's own: on free ports, in a temporary folder, gone afterwards.
//!
//! A thin layer over `rabbitmq.sh`, which can be used by hand as well. The node is stopped when the
//! [`Broker`] is dropped, and by a watcher when the test process ends without dropping it: the
//! shared one is never dropped, and a killed test drops nothing.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;
use tokio::sync::OnceCell;

/// How often a start is tried: between our look at a port and the node's use of it, somebody else
/// may take it.
const TRIES: usize = 3;

/// A running node, or one that was killed and can be started again.
pub(crate) struct Broker {
    port: u16,
    epmd: u16,
    data: TempDir,
}

static SHARED: OnceCell<Broker> = OnceCell::const_new();

impl Broker {
    /// The node that the tests of one binary share; each with names of its own.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    /// A node for this test alone.
    ///
    /// # Panics
    /// When RabbitMQ is not installed or does not start, with what the script says.
    pub(crate) async fn start() -> Self {
        let mut said = String::new();
        for _ in 0..TRIES {
            let data = tempfile::tempdir().expect("a temporary folder");
            let broker = Self { port: node_port(), epmd: free_port(EPMDS), data };
            match broker.run("start", &[]).await {
                Ok(_) => return broker,
                Err(error) => said = error,
            }
        }
        panic!("no RabbitMQ node for the tests: {said}");
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// The port of that.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The node's process id.
    pub(crate) fn pid(&self) -> u32 {
        let file = self.data.path().join("test/pid");
        let text = std::fs::read_to_string(file).expect("a running node has a pid file");
        text.trim().parse().expect("a process id")
    }

    /// Waits until queues that were just declared would survive a kill.
    ///
    /// RabbitMQ 3.10 keeps the vote of a new quorum queue in memory for some seconds; a queue whose
    /// node is killed before it is written has no leader ever after, and takes no message. That is
    /// the broker's flaw and not what our tests are about.
    pub(crate) async fn settle(&self) {
        self.ctl(&["eval", "[dets:sync(Table) || Table <- dets:all()]."]).await;
    }

    /// Kills it, as a power cut would.
    pub(crate) async fn kill_9(&self) {
        self.run("kill9", &[]).await.expect("a node that runs can be killed");
    }

    /// Starts it again with the data it had, and waits until it accepts connections.
    pub(crate) async fn restart(&self) {
        self.run("restart", &[]).await.expect("a node that ran before starts again");
    }

    /// Kills it, deletes all that it has ever written, and starts it again: as a new one on the same port.
    pub(crate) async fn lose_everything(&self) {
        self.kill_9().await;
        std::fs::remove_dir_all(self.data.path().join("test/mnesia")).expect("its own folder");
        self.restart().await;
    }

    /// Runs `rabbitmqctl`; what it printed.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> String {
        self.run("ctl", arguments).await.expect("rabbitmqctl does as it is told")
    }

    async fn run(&self, command: &str, arguments: &[&str]) -> Result<String, String> {
        let mut script = self.script(command);
        script.args(arguments);
        let output = tokio::task::spawn_blocking(move || script.output())
            .await
            .expect("the script does not panic")
            .map_err(|error| format!("rabbitmq.sh cannot be run: {error}"))?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn script(&self, command: &str) -> Command {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/rabbitmq.sh");
        let mut script = Command::new("bash");
        script
            .arg(path)
            .args([command, "test"])
            .env("DATA", self.data.path())
            .env("PORT", self.port.to_string())
            .env("EPMD", self.epmd.to_string())
            .env("OWNER", std::process::id().to_string())
            .stdin(Stdio::null());
        script
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // A failure leaves it to the watcher.
        let _ = self.script("stop").output();
    }
}

/// Where routers listen, AMQP, each node's own epmd, and (below) databases. All below 32,768: above, the system gives ports to whoever
/// connects to somewhere, and a node that starts again would find its own taken.
const ROUTERS: Range<u16> = 10_000..20_000;
const NODES: Range<u16> = 20_000..24_000;
const EPMDS: Range<u16> = 28_000..30_000;
/// Where databases listen.
const DATABASES: Range<u16> = 30_000..32_000;

/// How far above its AMQP port a node listens for its own talk: two nodes can never want the same pair.
const OWN_TALK: u16 = 4_000;

/// A port for AMQP whose neighbour, for the node's own talk, is free as well.
fn node_port() -> u16 {
    loop {
        let port = free_port(NODES);
        if is_free(port + OWN_TALK) {
            return port;
        }
    }
}

/// Ports that a test of this process was given, once and for all: between our look at one and its use it is free to
/// whoever looks.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A free port among these, at random: tests of other processes look for one as well.
fn free_port(among: Range<u16>) -> u16 {
    let many = u32::from(among.end - among.start);
    loop {
        let chance = getrandom::u32().expect("chance from the system");
        let port = among.start + u16::try_from(chance % many).expect("a port");
        if is_free(port) && GIVEN.lock().expect("no panic while held").insert(port) {
            return port;
        }
    }
}

/// Free ports for the two servers of one process.
pub(crate) fn two_free_ports() -> [u16; 2] {
    [free_port(ROUTERS), free_port(ROUTERS)]
}

/// A free port for a database.
pub(crate) fn database_port() -> u16 {
    free_port(DATABASES)
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
