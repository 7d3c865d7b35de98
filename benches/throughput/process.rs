//! Processes of their own for every role, and what they have used: CPU, memory, files.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Figures;

/// This binary in another role.
pub(super) fn own_role(role: &str, arguments: &[&str]) -> Child {
    let own = std::env::current_exe().expect("we run from a file");
    Command::new(own)
        .arg(role)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts")
}

/// A process that is killed when we are done with it.
pub(super) struct Killed(pub(super) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// CPU that a process has used, user and system, in microseconds.
///
/// From `/proc`, in ticks of 10 ms: fine for turns of seconds.
pub(super) fn cpu_us(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit_once(')').expect("the name is in brackets").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().expect("a number");
    (ticks(11) + ticks(12)) * 10_000
}

/// Memory that a process has resident now, in KiB.
pub(super) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("is listed");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// The product, as it is used.
pub(super) struct Router {
    pub(super) folder: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Router {
    /// A data folder of its own; further settings as environment.
    pub(super) fn new(settings: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let router = Self { folder, settings };
        router.run(&["app", "create", "Bench", "--uid", "bench"]);
        router
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_posthaste"));
        command
            .args(arguments)
            .env("POSTHASTE_DATA_DIR", self.folder.path())
            .env("POSTHASTE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("POSTHASTE_API__LISTEN", "127.0.0.1:0")
            .env("POSTHASTE_LOG__FILTER", "warn")
            .env("POSTHASTE_DEV", "true")
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) {
        let status = self.command(arguments).stderr(Stdio::null()).status().expect("runs");
        assert!(status.success(), "{arguments:?}");
    }

    pub(super) fn endpoints(&self, urls: &[String]) {
        for url in urls {
            self.run(&["endpoint", "create", "--app", "bench", "--url", url]);
        }
    }

    pub(super) fn start(&self) -> Killed {
        Killed(self.command(&["serve"]).spawn().expect("starts"))
    }
}

/// The middle one of each figure.
pub(super) fn median(mut turns: Vec<Figures>) -> Figures {
    let mut middle = |by: fn(&Figures) -> f64| {
        turns.sort_by(|one, other| by(one).total_cmp(&by(other)));
        by(&turns[turns.len() / 2])
    };
    Figures {
        per_second: middle(|turn| turn.per_second),
        own_us: middle(|turn| turn.own_us),
        store_us: middle(|turn| turn.store_us),
    }
}

pub(super) fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn precise(count: u64) -> f64 {
    count as f64
}
