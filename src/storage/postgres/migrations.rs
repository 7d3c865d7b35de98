//! Brings a database to the shape that this program knows, while others go on using it.
//!
//! Numbered steps, each in a transaction of its own, each of one of two kinds. An *expand* step adds what an older
//! program neither knows nor misses: it is taken by the first router of a newer program, and those of the older one go
//! on beside it. A *contract* step takes away what only older programs need: a person has it taken when none of them
//! runs, which is looked at. So a program and the one after it can run on one database, in either order.
//!
//! Which steps a database has had is a table. One that this program does not know is no obstacle when it is an expand
//! step; behind a contract step of a newer program, an older one cannot know what is promised, and is refused.
//!
//! Steps are only ever added: one that was released is never edited.
//!
//! **What if we die right here?** A step and its note are one transaction.

use rusqlite::types::Value;

use super::connect::{Purpose, Settings};
use super::connection::{Fault, Session};
use crate::storage::StorageError;

/// One change of the shape.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Its place among them, from 1.
    pub number: i64,
    /// What it is called.
    pub name: &'static str,
    /// Its text. The first line says the kind, and what it does.
    pub sql: &'static str,
}

/// What a step does to programs that do not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Expand,
    /// Takes away what they need.
    Contract,
}

impl Kind {
    /// As it is written at the head of a step and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Contract => "contract",
        }
    }
}

impl Step {
    /// Which kind it is.
    pub fn kind(&self) -> Kind {
        if self.sql.starts_with("-- contract:") { Kind::Contract } else { Kind::Expand }
    }

    /// What it does, in its own words.
    pub fn says(&self) -> &'static str {
        let first = self.sql.lines().next().unwrap_or_default();
        first.split_once(": ").map_or("", |(_, says)| says)
    }
}

/// The steps that this program knows, first to last.
pub const STEPS: &[Step] =
    &[Step { number: 1, name: "0001_first", sql: include_str!("migrations/0001_first.sql") }];

/// A session's word for how many steps its program knows: routers leave it with their names.
pub(super) fn shape() -> usize {
    STEPS.len()
}

/// What all that change the shape agree upon, so that one of them does at a time: "phst" in ASCII.
const LOCK: i64 = 0x7068_7374;
/// How long ago a router may have been heard of and still count as running, in milliseconds: many times what lies
/// between two of its words.
const RUNNING_MS: i64 = 120_000;

/// Where a database stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The steps that it has had: number and name.
    pub had: Vec<(i64, String)>,
    /// The numbers of those that this program knows and that it has not had.
    pub pending: Vec<i64>,
    /// Those that it has had and that this program does not know.
    pub unknown: Vec<i64>,
}

/// Where the database stands.
///
/// Blocks; not to be called where async code runs.
///
/// # Errors
/// `Unavailable`; `Conflict` when it is another program's or too new.
pub fn standing(settings: &Settings, steps: &[Step]) -> Result<Standing, StorageError> {
    let session = Session::new(settings.clone(), Purpose::Shaping);
    within(&session, || look(&session, steps)).map_err(|fault| fault.told)
}

/// Takes the steps that are pending: those that expand, and with `contract` also those that contract; the numbers of
/// those that were taken.
///
/// Blocks; not to be called where async code runs. Two that do it at once take turns.
///
/// # Errors
/// `Unavailable` also when a table that is to be changed is in use for longer than a lock is waited for: nothing of that
/// step was done. `Conflict` when the database is another program's or too new, or when a router runs that needs what a
/// contract step takes away.
pub fn up(settings: &Settings, steps: &[Step], contract: bool) -> Result<Vec<i64>, StorageError> {
    let session = Session::new(settings.clone(), Purpose::Shaping);
    let mut taken = Vec::new();
    for step in steps {
        if step.kind() == Kind::Contract && !contract {
            continue;
        }
        let took = within(&session, || {
            if look(&session, steps)?.pending.contains(&step.number) {
                take(&session, step)?;
                Ok(true)
            } else {
                Ok(false)
            }
        });
        match took {
            Ok(true) => taken.push(step.number),
            Ok(false) => {}
            Err(Fault { told, .. }) => return Err(of_step(step, told)),
        }
    }
    Ok(taken)
}

fn of_step(step: &Step, error: StorageError) -> StorageError {
    let name = step.name;
    match error {
        StorageError::Unavailable(why) if why.contains("55P03") => {
            StorageError::Unavailable(format!(
                "migration {name}: a table that it changes is in use, and nothing was changed: {why}; run it again, at a \
             quieter moment"
            ))
        }
        StorageError::Unavailable(why) => {
            StorageError::Unavailable(format!("migration {name}: {why}"))
        }
        StorageError::Conflict(why) => StorageError::Conflict(format!("migration {name}: {why}")),
        StorageError::Corrupt(why) => StorageError::Corrupt(format!("migration {name}: {why}")),
    }
}

/// In a transaction that has the lock.
fn within<T>(session: &Session, work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    session.begin()?;
    let done =
        session.order(&format!("SELECT pg_advisory_xact_lock({LOCK})")).and_then(|()| work());
    match done {
        Ok(done) => {
            session.order("COMMIT")?;
            Ok(done)
        }
        Err(fault) => {
            let _lost = session.order("ROLLBACK");
            Err(fault)
        }
    }
}

fn look(session: &Session, steps: &[Step]) -> Result<Standing, Fault> {
    let has = |table: &str| -> Result<bool, Fault> {
        let found = session.statement("SELECT to_regclass(?1) IS NOT NULL")?;
        let mut found = found.query(&[Value::Text(table.to_owned())])?;
        Ok(found.next()?.and_then(|row| row.value(0)) == Some(&Value::Integer(1)))
    };
    if !has("schema_steps")? {
        if has("events")? || has("endpoints")? {
            return Err(StorageError::Conflict(
                "the database is another program's: an empty one or one of our own is wanted"
                    .to_owned(),
            )
            .into());
        }
        return Ok(Standing {
            had: Vec::new(),
            pending: steps.iter().map(|step| step.number).collect(),
            unknown: Vec::new(),
        });
    }
    let found = session.statement("SELECT number, name, kind FROM schema_steps ORDER BY number")?;
    let mut rows = found.query(&[])?;
    let (mut had, mut unknown) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let (Some(Value::Integer(number)), Some(Value::Text(name)), Some(Value::Text(kind))) =
            (row.value(0), row.value(1), row.value(2))
        else {
            return Err(StorageError::Corrupt(
                "schema_steps holds what no program of ours wrote".to_owned(),
            )
            .into());
        };
        if !steps.iter().any(|step| step.number == *number) {
            if kind == Kind::Contract.as_str() {
                return Err(StorageError::Conflict(format!(
                    "the database is newer than this program: it has had the migration {name}, which takes away what \
                     this program needs; a program at least as new is wanted"
                ))
                .into());
            }
            unknown.push(*number);
        }
        had.push((*number, name.clone()));
    }
    let pending = steps
        .iter()
        .map(|step| step.number)
        .filter(|number| !had.iter().any(|(one, _)| one == number))
        .collect();
    Ok(Standing { had, pending, unknown })
}

fn take(session: &Session, step: &Step) -> Result<(), Fault> {
    if step.kind() == Kind::Contract {
        nobody_needs_the_old(session, step)?;
    }
    session.order(
        "CREATE TABLE IF NOT EXISTS schema_steps (number bigint PRIMARY KEY, name text COLLATE \"C\" NOT NULL, \
         kind text COLLATE \"C\" NOT NULL, taken_at timestamptz NOT NULL DEFAULT now())",
    )?;
    session.order(step.sql)?;
    session
        .statement("INSERT INTO schema_steps (number, name, kind) VALUES (?1, ?2, ?3)")?
        .execute(&[
            Value::Integer(step.number),
            Value::Text(step.name.to_owned()),
            Value::Text(step.kind().as_str().to_owned()),
        ])?;
    Ok(())
}

/// A router that knows fewer steps needs the shape that the step takes away.
fn nobody_needs_the_old(session: &Session, step: &Step) -> Result<(), Fault> {
    let found = session.statement(
        "SELECT count(*) FROM routers WHERE shape < ?1 \
         AND seen_at > (extract(epoch FROM now()) * 1000)::bigint - ?2",
    )?;
    let mut found = found.query(&[Value::Integer(step.number), Value::Integer(RUNNING_MS)])?;
    match found.next()?.and_then(|row| row.value(0)) {
        Some(Value::Integer(0)) => Ok(()),
        Some(Value::Integer(count)) => Err(StorageError::Conflict(format!(
            "{count} running router(s) are of a program that needs the older shape: stop them, or bring them up to \
             date, and run it again (a router that has died counts for two minutes)"
        ))
        .into()),
        _ => Err(StorageError::Corrupt("a count is no number".to_owned()).into()),
    }
}
