//! The router on RabbitMQ beside the bare loop that consumes from the same broker.
//!
//! Both work off the same backlog, towards the same receiver, by turns.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueuePurgeOptions};
use lapin::{BasicProperties, Connection, ConnectionProperties};

use super::broker::Broker;
use super::process::{Killed, Router, cpu_us, median, own_role, precise};
use super::{Figures, PATIENCE, Plan, payload, receiver};

pub(super) async fn compare(plan: Plan) {
    let Plan { events, rounds } = plan;
    let broker = Broker::start().await;
    println!("RabbitMQ, with the journal in SQLite\n");
    println!(
        "{:<9} {:<14} {:>14} {:>18} {:>20}",
        "fan-out", "", "deliveries/s", "own CPU us each", "broker CPU us each"
    );
    for fanout in [1, 5] {
        let (mut bare, mut router) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let prefix = format!("bench{fanout}x{round}");
            bare.push(turn(&broker, &format!("{prefix}b"), events, fanout, Kind::Bare).await);
            router.push(turn(&broker, &format!("{prefix}r"), events, fanout, Kind::Router).await);
        }
        let (bare, router) = (median(bare), median(router));
        for (name, figures) in [("bare loop", bare), ("posthaste", router)] {
            println!(
                "{fanout:<9} {name:<14} {:>14.0} {:>18.1} {:>20.1}",
                figures.per_second, figures.own_us, figures.store_us
            );
        }
        println!(
            "{fanout:<9} {:<14} {:>13.2}x {:>17.2}x {:>19.2}x\n",
            "ratio",
            router.per_second / bare.per_second,
            router.own_us / bare.own_us,
            router.store_us / bare.store_us
        );
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bare,
    Router,
}

/// Lays a backlog of events in the inbox, lets one of them work it off, and takes its figures.
async fn turn(broker: &Broker, prefix: &str, events: usize, fanout: usize, kind: Kind) -> Figures {
    let mut receiver = receiver::Process::start();
    let urls: Vec<String> = (0..fanout).map(|n| receiver.url(n)).collect();
    let router = Router::new(vec![
        ("POSTHASTE_RABBITMQ__URLS", broker.url()),
        ("POSTHASTE_RABBITMQ__PREFIX", prefix.to_owned()),
    ]);
    router.run(&["topology", "--apply"]);
    router.endpoints(&urls);
    publish(broker, prefix, events).await;

    let broker_before = cpu_us(broker.pid());
    let worker = match kind {
        Kind::Router => router.start(),
        Kind::Bare => {
            let queue = format!("{prefix}.v1.inbox");
            Killed(own_role("bare", &[&broker.url(), &queue, &urls.join(",")]))
        }
    };
    let deliveries = events * fanout;
    let took = receiver.wait_for(deliveries, PATIENCE).await;
    let own = cpu_us(worker.0.id());
    let broker_cpu = cpu_us(broker.pid()) - broker_before;
    drop(worker);
    purge(broker, &format!("{prefix}.v1.inbox")).await;
    let each = |us: u64| precise(us) / precise(deliveries as u64);
    Figures {
        per_second: precise(deliveries as u64) / took.as_secs_f64(),
        own_us: each(own),
        store_us: each(broker_cpu),
    }
}

async fn publish(broker: &Broker, prefix: &str, events: usize) {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default())
        .await
        .expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let exchange = format!("{prefix}.events");
    for chunk in (0..events).collect::<Vec<_>>().chunks(500) {
        let mut confirms = Vec::with_capacity(chunk.len());
        for number in chunk {
            let body = payload(*number);
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_message_id(format!("e{number}").into());
            let confirm = channel
                .basic_publish(
                    exchange.as_str().into(),
                    "bench.job.completed".into(),
                    BasicPublishOptions::default(),
                    body.as_bytes(),
                    properties,
                )
                .await
                .expect("published");
            confirms.push(confirm);
        }
        for confirm in confirms {
            assert!(confirm.await.expect("answered").is_ack(), "confirmed");
        }
    }
}

async fn purge(broker: &Broker, queue: &str) {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default())
        .await
        .expect("the broker is up");
    let channel = connection.create_channel().await.expect("a channel");
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.expect("purged");
}
