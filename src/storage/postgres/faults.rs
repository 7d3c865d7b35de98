//! What PostgreSQL's errors mean for a caller.

use postgres::error::SqlState;

use crate::storage::StorageError;

/// Whether the transaction met another one, and may simply be run again.
pub(super) fn may_be_run_again(error: &postgres::Error) -> bool {
    let met = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
    error.code().is_some_and(|code| met.contains(code))
}

/// Whether a unique column or a primary key has that value already, or another rule of the table is against it.
pub(super) fn is_taken(error: &postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code().starts_with("23"))
}

/// As the caller is told it. A constraint contradicts what is there; a damaged table or a value of the wrong kind
/// needs a person; everything else (no connection, locked too long, disk full, a server that is starting or
/// stopping) may pass.
pub(super) fn told(error: &postgres::Error) -> StorageError {
    let text = match error.as_db_error() {
        Some(said) => format!("postgres: {} ({})", said.message(), said.code().code()),
        None => format!("postgres: {}", with_causes(error)),
    };
    match error.code().map(SqlState::code) {
        Some(code) if code.starts_with("23") => StorageError::Conflict(text),
        Some("XX001" | "XX002") => StorageError::Corrupt(text),
        // Neither has anything to do with how things stand: the statement and the tables do not fit each other.
        Some(code) if code.starts_with("22") || code.starts_with("42") => {
            StorageError::Corrupt(text)
        }
        Some(_) | None => StorageError::Unavailable(text),
    }
}

/// An error of the client says little itself; what it came of says the rest.
fn with_causes(error: &postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(because) = cause {
        text.push_str(": ");
        text.push_str(&because.to_string());
        cause = because.source();
    }
    text
}
