//! SQLite as the embedded router has it: inbox, ladder and journal in one file.
//!
//! Away means that another process has the write lock: reads go on, writes wait for it. Longer than
//! five seconds, and they would be told so; the suite does not wait that long.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::file::MortalFile;
use crate::house::{Character, House, Ports};
use crate::support::clock;

/// The house.
pub(crate) struct SqliteHouse {
    file: MortalFile,
}

/// A new one.
pub(crate) async fn house() -> Box<dyn House> {
    Box::new(SqliteHouse { file: MortalFile::new() })
}

#[async_trait(?Send)]
impl House for SqliteHouse {
    fn character(&self) -> Character {
        Character {
            name: "SQLite",
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
        let sqlite = self.file.open();
        let inbox = sqlite.inbox(Arc::new(clock)).await.expect("the file can be written");
        Ports {
            catalogue: Arc::new(sqlite.clone()),
            journal: Arc::new(sqlite.clone()),
            ledger: Arc::new(sqlite.clone()),
            ladder: Arc::new(sqlite.clone()),
            publisher: Arc::new(sqlite.publisher(Arc::new(clock))),
            inbox: Box::new(inbox),
        }
    }

    async fn kill(&mut self, ports: Ports) {
        self.file.kill();
        drop(ports);
    }

    async fn heard(&mut self) {} // receipts mean nothing here: the rows are what is heard of

    async fn go_away(&mut self) {
        self.file.lock();
    }

    async fn come_back(&mut self) {
        self.file.unlock();
    }

    async fn quarantined(&mut self) -> u64 {
        self.file.count("SELECT count(*) FROM quarantine")
    }
}
