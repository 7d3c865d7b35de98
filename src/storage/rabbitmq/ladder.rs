//! Puts deliveries on the ladder: a rung for each, declared on first use, confirmed all together.

use std::sync::Arc;

use async_trait::async_trait;

use super::Now;
use super::message::waiting;
use super::publisher::Publisher;
use super::rungs::Rungs;
use super::topology::Topology;
use crate::storage::StorageError;
use crate::storage::ladder::{Ladder, Waiting};

/// The ladder of delay queues.
pub(super) struct RabbitLadder {
    pub publisher: Publisher,
    pub topology: Arc<Topology>,
    pub rungs: Rungs,
    pub now: Now,
}

#[async_trait]
impl Ladder for RabbitLadder {
    async fn postpone(&self, batch: &[Waiting]) -> Result<(), StorageError> {
        // Read before the broker begins to count: the wait can only come out longer.
        let now = (self.now)();
        let messages = batch.iter().map(|waiting| {
            let hop = self.rungs.choose(now, waiting.due);
            let ladder = self.topology.ladder();
            waiting::message(&waiting.delivery, hop.due_at, ladder, hop.rung_ms)
        });
        self.publisher.publish(messages.collect()).await
    }
}
