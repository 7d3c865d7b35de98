//! The catalogue of event types: documentation for tenants, not a gate. An event whose type nobody
//! has listed is delivered all the same.

use super::names::check_description;
use super::{Answer, Control, ControlError};
use crate::domain::event::EventType;
use crate::domain::event_type::EventTypeEntry;
use crate::storage::page::{Order, Page};

impl Control {
    /// Lists an event type.
    ///
    /// # Errors
    /// `Invalid` for its name; `Conflict` when it is listed already.
    pub async fn create_event_type(
        &self,
        name: &str,
        description: String,
    ) -> Answer<EventTypeEntry> {
        let name: EventType =
            name.parse().map_err(|fault| ControlError::Invalid(format!("{fault}")))?;
        if self.catalogue.event_type(self.organisation, name.as_str()).await?.is_some() {
            return Err(ControlError::Conflict(format!("event type `{name}` is there already")));
        }
        let now = (self.context.now)();
        let entry = EventTypeEntry {
            organisation: self.organisation,
            name: name.to_string(),
            description: check_description(description)?,
            archived: false,
            deprecated: false,
            schemas: None,
            feature_flag: None,
            created_at: now,
            updated_at: now,
        };
        self.catalogue.put_event_type(&entry).await?;
        Ok(entry)
    }

    /// Every listed event type, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn event_types(&self) -> Answer<Vec<EventTypeEntry>> {
        let whole = Page::whole(Order::Ascending);
        Ok(self.catalogue.event_types(self.organisation, false, &whole).await?)
    }

    /// Takes an event type off the list.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_event_type(&self, name: &str) -> Answer<()> {
        if self.catalogue.delete_event_type(self.organisation, name).await? {
            Ok(())
        } else {
            Err(ControlError::NotFound(format!("no event type is called `{name}`")))
        }
    }
}
