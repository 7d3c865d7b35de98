//! Reads one page of a list, by key: the conditions, the place, the order and the limit of its query.
//!
//! A list is read in the order of an index, so that a page costs what it looks at. Where rows are wanted
//! that match seldom, it [looks](Walk::look) at a bounded number of them, one by one, and says how far
//! it came.

use rusqlite::ToSql;
use rusqlite::types::Value;

use super::engine::{Connection, Row, params_from_iter, value};
use crate::storage::StorageError;
use crate::storage::page::{Listed, Order, Page};

/// Most rows that one page looks at.
///
/// Twenty of the longest pages: what one row in twenty matches is found in full pages. And some 20 ms of a
/// reader's time, so that no question holds up the others for long, whatever is asked for.
pub(super) const LOOK: usize = 5_000;

/// A page ends when what it holds comes to this: 250 payloads can be large, and are in memory several
/// times over until they are sent.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// A page's query in the making.
pub(super) struct Walk {
    columns: &'static str,
    from: String,
    conditions: String,
    values: Vec<Value>,
    key: &'static str,
    /// What tells rows of one key apart, where there may be several.
    tie: Option<&'static str>,
    order: Order,
    turned: bool,
    limit: usize,
}

/// The part of a list that can match at all, by its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach<K> {
    /// From this key on.
    pub(super) from: Option<K>,
    /// Below this key.
    pub(super) below: Option<K>,
}

impl<K> Reach<K> {
    /// The whole list.
    pub(super) const EVERYTHING: Self = Self { from: None, below: None };
}

impl Walk {
    /// A walk over `from` (a table, or several joined) by the column `key`.
    pub(super) fn over<K: ToSql + Ord>(from: &str, key: &'static str, page: &Page<K>) -> Self {
        Self::within(from, key, page, &Reach::EVERYTHING)
    }

    /// A walk over no more than this part of it.
    pub(super) fn within<K: ToSql + Ord>(
        from: &str,
        key: &'static str,
        page: &Page<K>,
        reach: &Reach<K>,
    ) -> Self {
        let (order, turned) = page.reading();
        let walk = Self {
            columns: "*",
            from: from.to_owned(),
            conditions: "1".to_owned(),
            values: Vec::new(),
            key,
            tie: None,
            order,
            turned,
            limit: page.limit,
        };
        // One bound on each side at the most: of two, the index would be entered by either, and all that
        // lies between them gone through.
        let mut lower = reach.from.as_ref().map(|from| (">=", from));
        let mut upper = reach.below.as_ref().map(|below| ("<", below));
        match (page.beside(), order) {
            (None, _) => {}
            (Some(beside), Order::Ascending) => {
                if lower.is_none_or(|(_, from)| beside >= from) {
                    lower = Some((">", beside));
                }
            }
            (Some(beside), Order::Descending) => {
                if upper.is_none_or(|(_, below)| beside <= below) {
                    upper = Some(("<", beside));
                }
            }
        }
        [lower, upper]
            .into_iter()
            .flatten()
            .fold(walk, |walk, (than, bound)| walk.only(&format!("{key} {than} ?"), bound))
    }

    /// Reads these columns, and not all.
    pub(super) fn columns(mut self, columns: &'static str) -> Self {
        self.columns = columns;
        self
    }

    /// Only rows of which this is true; the question mark in it is the value.
    pub(super) fn only(mut self, condition: &str, value: impl ToSql) -> Self {
        self.values.push(owned(&value));
        self.only_where(condition)
    }

    /// The same with two question marks.
    pub(super) fn only_both(mut self, condition: &str, one: impl ToSql, other: impl ToSql) -> Self {
        self.values.extend([owned(&one), owned(&other)]);
        self.only_where(condition)
    }

    /// Rows of one key in the order of this column, the same way round.
    pub(super) fn then_by(mut self, tie: &'static str) -> Self {
        self.tie = Some(tie);
        self
    }

    /// Only rows of which this is true.
    pub(super) fn only_where(mut self, condition: &str) -> Self {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self
    }

    /// The statement.
    pub(super) fn sql(&self, limit: usize) -> String {
        let Self { columns, from, conditions, key, .. } = self;
        let limit = i64::try_from(limit).unwrap_or(-1); // below 0: without a limit
        let order = match self.order {
            Order::Ascending => "ASC",
            Order::Descending => "DESC",
        };
        let tie = self.tie.map(|tie| format!(", {tie} {order}")).unwrap_or_default();
        format!(
            "SELECT {columns} FROM {from} WHERE {conditions} ORDER BY {key} {order}{tie} LIMIT {limit}"
        )
    }

    /// The values of its question marks.
    #[cfg(test)]
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    /// The rows, in the list's order.
    pub(super) fn rows<T>(
        self,
        connection: &Connection,
        read: impl FnMut(&Row<'_>) -> Result<T, StorageError>,
    ) -> Result<Vec<T>, StorageError> {
        let mut find = connection.prepare_cached(&self.sql(self.limit))?;
        let found = find.query_and_then(params_from_iter(self.values), read)?;
        let mut rows = found.collect::<Result<Vec<_>, _>>()?;
        if self.turned {
            rows.reverse();
        }
        Ok(rows)
    }

    /// Goes over at most so many rows, for as long as `more` says so.
    pub(super) fn each(
        self,
        connection: &Connection,
        most: usize,
        mut more: impl FnMut(&Row<'_>) -> Result<bool, StorageError>,
    ) -> Result<(), StorageError> {
        let mut find = connection.prepare_cached(&self.sql(most))?;
        let mut found = find.query(params_from_iter(self.values))?;
        while let Some(row) = found.next()? {
            if !more(&row)? {
                break;
            }
        }
        Ok(())
    }

    /// The rows that `read` makes something of, in the list's order. It ends when the page is full, when
    /// what it holds comes to [`PAGE_BYTES`] (`bytes` says how much that is), or when it has looked at
    /// [`LOOK`] rows; `key` names the row from which it goes on.
    ///
    /// One row more than it holds is looked for, so that a page which has nothing beyond it says so.
    pub(super) fn look<T, K>(
        self,
        connection: &Connection,
        key: impl Fn(&Row<'_>) -> Result<K, StorageError>,
        mut read: impl FnMut(&Row<'_>) -> Result<Option<T>, StorageError>,
        bytes: impl Fn(&T) -> usize,
    ) -> Result<Listed<T, K>, StorageError> {
        let mut find = connection.prepare_cached(&self.sql(LOOK + 1))?;
        let mut found = find.query(params_from_iter(self.values))?;
        let mut listed = Listed::nothing();
        let (mut looked, mut held) = (0, 0);
        // Where the page ended, and where the look did.
        let (mut page_end, mut look_end) = (None, None);
        while let Some(row) = found.next()? {
            let matching = if looked == LOOK { None } else { read(&row)? };
            if looked == LOOK || (matching.is_some() && page_end.is_some()) {
                listed.beyond = page_end.or(look_end);
                break;
            }
            looked += 1;
            if looked == LOOK {
                look_end = Some(key(&row)?);
            }
            if let Some(one) = matching {
                held += bytes(&one);
                listed.rows.push(one);
                if listed.rows.len() >= self.limit || held >= PAGE_BYTES {
                    page_end = Some(key(&row)?);
                }
            }
        }
        if self.turned {
            listed.rows.reverse();
        }
        Ok(listed)
    }
}

fn owned(word: &dyn ToSql) -> Value {
    value(word).expect("our own columns' types can be written")
}
