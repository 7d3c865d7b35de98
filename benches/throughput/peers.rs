//! The peers: a bare Node.js worker and a Celery worker, in the versions that `benches/peers` has written down.
//!
//! Installed from their registries into the build's own folder, once. What they are is in their own files: as little as
//! does the same work.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::process::Killed;

/// Where they are installed.
pub(super) struct Peers(PathBuf);

impl Peers {
    /// Installs what is not there yet.
    pub(super) fn install() -> Self {
        let own = std::env::current_exe().expect("we run from a file");
        let target = own.ancestors().nth(3).expect("target/release/deps").join("bench-peers");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/peers/install.sh");
        let status = Command::new(script).arg(&target).status().expect("the script runs");
        assert!(
            status.success(),
            "the peers cannot be installed: npm and python3 with venv are wanted"
        );
        Self(target)
    }

    /// The Node.js worker on a queue.
    pub(super) fn node(&self, broker: &str, queue: &str, urls: &[String]) -> Killed {
        let worker = self.0.join("node/worker.mjs");
        let mut command = Command::new("node");
        command.arg(worker).args([&broker_url(broker), queue, &urls.join(",")]);
        Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("node runs"))
    }

    /// Celery with four processes on a queue of tasks.
    pub(super) fn celery(&self, broker: &str, queue: &str, urls: &[String]) -> Killed {
        let home = self.0.join("celery");
        let arguments = "-A celery_worker worker --pool prefork --concurrency 4 --loglevel ERROR \
                         --without-gossip --without-mingle --without-heartbeat";
        let mut command = Command::new(home.join("bin/celery"));
        command
            .args(arguments.split_whitespace())
            .current_dir(&home)
            .env("BENCH_BROKER", broker_url(broker))
            .env("BENCH_QUEUE", queue)
            .env("BENCH_URLS", urls.join(","))
            .env("C_FORCE_ROOT", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Killed(command.spawn().expect("celery runs"))
    }
}

/// Both want the virtual host `/` spelled in capitals, or not at all.
fn broker_url(url: &str) -> String {
    url.replace("/%2f", "/%2F")
}
