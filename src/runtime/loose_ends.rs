//! Brings edits to their end that were cut off: a client that hung up, a store that was away, a crash.
//!
//! Deleting an endpoint takes back what it is owed, enabling one offers what waits for it, and so does letting
//! an application's deliveries go on: in many small steps behind the edit itself. What is left when somebody dies in between would wait for ever.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::journal::Ledger;
use crate::storage::upkeep::{Undone, Upkeep};

/// How often it is looked. Longer than any request is served: what is being done is not done twice.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Endpoints that one look brings to their end; the rest a minute later.
const PAGE: u32 = 100;

/// Who looks after them.
pub(super) struct LooseEnds {
    /// Where they are found.
    pub(super) upkeep: Arc<dyn Upkeep>,
    /// Where they are tied.
    pub(super) ledger: Arc<dyn Ledger>,
    /// What time it is.
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl LooseEnds {
    /// Looks after them until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let looking = async {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Err(error) = self.tie().await {
                    warn!(%error, "edits that were cut off cannot be looked for, trying every minute");
                }
            }
        };
        stop.run_until_cancelled(looking).await;
    }

    async fn tie(&self) -> Result<(), StorageError> {
        for undone in self.upkeep.left_undone(PAGE).await? {
            let now = (self.now)();
            let (of, moved) = match undone {
                Undone::Deleted(endpoint) => {
                    (endpoint.to_string(), self.ledger.cancel(endpoint, now).await?)
                }
                Undone::Activated(endpoint) => {
                    (endpoint.to_string(), self.ledger.recall(endpoint, now).await?)
                }
                Undone::LetsGo(application) => {
                    (application.to_string(), self.ledger.recall_held(application, now).await?)
                }
            };
            info!(of, moved, "an edit that was cut off has come to its end");
        }
        Ok(())
    }
}
