//! What each search of a million dead letters costs: the time to its first page, to one from the middle of the
//! list, and how far a page that finds little has come.
//!
//! `cargo bench --bench dead_letters`, or `BENCH_LETTERS=100000 …`. The rows are written straight into a file
//! of the router's own making. That searches are walked by their indices is held by a test
//! (`storage::sql::tests::dead_letters`); here is what that means in milliseconds, on this machine.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench prints, reads the clock, and is told by the environment"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use posthaste::domain::id::{ApplicationId, EndpointId, OrganisationId};
use posthaste::domain::settlement::DeathReason;
use posthaste::domain::time::Timestamp;
use posthaste::storage::dead_letters::{DeadLetterFilter, DeadLetterPlace, DeadLetters};
use posthaste::storage::page::{Order, Page, Place};
use posthaste::storage::sql::{Settings, Sql};
use posthaste::storage::sqlite;
use posthaste::storage::vault::Vault;
use rusqlite::Connection;
use secrecy::SecretBox;

/// Rows of a page.
const PAGE: usize = 50;
/// How often each is asked; the median is told.
const TIMES: usize = 21;
/// When the first of them died; one in a second from then on.
const BEGAN_S: i64 = 1_790_000_000;

/// Ten applications with ten endpoints each, by turns; twenty types; five statuses in blocks of a hundred; each
/// subject twice; one in ten thousand refused, one in fifty thousand with a word of its own.
const LAY: &str = "
    PRAGMA synchronous = OFF;
    BEGIN;
    CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $letters) SELECT i FROM n;
    INSERT INTO applications (id, name, created_at, updated_at, organisation)
        SELECT unhex(printf('%040x', i)), 'Application ' || i, 0, 0, $org FROM n WHERE i <= 10;
    INSERT INTO events (seq, id, application, type, event_id, subject, occurred_at, received_at, payload)
        SELECT i, unhex(printf('%08x%032x', i * 2654435761 % 4294967296, i)),
               unhex(printf('%040x', i % 10 + 1)), 'job.type-' || (i / 7 % 20), i, 'run-' || (i / 2), 0, 0,
               x'7b7d'
        FROM n;
    INSERT INTO deliveries (event, endpoint, turn, attempts, state)
        SELECT i, unhex(printf('%040x', i % 100 + 1)), 1, 3, 3 FROM n;
    INSERT OR IGNORE INTO dead_letter_groups (organisation, application, endpoint, reason, last_status,
                                              last_outcome, letters)
        SELECT $org, unhex(printf('%040x', i % 10 + 1)), unhex(printf('%040x', i % 100 + 1)),
               iif(i % 10000 = 0, 'refused', 'attempts_exhausted'), 500 + i / 100 % 5, 'server_error', 0
        FROM n;
    INSERT INTO dead_letters (seq, id, event, event_id, endpoint, application, organisation, kind, event_type,
                              producer_id, subject, reason, attempts, last_status, last_outcome, last_detail,
                              payload_bytes, died_at)
        SELECT e.seq, unhex(printf('%08x%032x', e.seq * 2654435769 % 4294967296, e.seq)), e.seq, e.id,
               g.endpoint, g.application, $org, g.number, e.type, e.event_id, e.subject, g.reason, 3,
               g.last_status, 'server_error',
               iif(e.seq % 50000 = 7, 'a needle in the answer', 'the receiver answered as it does'), 2,
               ($began + e.seq) * 1000
        FROM events e CROSS JOIN dead_letter_groups g
          ON g.endpoint = unhex(printf('%040x', e.seq % 100 + 1))
         AND g.application = e.application
         AND g.reason = iif(e.seq % 10000 = 0, 'refused', 'attempts_exhausted')
         AND g.last_status = 500 + e.seq / 100 % 5 AND g.last_outcome = 'server_error';
    UPDATE books SET owed = $letters, dead = $letters;
    COMMIT;
    ANALYZE;";

fn open(path: &Path) -> Sql {
    let vault = Vault::new(vec![(1, SecretBox::new(Box::new([7; 32])))]).expect("a keyring");
    Sql::open(&Settings::Sqlite(sqlite::Settings { path: path.to_owned() }), Arc::new(vault))
        .expect("it opens")
}

/// The id with this number.
fn numbered(number: u8) -> [u8; 20] {
    let mut id = [0; 20];
    id[19] = number;
    id
}

fn lay(path: &Path, letters: u64) {
    drop(open(path));
    let bytes = OrganisationId::DEFAULT.as_bytes().iter();
    let organisation = bytes.fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    let sql = LAY
        .replace("$letters", &letters.to_string())
        .replace("$org", &format!("x'{organisation}'"))
        .replace("$began", &BEGAN_S.to_string());
    Connection::open(path).expect("it opens").execute_batch(&sql).expect("laid");
}

/// Milliseconds of the median.
async fn median<T>(mut work: impl AsyncFnMut() -> T) -> (f64, T) {
    let mut took = Vec::new();
    let mut last = None;
    for _ in 0..TIMES {
        let begun = Instant::now();
        last = Some(work().await);
        took.push(begun.elapsed().as_secs_f64() * 1_000.0);
    }
    took.sort_by(f64::total_cmp);
    (took[TIMES / 2], last.expect("asked"))
}

fn searches(letters: i64) -> Vec<(&'static str, DeadLetterFilter)> {
    let all = DeadLetterFilter {
        organisation: Some(OrganisationId::DEFAULT),
        ..DeadLetterFilter::default()
    };
    let of = DeadLetterFilter {
        application: Some(ApplicationId::from_bytes(numbered(4))),
        ..all.clone()
    };
    let endpoint = Some(EndpointId::from_bytes(numbered(4)));
    let status = Some("503".parse().expect("a status"));
    let at = |share: i64| Some(Timestamp::from_seconds(BEGAN_S + letters * share / 100));
    let half = (letters / 4).to_string();
    let subject = Some(format!("run-{half}"));
    vec![
        ("organisation", all.clone()),
        ("application", of.clone()),
        ("endpoint", DeadLetterFilter { endpoint, ..of.clone() }),
        ("status, organisation (100 kinds)", DeadLetterFilter { status, ..all.clone() }),
        ("status, application (10 kinds)", DeadLetterFilter { status, ..of.clone() }),
        ("status and endpoint", DeadLetterFilter { status, endpoint, ..of.clone() }),
        (
            "reason, one in 10,000, application",
            DeadLetterFilter { reason: Some(DeathReason::Refused), ..of_first() },
        ),
        ("type, application", DeadLetterFilter { event_type: Some(exact()), ..of.clone() }),
        ("type, organisation", DeadLetterFilter { event_type: Some(exact()), ..all.clone() }),
        ("subject, application", DeadLetterFilter { subject: subject.clone(), ..of_half(letters) }),
        ("subject, organisation", DeadLetterFilter { subject, ..all.clone() }),
        ("a day in the middle", DeadLetterFilter { since: at(40), until: at(50), ..all.clone() }),
        ("text that all have", DeadLetterFilter { text: Some("receiver".into()), ..all.clone() }),
        ("text, one in 50,000", DeadLetterFilter { text: Some("needle".into()), ..all }),
    ]
}

fn exact() -> posthaste::domain::filter::Pattern {
    "job.type-3".parse().expect("a type")
}

fn of_first() -> DeadLetterFilter {
    DeadLetterFilter {
        organisation: Some(OrganisationId::DEFAULT),
        application: Some(ApplicationId::from_bytes(numbered(1))),
        ..DeadLetterFilter::default()
    }
}

/// Of the application that has the dead letters about what is looked for.
fn of_half(letters: i64) -> DeadLetterFilter {
    let number = u8::try_from(letters / 4 * 2 % 10 + 1).expect("at most ten");
    DeadLetterFilter {
        application: Some(ApplicationId::from_bytes(numbered(number))),
        ..of_first()
    }
}

#[tokio::main]
async fn main() {
    let letters = std::env::var("BENCH_LETTERS").ok().and_then(|text| text.parse().ok());
    let letters: u64 = letters.unwrap_or(1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("posthaste.db");
    let begun = Instant::now();
    lay(&path, letters);
    println!("{letters} dead letters, laid in {:.0} s", begun.elapsed().as_secs_f64());
    let store = open(&path);

    println!("| search | first page, ms | rows | from the middle, ms | rows |");
    println!("|---|---|---|---|---|");
    let count = i64::try_from(letters).expect("a count");
    let middle = DeadLetterPlace {
        died_at: Timestamp::from_seconds(BEGAN_S + count / 2),
        number: count / 2,
    };
    for (name, filter) in searches(count) {
        let page = |place| Page { limit: PAGE, place, order: Order::Descending };
        let ask = async |place: Place<DeadLetterPlace>| {
            store.dead_letters_of(&filter, &page(place)).await.expect("read").rows.len()
        };
        let (first, rows) = median(async || ask(Place::Beginning).await).await;
        let (behind, rows_behind) = median(async || ask(Place::Behind(middle)).await).await;
        println!("| {name} | {first:.2} | {rows} | {behind:.2} | {rows_behind} |");
    }
    let all = of_first();
    let all = DeadLetterFilter { application: None, ..all };
    for (name, filter) in [("groups, organisation", &all), ("groups, application", &of_first())] {
        let page = || Page { limit: PAGE, place: Place::Beginning, order: Order::Descending };
        let ask =
            async || store.dead_letter_groups(filter, &page()).await.expect("read").rows.len();
        let (took, rows) = median(ask).await;
        println!("| {name} | {took:.2} | {rows} | | |");
    }
    let (took, counted) =
        median(async || store.count_up_to(&all, u64::MAX).await.expect("counted")).await;
    println!("| count, by kind | {took:.2} | {counted} | | |");
    let begun = Instant::now();
    let done = store.discard(&of_first(), 20_000).await.expect("discarded");
    let took = begun.elapsed().as_secs_f64() * 1_000.0;
    println!("| discard of {} | {took:.0} | | | |", done.discarded);
}
