//! A list that comes in parts, read up to a limit.

use serde::de::DeserializeOwned;

use super::client::{Client, Path, Refusal};
use super::output::note;
use super::wire::{ListAnswer, Told};

/// Most rows of one part: what the API gives.
const PAGE: usize = 250;
/// Most parts that are read without a row in any: a search that looks at much and finds nothing.
const EMPTY_PARTS_MAX: usize = 1_000;

/// The rows, and where the next would begin.
pub(super) struct Rows<T> {
    pub(super) rows: Vec<Told<T>>,
    beyond: Option<String>,
}

/// Reads at most `limit` rows, from behind `after`.
///
/// # Errors
/// As [`Client::get`].
pub(super) async fn read<T: DeserializeOwned>(
    client: &Client,
    path: &Path,
    limit: usize,
    after: Option<String>,
) -> Result<Rows<T>, Refusal> {
    let (mut rows, mut after, mut empty) = (Vec::new(), after, 0);
    while rows.len() < limit && empty < EMPTY_PARTS_MAX {
        let wanted = PAGE.min(limit - rows.len());
        let part = path.clone().with("limit", Some(wanted)).with("iterator", after.as_ref());
        let part: ListAnswer<T> = client.get(&part).await?;
        empty = if part.data.is_empty() { empty + 1 } else { 0 };
        rows.extend(part.data);
        // Without a place there is nowhere to go on from.
        let beyond = part.iterator.filter(|_| !part.done);
        if beyond.is_none() {
            return Ok(Rows { rows, beyond });
        }
        after = beyond;
    }
    Ok(Rows { rows, beyond: after })
}

impl<T> Rows<T> {
    /// Says so, when the list goes on.
    pub(super) fn tell_of_more(&self) {
        if let Some(place) = &self.beyond {
            note(&format!("{} shown; the next: --after {place}", self.rows.len()));
        }
    }
}
