//! A statement's parameters, in the forms that `rusqlite` takes them in.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value};

use super::Result;

/// What stands for a statement's question marks, in their order.
///
/// SQLite binds them from where they lie. The server's engine is given them as values, which its statement turns into
/// the types of its parameters.
pub(in super::super) trait Params {
    /// As SQLite takes them.
    fn for_sqlite(self) -> impl rusqlite::Params;

    /// As the server's engine takes them.
    fn values(self) -> Result<Vec<Value>>;
}

/// What a word of ours is in a column.
pub(in super::super) fn value(one: &dyn ToSql) -> Result<Value> {
    Ok(match one.to_sql()? {
        ToSqlOutput::Owned(value) => value,
        ToSqlOutput::Borrowed(value) => Value::try_from(value).map_err(rusqlite::Error::from)?,
        _ => unreachable!("no column of ours is an array or a blob of zeroes"),
    })
}

impl Params for &[&dyn ToSql] {
    fn for_sqlite(self) -> impl rusqlite::Params {
        self
    }

    fn values(self) -> Result<Vec<Value>> {
        self.iter().map(|one| value(*one)).collect()
    }
}

/// None at all: `[]`.
impl Params for [&dyn ToSql; 0] {
    fn for_sqlite(self) -> impl rusqlite::Params {
        rusqlite::params_from_iter(self)
    }

    fn values(self) -> Result<Vec<Value>> {
        Ok(Vec::new())
    }
}

macro_rules! some_of_one_type {
    ($($count:literal),+) => {$(
        impl<T: ToSql> Params for [T; $count] {
            fn for_sqlite(self) -> impl rusqlite::Params {
                self
            }

            fn values(self) -> Result<Vec<Value>> {
                self.iter().map(|one| value(one)).collect()
            }
        }
    )+};
}

some_of_one_type!(1, 2, 3, 4);

/// Parameters of an iterator.
#[derive(Debug)]
pub(in super::super) struct FromIter<I>(I);

/// As many as there are.
pub(in super::super) fn params_from_iter<I>(values: I) -> FromIter<I>
where
    I: IntoIterator<Item = Value>,
{
    FromIter(values)
}

impl<I: IntoIterator<Item = Value>> Params for FromIter<I> {
    fn for_sqlite(self) -> impl rusqlite::Params {
        rusqlite::params_from_iter(self.0)
    }

    fn values(self) -> Result<Vec<Value>> {
        Ok(self.0.into_iter().collect())
    }
}
