//! The directory's port in SQL: a walk over all endpoints by their ids, each with its application and its failures beside it.
//!
//! What is wanted is judged row by row, and not by the statement: so a page looks at a bounded number of endpoints, other
//! organisations' and deleted ones among them, whatever is asked for.

use async_trait::async_trait;

use super::engine::Row;
use super::walk::Walk;
use super::{Sql, endpoints};
use crate::domain::id::{EndpointId, OrganisationId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::directory::{Directory, DirectoryEntry, DirectoryFilter};
use crate::storage::page::{Listed, Page};

const FROM: &str = "endpoints p CROSS JOIN applications a ON a.id = p.application \
     LEFT JOIN failing f ON f.endpoint = p.id";
const COLUMNS: &str = "p.id, p.uid, p.description, p.url, p.state, p.disabled_because, p.throttle_rate, p.application, \
     a.name, a.uid, f.since, coalesce(f.attempts, 0), p.created_at, \
     a.organisation, p.deleted_at IS NOT NULL OR a.deleted_at IS NOT NULL";

#[async_trait]
impl Directory for Sql {
    async fn everywhere(
        &self,
        organisation: OrganisationId,
        filter: &DirectoryFilter,
        page: &Page<EndpointId>,
    ) -> Result<Listed<DirectoryEntry, EndpointId>, StorageError> {
        let text = filter.text.as_deref().map(str::to_ascii_lowercase);
        let (filter, page) = (filter.clone(), page.clone());
        self.browse(move |connection| {
            walk(&page).look(
                connection,
                |row| Ok(row.get(0)?),
                |row| {
                    if row.get::<_, OrganisationId>(13)? != organisation || row.get(14)? {
                        return Ok(None);
                    }
                    let entry = entry(row)?;
                    Ok(matches(&entry, &filter, text.as_deref()).then_some(entry))
                },
                |_| 0, // the longest row is some kilobytes
            )
        })
        .await
    }
}

/// The walk; a test reads its plan.
pub(super) fn walk(page: &Page<EndpointId>) -> Walk {
    Walk::over(FROM, "p.id", page).columns(COLUMNS)
}

fn matches(entry: &DirectoryEntry, filter: &DirectoryFilter, text: Option<&str>) -> bool {
    filter.state.is_none_or(|state| state == entry.state)
        && (!filter.failing || entry.failing_since.is_some())
        && text.is_none_or(|text| {
            let has = |field: &str| field.to_ascii_lowercase().contains(text);
            has(&entry.url)
                || has(&entry.description)
                || has(&entry.application_name)
                || entry.uid.as_deref().is_some_and(has)
                || entry.application_uid.as_deref().is_some_and(has)
                || has(&entry.id.to_string())
                || has(&entry.application.to_string())
        })
}

fn entry(row: &Row<'_>) -> Result<DirectoryEntry, StorageError> {
    let id: EndpointId = row.get(0)?;
    let state: String = row.get(4)?;
    let failing_since: Option<Timestamp> = row.get(10)?;
    Ok(DirectoryEntry {
        id,
        uid: row.get(1)?,
        description: row.get(2)?,
        url: row.get(3)?,
        state: endpoints::state_of(&state)
            .ok_or_else(|| super::rows::corrupt(format!("state of {id} is `{state}`")))?,
        because: endpoints::because(row.get::<_, Option<String>>(5)?.as_deref()),
        throttle_rate: row.get(6)?,
        application: row.get(7)?,
        application_name: row.get(8)?,
        application_uid: row.get(9)?,
        failing_since,
        failures: row.get(11)?,
        created_at: row.get(12)?,
    })
}
