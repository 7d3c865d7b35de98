//! A long history, laid straight into the file of a router that is not running: what pages cost when there is much to look at.
//!
//! One application (`acme`, with the endpoints it has) owns all of it. Over three days up to now: of a hundred events eighty are
//! delivered at the first try, fifteen are dead letters, four were cancelled, and one waits until tomorrow, so that a router that
//! starts on it has nothing to do. Beside it what grows with use: roll-ups, the audit log, replays, applications, event types.

use rusqlite::Connection;

use super::clock;
use super::router::Posthaste;

/// Three days, in milliseconds.
const SPAN_MS: i64 = 3 * 24 * 60 * 60 * 1_000;

const LAY: &str = "
    PRAGMA synchronous = OFF;
    BEGIN;
    CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows) SELECT i FROM n;
    CREATE TEMP TABLE app AS SELECT id, organisation FROM applications WHERE uid = 'acme';
    CREATE TEMP TABLE ep AS SELECT row_number() OVER (ORDER BY id) - 1 AS k, id, url FROM endpoints
        WHERE application = (SELECT id FROM app) AND deleted_at IS NULL;
    CREATE TEMP TABLE to_lay AS
        SELECT i, $base + i AS seq, $now - ($rows - i) * $span / $rows AS at, i % 100 AS share,
               unhex(printf('%08x%032x', ($now - ($rows - i) * $span / $rows) / 1000 - 1400000000, i)) AS id,
               (SELECT id FROM ep WHERE k = i % (SELECT count(*) FROM ep)) AS endpoint,
               (SELECT url FROM ep WHERE k = i % (SELECT count(*) FROM ep)) AS url
        FROM n;
    INSERT INTO events (seq, id, application, type, event_id, subject, occurred_at, received_at, payload)
        SELECT seq, id, (SELECT id FROM app), 'job.type-' || (i / 7 % 20), 'laid-' || i, 'run-' || (i / 2), at, at,
               CAST('{\"job\":' || i || ',\"state\":\"completed\"}' AS BLOB)
        FROM to_lay;
    INSERT INTO deliveries (event, endpoint, turn, attempts, state, held_by, due_at)
        SELECT seq, endpoint, 1, 1, CASE WHEN share < 80 THEN 2 WHEN share < 95 THEN 3 WHEN share < 99 THEN 4 ELSE 1 END,
               iif(share = 99, 1, NULL), iif(share = 99, $now + 86400000, NULL)
        FROM to_lay;
    INSERT INTO attempts (event, endpoint, id, number, started_at, duration_ms, outcome, status, url, detail, response)
        SELECT seq, endpoint, id, 1, at, 20 + i % 900, iif(share < 80, 'success', 'server_error'),
               iif(share < 80, 200, 500 + share % 5), url, iif(share < 80, '', 'the receiver answered as it does'), x'6f6b'
        FROM to_lay;
    INSERT OR IGNORE INTO dead_letter_groups (organisation, application, endpoint, reason, last_status, last_outcome, letters)
        SELECT (SELECT organisation FROM app), (SELECT id FROM app), endpoint, 'attempts_exhausted', 500 + share % 5,
               'server_error', 0
        FROM to_lay WHERE share BETWEEN 80 AND 94;
    INSERT INTO dead_letters (id, event, event_id, endpoint, application, organisation, kind, event_type, producer_id,
                              subject, reason, attempts, last_status, last_outcome, last_detail, payload_bytes, died_at)
        SELECT unhex(printf('%08x%032x', i * 2654435769 % 4294967296, i)), t.seq, t.id, t.endpoint, g.application,
               g.organisation, g.number, 'job.type-' || (i / 7 % 20), 'laid-' || i, 'run-' || (i / 2),
               'attempts_exhausted', 1, g.last_status, 'server_error', 'the receiver answered as it does', 30, t.at
        FROM to_lay t JOIN dead_letter_groups g
          ON g.endpoint = t.endpoint AND g.application = (SELECT id FROM app) AND g.reason = 'attempts_exhausted'
         AND g.last_status = 500 + t.share % 5 AND g.last_outcome = 'server_error'
        WHERE t.share BETWEEN 80 AND 94;
    UPDATE books SET (owed, delivered, dead, cancelled, waiting) = (SELECT owed + count(*),
        delivered + sum(share < 80), dead + sum(share BETWEEN 80 AND 94), cancelled + sum(share BETWEEN 95 AND 98),
        waiting + sum(share = 99) FROM to_lay, books);
    INSERT OR IGNORE INTO rollups (whose, at, delivered, failed, given_up, d0, d1, d2, d3, d4, d5, d6, d7, d8, d9)
        SELECT whose, ($now / 300000 - i) * 300000, 800 + i % 200, 40 + i % 17, 15 + i % 7,
               100, 300, 250, 100, 30, 10, 5, 3, 1, 1
        FROM n, (SELECT id AS whose FROM ep UNION ALL SELECT id FROM app UNION ALL SELECT organisation FROM app)
        WHERE i <= 864;
    INSERT INTO audit (organisation, at, actor, action, object, status)
        SELECT (SELECT organisation FROM app), at, 'org_laid', 'POST /api/v1/app/{app}/msg', '/api/v1/app/acme/msg', 202
        FROM to_lay WHERE i % 4 = 0;
    INSERT INTO replays (id, organisation, scope, application, endpoint, since, rate, state, place, last, matched, offered,
                         tried, delivered, actor, created_at, updated_at, ended_at)
        SELECT id, (SELECT organisation FROM app), 'given_up', (SELECT id FROM app), endpoint, at - 3600000, 50, 'finished',
               seq, seq, 10, 10, 10, 10, 'app_laid', at, at, at
        FROM to_lay WHERE i % 1000 = 0;
    INSERT INTO applications (id, uid, name, created_at, updated_at, organisation)
        SELECT unhex(printf('%08x%032x', 300000000 + i, i)), 'tenant-' || i, 'Tenant ' || i, at, at,
               (SELECT organisation FROM app)
        FROM to_lay WHERE i % 100 = 0;
    INSERT OR IGNORE INTO event_types (organisation, name, description, archived, deprecated, created_at, updated_at)
        SELECT (SELECT organisation FROM app), 'job.type-' || i, 'A job of the type ' || i, 0, 0, at, at
        FROM to_lay WHERE i < 200;
    COMMIT;
    ANALYZE;";

/// Lays so many deliveries.
pub(crate) fn lay(posthaste: &Posthaste, rows: i64) {
    let path = posthaste.folder().join("posthaste.db");
    let connection = Connection::open(path).expect("it opens");
    let base: i64 = connection
        .query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))
        .expect("read");
    let sql = LAY
        .replace("$rows", &rows.to_string())
        .replace("$base", &base.to_string())
        .replace("$now", &(clock().as_millis() - 60_000).to_string())
        .replace("$span", &SPAN_MS.to_string());
    connection.execute_batch(&sql).expect("laid");
}
