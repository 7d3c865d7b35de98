//! Dead letters over a long list: each search is walked by its index, each page costs the same, and what is
//! counted is what is there.

use std::collections::BTreeMap;

use rusqlite::{StatementStatus, params_from_iter};

use super::super::dead_letters::{groups, list};
use super::super::walk::Walk;
use super::history::MINUTE;
use super::long_history::plan;
use super::*;
use crate::domain::dead_letter::StatusIs;
use crate::storage::dead_letters::{
    DeadLetterFilter, DeadLetterPlace, DeadLetters, Discarded, GroupPlace,
};
use crate::storage::journal::{Books, Ledger};
use crate::storage::page::{Listed, Order, Page, Place as InList};
use crate::storage::replays::Preview;

const LETTERS: u32 = 20_000;
const PAGE: usize = 250;

/// So many dead letters of `acme`, one in a second, for its endpoints `a` and `b` in turn: with five statuses,
/// four types, a subject that comes twice, and one in five thousand that was refused.
const LAY: &str = "
    BEGIN;
    CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS
        (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $letters) SELECT i FROM n;
    INSERT INTO events (seq, id, application, type, event_id, subject, occurred_at, received_at, payload)
        SELECT i, unhex(printf('%08x%032x', i * 2654435761 % 4294967296, i)), $app,
               iif(i % 5000 = 0, 'job.rare', 'job.' || (i % 4)), i, 'run-' || (i / 2), $now, $now, x'7b7d'
        FROM n;
    INSERT INTO deliveries (event, endpoint, turn, attempts, state)
        SELECT i, iif(i % 2, $b, $a), 1, 3, 3 FROM n;
    INSERT OR IGNORE INTO dead_letter_groups (organisation, application, endpoint, reason, last_status,
                                              last_outcome, letters)
        SELECT $org, $app, iif(i % 2, $b, $a), iif(i % 5000 = 0, 'refused', 'attempts_exhausted'),
               500 + i % 5, 'server_error', 0
        FROM n;
    INSERT INTO dead_letters (seq, id, event, event_id, endpoint, application, organisation, kind, event_type,
                              subject, reason, attempts, last_status, last_outcome, last_detail,
                              payload_bytes, died_at)
        SELECT e.seq, unhex(printf('%08x%032x', e.seq * 2654435769 % 4294967296, e.seq)), e.seq, e.id,
               g.endpoint, $app, $org, g.number, e.type, e.subject, g.reason, 3, g.last_status,
               'server_error', iif(e.seq % 4000 = 7, 'The needle', 'nothing to say'), 2, $now + e.seq * 1000
        FROM events e JOIN dead_letter_groups g
          ON g.endpoint = iif(e.seq % 2, $b, $a) AND g.last_status = 500 + e.seq % 5
         AND g.reason = iif(e.seq % 5000 = 0, 'refused', 'attempts_exhausted');
    UPDATE books SET owed = owed + $letters, dead = dead + $letters;
    COMMIT;";

fn hex(bytes: &[u8; 20]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold("x'".to_owned(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    }) + "'"
}

async fn many() -> Place {
    let place = Place::on_file();
    place.have_endpoint("a").await;
    place.have_endpoint("b").await;
    let lay = LAY
        .replace("$app", &hex(acme().application().as_bytes()))
        .replace("$org", &hex(application("acme").organisation.as_bytes()))
        .replace("$a", &hex(endpoint_id("a").as_bytes()))
        .replace("$b", &hex(endpoint_id("b").as_bytes()))
        .replace("$now", &NOW.as_millis().to_string())
        .replace("$letters", &LETTERS.to_string());
    let laid = place.write(move |connection| {
        // It is a transaction of its own: the writer's is ended for it, and begun again.
        connection.execute_batch("COMMIT")?;
        connection.execute_batch(&lay)?;
        Ok(connection.execute_batch("BEGIN IMMEDIATE")?)
    });
    laid.await.expect("laid");
    place
}

fn ours() -> DeadLetterFilter {
    DeadLetterFilter {
        organisation: Some(application("acme").organisation),
        ..DeadLetterFilter::default()
    }
}

fn mine() -> DeadLetterFilter {
    DeadLetterFilter { application: Some(acme().application()), ..ours() }
}

fn newest<K>(limit: usize, place: InList<K>) -> Page<K> {
    Page { limit, place, order: Order::Descending }
}

impl Place {
    /// The numbers of all that match, page by page, and how many pages that took.
    async fn walked(
        &self,
        filter: &DeadLetterFilter,
        limit: usize,
        backwards: bool,
    ) -> (Vec<i64>, usize) {
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut place = if backwards { InList::End } else { InList::Beginning };
        loop {
            let page = newest(limit, place);
            let Listed { rows, beyond } = self.dead_letters_of(filter, &page).await.expect("read");
            pages += 1;
            let mut numbers: Vec<_> = rows.iter().map(|one| number(one.died_at)).collect();
            if backwards {
                numbers.reverse();
            }
            found.extend(numbers);
            place = match beyond {
                Some(row) if backwards => InList::InFrontOf(row),
                Some(row) => InList::Behind(row),
                None => break,
            };
        }
        if backwards {
            found.reverse();
        }
        (found, pages)
    }
}

/// Which one died then: they died a second apart.
fn number(died_at: Timestamp) -> i64 {
    (died_at.as_millis() - NOW.as_millis()) / 1_000
}

fn those(is: impl Fn(i64) -> bool) -> Vec<i64> {
    (1..=i64::from(LETTERS)).rev().filter(|number| is(*number)).collect()
}

type Case = (DeadLetterFilter, Vec<i64>);

fn searches() -> Vec<Case> {
    let pattern = |text: &str| Some(text.parse().expect("a pattern"));
    let status = |text: &str| Some(text.parse::<StatusIs>().expect("a status"));
    let a = Some(endpoint_id("a"));
    let at = |second| Some(NOW + second * SECOND);
    vec![
        (ours(), those(|_| true)),
        (mine(), those(|_| true)),
        (DeadLetterFilter { endpoint: a, ..mine() }, those(|n| n % 2 == 0)),
        (DeadLetterFilter { endpoint: a, ..ours() }, those(|n| n % 2 == 0)),
        (DeadLetterFilter { status: status("503"), ..mine() }, those(|n| n % 5 == 3)),
        (DeadLetterFilter { status: status("503"), endpoint: a, ..ours() }, those(|n| n % 10 == 8)),
        (DeadLetterFilter { status: status("5xx"), ..ours() }, those(|_| true)),
        (DeadLetterFilter { status: status("0"), ..ours() }, vec![]),
        (
            DeadLetterFilter { reason: Some(DeathReason::Refused), ..ours() },
            those(|n| n % 5_000 == 0),
        ),
        (DeadLetterFilter { event_type: pattern("job.rare"), ..mine() }, those(|n| n % 5_000 == 0)),
        (DeadLetterFilter { event_type: pattern("job.1"), ..ours() }, those(|n| n % 4 == 1)),
        (DeadLetterFilter { event_type: pattern("job.*"), ..mine() }, those(|_| true)),
        (DeadLetterFilter { subject: Some("run-7".into()), ..mine() }, vec![15, 14]),
        (DeadLetterFilter { subject: Some("run-7".into()), ..ours() }, vec![15, 14]),
        (DeadLetterFilter { subject: Some("run-7' OR 1".into()), ..ours() }, vec![]),
        (DeadLetterFilter { text: Some("NEEDLE".into()), ..mine() }, those(|n| n % 4_000 == 7)),
        (
            DeadLetterFilter { since: at(100), until: at(200), ..mine() },
            those(|n| (100..200).contains(&n)),
        ),
        (
            DeadLetterFilter { since: at(100), until: at(200), status: status("504"), ..ours() },
            those(|n| (100..200).contains(&n) && n % 5 == 4),
        ),
    ]
}

#[tokio::test]
async fn every_search_finds_what_matches_in_order_both_ways() {
    let place = many().await;
    for (filter, expected) in searches() {
        for backwards in [false, true] {
            let (found, pages) = place.walked(&filter, PAGE, backwards).await;
            assert!(found == expected, "{filter:?}, backwards: {backwards}: {} found", found.len());
            let looked = LETTERS as usize / 5_000 + expected.len() / PAGE + 1;
            assert!(pages <= looked, "{filter:?}: {pages} pages");
        }
        assert_eq!(
            place.count_up_to(&filter, u64::MAX).await,
            Ok(expected.len() as u64),
            "{filter:?}"
        );
        assert_eq!(place.count_dead_letters(&filter).await, Ok(expected.len() as u64));
    }
}

#[tokio::test]
async fn what_is_another_organisations_is_not_walked_not_even_in_vain() {
    let place = many().await;
    let others = Some(OrganisationId::derived(&[b"others"]));
    for (filter, _) in searches() {
        let filter = DeadLetterFilter { organisation: others, ..filter };
        let page = newest(10, InList::Beginning);
        assert_eq!(place.walked(&filter, 10, false).await, (vec![], 1), "{filter:?}");
        let groups = place.dead_letter_groups(&filter, &newest(10, InList::Beginning)).await;
        let groups = groups.expect("read");
        assert!(groups.rows.is_empty() && groups.beyond.is_none(), "{filter:?}");
        let listed = place.dead_letters_of(&filter, &page).await.expect("read");
        assert_eq!(listed.beyond, None, "nothing is told of where another's end: {filter:?}");
    }
    let one = place.dead_letters_of(&ours(), &newest(1, InList::Beginning)).await.expect("read");
    let id = one.rows[0].id;
    assert!(place.inspect(&mine(), id).await.expect("read").is_some());
    let other = DeadLetterFilter { organisation: others, ..DeadLetterFilter::default() };
    assert!(place.inspect(&other, id).await.expect("read").is_none());
}

/// How a search of one page is carried out.
fn explained(
    place: &Place,
    filter: &DeadLetterFilter,
    page: &Page<DeadLetterPlace>,
) -> Vec<String> {
    let walk = list::walk(&place.beside(), filter, page).expect("read").expect("a walk");
    plan(&place.file(), &walk.sql(251))
}

#[tokio::test]
async fn every_search_is_walked_by_its_index_and_sorts_nothing() {
    let place = many().await;
    let connection = place.file();
    let behind = DeadLetterPlace { died_at: NOW + 300 * SECOND, number: 300 };
    let behind = newest(PAGE, InList::Behind(behind));
    let status = |text: &str| Some(text.parse::<StatusIs>().expect("a status"));
    let exact = Some("job.1".parse().expect("a type"));
    let table: Vec<(DeadLetterFilter, &[&str])> = vec![
        (DeadLetterFilter::default(), &["by_time"]),
        (ours(), &["by_organisation (organisation=?"]),
        (mine(), &["by_application (application=?"]),
        (
            DeadLetterFilter { endpoint: Some(endpoint_id("a")), ..mine() },
            &["by_endpoint (endpoint=?"],
        ),
        (
            DeadLetterFilter { event_type: exact, ..mine() },
            &["by_type (application=? AND event_type=?"],
        ),
        (
            DeadLetterFilter { status: status("503"), ..mine() },
            &["of_kind (kind=?", "of_kind (kind=?"],
        ),
        (
            DeadLetterFilter { subject: Some("run-7".into()), ..mine() },
            &["about (organisation=? AND subject=? AND application=?"],
        ),
    ];
    for (filter, expected) in table {
        for page in [&newest(PAGE, InList::Beginning), &behind, &newest(PAGE, InList::End)] {
            let plan = explained(&place, &filter, page);
            let walks: Vec<_> = plan.iter().filter(|step| step.contains("dead_letters")).collect();
            assert_eq!(walks.len(), expected.len(), "{filter:?} {plan:?}");
            for (walk, wanted) in walks.iter().zip(expected) {
                assert!(walk.contains(wanted), "{walk} has not {wanted}");
            }
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{filter:?} {plan:?}");
        }
    }
    let next = plan(&connection, list::NEXT_ABOUT);
    assert_eq!(
        next,
        ["SEARCH dead_letters USING COVERING INDEX dead_letters_about \
          (organisation=? AND subject=? AND application>?)"]
    );
    let largest = newest(PAGE, InList::<GroupPlace>::Beginning);
    for (filter, index) in
        [(ours(), "of_organisation (organisation=?"), (mine(), "of_application (application=?")]
    {
        let plan = plan(&connection, &groups::walk(&filter, &largest).sql(251));
        assert!(plan[0].contains(index), "{plan:?}");
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
        assert!(plan.iter().all(|step| !step.starts_with("SCAN")), "{plan:?}");
    }
}

#[tokio::test]
async fn a_page_in_the_middle_costs_what_the_first_does() {
    let place = many().await;
    let connection = place.file();
    let steps = |walk: Walk| {
        let mut statement = connection.prepare(&walk.sql(PAGE + 1)).expect("prepared");
        let mut rows = statement.query(params_from_iter(walk.values())).expect("run");
        let mut found = 0;
        while rows.next().expect("read").is_some() {
            found += 1;
        }
        drop(rows);
        assert_eq!(found, PAGE + 1);
        statement.get_status(StatementStatus::VmStep)
    };
    let status = Some("503".parse::<StatusIs>().expect("a status"));
    for filter in [
        ours(),
        mine(),
        DeadLetterFilter { endpoint: Some(endpoint_id("b")), ..mine() },
        DeadLetterFilter { status, ..mine() },
    ] {
        let cost = |from| {
            let page = newest(PAGE, from);
            steps(list::walk(&place.beside(), &filter, &page).expect("read").expect("a walk"))
        };
        let middle = DeadLetterPlace { died_at: NOW + 5_000 * SECOND, number: 5_000 };
        let first = cost(InList::Beginning);
        for other in [InList::Behind(middle), InList::InFrontOf(middle), InList::End] {
            let other_cost = cost(other.clone());
            assert!(
                (first * 8 / 10..=first * 12 / 10).contains(&other_cost),
                "{filter:?} {other:?}: {other_cost} steps, and {first} at first"
            );
        }
    }
}

#[tokio::test]
async fn groups_are_counted_by_whoever_lays_down_or_lifts_and_the_largest_comes_first() {
    let place = many().await;
    let page = newest(3, InList::Beginning);
    let first = place.dead_letter_groups(&mine(), &page).await.expect("read");
    assert_eq!(first.rows.len(), 3);
    let beyond = InList::Behind(first.beyond.expect("there are more"));
    let rest = place.dead_letter_groups(&mine(), &newest(250, beyond)).await.expect("read");
    assert_eq!(rest.beyond, None);
    let all: Vec<_> = first.rows.iter().chain(&rest.rows).collect();
    let counts: Vec<_> = all.iter().map(|group| group.count).collect();
    assert!(counts.is_sorted_by(|one, next| one >= next), "{counts:?}");
    assert_eq!(counts.iter().sum::<u64>(), u64::from(LETTERS));
    // Ten by endpoint and status, and what was refused is of one status.
    assert_eq!(all.len(), 11, "{all:?}");
    let refused = all.last().expect("some");
    assert_eq!((refused.count, refused.reason), (4, DeathReason::Refused));
    assert_eq!((refused.first_at, refused.last_at), (NOW + 5_000 * SECOND, NOW + 20_000 * SECOND));
    assert_eq!(refused.url.as_deref(), Some("https://a.example/hook"));
    let sample = place.inspect(&mine(), refused.sample).await.expect("read").expect("it is there");
    assert_eq!(sample.letter.died_at, refused.last_at);

    // Replayed, laid down and discarded: the groups say what a count by hand says.
    let only = DeadLetterFilter { reason: Some(DeathReason::Refused), ..ours() };
    place.replay(&only, NOW).await.expect("replayed");
    let status = Some(StatusIs::Code(503));
    place.discard(&DeadLetterFilter { status, ..ours() }, 100).await.expect("discarded");
    let groups = place.dead_letter_groups(&ours(), &newest(250, InList::Beginning)).await;
    let told: BTreeMap<_, _> = groups
        .expect("read")
        .rows
        .into_iter()
        .map(|one| ((one.endpoint, one.last_status, one.last_outcome), one.count))
        .collect();
    let connection = place.file();
    let mut count = connection
        .prepare("SELECT endpoint, last_status, last_outcome, count(*) FROM dead_letters GROUP BY 1, 2, 3")
        .expect("prepared");
    let counted = count.query_map([], |row| {
        let count: i64 = row.get(3)?;
        Ok(((row.get(0)?, row.get(1)?, row.get(2)?), count.unsigned_abs()))
    });
    let counted: BTreeMap<(EndpointId, u16, String), u64> =
        counted.expect("run").collect::<Result<_, _>>().expect("read");
    assert_eq!(told, counted);
    let by_kind = place.count_up_to(&ours(), 10).await;
    assert_eq!(by_kind, Ok(u64::from(LETTERS) - 104), "groups are added up");
}

#[tokio::test]
async fn a_preview_that_runs_out_of_time_adds_up_kinds_or_says_that_it_has_not_counted_all() {
    let place = many().await;
    let preview = async |filter: &DeadLetterFilter, count_for| {
        let ours = application("acme").organisation;
        let now = NOW + 1_000 * MINUTE;
        place.dead(ours, filter, None, now, count_for).await.expect("counted").preview
    };
    let (no_time, time) = (Duration::ZERO, Duration::from_mins(1));
    let rows = |preview: &Preview| preview.by_endpoint.clone();

    let (all, hurried) = (preview(&mine(), time).await, preview(&mine(), no_time).await);
    assert_eq!((all.matched, all.replayable()), (Some(u64::from(LETTERS)), u64::from(LETTERS)));
    assert_eq!((hurried.matched, rows(&hurried)), (all.matched, rows(&all)), "by their groups");
    assert!(hurried.bytes < all.bytes, "of those that were looked at");

    let counted = DeadLetterFilter { until: Some(NOW + 19_001 * SECOND), ..mine() };
    let (all, hurried) = (preview(&counted, time).await, preview(&counted, no_time).await);
    assert_eq!((all.matched, hurried.matched), (Some(19_000), Some(19_000)), "up to a moment");
    assert_eq!(rows(&hurried), rows(&all));

    let text = DeadLetterFilter { text: Some("nothing".into()), ..mine() };
    let (all, hurried) = (preview(&text, time).await, preview(&text, no_time).await);
    assert_eq!(all.matched, Some(all.replayable()));
    assert_eq!(hurried.matched, None);
    assert!(hurried.replayable() < all.replayable(), "{hurried:?}");
}

#[tokio::test]
async fn what_is_discarded_is_put_away_in_steps_and_the_books_balance() {
    let place = many().await;
    let text = DeadLetterFilter { text: Some("nothing".into()), ..mine() };
    let status = Some(StatusIs::Code(503));
    let some = DeadLetterFilter { status, ..text };

    let first = place.discard(&some, 600).await.expect("discarded");
    assert_eq!(first, Discarded { discarded: 600, done: false });
    assert_eq!(
        place.walked(&some, PAGE, false).await.0,
        those(|n| n % 5 == 3 && n < 17_003),
        "the newest"
    );
    let rest = place.discard(&some, 10_000).await.expect("discarded");

    let all = LETTERS / 5;
    assert_eq!(rest, Discarded { discarded: u64::from(all) - 600, done: true });
    assert_eq!(place.walked(&some, PAGE, false).await.0, Vec::<i64>::new());
    let Books { owed, dead, discarded, .. } = place.books().await.expect("read");
    assert_eq!((owed, dead, discarded), (LETTERS.into(), (LETTERS - all).into(), all.into()));
    assert_eq!(place.books().await.expect("read").unaccounted(), 0);
    let nothing = Discarded { discarded: 0, done: true };
    assert_eq!(place.discard(&some, 10_000).await, Ok(nothing), "once");
    assert_eq!(place.replay(&some, NOW).await, Ok(0), "nobody can replay it");
    let connection = place.file();
    let discarded = "SELECT count(*) FROM deliveries WHERE state = 7 AND turn = 2";
    let discarded: u32 = connection.query_row(discarded, [], |row| row.get(0)).expect("read");
    assert_eq!(discarded, all, "they stay on record");
}
