//! Reads one page of a list, by key: the conditions, the place, the order and the limit of its query.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, ToSql, params_from_iter};

use crate::storage::StorageError;
use crate::storage::page::{Order, Page};

/// A page's query in the making.
pub(super) struct Walk {
    from: String,
    conditions: String,
    values: Vec<Value>,
    key: &'static str,
    order: Order,
    turned: bool,
    limit: i64,
}

impl Walk {
    /// A walk over `from` (a table, or several joined) by the column `key`.
    pub(super) fn over<K: ToSql>(from: &str, key: &'static str, page: &Page<K>) -> Self {
        let (order, turned) = page.reading();
        let limit = i64::try_from(page.limit).unwrap_or(-1); // below 0: without a limit
        let walk = Self {
            from: from.to_owned(),
            conditions: "1".to_owned(),
            values: Vec::new(),
            key,
            order,
            turned,
            limit,
        };
        match (page.beside(), order) {
            (None, _) => walk,
            (Some(beside), Order::Ascending) => walk.only(&format!("{key} > ?"), beside),
            (Some(beside), Order::Descending) => walk.only(&format!("{key} < ?"), beside),
        }
    }

    /// Only rows of which this is true; the question mark in it is the value.
    pub(super) fn only(mut self, condition: &str, value: impl ToSql) -> Self {
        self.values.push(owned(&value));
        self.only_where(condition)
    }

    /// Only rows of which this is true.
    pub(super) fn only_where(mut self, condition: &str) -> Self {
        self.conditions.push_str(" AND ");
        self.conditions.push_str(condition);
        self
    }

    /// The statement, for a test that reads its plan.
    pub(super) fn sql(&self) -> String {
        let Self { from, conditions, key, limit, .. } = self;
        let order = match self.order {
            Order::Ascending => "ASC",
            Order::Descending => "DESC",
        };
        format!("SELECT * FROM {from} WHERE {conditions} ORDER BY {key} {order} LIMIT {limit}")
    }

    /// The rows, in the list's order.
    pub(super) fn rows<T>(
        self,
        connection: &Connection,
        read: impl FnMut(&Row<'_>) -> Result<T, StorageError>,
    ) -> Result<Vec<T>, StorageError> {
        let mut find = connection.prepare_cached(&self.sql())?;
        let found = find.query_and_then(params_from_iter(self.values), read)?;
        let mut rows = found.collect::<Result<Vec<_>, _>>()?;
        if self.turned {
            rows.reverse();
        }
        Ok(rows)
    }
}

fn owned(value: &dyn ToSql) -> Value {
    use rusqlite::types::{ToSqlOutput, ValueRef};
    match value.to_sql().expect("our own columns' types can be written") {
        ToSqlOutput::Owned(value) => value,
        ToSqlOutput::Borrowed(value) => match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        },
        _ => unreachable!("no column of ours is an array or a blob of zeroes"),
    }
}
