//! The router of this process, as those see it who recover what a broker has lost: what it has in its memory,
//! and whom it would give an event to.

use std::sync::Arc;

use async_trait::async_trait;

use crate::control::recovery::Living;
use crate::domain::delivery::DeliveryKey;
use crate::domain::event::{ApplicationName, Event};
use crate::domain::id::EndpointId;
use crate::pipeline::route::Routes;
use crate::pipeline::window::Window;
use crate::storage::StorageError;
use crate::storage::catalogue::Catalogue;

/// A running router.
pub(super) struct LivingRouter {
    /// What is in its memory.
    pub(super) window: Arc<Window>,
    /// What it routes by.
    pub(super) routes: Routes,
    /// Where that is read from.
    pub(super) catalogue: Arc<dyn Catalogue>,
}

#[async_trait]
impl Living for LivingRouter {
    fn holds(&self, key: DeliveryKey) -> bool {
        self.window.holds(key)
    }

    async fn wanting(&self, event: &Event) -> Result<Option<Vec<EndpointId>>, StorageError> {
        // As ingest does: what was published behind an edit is routed by it.
        self.routes.refresh(self.catalogue.as_ref()).await?;
        let table = self.routes.table();
        let there = table.application(&ApplicationName::Id(event.application)).is_some();
        Ok(there.then(|| table.wanting(event)))
    }
}
