//! Lists over a long history: each page costs the same, each row comes once, both ways.

use rusqlite::{StatementStatus, params_from_iter};

use super::super::history::{attempts, deliveries, events, moments};
use super::super::replays::look;
use super::super::walk::Walk;
use super::history::newest;
use super::*;
use crate::storage::history::{AttemptFilter, DeliveryCounts, EventFilter, History};
use crate::storage::page::{Order, Page, Place as InList};

const EVENTS: u32 = 100_000;
const PAGE: usize = 250;
/// Ten in a second.
const APART: Duration = Duration::from_millis(100);

/// So many events, each delivered to `a` with one attempt; one in twenty thousand is rare.
const LAY: &str = "
    BEGIN;
    CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n;
    INSERT INTO events (seq, id, application, type, event_id, occurred_at, received_at, payload)
        SELECT i, unhex(printf('%08x%032x', i * 2654435761 % 4294967296, i)), $app,
               iif(i % 20000 = 0, 'job.rare', 'job.completed'), i, $now, $now + i * 100, x'7b7d'
        FROM n;
    INSERT INTO deliveries (event, endpoint, turn, attempts, state) SELECT i, $a, 1, 1, 2 FROM n;
    INSERT INTO attempts (event, endpoint, id, number, started_at, duration_ms, outcome, status, url,
                          detail, response)
        SELECT i, $a, unhex(printf('%08x%032x', ($now + i * 100) / 1000 - 1400000000, i)), 1,
               $now + i * 100, 9, 'success', 200, 'https://a.example/hook', '', x'6f6b'
        FROM n;
    COMMIT;";

fn hex(bytes: &[u8; 20]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("x'".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    }) + "'"
}

async fn long() -> Place {
    let place = Place::on_file();
    place.have_endpoint("a").await;
    let lay = LAY
        .replace("$app", &hex(acme().application().as_bytes()))
        .replace("$a", &hex(endpoint_id("a").as_bytes()))
        .replace("$now", &NOW.as_millis().to_string());
    let laid = place.write(move |connection| {
        // It is a transaction of its own: the writer's is ended for it, and begun again.
        connection.execute_batch("COMMIT")?;
        connection.execute_batch(&lay)?;
        Ok(connection.execute_batch("BEGIN IMMEDIATE")?)
    });
    laid.await.expect("laid");
    place
}

/// The number of an event or an attempt, from its id.
fn number(id: &[u8; 20]) -> u32 {
    u32::from_be_bytes(id[16..].try_into().expect("four bytes"))
}

/// Walks a whole list by pages, from its beginning to its end or from its end to its beginning. The
/// numbers of its rows, in the order of the list.
async fn walked<K: Copy>(
    backwards: bool,
    page: impl AsyncFn(Page<K>) -> (Vec<u32>, Option<K>),
) -> Vec<u32> {
    let mut pages = Vec::new();
    let mut place = if backwards { InList::End } else { InList::Beginning };
    loop {
        let (rows, beyond) = page(newest(PAGE, place)).await;
        assert_eq!(rows.len(), PAGE);
        pages.push(rows);
        place = match beyond {
            Some(row) if backwards => InList::InFrontOf(row),
            Some(row) => InList::Behind(row),
            None => break,
        };
    }
    if backwards {
        pages.reverse();
    }
    pages.concat()
}

#[tokio::test]
async fn each_row_comes_once_and_in_its_order_both_ways() {
    let place = long().await;
    let (tenant, to) = (acme(), endpoint_id("a"));
    let (filter, of) = (EventFilter::default(), AttemptFilter::default());
    let newest_first: Vec<_> = (1..=EVENTS).rev().collect();
    for backwards in [false, true] {
        let events = walked(backwards, async |page| {
            let listed = place.events(tenant, &filter, &page, false).await.expect("read");
            (listed.rows.iter().map(|row| number(row.id.as_bytes())).collect(), listed.beyond)
        });
        let deliveries = walked(backwards, async |page| {
            let listed = place.deliveries_to(tenant, to, None, &filter, &page, false).await;
            let listed = listed.expect("read");
            (listed.rows.iter().map(|row| number(row.event.id.as_bytes())).collect(), listed.beyond)
        });
        let attempts = walked(backwards, async |page| {
            let listed = place.attempts_at(tenant, to, &of, &page, false).await.expect("read");
            let numbers = listed.rows.iter().map(|row| number(row.attempt.id.as_bytes())).collect();
            (numbers, listed.beyond)
        });
        let (events, deliveries, attempts) = tokio::join!(events, deliveries, attempts);
        assert!(events == newest_first, "events, backwards: {backwards}");
        assert!(deliveries == newest_first, "deliveries, backwards: {backwards}");
        assert!(attempts == newest_first, "attempts, backwards: {backwards}");
    }
}

#[tokio::test]
async fn the_last_page_costs_what_the_first_did_and_so_does_one_beside_a_moment() {
    let place = long().await;
    let connection = place.file();
    let id = |number: u32| {
        let sql = "SELECT id FROM events WHERE seq = ?1";
        connection.query_row(sql, [number], |row| row.get::<_, EventId>(0)).expect("there")
    };
    let attempt = |number: u32| {
        let sql = "SELECT id FROM attempts WHERE event = ?1";
        connection.query_row(sql, [number], |row| row.get::<_, AttemptId>(0)).expect("there")
    };
    // What the virtual machine does for a page: no clock is asked, and no machine is slow.
    let steps = |walk: Walk| {
        let mut statement = connection.prepare(&walk.sql(PAGE + 1)).expect("prepared");
        let mut rows = statement.query(params_from_iter(walk.values())).expect("run");
        let mut found = 0;
        while rows.next().expect("read").is_some() {
            found += 1;
        }
        drop(rows);
        assert!(found >= PAGE, "{found}");
        statement.get_status(StatementStatus::VmStep)
    };
    let (near_the_end, far_up) = (300, EVENTS - 300);
    let (tenant, to) = (acme(), endpoint_id("a"));
    let long_ago = EventFilter { before: Some(NOW + 280 * APART), ..EventFilter::default() };
    let soon_after = EventFilter { after: Some(NOW + 20 * APART), ..EventFilter::default() };
    // Bounds that leave everything in, so that the place alone says where the page begins.
    let not_yet = EventFilter { before: Some(NOW + EVENTS * APART), ..EventFilter::default() };
    let since_ever = EventFilter { after: Some(NOW), ..EventFilter::default() };
    let no = EventFilter::default();
    let attempts_in =
        |events: &EventFilter| AttemptFilter { events: events.clone(), ..Default::default() };

    let mut costs = Vec::new();
    for (filter, of_event, of_attempt) in [
        (&no, InList::Beginning, InList::Beginning),
        (&no, InList::Behind(id(near_the_end)), InList::Behind(attempt(near_the_end))),
        (&no, InList::End, InList::End),
        (&no, InList::InFrontOf(id(near_the_end)), InList::InFrontOf(attempt(near_the_end))),
        (&long_ago, InList::Beginning, InList::Beginning),
        (&long_ago, InList::Behind(id(near_the_end)), InList::Behind(attempt(near_the_end))),
        (&soon_after, InList::End, InList::End),
        (&not_yet, InList::Behind(id(near_the_end)), InList::Behind(attempt(near_the_end))),
        (&since_ever, InList::InFrontOf(id(far_up)), InList::InFrontOf(attempt(far_up))),
    ] {
        let (of_event, of_attempt) = (newest(PAGE, of_event), newest(PAGE, of_attempt));
        let attempts_filter = attempts_in(filter);
        costs.push([
            steps(events::walk(&place.beside(), tenant, filter, &of_event).expect("a walk")),
            steps(
                deliveries::walk_to(&place.beside(), tenant, to, filter, &of_event).expect("one"),
            ),
            steps(attempts::walk_at(to, &attempts_filter, &of_attempt)),
        ]);
    }
    for cost in &costs {
        for (cost, first) in cost.iter().zip(costs[0]) {
            assert!((first * 9 / 10..=first * 11 / 10).contains(cost), "{costs:?}");
        }
    }
    // A moment is found in so many halvings that none of them matters: 2 to the 17th is more than there are.
    let mut probe = connection.prepare(moments::PROBE).expect("prepared");
    assert!(probe.exists([50_000]).expect("run"));
    let one = probe.get_status(StatementStatus::VmStep);
    assert!(one * 17 <= costs[0][0] / 5, "{one} steps a halving beside {costs:?}");
}

#[tokio::test]
async fn what_matches_seldom_is_found_over_pages_that_look_at_a_bounded_number_of_rows() {
    let place = long().await;
    let filter = EventFilter { event_types: vec!["job.rare".into()], ..EventFilter::default() };
    let (mut found, mut pages, mut next) = (Vec::new(), 0, InList::Beginning);
    loop {
        let page = newest(2, next);
        let listed = place.events(acme(), &filter, &page, false).await.expect("read");
        found.extend(listed.rows.iter().map(|event| number(event.id.as_bytes())));
        pages += 1;
        match listed.beyond {
            Some(row) => next = InList::Behind(row),
            None => break,
        }
    }
    assert_eq!(found, [100_000, 80_000, 60_000, 40_000, 20_000]);
    assert_eq!(pages, 20, "5,000 rows each");

    let counted = |since: u32| {
        let (since, until) = (NOW + since * APART, NOW + EVENTS * APART + SECOND);
        place.delivery_counts(acme(), endpoint_id("a"), since, until)
    };
    let all = DeliveryCounts { success: u64::from(EVENTS), ..DeliveryCounts::default() };
    assert_eq!(counted(0).await, Ok(all));
    assert_eq!(counted(99_501).await, Ok(DeliveryCounts { success: 500, ..all }));
}

#[tokio::test]
async fn more_deliveries_than_are_counted_are_counted_from_a_moment_on() {
    let place = long().await;
    let lay = "INSERT INTO deliveries (event, endpoint, turn, attempts, state)
        WITH RECURSIVE n (i) AS (SELECT 100001 UNION ALL SELECT i + 1 FROM n WHERE i < 300000)
        SELECT i, (SELECT id FROM endpoints), 1, 1, 2 FROM n";
    let last =
        "INSERT INTO events SELECT 300001, x'00', application, type, NULL, NULL, 0, ?1, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, payload FROM events WHERE seq = 1";
    let at = NOW + EVENTS * APART + SECOND;
    let laid = place.write(move |connection| {
        connection.execute(lay, [])?;
        Ok(connection.execute(last, [at])?)
    });
    laid.await.expect("laid");

    let counts = place.delivery_counts(acme(), endpoint_id("a"), NOW, at + SECOND).await;

    let counts = counts.expect("counted");
    assert_eq!(counts.success, 250_000);
    assert_eq!(counts.only_since, Some(NOW + 50_001 * APART));
}

/// How a query is carried out, step by step.
pub(super) fn plan(connection: &rusqlite::Connection, sql: &str) -> Vec<String> {
    let explained = format!("EXPLAIN QUERY PLAN {sql}");
    let mut explain = connection.prepare(&explained).expect("prepared");
    let values = std::iter::repeat_n(0, sql.matches('?').count());
    let steps = explain.query_map(params_from_iter(values), |row| row.get::<_, String>(3));
    steps.expect("run").collect::<Result<Vec<_>, _>>().expect("read")
}

#[test]
fn every_list_is_walked_by_its_index() {
    let place = Place::on_file();
    let connection = place.file();
    let (tenant, to) = (acme(), endpoint_id("a"));
    let page = |place| Page { limit: PAGE, place, order: Order::Descending };
    let (whole, behind) = (
        page(InList::Beginning),
        Page {
            limit: PAGE,
            place: InList::Behind(AttemptId::from_bytes([1; 20])),
            order: Order::Descending,
        },
    );
    let (no, none) = (EventFilter::default(), AttemptFilter::default());
    let during = EventFilter { after: Some(NOW), before: Some(NOW), ..EventFilter::default() };
    let during_attempts = AttemptFilter { events: during.clone(), ..AttemptFilter::default() };
    let at_one = AttemptFilter { endpoint: Some(to), ..AttemptFilter::default() };
    let ids = Page { limit: PAGE, place: InList::Behind(to), order: Order::Ascending };
    let events =
        |filter| events::walk(&place.beside(), tenant, filter, &whole).expect("one").sql(251);
    let owed = |filter| {
        deliveries::walk_to(&place.beside(), tenant, to, filter, &whole).expect("one").sql(251)
    };
    let event = "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)";
    let table: [(String, &[&str]); 13] = [
        (events(&no), &["SEARCH e USING INDEX events_of (application=?)"]),
        (events(&during), &["SEARCH e USING INDEX events_of (application=? AND seq>? AND seq<?)"]),
        (owed(&no), &["SEARCH d USING INDEX deliveries_to (endpoint=?)", event]),
        (
            owed(&during),
            &["SEARCH d USING INDEX deliveries_to (endpoint=? AND event>? AND event<?)", event],
        ),
        (
            attempts::walk_at(to, &none, &behind).sql(251),
            &["SEARCH a USING INDEX attempts_at (endpoint=? AND id<?)", event],
        ),
        (
            attempts::walk_at(to, &during_attempts, &behind).sql(251),
            &["SEARCH a USING INDEX attempts_at (endpoint=? AND id>? AND id<?)", event],
        ),
        (
            attempts::walk_for(1, &at_one, &behind).sql(251),
            &["SEARCH a USING PRIMARY KEY (event=? AND endpoint=? AND id<?)", event],
        ),
        (
            // One event's attempts, put into their order: of the history beside it nothing is read.
            attempts::walk_for(1, &none, &behind).sql(251),
            &["SEARCH a USING PRIMARY KEY (event=?)", event, "USE TEMP B-TREE FOR ORDER BY"],
        ),
        (
            deliveries::walk_of(1, &ids).sql(251),
            &[
                "SEARCH d USING PRIMARY KEY (event=? AND endpoint>?)",
                "SEARCH e USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH p USING PRIMARY KEY (id=?) LEFT-JOIN",
                "SEARCH s USING PRIMARY KEY (application=?) LEFT-JOIN",
                "CORRELATED SCALAR SUBQUERY 1",
                "SEARCH a USING PRIMARY KEY (event=? AND endpoint=?)",
            ],
        ),
        (
            deliveries::COUNT.to_owned(),
            &["SEARCH deliveries USING INDEX deliveries_to (endpoint=? AND event>? AND event<?)"],
        ),
        (moments::PROBE.to_owned(), &["SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"]),
        (
            look::OWED.to_owned(),
            &["SEARCH deliveries USING INDEX deliveries_to (endpoint=? AND event>? AND event<?)"],
        ),
        (
            look::EVENTS.to_owned(),
            &["SEARCH events USING INDEX events_of (application=? AND seq>? AND seq<?)"],
        ),
    ];
    for (sql, expected) in table {
        assert_eq!(plan(&connection, &sql), expected, "{sql}");
    }
}
