//! Why a statement did not do what it was asked, in whichever engine.

use rusqlite::ErrorCode;
use rusqlite::types::FromSqlError;

use crate::storage::StorageError;
use crate::storage::postgres::connection::Fault;

/// What a statement comes to.
pub(in super::super) type Result<T> = std::result::Result<T, Error>;

/// An engine's own error. What it means for a caller is said beside each engine.
#[derive(Debug, PartialEq)]
pub(in super::super) enum Error {
    /// SQLite's; and of either, that there is no row.
    Sqlite(rusqlite::Error),
    /// PostgreSQL's.
    Postgres(Fault),
    /// A value of the server's that is not what it was taken for.
    Value(rusqlite::Error),
}

impl Error {
    /// Whether a unique column or primary key has that value already.
    pub(in super::super) fn is_taken(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation))
            }
            Self::Postgres(fault) => fault.is_taken,
            Self::Value(_) => false,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Postgres(fault)
    }
}

impl From<FromSqlError> for Error {
    fn from(error: FromSqlError) -> Self {
        rusqlite::Error::from(error).into()
    }
}

impl From<Error> for StorageError {
    fn from(error: Error) -> Self {
        match error {
            Error::Sqlite(error) => error.into(),
            Error::Postgres(fault) => fault.told,
            Error::Value(error) => Self::Corrupt(format!("postgres: {error}")),
        }
    }
}

/// A row that may be missing.
pub(in super::super) trait OptionalExtension<T> {
    /// `None` where there was no row.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> OptionalExtension<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::Sqlite(rusqlite::Error::QueryReturnedNoRows)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
