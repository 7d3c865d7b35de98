//! Answers to requests in their table, each sealed and bound to its row.

use std::sync::Arc;

use async_trait::async_trait;

use super::Sql;
use super::engine::{OptionalExtension, params};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::answers::{Answers, Hash, Kept};
use crate::storage::vault::Place;

#[async_trait]
impl Answers for Sql {
    async fn answer(&self, key: Hash, since: Timestamp) -> Result<Option<Kept>, StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| {
            let mut find = connection.prepare_cached(
                "SELECT request, status, body FROM answers WHERE key = ?1 AND at >= ?2",
            )?;
            let found: Option<(Hash, u16, Vec<u8>)> = find
                .query_row(params![key, since], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
                .optional()?;
            let Some((request, status, sealed)) = found else { return Ok(None) };
            Ok(Some(Kept { request, status, body: vault.open(&place(&key), &sealed)? }))
        })
        .await
    }

    async fn keep_answer(
        &self,
        key: Hash,
        kept: &Kept,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let sealed = self.vault.seal(&place(&key), &kept.body)?;
        let (request, status) = (kept.request, kept.status);
        self.write(move |connection| {
            let mut keep = connection.prepare_cached(
                "INSERT INTO answers (key, request, status, body, at) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (key) DO NOTHING",
            )?;
            keep.execute(params![key, request, status, sealed, now])?;
            Ok(())
        })
        .await
    }
}

/// Where an answer belongs. Its key is a hash over whoever asked, so it is a tenant's as well.
const fn place(key: &Hash) -> Place<'_> {
    Place { table: "answers", column: "body", application: &[], row: key }
}
