//! What became of deliveries, for those who published their events: by what they are about, as a platform
//! asks for the webhook of one of its jobs.

use super::{Answer, Control, ControlError};
use crate::domain::application::Tenant;
use crate::domain::dead_letter;
use crate::domain::delivery::DeliveryKey;
use crate::domain::id::EndpointId;
use crate::storage::history::{DeliveryEntry, DeliveryFilter, TrackedDelivery};
use crate::storage::page::{Listed, Page};

/// An attempt's outcome as its tenant is told it ([`dead_letter::told`]).
pub fn told(outcome: &str, url: &str) -> String {
    dead_letter::told(outcome, url).to_owned()
}

/// Why a delivery's last request had no answer, as its tenant is told it; `None` when it had one, or when
/// there was no request that has ended.
pub fn last_error(entry: &DeliveryEntry) -> Option<String> {
    let unanswered = entry.ended().filter(|last| last.status == 0)?;
    Some(told(&unanswered.outcome, entry.url.as_deref().unwrap_or_default()))
}

impl Control {
    /// A tenant's deliveries, with what became of each so far.
    ///
    /// # Errors
    /// `Conflict` when the page lies beside an event that is not there.
    pub async fn deliveries(
        &self,
        tenant: Tenant,
        filter: &DeliveryFilter,
        page: &Page<DeliveryKey>,
    ) -> Answer<Listed<DeliveryEntry, DeliveryKey>> {
        let filter = DeliveryFilter { now: (self.context.now)(), ..filter.clone() };
        Ok(self.history.deliveries(tenant, &filter, page).await?)
    }

    /// One of them, by its event and its endpoint, each as it is named elsewhere.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delivery_of(
        &self,
        tenant: Tenant,
        event: &str,
        endpoint: &str,
    ) -> Answer<TrackedDelivery> {
        let key = DeliveryKey {
            event: self.event_of(tenant, event).await?.id,
            endpoint: self.owed_endpoint(tenant, endpoint).await?,
        };
        self.history.delivery_of(tenant, key, (self.context.now)()).await?.ok_or_else(|| {
            ControlError::NotFound(format!("event `{event}` is not owed to endpoint `{endpoint}`"))
        })
    }

    /// The id of an endpoint that something may be owed to: one that is listed, by its uid too, or that was,
    /// or that nobody lists.
    ///
    /// # Errors
    /// `NotFound` for what is neither an endpoint of the tenant's nor an id.
    pub async fn owed_endpoint(&self, tenant: Tenant, name: &str) -> Answer<EndpointId> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        Ok(self.endpoint_of(tenant, name).await?.id)
    }
}
