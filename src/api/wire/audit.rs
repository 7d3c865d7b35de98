//! Entries of the audit log.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::domain::time::Timestamp;
use crate::storage::audit::AuditEntry;

/// Somebody did something.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct AuditEntryOut {
    /// Its number: later ones have larger ones.
    number: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// Who: an organisation's id, or an application's; `posthaste` for what it does by itself, as a replay that pauses.
    actor: String,
    /// What, as the operation.
    #[schema(example = "DELETE /app/{app}")]
    action: String,
    /// To what: the path that was asked for.
    object: String,
    /// The status that it was answered with; null when we ended before there was one.
    #[schema(value_type = Option<u16>)]
    status: Option<u16>,
    /// What the path does not say: which filter, how many, why. Null when there is nothing to say; lists in it are
    /// cut short.
    #[schema(value_type = Option<Object>)]
    details: Option<Value>,
}

impl From<AuditEntry> for AuditEntryOut {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { number, deed, status, details } = entry;
        Self {
            number,
            timestamp: deed.at,
            actor: deed.actor,
            action: deed.action,
            object: deed.object,
            status,
            details,
        }
    }
}
