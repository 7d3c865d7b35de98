//! What SQLite's errors mean for a caller.

use rusqlite::{Error, ErrorCode};

use crate::storage::StorageError;

impl From<Error> for StorageError {
    /// A constraint contradicts what is there; a damaged file or a value of the wrong kind needs a
    /// person; everything else (locked too long, disk full, I/O) may pass.
    fn from(error: Error) -> Self {
        let text = format!("sqlite: {error}");
        match error.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Self::Conflict(text),
            Some(
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch,
            ) => Self::Corrupt(text),
            None if is_about_a_row(&error) => Self::Corrupt(text),
            Some(_) | None => Self::Unavailable(text),
        }
    }
}

/// Whether a row was there but could not be what we took it for.
const fn is_about_a_row(error: &Error) -> bool {
    matches!(
        error,
        Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::Utf8Error(..)
            | Error::InvalidColumnType(..)
            | Error::InvalidColumnIndex(..)
            | Error::InvalidColumnName(..)
            | Error::QueryReturnedNoRows
    )
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn each_error_says_what_the_caller_can_do() {
        let fault = |code| StorageError::from(Error::SqliteFailure(ffi::Error::new(code), None));
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_IOERR, ffi::SQLITE_FULL, ffi::SQLITE_CANTOPEN] {
            assert!(matches!(fault(code), StorageError::Unavailable(_)), "{code}");
        }
        assert!(matches!(fault(ffi::SQLITE_CONSTRAINT_UNIQUE), StorageError::Conflict(_)));
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB] {
            assert!(matches!(fault(code), StorageError::Corrupt(_)), "{code}");
        }
    }
}
