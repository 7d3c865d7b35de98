//! Statements and the rows that they answer, with `rusqlite`'s words.

use rusqlite::RowIndex;
use rusqlite::types::{FromSql, ValueRef};

use super::{Error, Params, Result};
use crate::storage::postgres::connection as server;

/// A statement of a connection that keeps it for the next time.
pub(in super::super) enum CachedStatement<'c> {
    /// Of the file.
    Sqlite(rusqlite::CachedStatement<'c>),
    /// Of a session with the server.
    Postgres(server::Statement<'c>),
}

impl CachedStatement<'_> {
    /// Runs it; how many rows it has changed.
    pub(in super::super) fn execute(&mut self, params: impl Params) -> Result<usize> {
        match self {
            Self::Sqlite(statement) => Ok(statement.execute(params.for_sqlite())?),
            Self::Postgres(statement) => Ok(statement.execute(&params.values()?)?),
        }
    }

    /// Its rows.
    pub(in super::super) fn query(&mut self, params: impl Params) -> Result<Rows<'_>> {
        match self {
            Self::Sqlite(statement) => Ok(Rows::Sqlite(statement.query(params.for_sqlite())?)),
            Self::Postgres(statement) => Ok(Rows::Postgres(statement.query(&params.values()?)?)),
        }
    }

    /// What `read` makes of its first row.
    ///
    /// # Errors
    /// Also when there is none, which [`optional`](super::OptionalExtension::optional) takes for an answer.
    pub(in super::super) fn query_row<T>(
        &mut self,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.query(params)?.next()? {
            Some(row) => read(&row),
            None => Err(Error::Sqlite(rusqlite::Error::QueryReturnedNoRows)),
        }
    }

    /// What `read` makes of each of its rows.
    pub(in super::super) fn query_map<T, F>(
        &mut self,
        params: impl Params,
        read: F,
    ) -> Result<Read<'_, F>>
    where
        F: FnMut(&Row<'_>) -> Result<T>,
    {
        Ok(Read { rows: self.query(params)?, read })
    }

    /// The same for what fails in its own way.
    pub(in super::super) fn query_and_then<T, E, F>(
        &mut self,
        params: impl Params,
        read: F,
    ) -> Result<Read<'_, F>>
    where
        E: From<Error>,
        F: FnMut(&Row<'_>) -> std::result::Result<T, E>,
    {
        Ok(Read { rows: self.query(params)?, read })
    }

    /// Whether there is a row.
    pub(in super::super) fn exists(&mut self, params: impl Params) -> Result<bool> {
        Ok(self.query(params)?.next()?.is_some())
    }
}

/// The rows of a statement, one after the other.
pub(in super::super) enum Rows<'s> {
    /// Read from the file as they are asked for.
    Sqlite(rusqlite::Rows<'s>),
    /// All of them are here.
    Postgres(server::Rows),
}

impl Rows<'_> {
    /// The next one.
    pub(in super::super) fn next(&mut self) -> Result<Option<Row<'_>>> {
        match self {
            Self::Sqlite(rows) => Ok(rows.next()?.map(Row::Sqlite)),
            Self::Postgres(rows) => Ok(rows.next()?.map(Row::Postgres)),
        }
    }
}

/// Rows, and what is made of each.
pub(in super::super) struct Read<'s, F> {
    rows: Rows<'s>,
    read: F,
}

impl<T, E, F> Iterator for Read<'_, F>
where
    E: From<Error>,
    F: FnMut(&Row<'_>) -> std::result::Result<T, E>,
{
    type Item = std::result::Result<T, E>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.rows.next() {
            Ok(row) => row.map(|row| (self.read)(&row)),
            Err(error) => Some(Err(error.into())),
        }
    }
}

/// One row.
pub(in super::super) enum Row<'r> {
    /// Where it lies in the file.
    Sqlite(&'r rusqlite::Row<'r>),
    /// As the server has sent it.
    Postgres(&'r server::Row),
}

impl Row<'_> {
    /// A column, by its place or its name.
    pub(in super::super) fn get<I: Column, T: FromSql>(&self, column: I) -> Result<T> {
        match self {
            Self::Sqlite(row) => Ok(row.get(column)?),
            Self::Postgres(row) => {
                let value = T::column_result(column.of(row)?);
                value.map_err(|error| Error::Sqlite(error.into()))
            }
        }
    }

    /// A column, where it lies.
    pub(in super::super) fn get_ref(&self, column: impl Column) -> Result<ValueRef<'_>> {
        match self {
            Self::Sqlite(row) => Ok(row.get_ref(column)?),
            Self::Postgres(row) => column.of(row),
        }
    }
}

/// What names a column: its place, from 0, or its name.
pub(in super::super) trait Column: RowIndex {
    /// What the server has sent there.
    fn of(self, row: &server::Row) -> Result<ValueRef<'_>>;
}

impl Column for usize {
    fn of(self, row: &server::Row) -> Result<ValueRef<'_>> {
        let value = row.value(self).ok_or(rusqlite::Error::InvalidColumnIndex(self))?;
        Ok(value.into())
    }
}

impl Column for &str {
    fn of(self, row: &server::Row) -> Result<ValueRef<'_>> {
        let value = row.place(self).and_then(|place| row.value(place));
        let value = value.ok_or_else(|| rusqlite::Error::InvalidColumnName(self.to_owned()))?;
        Ok(value.into())
    }
}
