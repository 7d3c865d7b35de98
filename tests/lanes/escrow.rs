//! What takes long is taken over from the message that it came with: neither the broker nor anybody else waits for an
//! endpoint that hangs.

use std::time::Duration;

use crate::support::producer::Producer;
use crate::support::receiver::{Receiver, Script};
use crate::support::router::Posthaste;
use crate::support::{broker::Broker, until};
use crate::{SOON, at_least, balanced, has_accepted, posthaste};

/// Messages that the broker has given out of the inbox and nobody has acknowledged, by its own count.
async fn unacknowledged(posthaste: &Posthaste) -> usize {
    let broker = Broker::shared().await;
    let table = broker.ctl(&["list_queues", "--silent", "name", "messages_unacknowledged"]).await;
    let inbox = format!("{}.v1.inbox", posthaste.prefix());
    let mut rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let row = rows.find(|row| row.first() == Some(&inbox.as_str())).expect("it is declared");
    row[1].parse().expect("a number")
}

/// Requests that are on their way to an endpoint.
fn hanging(receiver: &Receiver, name: &str) -> usize {
    receiver.arrived(name).iter().filter(|one| one.status == 0).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_hang_hold_neither_the_window_nor_a_message_and_a_kill_loses_none() {
    /// Fewer than the deliveries that hang.
    const PREFETCH: usize = 5;
    const STUCK: usize = 40;
    const QUICK: usize = 60;
    let mut posthaste = posthaste().await;
    posthaste.set("POSTHASTE_RABBITMQ__PREFETCH", &PREFETCH.to_string());
    posthaste.set("POSTHASTE_LIMITS__ESCROW_AFTER_MS", "300");
    let receiver = Receiver::start().await;
    let patient = ["--timeout-ms", "60000", "--events", "job.stuck"];
    for name in ["hanging-1", "hanging-2", "hanging-3"] {
        posthaste.endpoint(name, &receiver.endpoint(name, Script::Hang), &patient);
    }
    let quick = receiver.endpoint("quick", Script::Answer(200));
    posthaste.endpoint("quick", &quick, &["--events", "job.quick"]);
    let mut router = posthaste.serve().await;
    let producer = Producer::connect(&posthaste).await;
    let stuck = || {
        let names = ["hanging-1", "hanging-2", "hanging-3"];
        names.iter().map(|name| hanging(&receiver, name)).sum::<usize>()
    };

    producer.publish_many("acme.job.stuck", STUCK).await;
    until("more hang than the broker gives out at once", SOON, async || stuck() > PREFETCH).await;
    producer.publish_many("acme.job.quick", QUICK).await;
    has_accepted(&receiver, "quick", QUICK).await;

    until("nothing is unacknowledged", SOON, async || unacknowledged(&posthaste).await == 0).await;
    assert!(stuck() > PREFETCH, "they hang still");
    assert!(receiver.accepted("hanging-1").is_empty());
    at_least(&router, "posthaste_deliveries_escrowed_total", 10).await;
    router.kill_9();

    // No message brings them back: the record does, when the lease of the router that died is over.
    for name in ["hanging-1", "hanging-2", "hanging-3"] {
        receiver.endpoint(name, Script::Answer(200));
    }
    let router = posthaste.serve().await;
    for name in ["hanging-1", "hanging-2", "hanging-3"] {
        until(&format!("{name} has all"), SOON * 2, async || {
            receiver.accepted(name).len() == STUCK
        })
        .await;
    }
    balanced(&router).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_after_it_was_taken_over_has_ended_once_and_is_not_tried_again() {
    const EVENTS: usize = 12;
    let mut posthaste = posthaste().await;
    posthaste.set("POSTHASTE_LIMITS__ESCROW_AFTER_MS", "100");
    let receiver = Receiver::start().await;
    let url = receiver.endpoint("slow", Script::Slowly(Duration::from_millis(900), 200));
    posthaste.endpoint("slow", &url, &[]);
    let router = posthaste.serve().await;

    Producer::connect(&posthaste).await.publish_many("acme.job.completed", EVENTS).await;

    let delivered = "posthaste_ledger_deliveries{state=\"delivered\"}";
    at_least(&router, delivered, i64::try_from(EVENTS).expect("few")).await;
    at_least(&router, "posthaste_deliveries_escrowed_total", 4).await;
    assert_eq!(receiver.count("slow"), EVENTS, "each was asked for once");
    assert_eq!(unacknowledged(&posthaste).await, 0);
    balanced(&router).await;
}
