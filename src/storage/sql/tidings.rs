//! What operators are to be told of: written beside what it tells, read by the herald.
//!
//! A row holds all that is said, as it was when it happened: names change, and endpoints go.

use async_trait::async_trait;
use serde::Serialize;

use super::Sql;
use super::engine::{Connection, OptionalExtension, params};
use crate::domain::delivery::Attempt;
use crate::domain::id::{ApplicationId, EndpointId, EventId};
use crate::domain::tiding::Tiding;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::tidings::{Tidings, Untold};

/// What happened, and to whom.
#[derive(Debug, Default)]
pub(super) struct About<'a> {
    pub(super) event: Option<EventId>,
    pub(super) last_attempt: Option<&'a Attempt>,
    pub(super) fails_since: Option<Timestamp>,
}

/// The data of the event that a tiding becomes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    app_id: ApplicationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_uid: Option<String>,
    endpoint_id: EndpointId,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_id: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg_event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_attempt: Option<LastAttempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fail_since: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LastAttempt {
    id: String,
    response_status_code: u16,
    timestamp: String,
}

/// Writes a tiding about an endpoint, or about a URL that nobody lists as one: then its event says whose it
/// is.
pub(super) fn tell(
    connection: &Connection,
    tiding: Tiding,
    endpoint: EndpointId,
    about: &About<'_>,
    at: Timestamp,
) -> Result<(), StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT e.application, e.uid, a.uid FROM endpoints e \
         LEFT JOIN applications a ON a.id = e.application WHERE e.id = ?1 \
         UNION ALL \
         SELECT e.application, NULL, a.uid FROM events e \
         LEFT JOIN applications a ON a.id = e.application WHERE e.id = ?2 LIMIT 1",
    )?;
    let names = find
        .query_row(params![endpoint, about.event], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((app_id, endpoint_uid, owners_uid)) = names else { return Ok(()) };
    let mut find = connection.prepare_cached("SELECT event_id FROM events WHERE id = ?1")?;
    let msg_event_id = match about.event {
        Some(event) => find.query_row([event], |row| row.get(0)).optional()?.flatten(),
        None => None,
    };
    let data = Data {
        app_id,
        app_uid: owners_uid,
        endpoint_id: endpoint,
        endpoint_uid,
        msg_id: about.event,
        msg_event_id,
        last_attempt: about.last_attempt.map(|attempt| LastAttempt {
            id: attempt.id.to_string(),
            response_status_code: attempt.outcome.status(),
            timestamp: attempt.started_at.to_string(),
        }),
        fail_since: about.fails_since.map(|since| since.to_string()),
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO tidings (kind, application, endpoint, event, details, at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let details = super::rows::json(&data);
    insert.execute(params![tiding.as_str(), app_id, endpoint, about.event, details, at])?;
    Ok(())
}

#[async_trait]
impl Tidings for Sql {
    async fn untold(&self, limit: usize) -> Result<Vec<Untold>, StorageError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT seq, kind, details, at FROM tidings ORDER BY seq LIMIT ?1",
            )?;
            let found = find.query_map([limit], |row| {
                Ok(Untold {
                    number: row.get(0)?,
                    kind: row.get(1)?,
                    data: row.get(2)?,
                    at: row.get(3)?,
                })
            })?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn told(&self, numbers: Vec<i64>) -> Result<(), StorageError> {
        self.write(move |connection| {
            let mut delete = connection.prepare_cached("DELETE FROM tidings WHERE seq = ?1")?;
            for number in &numbers {
                delete.execute([number])?;
            }
            Ok(())
        })
        .await
    }
}
