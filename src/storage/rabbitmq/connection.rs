//! Reaching a broker: which hosts, how long, and how soon again.
//!
//! No automatic recovery. lapin's would give up after some tries, and would hand old receipts to a
//! new channel's numbers; here a lost connection is dropped and whoever used it makes a new one,
//! for ever, with a growing pause between.
//!
//! Passwords stay inside: an address is shown without them, in errors and logs alike.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::types::Heartbeat;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties, Event};
use tokio::sync::watch;
use tracing::{info, warn};

use super::chance;
use crate::storage::StorageError;

/// Longest wait for a connection to one host, its handshake included.
///
/// Five seconds: a host that is away refuses at once, one that drops packets must not hold up the
/// others on the list.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// How often each side shows that it lives; after two silent ones the connection is lost. Ten
/// seconds, the lower end of what RabbitMQ advises against false alarms.
const HEARTBEAT_SECONDS: Heartbeat = 10;

/// First pause between two tries, doubled with each up to the last.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// Longest pause: five seconds, so that an outage is over for us when it is over for the broker.
const PAUSE_LAST: Duration = Duration::from_secs(5);

/// Longest wait for a farewell. It changes nothing but the broker's log.
const HANG_UP_DEADLINE: Duration = Duration::from_secs(2);

/// The brokers of a cluster, in the order they were given.
#[derive(Clone)]
pub(super) struct Addresses(Vec<AMQPUri>);

impl Addresses {
    /// Reads a list of URLs.
    ///
    /// # Errors
    /// `Conflict`, naming the one that is none by its place: its text may hold a password.
    pub(super) fn parse(urls: &[String]) -> Result<Self, StorageError> {
        if urls.is_empty() {
            return Err(StorageError::Conflict(
                "no broker URL is given: at least one amqp://user:password@host:port/vhost is \
                 wanted"
                    .into(),
            ));
        }
        let read = urls.iter().enumerate().map(|(index, url)| {
            address(url).ok_or_else(|| {
                StorageError::Conflict(format!(
                    "broker URL {} is not one: amqp://user:password@host:port/vhost or amqps://… \
                     is wanted",
                    index + 1
                ))
            })
        });
        read.collect::<Result<_, _>>().map(Self)
    }
}

fn address(text: &str) -> Option<AMQPUri> {
    let mut uri: AMQPUri = text.parse().ok()?;
    // lapin's own reading takes every IPv6 address for `localhost`.
    if let Some(url::Host::Ipv6(address)) = url::Url::parse(text).ok()?.host() {
        uri.authority.host = address.to_string();
    }
    if uri.authority.host.is_empty() {
        return None;
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    Some(uri)
}

/// `host:port/vhost`: never the user or the password.
struct Shown<'a>(&'a AMQPUri);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = self.0;
        write!(
            f,
            "{}:{}{}{vhost}",
            authority.host,
            authority.port,
            if vhost == "/" { "" } else { "/" }
        )
    }
}

impl fmt::Debug for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|uri| Shown(uri).to_string())).finish()
    }
}

/// Tries each host once, in a random order, and takes the first that lets us in.
///
/// One that refuses us is passed over like one that is away: after a half-finished change of
/// passwords the next may not.
///
/// # Errors
/// `Unavailable`, with the reason of each host.
pub(super) async fn dial(addresses: &Addresses, name: &str) -> Result<Connection, StorageError> {
    let mut order: Vec<&AMQPUri> = addresses.0.iter().collect();
    chance::shuffle(&mut order);
    let mut reasons = Vec::new();
    for uri in order {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime()
            .map_err(|error| unavailable("finding the runtime", &error))?;
        let connecting = Connection::connect_uri_with_runtime(uri.clone(), properties, runtime);
        match tokio::time::timeout(CONNECT_DEADLINE, connecting).await {
            Ok(Ok(connection)) => {
                info!(broker = %Shown(uri), connection = name, "connected to {}", Shown(uri));
                return Ok(connection);
            }
            Ok(Err(error)) => reasons.push(format!("{}: {error}", Shown(uri))),
            Err(_) => {
                reasons.push(format!("{}: no answer within {CONNECT_DEADLINE:?}", Shown(uri)));
            }
        }
    }
    Err(StorageError::Unavailable(format!("no broker can be reached: {}", reasons.join("; "))))
}

/// Says good-bye, if the other side still listens.
pub(super) async fn hang_up(connection: &Connection) {
    // Whatever comes of it, the connection is over for us.
    let _ = tokio::time::timeout(HANG_UP_DEADLINE, connection.close(200, "OK".into())).await;
}

/// What a connection tells of itself while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pulse {
    /// It is up.
    Up,
    /// It is up, but the broker takes no publishes.
    Blocked(String),
    /// It is over.
    Lost(String),
}

/// How often we look whether a connection still is one: lapin tells of errors by events, but of a
/// farewell from the broker only to its channels.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Listens to a connection until it is lost. Once for each: lapin gives an event to one listener.
pub(super) fn pulse(connection: &Connection) -> watch::Receiver<Pulse> {
    let (tell, pulse) = watch::channel(Pulse::Up);
    let mut events = Box::pin(connection.events_listener());
    let status = connection.status().clone();
    tokio::spawn(async move {
        let mut look = tokio::time::interval(LOOK_AGAIN);
        loop {
            // An event first: it says why.
            let news = tokio::select! { biased;
                event = events.next() => match event {
                    Some(Event::Connected | Event::ConnectionUnblocked) => Pulse::Up,
                    Some(Event::ConnectionBlocked(reason)) => Pulse::Blocked(reason),
                    // A channel's own trouble; its owner hears of it.
                    Some(Event::Error(error)) if error.is_amqp_soft_error() => continue,
                    Some(Event::Error(error)) => Pulse::Lost(error.to_string()),
                    Some(_) => continue, // channel flow, which RabbitMQ does not use
                    None => Pulse::Lost("the connection was closed".into()),
                },
                _ = look.tick() => {
                    if status.connected() {
                        continue;
                    }
                    Pulse::Lost("the broker closed the connection".into())
                }
                () = tell.closed() => return,
            };
            let over = matches!(news, Pulse::Lost(_));
            tell.send_replace(news);
            if over {
                return;
            }
        }
    });
    pulse
}

/// The pause before the next try: doubled each time, and jittered so that routers that lost the
/// same broker do not come back as one.
#[derive(Debug, Default)]
pub(super) struct Pause {
    tries: u32,
}

impl Pause {
    /// Waits. Between half the pause and all of it.
    pub(super) async fn wait(&mut self) {
        let full = PAUSE_FIRST.saturating_mul(1 << self.tries.min(16)).min(PAUSE_LAST);
        self.tries = self.tries.saturating_add(1);
        tokio::time::sleep(full.mul_f64(0.5 + 0.5 * chance::share())).await;
    }

    /// It went well: the next pause is the first again.
    pub(super) fn over(&mut self) {
        self.tries = 0;
    }
}

/// Logs the first of a row of failures, and not the hundred after it.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Option<String>,
}

impl Complaint {
    /// Something failed, as it may have before.
    pub(super) fn about(&mut self, what: &str, error: &StorageError) {
        let sentence = error.to_string();
        if self.last.as_ref() != Some(&sentence) {
            warn!(connection = what, "{sentence}; trying again until it works");
            self.last = Some(sentence);
        }
    }

    /// It works again.
    pub(super) fn settled(&mut self) {
        self.last = None;
    }
}

/// Waits for the broker, but not for ever.
///
/// # Errors
/// `Unavailable` in either case.
pub(super) async fn within<T>(
    deadline: Duration,
    what: &str,
    answer: impl Future<Output = lapin::Result<T>>,
) -> Result<T, StorageError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(unavailable(what, &error)),
        Err(_) => Err(StorageError::Unavailable(format!(
            "{what}: no answer from the broker within {deadline:?}"
        ))),
    }
}

/// A lapin error as ours.
pub(super) fn unavailable(what: &str, error: &lapin::Error) -> StorageError {
    StorageError::Unavailable(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(url: &str) -> Result<Addresses, StorageError> {
        Addresses::parse(&[url.to_owned()])
    }

    #[test]
    fn an_address_is_shown_without_its_user_and_password() {
        let shown = format!("{:?}", addresses("amqp://router:s3cret@broker:5673/hooks"));
        assert!(shown.contains("broker:5673/hooks"), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("router"), "{shown}");
    }

    #[test]
    fn what_is_no_address_is_named_by_its_place_and_not_by_its_text() {
        for url in ["router:s3cret@broker", "http://u:s3cret@broker", "amqp:s3cret", ""] {
            let error = addresses(url).expect_err(url).to_string();
            assert!(error.contains("broker URL 1") && !error.contains("s3cret"), "{error}");
        }
        assert!(Addresses::parse(&[]).is_err());
    }

    #[test]
    fn an_ipv6_address_is_called_and_not_localhost() {
        let Addresses(list) = addresses("amqp://[::1]:5672").expect("an address");
        assert_eq!(list[0].authority.host, "::1");
    }

    #[test]
    fn heartbeats_are_ten_seconds_apart_unless_the_url_says_otherwise() {
        let heartbeat = |url| addresses(url).expect("an address").0[0].query.heartbeat;
        assert_eq!(heartbeat("amqp://broker"), Some(10));
        assert_eq!(heartbeat("amqp://broker/%2f?heartbeat=20"), Some(20));
    }

    #[tokio::test]
    async fn nobody_at_home_is_said_for_each_host() {
        // Port 1 on loopback: nothing listens there.
        let urls = ["amqp://127.0.0.1:1".to_owned(), "amqp://localhost:1".to_owned()];
        let all = Addresses::parse(&urls).expect("addresses");
        let error = dial(&all, "test").await.expect_err("nobody").to_string();
        assert!(error.contains("127.0.0.1:1") && error.contains("localhost:1"), "{error}");
    }
}
