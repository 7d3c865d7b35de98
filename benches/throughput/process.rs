//! Processes of their own for every role, and what they have used: CPU, memory, files.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

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

/// This binary in another role, that says a line when it has come somewhere.
pub(super) struct Role {
    process: Killed,
    lines: Arc<Mutex<BufReader<ChildStdout>>>,
}

impl Role {
    pub(super) fn start(role: &str, arguments: &[&str]) -> Self {
        let mut child = own_role(role, arguments);
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        Self { process: Killed(child), lines: Arc::new(Mutex::new(lines)) }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// Waits for its next line.
    pub(super) async fn line(&self) -> String {
        let lines = Arc::clone(&self.lines);
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            lines.lock().expect("no panic").read_line(&mut line).expect("it can be read");
            line
        });
        let line = reading.await.expect("no panic");
        assert!(!line.is_empty(), "a role has ended before it was done");
        line
    }
}

/// CPU that a process and its children have used, user and system, in microseconds.
///
/// From `/proc`, in ticks of 10 ms: fine for turns of seconds. Of children that have ended nothing is counted: nobody
/// here has any.
pub(super) fn cpu_us(pid: u32) -> u64 {
    let (_, own) = parent_and_cpu(pid).expect("it runs");
    let children = std::fs::read_dir("/proc").expect("there is one").filter_map(|entry| {
        let child: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (parent_and_cpu(child)?.0 == pid).then_some(child)
    });
    own + children.map(cpu_us).sum::<u64>()
}

/// A process's parent, and what CPU it has used itself.
fn parent_and_cpu(pid: u32) -> Option<(u32, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |place: usize| fields[place].parse::<u64>().expect("a number");
    Some((fields[1].parse().expect("a process id"), (ticks(11) + ticks(12)) * 10_000))
}

/// The time, by the machine's clock, in microseconds.
pub(super) fn now_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_micros()).expect("before the end of time")
}

/// Memory that a process has resident now, in KiB.
pub(super) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("is listed");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Where a router's API is said to be served.
pub(super) const API_SETTING: &str = "POSTHASTE_API__LISTEN";

/// The product, as it is used.
pub(super) struct Router {
    pub(super) folder: TempDir,
    settings: Vec<(&'static str, String)>,
    binary: PathBuf,
}

impl Router {
    /// A data folder of its own; further settings as environment.
    pub(super) fn new(settings: Vec<(&'static str, String)>) -> Self {
        Self::of(env!("CARGO_BIN_EXE_posthaste").into(), settings)
    }

    /// Another build of it.
    pub(super) fn of(binary: PathBuf, settings: Vec<(&'static str, String)>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let router = Self { folder, settings, binary };
        router.run(&["app", "create", "Bench", "--uid", "bench"]);
        router
    }

    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("POSTHASTE_DATA_DIR", self.folder.path())
            .env("POSTHASTE_ADMIN__LISTEN", "127.0.0.1:0")
            .env("POSTHASTE_API__LISTEN", "127.0.0.1:0")
            .env("POSTHASTE_LOG__FILTER", "warn")
            .env("POSTHASTE_DEV", "true")
            .env("POSTHASTE_API__REQUESTS_PER_SECOND", "0")
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

    /// Starts another one that begins with a copy of this one's data folder; this one does not run.
    pub(super) fn start_copy(&self) -> Running {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in std::fs::read_dir(self.folder()).expect("it is there") {
            let from = entry.expect("it can be read").path();
            let name = from.file_name().expect("a file has a name");
            if from.is_file() {
                std::fs::copy(&from, folder.path().join(name)).expect("there is room");
            }
        }
        // Several of them would want one port.
        let own = |(name, _): &&(&str, String)| *name != API_SETTING;
        let settings = self.settings.iter().filter(own).cloned().collect();
        let router = Self { folder, settings, binary: self.binary.clone() };
        Running { process: router.start(), _router: router }
    }

    /// Its data folder.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// A router that runs; its folder goes when it has ended.
pub(super) struct Running {
    pub(super) process: Killed,
    _router: Router,
}

/// The middle one of some numbers.
pub(super) fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
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
