//! Publishes events as any producer would: for the command line and for events that come by HTTP.

use std::sync::Arc;

use async_trait::async_trait;

use super::message::outgoing;
use super::publisher::Publisher;
use super::topology::Topology;
use crate::storage::StorageError;
use crate::storage::inbox::{Publication, Publish, Published};

/// The events exchange.
pub(super) struct Producer {
    pub publisher: Publisher,
    pub topology: Arc<Topology>,
}

#[async_trait]
impl Publish for Producer {
    async fn publish(&self, batch: &[Publication]) -> Result<Vec<Published>, StorageError> {
        let messages: Result<Vec<_>, _> =
            batch.iter().map(|event| outgoing::published(event, &self.topology)).collect();
        self.publisher.publish(messages?).await?;
        Ok(vec![Published::Now; batch.len()])
    }
}
