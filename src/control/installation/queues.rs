//! How much waits: in which queue, and until when.

use std::sync::Arc;

use super::Installation;
use crate::control::Answer;
use crate::domain::time::Timestamp;
use crate::storage::queues::{Depths, Queues, WaitingBySpan, Waits};

/// Where that is asked.
#[derive(Clone)]
pub struct QueueDesk {
    queues: Arc<[Arc<dyn Queues>]>,
    waits: Arc<dyn Waits>,
    now: fn() -> Timestamp,
}

impl QueueDesk {
    /// A desk over the stores that have queues, and over the record.
    pub fn new(
        queues: Vec<Arc<dyn Queues>>,
        waits: Arc<dyn Waits>,
        now: fn() -> Timestamp,
    ) -> Self {
        Self { queues: queues.into(), waits, now }
    }

    /// How each queue stands, store by store.
    ///
    /// # Errors
    /// `Unavailable`: the broker cannot be asked. What waits can still be told from the record.
    pub async fn depths(&self, _: Installation) -> Answer<Depths> {
        let mut all = Depths::default();
        for store in &*self.queues {
            let Depths { queues, missing } = store.depths().await?;
            all.queues.extend(queues);
            all.missing.extend(missing);
        }
        Ok(all)
    }

    /// By when what waits goes on.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn waiting(&self, _: Installation) -> Answer<WaitingBySpan> {
        Ok(self.waits.waiting((self.now)()).await?)
    }
}
