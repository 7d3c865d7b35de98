//! Brings a file to the shape that this program knows.
//!
//! Numbered steps, each in a transaction of its own; `user_version` says how many a file has had.
//! Steps are only ever added: one that was released is never edited. A file that is further on than
//! this program is refused, because an older program cannot know what the newer shape promises.
//! One program at a time has a file, so that no step has to spare an older one.

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::Settings;
use crate::storage::StorageError;

/// The steps, first to last.
const STEPS: [&str; 8] = [
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_embedded.sql"),
    include_str!("migrations/0003_tenants.sql"),
    include_str!("migrations/0004_platforms.sql"),
    include_str!("migrations/0005_replays.sql"),
    include_str!("migrations/0006_dead_letters.sql"),
    include_str!("migrations/0007_audit.sql"),
    include_str!("migrations/0008_pages.sql"),
];

/// Marks a file as ours (`PRAGMA application_id`): "phst" in ASCII.
const APPLICATION_ID: i64 = 0x7068_7374;

/// One step, for people.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// What it is called.
    pub name: &'static str,
    /// Its text.
    pub sql: &'static str,
}

impl Step {
    /// What it does, in its own words: the first line of it.
    pub fn says(&self) -> &'static str {
        self.sql.lines().next().unwrap_or_default().trim_start_matches("-- ")
    }
}

/// What they are called.
const NAMES: [&str; STEPS.len()] = [
    "0001_first",
    "0002_embedded",
    "0003_tenants",
    "0004_platforms",
    "0005_replays",
    "0006_dead_letters",
    "0007_audit",
    "0008_pages",
];

/// The steps that this program knows, first to last.
pub fn steps() -> impl Iterator<Item = Step> {
    NAMES.into_iter().zip(STEPS).map(|(name, sql)| Step { name, sql })
}

/// How many of them the file has had; 0 when there is none yet.
///
/// # Errors
/// As those of opening it.
pub fn had(settings: &Settings) -> Result<usize, StorageError> {
    if !settings.path.exists() {
        return Ok(0);
    }
    let file = Connection::open_with_flags(&settings.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    Ok(usize::try_from(version(&file)?).unwrap_or(0))
}

/// Takes those that the file has not had, and makes it where there is none; their names.
///
/// # Errors
/// As those of opening it.
pub fn up(settings: &Settings) -> Result<Vec<&'static str>, StorageError> {
    let had = had(settings)?;
    drop(super::open(settings, 0)?);
    Ok(NAMES.into_iter().skip(had).collect())
}

/// Takes the steps that the file has not had.
///
/// Safe when two processes do it at once: each step looks at the version again once it holds the
/// write lock.
///
/// # Errors
/// `Conflict` when the file is newer than this program, or another program's.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StorageError> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let had = version(&transaction)?;
        let Some(step) = usize::try_from(had).ok().and_then(|had| STEPS.get(had)) else {
            return Ok(());
        };
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", had + 1)?;
        transaction.commit()?;
    }
}

/// How many steps the file has had.
fn version(connection: &Connection) -> Result<i64, StorageError> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (owner, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let known = i64::try_from(STEPS.len()).expect("a handful of steps");
    if owner != APPLICATION_ID && (owner, version, tables) != (0, 0, 0) {
        return Err(StorageError::Conflict(
            "the database is another program's: an empty path or one of our own files is wanted"
                .to_owned(),
        ));
    }
    if version > known {
        return Err(StorageError::Conflict(format!(
            "the database is newer than this program: it has had {version} migrations, and this \
             program knows {known}; a program at least as new as the one that wrote it is wanted"
        )));
    }
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::{Policy, PolicyPart};

    #[test]
    fn what_an_older_endpoint_has_by_default_is_left_to_its_application() {
        let mut file = Connection::open_in_memory().expect("opens");
        for step in &STEPS[..3] {
            file.execute_batch(step).expect("a step");
        }
        file.pragma_update(None, "application_id", APPLICATION_ID).expect("set");
        file.pragma_update(None, "user_version", 3).expect("set");
        let whole = serde_json::to_value(Policy::default()).expect("JSON");
        let by_default = format!(
            r#"{{"retry":{},"timeoutMs":{},"maxInFlight":{}}}"#,
            serde_json::to_string(&Policy::default().retry).expect("JSON"),
            whole["timeoutMs"],
            whole["maxInFlight"],
        );
        let own = r#"{"retry":{"kind":"none"},"timeoutMs":5000,"maxInFlight":8}"#;
        let mixed = by_default.replace("15000", "20000");
        for (id, policy) in [by_default.as_str(), own, &mixed].into_iter().enumerate() {
            let row = "INSERT INTO endpoints (id, application, description, url, filter, state, \
                       policy, created_at, updated_at) \
                       VALUES (?1, x'00', '', 'https://a.example/', '{}', 'enabled', ?2, 0, 0)";
            file.execute(row, (vec![u8::try_from(id).expect("few")], policy)).expect("a row");
        }

        migrate(&mut file).expect("migrated");

        let mut rows = file.prepare("SELECT policy FROM endpoints ORDER BY id").expect("prepared");
        let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("run");
        let said: Vec<String> = rows.collect::<Result<_, _>>().expect("read");
        assert_eq!(said, ["{}", own, r#"{"timeoutMs":20000}"#]);
        for one in &said {
            serde_json::from_str::<PolicyPart>(one).expect("it is read as what an endpoint says");
        }
    }

    #[test]
    fn of_several_tasks_of_one_endpoint_the_first_goes_on_and_the_others_say_why_not() {
        let mut file = Connection::open_in_memory().expect("opens");
        for step in &STEPS[..4] {
            file.execute_batch(step).expect("a step");
        }
        file.pragma_update(None, "application_id", APPLICATION_ID).expect("set");
        file.pragma_update(None, "user_version", 4).expect("set");
        let application = "INSERT INTO applications (id, uid, name, created_at, updated_at) \
                           VALUES (x'01', 'acme', '', 0, 0)";
        file.execute(application, ()).expect("a row");
        for (id, endpoint, state) in [
            (1_u8, 7_u8, "finished"),
            (2, 7, "running"),
            (3, 7, "running"),
            (4, 8, "running"),
            (5, 7, "running"),
        ] {
            let task = "INSERT INTO tasks VALUES \
                        (?1, 'endpoint.recover', x'01', ?2, 0, NULL, 0, 9, 0, ?3, 0, 11)";
            file.execute(task, (vec![id], vec![endpoint], state)).expect("a row");
        }

        migrate(&mut file).expect("migrated");

        let mut rows = file
            .prepare(
                "SELECT state, because IS NOT NULL, ended_at IS NOT NULL FROM replays ORDER BY id",
            )
            .expect("prepared");
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
        let stand: Vec<(String, bool, bool)> =
            rows.expect("run").collect::<Result<_, _>>().expect("read");
        let stand: Vec<_> =
            stand.iter().map(|(state, why, ended)| (state.as_str(), *why, *ended)).collect();
        let (goes_on, given_up) = (("running", false, false), ("failed", true, true));
        assert_eq!(stand, [("finished", false, true), goes_on, given_up, goes_on, given_up]);
        let taken: u32 = file
            .query_row("SELECT count(*) FROM replay_endpoints", [], |row| row.get(0))
            .expect("read");
        assert_eq!(taken, 2, "each by the one that goes on");
    }
}
