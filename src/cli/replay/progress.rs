//! A replay's bar on a terminal: how far, how fast, and for how long still.
//!
//! Thirty lines of our own instead of a library: one line, redrawn by whoever has news, on standard error.
//! The rate is that of the last [`WINDOW`], so that a replay that yields is seen to.

use std::collections::VecDeque;
use std::io::{Write as _, stderr};
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::wire::Replay;

/// Over which time the rate is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// How wide the bar is, so that a line has its place in 80 columns.
const WIDTH: u64 = 16;

/// The bar.
#[derive(Debug)]
pub(super) struct Progress {
    /// What was done when.
    seen: VecDeque<(Instant, u64)>,
    drawn: bool,
}

impl Progress {
    pub(super) const fn new() -> Self {
        Self { seen: VecDeque::new(), drawn: false }
    }

    /// Draws it anew. A terminal that does not take it is not worth failing.
    pub(super) fn draw(&mut self, replay: &Replay, now: Instant) {
        let line = self.line(replay, now);
        let _ = write!(stderr().lock(), "\r\x1b[K{line}");
        let _ = stderr().flush();
        self.drawn = true;
    }

    /// Leaves the line as it is and goes to the next.
    pub(super) fn leave(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = writeln!(stderr().lock());
        }
    }

    fn line(&mut self, replay: &Replay, now: Instant) -> String {
        let done = replay.offered + replay.skipped;
        self.seen.push_back((now, done));
        while self.seen.len() > 2 && self.seen.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.seen.pop_front();
        }
        let rate = self.rate();
        let ends = format!("{rate:.0}/s  ok {}  dead {}", replay.delivered, replay.dead);
        match replay.matched.filter(|matched| *matched > 0) {
            None => format!("{done} offered  {ends}"),
            Some(matched) => {
                let done = done.min(matched);
                let (full, percent) = (done * WIDTH / matched, done * 100 / matched);
                let bar: String =
                    (0..WIDTH).map(|place| if place < full { '█' } else { '░' }).collect();
                #[expect(clippy::cast_precision_loss, reason = "for people, to the second")]
                let left = (matched - done) as f64;
                let eta = if done == matched {
                    String::new()
                } else if rate > 0.0 {
                    format!("  eta {}", span(left / rate))
                } else {
                    "  eta -".to_owned()
                };
                format!("{bar} {percent:>3} %  {done}/{matched}  {ends}{eta}")
            }
        }
    }

    /// Deliveries a second, lately.
    #[expect(clippy::cast_precision_loss, reason = "for people, to two digits")]
    fn rate(&self) -> f64 {
        let (Some((from, before)), Some((to, after))) = (self.seen.front(), self.seen.back())
        else {
            return 0.0;
        };
        let seconds = (*to - *from).as_secs_f64();
        if seconds > 0.0 { after.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

/// A span as people say it: `45s`, `10m46s`, `3h05m`, `2d04h`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole seconds, of spans that are not negative"
)]
pub(super) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0).ceil() as u64;
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m{:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{}d{:02}h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replay(matched: Option<u64>, offered: u64) -> Replay {
        let text = serde_json::json!({
            "id": "rpl_1", "scope": "dead_letters", "state": "running", "because": null,
            "applicationId": null, "endpointId": null, "toEndpointId": null, "rate": 50,
            "matched": matched, "offered": offered, "skipped": 0, "tried": 0, "delivered": offered, "dead": 0,
            "actor": "org_1", "reason": null, "createdAt": "", "endedAt": null,
        });
        serde_json::from_value(text).expect("a replay")
    }

    #[test]
    fn a_span_is_said_in_two_units_at_the_most() {
        for (seconds, said) in [
            (0.0, "0s"),
            (44.2, "45s"),
            (646.0, "10m46s"),
            (11_100.0, "3h05m"),
            (187_200.0, "2d04h"),
        ] {
            assert_eq!(span(seconds), said);
        }
    }

    #[tokio::test]
    async fn the_bar_tells_how_far_how_fast_and_for_how_long_and_fits_a_narrow_terminal() {
        let mut bar = Progress::new();
        let begin = Instant::now();
        bar.line(&replay(Some(50_000), 0), begin);
        let line = bar.line(&replay(Some(50_000), 19_000), begin + Duration::from_secs(10));
        assert_eq!(line, "██████░░░░░░░░░░  38 %  19000/50000  1900/s  ok 19000  dead 0  eta 17s");
        assert!(line.chars().count() <= 80, "{line}");
        let line = bar.line(&replay(Some(50_000), 19_000), begin + Duration::from_secs(40));
        assert!(line.contains("  0/s") && line.ends_with("eta -"), "it yields: {line}");
        let line = bar.line(&replay(None, 19_000), begin + Duration::from_secs(41));
        assert!(line.starts_with("19000 offered"), "{line}");
    }
}
