//! The other side: receivers that answer by a script, in place of HTTP.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use posthaste::domain::delivery::DeliveryKey;
use posthaste::domain::exchange::Timing;
use posthaste::domain::outcome::{Outcome, RetryAfter};
use posthaste::domain::time::Timestamp;
use posthaste::egress::{Reply, Request, Sender};

use super::chance::Chance;
use super::clock::START;
use super::world::World;

/// How a receiver behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Behaviour {
    /// 200 within some milliseconds.
    Well,
    /// 200 after a second or more.
    Slow,
    /// No answer, ever.
    Hanging,
    /// 500, always.
    Broken,
    /// Well and broken by turns of so long.
    Flapping(Duration),
    /// 429 with a `Retry-After`, one time in three.
    Overrun,
    /// 410 from this moment on.
    GoneFrom(Timestamp),
    /// Anything.
    Moody,
}

impl Behaviour {
    pub(crate) fn draw(chance: &mut Chance) -> Self {
        match chance.between(0..=11) {
            0..=3 => Self::Well,
            4 => Self::Slow,
            5 => Self::Hanging,
            6 => Self::Broken,
            7 | 8 => Self::Flapping(chance.ms(500..=60_000)),
            9 => Self::Overrun,
            10 => Self::GoneFrom(START + chance.ms(0..=300_000)),
            _ => Self::Moody,
        }
    }

    /// What it answers to a request at `now`, and after how long.
    pub(crate) fn answer(
        self,
        now: Timestamp,
        timeout: Duration,
        chance: &mut Chance,
    ) -> (Duration, Outcome) {
        let quick = chance.ms(0..=40);
        let status = |status| Outcome::Answered { status, retry_after: None };
        match self {
            Self::Well => (quick, status(200)),
            Self::Slow => within(chance.ms(1_000..=6_000), status(204), timeout),
            Self::Hanging => (timeout, Outcome::TimedOut),
            Self::Broken => (quick, status(500)),
            Self::Flapping(turn) => {
                let broken = (now.since(START).as_millis() / turn.as_millis()) % 2 == 1;
                (quick, if broken { Outcome::ConnectFailed } else { status(200) })
            }
            Self::Overrun if chance.one_in(3) => {
                let wait = Some(RetryAfter::In(Duration::from_secs(chance.between(1..=90))));
                (quick, Outcome::Answered { status: 429, retry_after: wait })
            }
            Self::Overrun => (quick, status(200)),
            Self::GoneFrom(moment) => (quick, status(if now < moment { 200 } else { 410 })),
            Self::Moody => match chance.between(0..=7) {
                0 => (timeout, Outcome::TimedOut),
                1 => (quick, Outcome::ConnectionLost),
                2 => (quick, status(503)),
                3 => within(chance.ms(100..=9_000), status(200), timeout),
                4 => {
                    let at = now + chance.ms(0..=60_000);
                    let retry_after = Some(RetryAfter::At(at));
                    (quick, Outcome::Answered { status: 503, retry_after })
                }
                5 => (quick, Outcome::Internal), // our own fault: costs no attempt
                6 => (quick, status(404)),       // some policies give up at it
                _ => (quick, status(200)),
            },
        }
    }
}

fn within(wait: Duration, outcome: Outcome, timeout: Duration) -> (Duration, Outcome) {
    if wait < timeout { (wait, outcome) } else { (timeout, Outcome::TimedOut) }
}

/// All receivers, behind the port.
pub(crate) struct Receivers(pub(crate) Arc<World>);

#[async_trait]
impl Sender for Receivers {
    async fn send(&self, request: Request) -> Reply {
        let Some((key, wait, outcome)) = self.0.request_begins(&request) else {
            return std::future::pending().await; // we are dead: nothing leaves any more
        };
        let open = Open { world: Arc::clone(&self.0), key };
        tokio::time::sleep(wait).await;
        self.0.request_answered(key, &outcome);
        drop(open);
        let detail = format!("a script's {}", outcome.class());
        Reply { outcome, body: Bytes::new(), detail, timing: Timing::default() }
    }
}

/// A request that is on the way, however it ends.
struct Open {
    world: Arc<World>,
    key: DeliveryKey,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.world.request_ends(self.key);
    }
}
