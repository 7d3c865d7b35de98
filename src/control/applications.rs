//! Applications: making, listing and deleting tenants.

use super::names::{check_name, check_uid};
use super::{Answer, Control, ControlError};
use crate::domain::application::{Application, Metadata};
use crate::domain::id::ApplicationId;
use crate::storage::page::{Order, Page};

impl Control {
    /// Makes an application.
    ///
    /// # Errors
    /// `Invalid` for its name or uid; `Conflict` when the uid is taken.
    pub async fn create_application(
        &self,
        name: String,
        uid: Option<String>,
    ) -> Answer<Application> {
        let now = (self.context.now)();
        let application = Application {
            id: ApplicationId::minted(now, self.context.id_chance()),
            organisation: self.organisation,
            uid: check_uid(uid, ApplicationId::PREFIX)?,
            name: check_name(name)?,
            throttle_rate: None,
            metadata: Metadata::new(),
            created_at: now,
            updated_at: now,
        };
        self.catalogue.add_application(&application).await?;
        Ok(application)
    }

    /// Every application, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn applications(&self) -> Answer<Vec<Application>> {
        let whole = Page::whole(Order::Ascending);
        Ok(self.catalogue.applications(self.organisation, &whole).await?)
    }

    /// Deletes an application and its endpoints, and takes back what they are owed; how many
    /// deliveries that were.
    ///
    /// # Errors
    /// `NotFound`. `Unavailable` names the endpoints whose deliveries may still be owed: deleting
    /// each by its id takes them back.
    pub async fn delete_application(&self, name: &str) -> Answer<u64> {
        let application = self.application(name).await?;
        let whole = Page::whole(Order::Ascending);
        let endpoints = self.catalogue.endpoints(application.tenant(), &whole).await?;
        let now = (self.context.now)();
        if !self.catalogue.delete_application(application.tenant(), now).await? {
            return Err(ControlError::NotFound(format!("no application is called `{name}`")));
        }
        let mut cancelled = 0;
        let mut left = Vec::new();
        for endpoint in endpoints {
            match self.ledger.cancel(endpoint.id, now).await {
                Ok(count) => cancelled += count,
                // The others first: one slow answer should not leave them all.
                Err(_) => left.push(endpoint.id.to_string()),
            }
        }
        if left.is_empty() {
            return Ok(cancelled);
        }
        Err(ControlError::Unavailable(format!(
            "application `{name}` is deleted, but what these endpoints are owed could not be taken \
             back; delete each by its id: {}",
            left.join(", ")
        )))
    }
}
