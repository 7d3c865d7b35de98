//! The audit log in its table.

use async_trait::async_trait;
use serde_json::Value;

use super::Sql;
use super::engine::{Connection, Row, params};
use super::rows::{json, read_json};
use super::walk::Walk;
use crate::domain::id::OrganisationId;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::audit::{Audit, AuditEntry, Deed, OURSELVES};
use crate::storage::page::Page;

#[async_trait]
impl Audit for Sql {
    async fn begin_deed(&self, deed: &Deed) -> Result<i64, StorageError> {
        let deed = deed.clone();
        self.write(move |connection| {
            let mut begin = connection.prepare_cached(
                "INSERT INTO audit (organisation, at, actor, action, object) \
                 VALUES (?1, ?2, ?3, ?4, ?5) RETURNING seq",
            )?;
            let Deed { organisation, at, actor, action, object } = &deed;
            let values = params![organisation, at, actor, action, object];
            Ok(begin.query_row(values, |row| row.get(0))?)
        })
        .await
    }

    async fn end_deed(
        &self,
        number: i64,
        status: u16,
        details: Option<Value>,
    ) -> Result<(), StorageError> {
        self.write(move |connection| {
            let mut end = connection.prepare_cached(
                "UPDATE audit SET status = ?2, details = ?3 WHERE seq = ?1 AND status IS NULL",
            )?;
            end.execute(params![number, status, details.as_ref().map(json)])?;
            Ok(())
        })
        .await
    }

    async fn deeds(
        &self,
        organisation: OrganisationId,
        page: &Page<i64>,
    ) -> Result<Vec<AuditEntry>, StorageError> {
        let page = page.clone();
        self.browse(move |connection| {
            Walk::over("audit", "seq", &page)
                .only("organisation = ?", organisation)
                .rows(connection, entry)
        })
        .await
    }
}

/// Writes down what we do by ourselves, in the transaction that does it: no deed is without its entry.
pub(super) fn by_ourselves(
    connection: &Connection,
    organisation: OrganisationId,
    (action, object): (&str, &str),
    details: &Value,
    at: Timestamp,
) -> Result<(), StorageError> {
    let mut write = connection.prepare_cached(
        "INSERT INTO audit (organisation, at, actor, action, object, status, details) \
         VALUES (?1, ?2, ?3, ?4, ?5, 200, ?6)",
    )?;
    write.execute(params![organisation, at, OURSELVES, action, object, json(details)])?;
    Ok(())
}

fn entry(row: &Row<'_>) -> Result<AuditEntry, StorageError> {
    let number = row.get("seq")?;
    let details: Option<String> = row.get("details")?;
    let details = details.map(|text| read_json(&text, number, "details")).transpose()?;
    let deed = Deed {
        organisation: row.get("organisation")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        object: row.get("object")?,
        at: row.get("at")?,
    };
    Ok(AuditEntry { number, deed, status: row.get("status")?, details })
}
