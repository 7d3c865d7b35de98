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
    /// SQLite's; or of any engine, a value that is not what it was taken for.
    Sqlite(rusqlite::Error),
    /// The server's.
    Postgres(Fault),
}

impl Error {
    /// Whether a unique column or primary key has that value already.
    pub(in super::super) fn is_taken(&self) -> bool {
        match self {
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation))
            }
            Self::Postgres(fault) => fault.is_taken,
        }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<FromSqlError> for Error {
    fn from(error: FromSqlError) -> Self {
        rusqlite::Error::from(error).into()
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Postgres(fault)
    }
}

impl From<Error> for StorageError {
    fn from(error: Error) -> Self {
        match error {
            Error::Sqlite(error) => error.into(),
            Error::Postgres(fault) => fault.told,
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
