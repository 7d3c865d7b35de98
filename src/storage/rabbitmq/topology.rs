//! Every exchange, queue and binding, with the reason for each argument: declared here and nowhere
//! else.
//!
//! The same declarations hold on 3.10 and on 4.x: a version ignores the arguments it does not know,
//! and 4.3 compares them, so they are all there from the first day. A queue cannot be declared
//! again with other arguments; where they might ever change, the name carries a version (`v1`).
//!
//! What is not here, on purpose: `x-expires` (it deletes a queue with its messages), length limits
//! on what is dead-lettered to (a target that refuses freezes its source for everybody), a delivery
//! limit of -1 (3.10 drops the message at its first return), consumer priorities, and policies for
//! any of these arguments (changing one deletes what is being dead-lettered).

use std::fmt;
use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ErrorKind, ExchangeKind};
use serde::Serialize;

use super::connection::{self, Addresses, unavailable, within};
use crate::storage::StorageError;

/// Longest prefix, in bytes: every name and routing key has to fit a short string (255).
const PREFIX_MAX: usize = 100;

/// Longest wait for one declaration.
///
/// Ten seconds: a quorum queue takes 7 to 12 ms, a cluster that has just lost a node some seconds.
const DECLARE_DEADLINE: Duration = Duration::from_secs(10);

/// Deliveries of one message before it is taken for poison.
///
/// 100: each router crash costs one for all that it held, and twenty crashes in a row, the default
/// of 4.x, are one bad night.
const DELIVERY_LIMIT: i64 = 100;

/// For queues that people browse: looking at a message and putting it back counts as a delivery,
/// and at the default of 20 it would be dropped for having been looked at.
const BROWSING_LIMIT: i64 = 1_000_000;

/// When 4.3 gives up a consumer whose node is gone: its default of a minute is a minute's silence.
const CONSUMER_DISCONNECTED_MS: i64 = 5_000;

/// Most messages among the dead letters.
///
/// The oldest leave first, and without further ado: the journal has the truth, and what is here is
/// a copy for the broker's own tools.
const DEAD_LETTERS_MAX: i64 = 1_000_000;

/// Longest that a copy stays among the dead letters: fourteen days.
const DEAD_LETTERS_AGE_MS: i64 = 14 * 24 * 60 * 60 * 1_000;

/// The names, behind one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    prefix: String,
}

/// One thing to be declared.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "declare", rename_all = "snake_case")]
pub enum Declaration {
    /// A durable exchange.
    Exchange {
        /// Its name.
        name: String,
        /// How it routes.
        kind: Kind,
        /// Where what it cannot route goes.
        #[serde(skip_serializing_if = "Option::is_none")]
        alternate: Option<String>,
    },
    /// A durable quorum queue.
    Queue {
        /// Its name.
        name: String,
        /// Every argument.
        arguments: Vec<(&'static str, Argument)>,
    },
    /// A binding.
    Binding {
        /// From this exchange.
        exchange: String,
        /// To this queue.
        queue: String,
        /// For these routing keys.
        key: String,
    },
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// By pattern.
    Topic,
    /// By equality.
    Direct,
    /// To everyone.
    Fanout,
}

/// The value of a queue's argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Argument {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl Topology {
    /// The topology behind a prefix.
    ///
    /// # Errors
    /// `Conflict` when the prefix cannot begin a name.
    pub fn new(prefix: &str) -> Result<Self, StorageError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if prefix.is_empty() || prefix.len() > PREFIX_MAX || !prefix.chars().all(fits) {
            return Err(StorageError::Conflict(format!(
                "`{prefix}` cannot be the prefix of names in RabbitMQ: 1 to {PREFIX_MAX} letters, \
                 digits, `.`, `-` and `_` are accepted"
            )));
        }
        Ok(Self { prefix: prefix.to_owned() })
    }

    /// Where producers publish.
    pub fn events(&self) -> String {
        self.name("events")
    }

    /// Where published events wait for a router.
    pub fn inbox(&self) -> String {
        self.name("v1.inbox")
    }

    /// Where deliveries that must wait are published, with their rung as the routing key.
    pub fn ladder(&self) -> String {
        self.name("v1.ladder")
    }

    /// The queue of one rung.
    pub fn rung(&self, ms: u64) -> String {
        self.name(&format!("v1.ladder.{ms}"))
    }

    /// Exchange and queue of the deliveries whose wait is over.
    pub fn due(&self) -> String {
        self.name("v1.due")
    }

    /// Exchange and queue of the dead letters.
    pub fn dead_letters(&self) -> String {
        self.name("dead-letters")
    }

    /// Where outcomes are fed back to producers.
    pub fn results(&self) -> String {
        self.name("results")
    }

    /// Exchange and queue of what no binding of the events exchange wanted.
    pub fn unroutable(&self) -> String {
        self.name("unroutable")
    }

    /// Exchange and queue of deliveries that found no rung or no way back.
    pub fn orphans(&self) -> String {
        self.name("orphans")
    }

    /// Exchange and queue of what was delivered too often.
    pub fn poison(&self) -> String {
        self.name("poison")
    }

    /// Exchange and queue of what is not an event.
    pub fn quarantine(&self) -> String {
        self.name("quarantine")
    }

    /// Everything but the rungs, in the order in which it can be declared: catch-alls first, then
    /// the exchanges that name them, then queues, and bindings last.
    pub fn declarations(&self) -> Vec<Declaration> {
        let exchange = |name, kind, alternate| Declaration::Exchange { name, kind, alternate };
        let bind =
            |exchange, queue, key: &str| Declaration::Binding { exchange, queue, key: key.into() };
        let catch_alls = [self.unroutable(), self.orphans(), self.poison(), self.quarantine()];
        let mut all = Vec::new();
        for name in &catch_alls {
            all.push(exchange(name.clone(), Kind::Fanout, None));
            all.push(browsable(name.clone()));
            all.push(bind(name.clone(), name.clone(), ""));
        }
        all.extend([
            exchange(self.events(), Kind::Topic, Some(self.unroutable())),
            // An alternate exchange behind everything that dead-letters: 32 messages that cannot be
            // routed would otherwise stop a rung for everybody.
            exchange(self.ladder(), Kind::Direct, Some(self.orphans())),
            exchange(self.due(), Kind::Fanout, Some(self.orphans())),
            exchange(self.dead_letters(), Kind::Topic, None),
            exchange(self.results(), Kind::Topic, None),
            self.consumed(self.inbox()),
            self.consumed(self.due()),
            quorum(
                self.dead_letters(),
                vec![
                    ("x-delivery-limit", Argument::Number(BROWSING_LIMIT)),
                    ("x-max-length", Argument::Number(DEAD_LETTERS_MAX)),
                    ("x-message-ttl", Argument::Number(DEAD_LETTERS_AGE_MS)),
                ],
            ),
            bind(self.events(), self.inbox(), "#"),
            bind(self.due(), self.due(), ""),
            bind(self.dead_letters(), self.dead_letters(), "#"),
        ]);
        all
    }

    /// One rung: its queue, then its binding. Declared on first use.
    ///
    /// No dead-letter routing key: the message keeps its own, the rung it came from.
    pub fn rung_declarations(&self, ms: u64) -> [Declaration; 2] {
        let queue = quorum(
            self.rung(ms),
            [
                ("x-message-ttl", Argument::Number(i64::try_from(ms).unwrap_or(i64::MAX))),
                ("x-queue-leader-locator", Argument::Text("balanced".into())),
            ]
            .into_iter()
            .chain(dead_lettering_to(self.due()))
            .collect(),
        );
        let binding = Declaration::Binding {
            exchange: self.ladder(),
            queue: self.rung(ms),
            key: ms.to_string(),
        };
        [queue, binding]
    }

    /// Declares everything but the rungs. What is there already is left as it is.
    ///
    /// # Errors
    /// `Conflict` with the name of what is there with other arguments, after which the channel is
    /// closed; `Unavailable`.
    pub async fn declare(&self, channel: &Channel) -> Result<(), StorageError> {
        for declaration in self.declarations() {
            declaration.declare(channel).await?;
        }
        Ok(())
    }

    /// Declares one rung.
    ///
    /// # Errors
    /// As for [`declare`](Self::declare).
    pub async fn declare_rung(&self, channel: &Channel, ms: u64) -> Result<(), StorageError> {
        for declaration in self.rung_declarations(ms) {
            declaration.declare(channel).await?;
        }
        Ok(())
    }

    /// A queue that routers consume.
    fn consumed(&self, name: String) -> Declaration {
        quorum(
            name,
            [
                ("x-delivery-limit", Argument::Number(DELIVERY_LIMIT)),
                ("x-consumer-disconnected-timeout", Argument::Number(CONSUMER_DISCONNECTED_MS)),
            ]
            .into_iter()
            .chain(dead_lettering_to(self.poison()))
            .collect(),
        )
    }

    fn name(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }
}

/// Declares the topology on a connection of its own: `posthaste topology --apply`.
///
/// # Errors
/// `Conflict` with the name of what is there with other arguments, or when a URL is none;
/// `Unavailable` when no broker of the list can be reached.
pub async fn apply(urls: &[String], prefix: &str) -> Result<(), StorageError> {
    let topology = Topology::new(prefix)?;
    let connection = connection::dial(&Addresses::parse(urls)?, "posthaste topology").await?;
    let channel =
        within(DECLARE_DEADLINE, "opening a channel", connection.create_channel()).await?;
    topology.declare(&channel).await?;
    connection::hang_up(&connection).await;
    Ok(())
}

/// At least once: the broker drops a message here only when its target has confirmed it. It needs
/// `reject-publish`; with the default overflow it would fall back to at-most-once without a word.
fn dead_lettering_to(exchange: String) -> [(&'static str, Argument); 3] {
    [
        ("x-dead-letter-exchange", Argument::Text(exchange)),
        ("x-dead-letter-strategy", Argument::Text("at-least-once".into())),
        ("x-overflow", Argument::Text("reject-publish".into())),
    ]
}

fn browsable(name: String) -> Declaration {
    quorum(name, vec![("x-delivery-limit", Argument::Number(BROWSING_LIMIT))])
}

/// Quorum, always: classic queues with a time limit lose confirmed messages when a broker dies.
fn quorum(name: String, mut arguments: Vec<(&'static str, Argument)>) -> Declaration {
    arguments.insert(0, ("x-queue-type", Argument::Text("quorum".into())));
    Declaration::Queue { name, arguments }
}

impl Declaration {
    async fn declare(&self, channel: &Channel) -> Result<(), StorageError> {
        let done = match self {
            Self::Exchange { name, kind, alternate } => {
                let mut arguments = FieldTable::default();
                if let Some(alternate) = alternate {
                    let value = LongString::from(alternate.as_str());
                    arguments.insert("alternate-exchange".into(), AMQPValue::LongString(value));
                }
                let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
                let declared = channel.exchange_declare(
                    name.as_str().into(),
                    kind.on_the_wire(),
                    options,
                    arguments,
                );
                tokio::time::timeout(DECLARE_DEADLINE, declared).await
            }
            Self::Queue { name, arguments } => {
                let mut table = FieldTable::default();
                for (argument, value) in arguments {
                    table.insert((*argument).into(), value.on_the_wire());
                }
                let options = QueueDeclareOptions { durable: true, ..Default::default() };
                let declared = channel.queue_declare(name.as_str().into(), options, table);
                tokio::time::timeout(DECLARE_DEADLINE, declared)
                    .await
                    .map(|declared| declared.map(|_| ()))
            }
            Self::Binding { exchange, queue, key } => {
                let bound = channel.queue_bind(
                    queue.as_str().into(),
                    exchange.as_str().into(),
                    key.as_str().into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                );
                tokio::time::timeout(DECLARE_DEADLINE, bound).await
            }
        };
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.refused(&error)),
            Err(_) => Err(StorageError::Unavailable(format!(
                "the broker did not declare {self} within {DECLARE_DEADLINE:?}"
            ))),
        }
    }

    fn refused(&self, error: &lapin::Error) -> StorageError {
        if let ErrorKind::ProtocolError(amqp) = error.kind()
            && *amqp.kind() == AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)
        {
            return StorageError::Conflict(format!(
                "{self} is there with other arguments: {}",
                amqp.get_message()
            ));
        }
        unavailable(&format!("declaring {self}"), error)
    }
}

impl Kind {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Direct => "direct",
            Self::Fanout => "fanout",
        }
    }

    const fn on_the_wire(self) -> ExchangeKind {
        match self {
            Self::Topic => ExchangeKind::Topic,
            Self::Direct => ExchangeKind::Direct,
            Self::Fanout => ExchangeKind::Fanout,
        }
    }
}

impl Argument {
    fn on_the_wire(&self) -> AMQPValue {
        match self {
            Self::Text(text) => AMQPValue::LongString(LongString::from(text.as_str())),
            Self::Number(number) => AMQPValue::LongLongInt(*number),
        }
    }
}

/// What it is and its name: ``queue `posthaste.v1.inbox` ``.
impl fmt::Display for Declaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange { name, .. } => write!(f, "exchange `{name}`"),
            Self::Queue { name, .. } => write!(f, "queue `{name}`"),
            Self::Binding { exchange, queue, key } => {
                write!(f, "binding of queue `{queue}` to exchange `{exchange}` with key `{key}`")
            }
        }
    }
}

/// A line for each declaration, in columns: what, name, how. The rungs are one line.
impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for declaration in self.declarations() {
            let (what, name, how) = declaration.row();
            writeln!(f, "{what:<9} {name:<32} {how}")?;
        }
        let [rung, _] = self.rung_declarations(0);
        let (what, _, how) = rung.row();
        let how = how.replace("x-message-ttl=0", "x-message-ttl=<ms>");
        writeln!(f, "{what:<9} {:<32} {how} (each on first use)", self.name("v1.ladder.<ms>"))
    }
}

impl Declaration {
    /// What it is, its name, and everything else.
    pub fn row(&self) -> (&'static str, String, String) {
        match self {
            Self::Exchange { name, kind, alternate } => {
                let alternate = alternate
                    .as_ref()
                    .map_or_else(String::new, |name| format!(" alternate-exchange={name}"));
                ("exchange", name.clone(), format!("{}{alternate}", kind.as_str()))
            }
            Self::Queue { name, arguments } => {
                let arguments: Vec<_> = arguments
                    .iter()
                    .map(|(argument, value)| match value {
                        Argument::Text(text) => format!("{argument}={text}"),
                        Argument::Number(number) => format!("{argument}={number}"),
                    })
                    .collect();
                ("queue", name.clone(), arguments.join(" "))
            }
            Self::Binding { exchange, queue, key } => {
                ("binding", queue.clone(), format!("to {exchange} with key `{key}`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posthaste() -> Topology {
        Topology::new("posthaste").expect("a prefix")
    }

    fn arguments(declaration: &Declaration) -> &[(&'static str, Argument)] {
        match declaration {
            Declaration::Queue { arguments, .. } => arguments,
            Declaration::Exchange { .. } | Declaration::Binding { .. } => &[],
        }
    }

    #[test]
    fn nothing_is_named_before_it_is_declared() {
        let mut declared = Vec::new();
        for declaration in posthaste().declarations() {
            match &declaration {
                Declaration::Exchange { name, alternate, .. } => {
                    assert!(alternate.iter().all(|name| declared.contains(name)), "{name}");
                    declared.push(name.clone());
                }
                Declaration::Queue { name, arguments } => {
                    let target = arguments.iter().find(|(key, _)| *key == "x-dead-letter-exchange");
                    if let Some((_, Argument::Text(target))) = target {
                        assert!(declared.contains(target), "{name}");
                    }
                    declared.push(name.clone());
                }
                Declaration::Binding { exchange, queue, .. } => {
                    assert!(declared.contains(exchange) && declared.contains(queue));
                }
            }
        }
    }

    #[test]
    fn what_is_dead_lettered_to_never_refuses_and_nothing_expires_with_its_messages() {
        let all = posthaste().declarations();
        for declaration in all.iter().chain(&posthaste().rung_declarations(5_000)) {
            let (_, name, _) = declaration.row();
            for (argument, value) in arguments(declaration) {
                assert_ne!(*argument, "x-expires", "{name}");
                assert_ne!(value, &Argument::Number(-1), "{name}");
                let limited = ["x-max-length", "x-max-length-bytes"].contains(argument);
                assert!(!limited || name == "posthaste.dead-letters", "{name}");
            }
        }
    }

    #[test]
    fn every_exchange_that_a_queue_dead_letters_to_can_always_route() {
        let all = posthaste().declarations();
        for target in [posthaste().due(), posthaste().poison()] {
            let safe = all.iter().any(|declaration| match declaration {
                Declaration::Exchange { name, kind, alternate } => {
                    *name == target && (alternate.is_some() || *kind == Kind::Fanout)
                }
                Declaration::Queue { .. } | Declaration::Binding { .. } => false,
            });
            assert!(safe, "{target}");
        }
    }

    #[test]
    fn it_is_printed_for_people_and_for_programs() {
        let table = posthaste().to_string();
        assert!(table.contains("posthaste.v1.ladder.<ms>"), "{table}");
        assert!(table.contains("topic alternate-exchange=posthaste.unroutable"), "{table}");

        let json = serde_json::to_string(&posthaste().declarations()).expect("plain data");
        assert!(json.contains(r#""declare":"queue","name":"posthaste.v1.inbox""#), "{json}");
    }

    #[test]
    fn a_prefix_that_cannot_begin_a_name_is_refused() {
        for prefix in ["", "post haste", "posthaste*", &"x".repeat(101)] {
            assert!(Topology::new(prefix).is_err(), "{prefix}");
        }
    }
}
