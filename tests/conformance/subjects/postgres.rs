//! PostgreSQL with all of the ports in one database: what is written for both engines, held to the same promises.
//!
//! A router has it beside a broker, which keeps inbox and ladder there; here they are its own, so that nothing of the
//! shared SQL goes unread. Each life reaches the server by a wire of its own. Away means that the wire is cut; a kill
//! cuts it for good. The server itself goes on, as it does when a router dies.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use posthaste::storage::sql::{Settings, Sql};
use posthaste::storage::vault::Vault;
use secrecy::SecretBox;

use crate::house::{Character, House, Ports};
use crate::support::clock;
use crate::support::postgres::{Postgres, count};
use crate::wire::Wire;

/// The house.
pub(crate) struct PostgresHouse {
    server: &'static Postgres,
    url: String,
    wire: Option<Wire>,
}

/// A new one, on a database of its own.
pub(crate) async fn house() -> Box<dyn House> {
    let server = Postgres::shared().await;
    Box::new(PostgresHouse { server, url: server.database().await, wire: None })
}

/// The stores of a database.
pub(crate) async fn opened(url: String) -> Sql {
    let vault = Vault::new(vec![(1, SecretBox::new(Box::new([7; 32])))]).expect("a keyring");
    let settings = Settings::Postgres(Box::new(url.parse().expect("a URL")));
    let opening = tokio::task::spawn_blocking(move || Sql::open(&settings, Arc::new(vault)));
    opening.await.expect("no panic").expect("it opens")
}

impl PostgresHouse {
    fn wire(&self) -> &Wire {
        self.wire.as_ref().expect("it is asked between open and kill")
    }
}

#[async_trait(?Send)]
impl House for PostgresHouse {
    fn character(&self) -> Character {
        Character {
            name: "PostgreSQL",
            knows_the_published: true,
            knows_applications: true,
            in_order_ms: &[200, 201, 202, 203, 204, 250, 251, 400],
            late_percent: 0,
            late_by: Duration::from_secs(10), // some commits on a busy machine
            silence: Duration::from_millis(300), // longer than between two looks
            patience: Duration::from_mins(1),
        }
    }

    async fn open(&mut self) -> Ports {
        let wire = Wire::to(SocketAddr::from(([127, 0, 0, 1], self.server.port()))).await;
        let direct = format!(":{}/", self.server.port());
        let tables = opened(self.url.replace(&direct, &format!(":{}/", wire.port()))).await;
        self.wire = Some(wire);
        let inbox = tables.inbox(Arc::new(clock)).await.expect("the database can be written");
        Ports {
            catalogue: Arc::new(tables.clone()),
            journal: Arc::new(tables.clone()),
            ledger: Arc::new(tables.clone()),
            ladder: Arc::new(tables.clone()),
            publisher: Arc::new(tables.publisher(Arc::new(clock))),
            inbox: Box::new(inbox),
        }
    }

    async fn kill(&mut self, ports: Ports) {
        let wire = self.wire.take().expect("a life to end");
        wire.cut().await; // first: whatever else says good-bye is not heard
        drop((ports, wire));
    }

    async fn heard(&mut self) {} // receipts mean nothing here: the rows are what is heard of

    async fn go_away(&mut self) {
        self.wire().cut().await;
    }

    async fn come_back(&mut self) {
        self.wire().mend().await;
    }

    async fn quarantined(&mut self) -> u64 {
        let count = count(&self.url, "SELECT count(*) FROM quarantine").await;
        u64::try_from(count).expect("not below zero")
    }
}
