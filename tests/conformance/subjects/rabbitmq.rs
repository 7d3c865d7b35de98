//! RabbitMQ as a router has it: inbox, ladder and publishing on a node that the suite shares, each
//! house with names of its own, beside a journal in SQLite.
//!
//! Away means that the wire to the node is cut; the journal stays. A kill cuts it for good.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use posthaste::storage::rabbitmq::inbox::StopHandle;
use posthaste::storage::rabbitmq::topology::Topology;
use posthaste::storage::rabbitmq::{Rabbit, Settings};

use super::file::MortalFile;
use crate::house::{Character, House, Ports};
use crate::support::broker::Broker;
use crate::support::{clock, unique_prefix};
use crate::wire::Wire;

/// The house.
pub(crate) struct RabbitHouse {
    broker: &'static Broker,
    prefix: String,
    file: MortalFile,
    life: Option<Life>,
}

/// What a life holds besides the ports.
struct Life {
    wire: Wire,
    rabbit: Rabbit,
    inbox: StopHandle,
}

/// A new one. Its first life declares its queues.
pub(crate) async fn house() -> Box<dyn House> {
    let (broker, prefix) = (Broker::shared().await, unique_prefix());
    Box::new(RabbitHouse { broker, prefix, file: MortalFile::new(), life: None })
}

impl RabbitHouse {
    fn life(&self) -> &Life {
        self.life.as_ref().expect("it is asked between open and kill")
    }
}

#[async_trait(?Send)]
impl House for RabbitHouse {
    fn character(&self) -> Character {
        Character {
            name: "RabbitMQ",
            knows_the_published: false,
            knows_applications: false,
            in_order_ms: &[200, 500, 1_000, 1_600],
            late_percent: 28,                    // the widest step between two rungs
            late_by: Duration::from_secs(15),    // a rung is declared, on a busy node
            silence: Duration::from_millis(200), // many times what it takes to a consumer
            patience: Duration::from_mins(1),
        }
    }

    async fn open(&mut self) -> Ports {
        let sqlite = self.file.open();
        let far_end = SocketAddr::from(([127, 0, 0, 1], self.broker.port()));
        let wire = Wire::to(far_end).await;
        let settings = Settings {
            urls: vec![format!("amqp://guest:guest@127.0.0.1:{}/%2f", wire.port())],
            prefix: self.prefix.clone(),
            ..Settings::default()
        };
        let rabbit = Rabbit::start(settings, Arc::new(clock)).expect("good settings");
        let inbox = rabbit.inbox();
        let handle = inbox.stop_handle();
        let ports = Ports {
            catalogue: Arc::new(sqlite.clone()),
            journal: Arc::new(sqlite.clone()),
            ledger: Arc::new(sqlite),
            ladder: rabbit.ladder(),
            publisher: rabbit.producer(),
            inbox: Box::new(inbox),
        };
        self.life = Some(Life { wire, rabbit, inbox: handle });
        ports
    }

    async fn kill(&mut self, ports: Ports) {
        let Life { wire, rabbit, inbox } = self.life.take().expect("a life to end");
        wire.cut().await; // first: whatever else says good-bye is not heard
        self.file.kill();
        drop((ports, inbox, rabbit, wire));
    }

    async fn heard(&mut self) {
        self.life().inbox.flush().await;
    }

    async fn go_away(&mut self) {
        self.life().wire.cut().await;
    }

    async fn come_back(&mut self) {
        self.life().wire.mend().await;
    }

    async fn quarantined(&mut self) -> u64 {
        let url = self.broker.url();
        let connection = Connection::connect(&url, ConnectionProperties::default()).await;
        let connection = connection.expect("a node of our own");
        let channel = connection.create_channel().await.expect("a channel");
        let name = Topology::new(&self.prefix).expect("a prefix").quarantine();
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = channel.queue_declare(name.into(), passive, FieldTable::default()).await;
        u64::from(queue.expect("it is declared").message_count())
    }
}
