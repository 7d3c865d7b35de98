//! Tells tests of statements that read a table from its beginning: over a store that they have filled, no page may.

use std::collections::HashMap;

use rusqlite::trace::{TraceEvent, TraceEventCodes};
use rusqlite::{Connection, StatementStatus};

/// More rows than a page of a list looks at, and fewer than any table has that grows with traffic in those tests.
const SCAN: i32 = 20_000;

/// Says it in the log.
pub(super) fn tell(rows: i32, sql: &str) {
    tracing::warn!(rows, sql, "a statement has read a whole table");
}

/// Tells of each statement of a connection that read that much, and how many rows.
pub(super) fn scans(connection: &mut Connection, mut told: impl FnMut(i32, &str) + Send + 'static) {
    // A statement that is used again counts on.
    let mut before: HashMap<String, i32> = HashMap::new();
    let heard = move |event: TraceEvent<'_>| {
        let TraceEvent::Profile(statement, _) = event else { return };
        let all = statement.get_status(StatementStatus::FullscanStep);
        let sql = statement.sql().into_owned();
        let earlier = before.insert(sql.clone(), all).filter(|earlier| *earlier <= all);
        let rows = all - earlier.unwrap_or(0);
        if rows > SCAN {
            told(rows, &sql);
        }
    };
    let watched = connection.trace_v2(TraceEventCodes::SQLITE_TRACE_PROFILE, Some(heard));
    watched.expect("it is our own connection");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn a_walk_over_a_table_is_told_and_one_along_an_index_is_not() {
        let mut connection = Connection::open_in_memory().expect("opens");
        let lay = "CREATE TABLE t (n INTEGER PRIMARY KEY, s TEXT);
            INSERT INTO t WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 30000)
                SELECT i, 'x' FROM r;";
        connection.execute_batch(lay).expect("laid");
        let said = Arc::new(Mutex::new(Vec::new()));
        let book = Arc::clone(&said);
        scans(&mut connection, move |rows, sql| {
            book.lock().expect("no panic").push((rows, sql.to_owned()));
        });
        let count = |sql: &str| {
            let mut statement = connection.prepare_cached(sql).expect("prepared");
            statement.query_row([], |row| row.get::<_, i64>(0)).expect("read")
        };
        let (scan, seek) =
            ("SELECT count(*) FROM t WHERE s = 'y'", "SELECT count(*) FROM t WHERE n > 9000");
        assert_eq!([count(scan), count(seek), count(scan)], [0, 21_000, 0]);
        let said = said.lock().expect("no panic");
        let rows: Vec<_> = said.iter().map(|(_, sql)| sql.as_str()).collect();
        assert_eq!(rows, [scan, scan], "{said:?}");
    }
}
