//! An entry of the catalogue of event types: documentation for tenants, not a gate for events.

use serde::Serialize;

use super::id::OrganisationId;
use super::time::Timestamp;

/// A listed event type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventTypeEntry {
    /// Whose catalogue it is in.
    pub organisation: OrganisationId,
    /// The dotted name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether it is off the list, and kept because somebody may still refer to it.
    pub archived: bool,
    /// Whether nobody should begin to use it.
    pub deprecated: bool,
    /// JSON schemas of its payloads by version, as a JSON object.
    pub schemas: Option<serde_json::Value>,
    /// Only tenants with this flag are shown it.
    pub feature_flag: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}
