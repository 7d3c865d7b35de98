//! A session with the server, with `rusqlite`'s words: what the common language of the engines stands on here.
//!
//! One thread at a time has it. What is said goes to the server and is waited for: each statement is one way there and
//! back, so that whoever has many rows says them in one statement.
//!
//! **A transaction that has failed is over.** PostgreSQL does nothing more in it, and would answer its end with a
//! success that it is not: so the first failure is remembered, and `COMMIT` is refused here. Back at a savepoint from
//! before it, it goes on.
//!
//! **What if we die right here?** The server rolls back what was not committed. When the line is lost while a commit is
//! on its way, nobody knows whether it arrived: whoever asked is told that it is not known.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use postgres::Client;
use postgres::types::ToSql;
use rusqlite::types::Value;

use super::connect::{Patience, Purpose, Settings};
use super::translate::translated;
use super::values::{Bound, Read};
use super::{faults, partitions};
use crate::storage::StorageError;

/// Statements that a session keeps prepared: more than we have, but for those that are put together of a filter's
/// parts. With more than that, all are forgotten and made anew.
const STATEMENTS: usize = 512;
/// Rows of the books: routers that write at the same time move one each, seldom the same.
const SLOTS: i64 = 64;

/// Why a statement did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Fault {
    pub(in crate::storage) told: StorageError,
    /// Whether a unique column or a primary key has that value already.
    pub(in crate::storage) is_taken: bool,
}

impl From<StorageError> for Fault {
    fn from(told: StorageError) -> Self {
        Self { told, is_taken: false }
    }
}

/// A session, made when it is first needed, and again when it was lost.
pub(in crate::storage) struct Session {
    settings: Settings,
    purpose: Purpose,
    patience: RefCell<Patience>,
    client: RefCell<Option<Client>>,
    prepared: RefCell<HashMap<String, Prepared>>,
    slot: Cell<i64>,
    state: Cell<State>,
    met_another: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Open,
    /// Open, and nothing more can be done in it.
    Failed,
}

#[derive(Clone)]
struct Prepared {
    statement: postgres::Statement,
    columns: Arc<[String]>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({}, {:?})", self.settings, self.purpose)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Its good-bye waits for the server, which nobody may who runs async code: the last to let go of it might.
        let Some(client) = self.client.get_mut().take() else { return };
        let bye = std::thread::Builder::new().name("postgres-bye".to_owned());
        let _no_thread_no_farewell = bye.spawn(move || drop(client));
    }
}

impl Session {
    /// A session that is made by the first who needs it.
    pub(in crate::storage) fn new(settings: Settings, purpose: Purpose) -> Self {
        Self {
            settings,
            purpose,
            patience: RefCell::default(),
            client: RefCell::new(None),
            prepared: RefCell::default(),
            slot: Cell::new(1),
            state: Cell::new(State::Idle),
            met_another: Cell::new(false),
        }
    }

    /// Begins a transaction, and a session before it where there is none.
    ///
    /// # Errors
    /// `Unavailable`: the server cannot be reached, or has just refused.
    pub(in crate::storage) fn begin(&self) -> Result<(), Fault> {
        self.be_connected()?;
        let begin = match self.purpose {
            Purpose::Writing => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            Purpose::Reading => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Purpose::Shaping => "BEGIN",
        };
        if let Err(first) = self.order(begin) {
            // The server may have ended it while nobody used it: that is seen by the first who does.
            if !self.is_lost() {
                return Err(first);
            }
            self.be_connected()?;
            self.order(begin)?;
        }
        self.state.set(State::Open);
        Ok(())
    }

    fn be_connected(&self) -> Result<(), Fault> {
        if !self.is_lost() {
            return Ok(());
        }
        self.forget();
        let mut client = self.patience.borrow_mut().connect(&self.settings, self.purpose)?;
        let pid = client
            .query_one("SELECT pg_backend_pid()", &[])
            .and_then(|row| row.try_get::<_, i32>(0));
        let pid = pid.map_err(|error| self.fault(&error))?;
        self.slot.set(i64::from(pid) % SLOTS + 1);
        *self.client.borrow_mut() = Some(client);
        Ok(())
    }

    fn is_lost(&self) -> bool {
        self.client.borrow().as_ref().is_none_or(Client::is_closed)
    }

    fn forget(&self) {
        self.prepared.borrow_mut().clear();
        self.state.set(State::Idle);
        *self.client.borrow_mut() = None;
    }

    /// Runs text without values: what begins and ends transactions, and changes of the tables' shape.
    pub(in crate::storage) fn order(&self, sql: &str) -> Result<(), Fault> {
        let (ends, returns) =
            (matches!(sql, "COMMIT" | "ROLLBACK"), sql.starts_with("ROLLBACK TO"));
        if sql == "COMMIT" && self.state.get() == State::Failed {
            self.order("ROLLBACK")?;
            let why =
                "postgres: a statement of the transaction had failed: nothing of it was written";
            return Err(StorageError::Unavailable(why.to_owned()).into());
        }
        let done = self.client()?.batch_execute(sql);
        if ends {
            self.state.set(State::Idle);
        } else if returns && done.is_ok() {
            self.state.set(State::Open);
        }
        done.map_err(|error| self.fault(&error))
    }

    /// Whether a transaction is open.
    pub(in crate::storage) fn is_in_transaction(&self) -> bool {
        self.state.get() != State::Idle && !self.is_lost()
    }

    /// Which row of the books it moves.
    pub(in crate::storage) fn slot(&self) -> i64 {
        self.slot.get()
    }

    /// Whether what has failed since this was last asked did so because another wrote at the same time.
    pub(in crate::storage) fn must_run_again(&self) -> bool {
        self.met_another.take()
    }

    /// Writes a little, to see whether it can be written, and makes the days ahead while it is at it.
    ///
    /// # Errors
    /// `Unavailable`: it cannot.
    pub(in crate::storage) fn try_again(&self) -> Result<(), StorageError> {
        let write = || -> Result<(), Fault> {
            self.begin()?;
            self.statement("UPDATE books SET owed = owed WHERE one = ?1")?
                .execute(&[Value::Integer(self.slot())])?;
            partitions::make_ahead(self)?;
            self.order("COMMIT")
        };
        write().map_err(|fault| {
            if self.is_in_transaction() {
                let _lost = self.order("ROLLBACK");
            }
            fault.told
        })
    }

    /// The statement of this text, made once for each session.
    pub(in crate::storage) fn statement(&self, sql: &str) -> Result<Statement<'_>, Fault> {
        let known = self.prepared.borrow().get(sql).cloned();
        let prepared = match known {
            Some(prepared) => prepared,
            None => self.prepare(sql)?,
        };
        Ok(Statement { session: self, prepared })
    }

    fn prepare(&self, sql: &str) -> Result<Prepared, Fault> {
        let made = self.client()?.prepare(&translated(sql));
        let statement = made.map_err(|error| self.fault_of(&error, sql))?;
        let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        let prepared = Prepared { statement, columns };
        let mut kept = self.prepared.borrow_mut();
        if kept.len() >= STATEMENTS {
            kept.clear();
        }
        kept.insert(sql.to_owned(), prepared.clone());
        Ok(prepared)
    }

    fn client(&self) -> Result<RefMut<'_, Client>, Fault> {
        RefMut::filter_map(self.client.borrow_mut(), Option::as_mut).map_err(|_| {
            StorageError::Unavailable("postgres: the connection is lost".to_owned()).into()
        })
    }

    fn fault(&self, error: &postgres::Error) -> Fault {
        if self.state.get() == State::Open {
            self.state.set(State::Failed);
        }
        if faults::may_be_run_again(error) {
            self.met_another.set(true);
        }
        Fault { told: faults::told(error), is_taken: faults::is_taken(error) }
    }

    /// The same, and which statement it was, where the text and not the rows is at fault.
    fn fault_of(&self, error: &postgres::Error, sql: &str) -> Fault {
        let fault = self.fault(error);
        match fault.told {
            StorageError::Corrupt(why) => {
                Fault { told: StorageError::Corrupt(format!("{why}: {sql}")), ..fault }
            }
            StorageError::Unavailable(_) | StorageError::Conflict(_) => fault,
        }
    }
}

/// A statement of a session.
pub(in crate::storage) struct Statement<'s> {
    session: &'s Session,
    prepared: Prepared,
}

impl fmt::Debug for Statement<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Statement({:?})", self.session)
    }
}

impl Statement<'_> {
    /// Runs it; how many rows it has changed.
    pub(in crate::storage) fn execute(&self, values: &[Value]) -> Result<usize, Fault> {
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        self.execute_with(&as_params(&bound))
    }

    /// Its rows.
    pub(in crate::storage) fn query(&self, values: &[Value]) -> Result<Rows, Fault> {
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        self.query_with(&as_params(&bound))
    }

    /// Runs it once for many rows: a place of it takes the values of one column, as an array.
    pub(in crate::storage) fn execute_many(&self, rows: &[Vec<Value>]) -> Result<usize, Fault> {
        let columns = columns(rows);
        self.execute_with(&as_params(&columns))
    }

    /// As [`Self::execute_many`], for what it answers.
    pub(in crate::storage) fn query_many(&self, rows: &[Vec<Value>]) -> Result<Rows, Fault> {
        let columns = columns(rows);
        self.query_with(&as_params(&columns))
    }

    /// As [`Self::execute`], with values of PostgreSQL's own kinds: arrays among them.
    pub(in crate::storage) fn execute_with(
        &self,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<usize, Fault> {
        let done = self.session.client()?.execute(&self.prepared.statement, values);
        match done {
            Ok(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
            Err(error) => Err(self.session.fault(&error)),
        }
    }

    /// As [`Self::query`], with values of PostgreSQL's own kinds: arrays among them.
    pub(in crate::storage) fn query_with(
        &self,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Rows, Fault> {
        let found = self.session.client()?.query(&self.prepared.statement, values);
        let found = found.map_err(|error| self.session.fault(&error))?;
        Ok(Rows {
            found: found.into_iter(),
            columns: Arc::clone(&self.prepared.columns),
            current: None,
        })
    }
}

fn as_params<T: ToSql + Sync>(bound: &[T]) -> Vec<&(dyn ToSql + Sync)> {
    bound.iter().map(|one| one as &(dyn ToSql + Sync)).collect()
}

/// The values of rows by their columns. All rows have as many.
fn columns(rows: &[Vec<Value>]) -> Vec<Vec<Bound<'_>>> {
    let count = rows.first().map_or(0, Vec::len);
    (0..count).map(|column| rows.iter().map(|row| Bound(&row[column])).collect()).collect()
}

/// What a statement answered, all of it: no statement of ours is without a limit.
pub(in crate::storage) struct Rows {
    found: std::vec::IntoIter<postgres::Row>,
    columns: Arc<[String]>,
    current: Option<Row>,
}

impl Rows {
    /// The next one.
    pub(in crate::storage) fn next(&mut self) -> Result<Option<&Row>, Fault> {
        self.current = self.found.next().map(|row| self.read(&row)).transpose()?;
        Ok(self.current.as_ref())
    }

    fn read(&self, row: &postgres::Row) -> Result<Row, Fault> {
        let values =
            (0..row.len()).map(|place| row.try_get::<_, Read>(place).map(|Read(value)| value));
        let values = values.collect::<Result<Vec<_>, _>>();
        let values = values.map_err(|error| StorageError::Corrupt(format!("postgres: {error}")))?;
        Ok(Row { columns: Arc::clone(&self.columns), values })
    }
}

/// One row.
#[derive(Debug)]
pub(in crate::storage) struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    /// The value of that place, from 0.
    pub(in crate::storage) fn value(&self, place: usize) -> Option<&Value> {
        self.values.get(place)
    }

    /// The place of a column of that name: the first, as in SQLite.
    pub(in crate::storage) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.eq_ignore_ascii_case(name))
    }
}
