//! Keeps the publishing connection: makes it, watches it, makes it anew.
//!
//! It is a connection for publishing alone. A broker that runs out of memory stops reading from
//! those who publish; acknowledgements on the same connection would wait with them.

use std::sync::Arc;
use std::time::Duration;

use lapin::Connection;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connection::{Addresses, Complaint, Pause, Pulse, dial, hang_up, pulse};
use super::health::Health;

/// A connection that lasted this long was a good one: the pauses begin anew.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// How the publishing connection stands.
#[derive(Debug, Clone)]
pub(super) enum Link {
    /// The first try has not ended.
    Starting,
    /// There is one.
    Up(Live),
    /// There is none, and why.
    Down(String),
}

/// A connection that was made.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// It.
    pub connection: Arc<Connection>,
    /// Which one, counted from 1.
    pub epoch: u64,
    /// What it tells of itself.
    pub pulse: watch::Receiver<Pulse>,
}

/// Keeps the connection until told to stop. `doubts` are the numbers of connections that did not
/// answer in time: the one we have is given up when it is among them.
pub(super) async fn keep(
    addresses: Addresses,
    name: String,
    health: Arc<Health>,
    tell: watch::Sender<Link>,
    mut doubts: mpsc::Receiver<u64>,
    stop: CancellationToken,
) {
    let (mut pause, mut complaint) = (Pause::default(), Complaint::default());
    let mut epoch = 0;
    while !stop.is_cancelled() {
        // Stopping comes first: a dial may take seconds.
        let dialled = tokio::select! { biased;
            () = stop.cancelled() => return,
            dialled = dial(&addresses, &name) => dialled,
        };
        match dialled {
            Err(error) => {
                complaint.about(&name, &error);
                tell.send_replace(Link::Down(error.to_string()));
            }
            Ok(connection) => {
                complaint.settled();
                epoch += 1;
                let began = Instant::now();
                let live =
                    Live { pulse: pulse(&connection), connection: Arc::new(connection), epoch };
                Health::count(&health.publish_connects, 1);
                Health::set(&health.publish_connected, true);
                tell.send_replace(Link::Up(live.clone()));
                let why = watch_over(&live, &health, &mut doubts, &stop).await;
                Health::set(&health.publish_connected, false);
                Health::set(&health.publish_blocked, false);
                let Some(why) = why else {
                    tell.send_replace(Link::Down("stopped".into()));
                    hang_up(&live.connection).await;
                    return;
                };
                warn!(connection = name, "publishing connection lost: {why}");
                tell.send_replace(Link::Down(why));
                hang_up(&live.connection).await;
                if began.elapsed() > GOOD_AFTER {
                    pause.over();
                }
            }
        }
        tokio::select! { biased;
            () = stop.cancelled() => return,
            () = pause.wait() => {}
        }
    }
}

/// Until it is over, and why it is.
async fn watch_over(
    live: &Live,
    health: &Health,
    doubts: &mut mpsc::Receiver<u64>,
    stop: &CancellationToken,
) -> Option<String> {
    let mut pulse = live.pulse.clone();
    loop {
        // In the order of what settles most: a stop, then facts, then doubts.
        tokio::select! { biased;
            () = stop.cancelled() => return None,
            changed = pulse.changed() => {
                if changed.is_err() {
                    return Some("the connection was closed".into());
                }
                match &*pulse.borrow_and_update() {
                    Pulse::Up => Health::set(&health.publish_blocked, false),
                    Pulse::Blocked(reason) => {
                        warn!("the broker takes no publishes: {reason}");
                        Health::set(&health.publish_blocked, true);
                    }
                    Pulse::Lost(why) => return Some(why.clone()),
                }
            }
            doubted = doubts.recv() => match doubted {
                Some(epoch) if epoch == live.epoch => {
                    return Some("the broker did not answer in time".into());
                }
                Some(_) => {}
                None => return None, // nobody publishes any more
            },
        }
    }
}
