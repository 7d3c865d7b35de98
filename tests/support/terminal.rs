//! A real terminal: a command between the two ends of a pty, as `script` from util-linux makes one, with
//! somebody who reads the screen and types.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Longest that a screen is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A command on a terminal. It is ended when it is dropped.
#[derive(Debug)]
pub(crate) struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    screen: Arc<Mutex<String>>,
    /// Reads until the last word has come.
    reading: std::thread::JoinHandle<()>,
}

impl Terminal {
    /// Runs a command as it is, environment and all, on a terminal of its own.
    pub(crate) fn run(command: &Command) -> Self {
        let quoted = |text: &std::ffi::OsStr| {
            format!("'{}'", text.to_str().expect("plain text").replace('\'', r"'\''"))
        };
        let words: Vec<_> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
        let mut terminal = Command::new("script");
        terminal
            .args(["--quiet", "--return", "--command"])
            .arg(format!("exec {}", words.join(" ")))
            .arg("/dev/null")
            .env("SHELL", "/bin/sh")
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = terminal.spawn().expect("`script` of util-linux runs");
        let keys = child.stdin.take();
        let mut from = child.stdout.take().expect("piped");
        let screen = Arc::new(Mutex::new(String::new()));
        let shown = Arc::clone(&screen);
        let reading = std::thread::spawn(move || {
            let (mut part, mut bytes) = ([0; 4_096], Vec::new());
            while let Ok(read @ 1..) = from.read(&mut part) {
                bytes.extend_from_slice(&part[..read]);
                *shown.lock().expect("whole") = String::from_utf8_lossy(&bytes).into_owned();
            }
        });
        Self { child, keys, screen, reading }
    }

    /// All that it has shown.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().expect("whole").clone()
    }

    /// Waits until it shows this.
    pub(crate) async fn shows(&self, text: &str) {
        let what = format!("the terminal shows {text:?}");
        let shown = async || self.screen().contains(text);
        let waited = tokio::time::timeout(PATIENCE, super::until(&what, PATIENCE * 2, shown)).await;
        assert!(waited.is_ok(), "not within {PATIENCE:?}: {what}:\n{}", self.screen());
    }

    /// Types this.
    pub(crate) fn types(&mut self, keys: &str) {
        let to = self.keys.as_mut().expect("not hung up");
        to.write_all(keys.as_bytes()).and_then(|()| to.flush()).expect("somebody listens");
    }

    /// Presses Ctrl-C, again every second as people do, until it ends: the exit code, and all that it has shown.
    pub(crate) async fn ends_by_ctrl_c(mut self) -> (i32, String) {
        let mut looks = 0_u32;
        let gone = async || {
            if looks.is_multiple_of(50)
                && let Some(keys) = &mut self.keys
            {
                let _ = keys.write_all(b"\x03").and_then(|()| keys.flush()); // it may be gone
            }
            looks += 1;
            self.child.try_wait().expect("our own child").is_some()
        };
        super::until("Ctrl-C ends the command on the terminal", PATIENCE, gone).await;
        self.ends().await
    }

    /// Waits for its end: the exit code, and all that it has shown.
    pub(crate) async fn ends(mut self) -> (i32, String) {
        let ended = async || {
            self.child.try_wait().expect("our own child").is_some() && self.reading.is_finished()
        };
        super::until("the command on the terminal ends", PATIENCE, ended).await;
        let status = self.child.wait().expect("our own child");
        (status.code().expect("it was not killed"), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.keys = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
