//! The load generator, in a process of its own: publishes events with confirms, as fast as they are confirmed or at a
//! steady pace, whoever consumes them and however late that one is.
//!
//! Each payload says its number and when it was published. At a pace the moment of an event is fixed beforehand: a
//! publisher that waits for nobody does not hide what made it wait.

use std::collections::VecDeque;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Connection, ConnectionProperties, PublisherConfirm};

use super::payload_at;
use super::process::{Role, now_us, precise};

/// Events that are published and not confirmed: enough to keep a broker busy.
const UNCONFIRMED_MAX: usize = 1_000;

/// What is published.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) broker: &'a str,
    pub(super) to: To<'a>,
    pub(super) events: usize,
    /// Events a second; 0 for as many as are confirmed.
    pub(super) per_second: usize,
    /// Types that the events have in turn: `job.t0`, `job.t1` and so on.
    pub(super) types: usize,
}

/// Where to.
#[derive(Debug, Clone, Copy)]
pub(super) enum To<'a> {
    /// Events of an application, to the exchange of this prefix.
    Events { prefix: &'a str, application: &'a str },
    /// Tasks for Celery, in this queue.
    Tasks { queue: &'a str },
}

impl Load<'_> {
    /// Publishes, and returns when all is confirmed.
    pub(super) async fn publish(self) {
        self.start().line().await;
    }

    /// Begins to publish; [`Role::line`] returns when all is confirmed.
    pub(super) fn start(self) -> Role {
        let (exchange, key) = match self.to {
            To::Events { prefix, application } => (format!("{prefix}.events"), application),
            To::Tasks { queue } => (String::new(), queue),
        };
        let numbers = [self.events, self.per_second, self.types].map(|number| number.to_string());
        let [events, per_second, types] = &numbers;
        Role::start("publish", &[self.broker, &exchange, key, events, per_second, types])
    }
}

/// The load generator's side.
pub(super) async fn publish(arguments: &[String]) {
    let [broker, exchange, key, numbers @ ..] = arguments else {
        panic!("BROKER EXCHANGE KEY …")
    };
    let numbers: Vec<usize> = numbers.iter().map(|text| text.parse().expect("a number")).collect();
    let &[events, per_second, types] = numbers.as_slice() else { panic!("… EVENTS RATE TYPES") };
    let connection = Connection::connect(broker, ConnectionProperties::default());
    let connection = connection.await.expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let run = std::process::id();
    let begun = tokio::time::Instant::now();
    let mut open: VecDeque<PublisherConfirm> = VecDeque::new();
    for number in 0..events {
        if per_second > 0 {
            let after = precise(number as u64) / precise(per_second as u64);
            tokio::time::sleep_until(begun + Duration::from_secs_f64(after)).await;
        }
        let (routing_key, body, properties) = if exchange.is_empty() {
            (key.clone(), task(number), as_task(number))
        } else {
            let named =
                BasicProperties::default().with_message_id(format!("e{run}-{number}").into());
            let body = payload_at(number, now_us());
            (format!("{key}.job.t{}", number % types), body, named)
        };
        let published = channel.basic_publish(
            exchange.as_str().into(),
            routing_key.as_str().into(),
            BasicPublishOptions::default(),
            body.as_bytes(),
            properties.with_delivery_mode(2),
        );
        open.push_back(published.await.expect("published"));
        while open.len() > UNCONFIRMED_MAX {
            confirmed(open.pop_front().expect("many")).await;
        }
    }
    for confirm in open {
        confirmed(confirm).await;
    }
    println!("done");
    std::future::pending::<()>().await;
}

async fn confirmed(confirm: PublisherConfirm) {
    assert!(confirm.await.expect("answered").is_ack(), "a broker that is well confirms");
}

/// A task as Celery reads it: arguments, named arguments, and what comes behind it.
fn task(number: usize) -> String {
    let text = serde_json::Value::from(payload_at(number, now_us()));
    format!(
        r#"[[{number},{text}],{{}},{{"callbacks":null,"errbacks":null,"chain":null,"chord":null}}]"#
    )
}

fn as_task(number: usize) -> BasicProperties {
    let id = format!("{:032x}", number + 1);
    let mut headers = FieldTable::default();
    for (name, value) in [("lang", "py"), ("task", "deliver"), ("id", &id), ("root_id", &id)] {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_correlation_id(id.into())
        .with_headers(headers)
}
