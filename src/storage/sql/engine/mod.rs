//! The common language of the engines: a connection, as `rusqlite` has one, to whichever of them is there.
//!
//! All that stands in this adapter is written once, for both engines. What keeps that cheap:
//!
//! - One value language, `rusqlite`'s: `ToSql` and `FromSql` say what our words are in columns, for both.
//! - One text: SQL that both engines read. Only what has no common spelling is a function of the engine
//!   ([`spelling`]); `?N` becomes `$N`, and `INDEXED BY` is left out, by the engine that does not know them.
//! - One control flow: a job is a synchronous closure of a connection, and may run twice.
//!
//! On SQLite's way nothing is made anew: the text goes to the cache of statements as it is, parameters are
//! bound from where they lie, rows are read in place. An engine costs a branch.
//!
//! **Isolation.** Jobs that write are serial in both: SQLite has one writer, and a transaction of the server is
//! `SERIALIZABLE` and is run again where it could not be ([`Connection::must_run_again`]). So no statement takes
//! locks by itself. What reads sees one moment.
//!
//! Left to others: opening a file or reaching a server (`sqlite`, `postgres`), groups and pools (`writer`, `readers`).

mod error;
mod params;
pub(super) mod spelling;
mod statement;
mod transaction;

pub(super) use rusqlite::params;

pub(super) use self::error::{Error, OptionalExtension, Result};
pub(super) use self::params::{Params, params_from_iter, value};
pub(super) use self::statement::{CachedStatement, Row, Rows};
pub(super) use self::transaction::Transaction;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::postgres::connection::Session;
use crate::storage::postgres::partitions;
use crate::storage::sqlite;

/// A connection to the engine that keeps the tables.
#[derive(Debug)]
pub(super) enum Connection {
    /// To the file.
    Sqlite(rusqlite::Connection),
    /// To the server.
    Postgres(Box<Session>),
}

impl Connection {
    /// The statement of this text, made once for each connection.
    pub(super) fn prepare_cached(&self, sql: &str) -> Result<CachedStatement<'_>> {
        match self {
            Self::Sqlite(file) => Ok(CachedStatement::Sqlite(file.prepare_cached(sql)?)),
            Self::Postgres(session) => Ok(CachedStatement::Postgres(session.statement(sql)?)),
        }
    }

    /// Runs a statement that is run seldom; how many rows it has changed.
    pub(super) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        match self {
            Self::Sqlite(file) => Ok(file.execute(sql, params.for_sqlite())?),
            Self::Postgres(session) => Ok(session.statement(sql)?.execute(&params.values()?)?),
        }
    }

    /// The first row that a statement answers, which is run seldom.
    ///
    /// # Errors
    /// As [`CachedStatement::query_row`].
    pub(super) fn query_row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<T> {
        self.prepare_cached(sql)?.query_row(params, read)
    }

    /// The row of the accounts that this connection moves: no other that writes at the same time moves it.
    pub(super) fn slot(&self) -> i64 {
        match self {
            Self::Sqlite(_) => 1,
            Self::Postgres(session) => session.slot(),
        }
    }

    /// Whether other routers work on the same tables.
    pub(super) fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
        }
    }

    /// The days whose tables may go as wholes, oldest first, since nothing in them is as young as `young` or wanted
    /// otherwise; and whether those ahead are made. Of a file, which has no days: none, and they are.
    pub(super) fn days(
        &self,
        young: Timestamp,
    ) -> std::result::Result<(Vec<i64>, bool), StorageError> {
        match self {
            Self::Sqlite(_) => Ok((Vec::new(), true)),
            Self::Postgres(session) => partitions::days(session, young).map_err(|fault| fault.told),
        }
    }

    /// A transaction that writes. Begun at once: what it reads, nobody changes before it ends, or it has to run
    /// again.
    pub(super) fn write(&self) -> Result<Transaction<'_>> {
        match self {
            Self::Sqlite(_) => Transaction::begin(self, "BEGIN IMMEDIATE"),
            Self::Postgres(_) => Transaction::begin(self, "BEGIN"),
        }
    }

    /// A transaction that sees one moment, and writes nothing.
    pub(super) fn read(&self) -> Result<Transaction<'_>> {
        match self {
            Self::Sqlite(_) => Transaction::begin(self, "BEGIN DEFERRED"),
            Self::Postgres(_) => Transaction::begin(self, "BEGIN"),
        }
    }

    /// Remembers this point of the transaction; several may be remembered, one within the other.
    pub(super) fn guard(&self) -> Result<()> {
        self.order("SAVEPOINT guard")
    }

    /// Keeps what was done since the last [`guard`](Self::guard), which ends.
    pub(super) fn keep(&self) -> Result<()> {
        self.order("RELEASE SAVEPOINT guard")
    }

    /// Undoes what was done since the last [`guard`](Self::guard), which ends.
    pub(super) fn undo(&self) -> Result<()> {
        self.order("ROLLBACK TO SAVEPOINT guard")?;
        self.keep()
    }

    /// Whether what has failed since this was last asked did so because another wrote at the same time: then all of the
    /// transaction is to be run again, and nothing was wrong with it. Never on SQLite, where nobody else writes.
    pub(super) fn must_run_again(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(session) => session.must_run_again(),
        }
    }

    /// Does what may help a store that could not be written, and writes a little, to see whether it can be again.
    ///
    /// # Errors
    /// `Unavailable`: it cannot.
    pub(super) fn try_again(&self) -> std::result::Result<(), StorageError> {
        match self {
            Self::Sqlite(file) => sqlite::room::try_again(file),
            Self::Postgres(session) => session.try_again(),
        }
    }

    /// Ends the writing connection in good order. Best effort: whoever opens the store next finds all that was committed.
    pub(super) fn end(self) {
        match self {
            Self::Sqlite(file) => sqlite::room::fold(file),
            Self::Postgres(session) => drop(session),
        }
    }

    /// Runs several statements without values, one behind the other.
    #[cfg(test)]
    pub(super) fn execute_batch(&self, sql: &str) -> Result<()> {
        self.order(sql)
    }

    /// Runs text without values: what begins and ends transactions.
    fn order(&self, sql: &str) -> Result<()> {
        match self {
            Self::Sqlite(file) => Ok(file.execute_batch(sql)?),
            // A session says itself how it begins, by what it is for.
            Self::Postgres(session) if sql == "BEGIN" => Ok(session.begin()?),
            Self::Postgres(session) => Ok(session.order(sql)?),
        }
    }

    /// Whether a transaction is open.
    fn is_in_transaction(&self) -> bool {
        match self {
            Self::Sqlite(file) => !file.is_autocommit(),
            Self::Postgres(session) => session.is_in_transaction(),
        }
    }
}
