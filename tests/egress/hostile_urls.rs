//! The table of hostile URLs, row by row, each as far as it should come: refused when it is parsed,
//! refused by policy, refused at the moment of connecting, not resolved, answered with a redirect,
//! or allowed.
//!
//! Rows that should be refused go through the real sender too, so that what is checked when a URL
//! is accepted is also checked when it is called. Rows that are allowed are not called: they are
//! other people's addresses. Time is virtual: no row opens a socket.

use std::sync::Arc;
use std::time::Duration;

use posthaste::domain::outcome::{Meaning, Outcome};
use posthaste::egress::guard::{EgressPolicy, check_url};
use posthaste::egress::http::HttpSender;
use posthaste::egress::resolve::{Guarded, Unresolved};
use posthaste::egress::{Request, Sender as _};
use url::Url;

use super::stub_names::StubNames;

pub(crate) const TABLE: &str = include_str!("../data/ssrf-urls.tsv");
const ROWS: usize = 123;
/// What can be said of a URL before policy is asked.
const PARSE_REASONS: [&str; 5] =
    ["too_long", "bad_character", "not_absolute", "invalid_url", "invalid_name"];

struct Row<'a> {
    id: &'a str,
    url: String,
    names: &'a str,
    reply: &'a str,
    verdict: &'a str,
    stage: &'a str,
    reason: &'a str,
    host: &'a str,
}

impl<'a> Row<'a> {
    fn read(line: &'a str) -> Self {
        let [id, _category, url, names, reply, verdict, stage, reason, host, _note] =
            line.split('\t').collect::<Vec<_>>().try_into().expect("ten columns");
        Self { id, url: unescaped(url), names, reply, verdict, stage, reason, host }
    }
}

fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match (c, c == '\\') {
            (_, true) => match chars.next().expect("something is escaped") {
                't' => '\t',
                'r' => '\r',
                'n' => '\n',
                other => other,
            },
            (c, false) => c,
        });
    }
    plain
}

fn policy() -> EgressPolicy {
    // The table's `loop.example.com` resolves to it.
    let own = "198.41.0.250".parse().expect("an address");
    EgressPolicy { own_addresses: vec![own], ..EgressPolicy::default() }
}

async fn sent(url: Url, names: Arc<StubNames>) -> Outcome {
    let sender = HttpSender::with_names(policy(), "test", names).expect("a sender");
    let timeout = Duration::from_secs(15);
    let (headers, body) = (Vec::new(), "{}".into());
    let request =
        Request { url, headers, body, timeout, allow_http: true, once: false, whose: None };
    sender.send(request).await.outcome
}

#[tokio::test(start_paused = true)]
async fn every_row_of_the_table_comes_exactly_as_far_as_it_says() {
    let rows: Vec<_> = TABLE.lines().filter(|line| !line.starts_with('#')).map(Row::read).collect();
    assert_eq!(rows.len(), ROWS);

    let mut tested = 0;
    for row in &rows {
        match (row.verdict, row.stage) {
            ("reject", "parse") => refused_when_given(row, true).await,
            ("reject", "policy") => refused_when_given(row, false).await,
            ("reject", "connect") => refused_when_called(row).await,
            ("retry", "resolve") => unresolved(row).await,
            ("fail", "response") => fails_by_its_answer(row).await,
            ("allow", "-") => allowed(row).await,
            other => panic!("row {} asks for what nobody tests: {other:?}", row.id),
        }
        tested += 1;
    }
    assert_eq!(tested, ROWS);
}

async fn refused_when_given(row: &Row<'_>, by_parsing: bool) {
    let refusal = check_url(&row.url, &policy()).expect_err(row.id);
    assert_eq!(refusal.reason(), row.reason, "row {}", row.id);
    assert_eq!(PARSE_REASONS.contains(&refusal.reason()), by_parsing, "row {}", row.id);

    // The same URL, had it been accepted once under another policy.
    if !by_parsing && let Ok(url) = row.url.parse::<Url>() {
        let names = StubNames::answering("127.0.0.1");
        let outcome = sent(url, Arc::clone(&names)).await;
        assert_eq!(outcome, Outcome::TargetNotAllowed, "row {}", row.id);
        // An empty user name is gone when the URL is parsed; the rest needs no resolver to refuse.
        assert!(names.asked().is_empty() || row.reason == "userinfo", "row {}", row.id);
    }
}

async fn refused_when_called(row: &Row<'_>) {
    let url = accepted(row);
    let names = StubNames::answering(row.names);
    let guarded = Guarded::new(names.clone(), Arc::new(policy()));
    // Where there are two answers the first is harmless: it is at the second that one connects.
    if row.names.contains('|') {
        guarded.addresses(row.host).await.expect(row.id);
    }
    match guarded.addresses(row.host).await {
        Err(Unresolved::Refused(refusal, _)) => assert_eq!(refusal.reason(), row.reason),
        other => panic!("row {}: {other:?}", row.id),
    }
    assert_eq!(sent(url, names).await, Outcome::TargetNotAllowed, "row {}", row.id);
}

async fn unresolved(row: &Row<'_>) {
    let url = accepted(row);
    let names = StubNames::answering(row.names);
    let expected = match row.reason {
        "no_address" => Unresolved::NoAddress,
        "dns_failure" => Unresolved::Failed,
        other => panic!("row {} has an unknown reason {other}", row.id),
    };

    let guarded = Guarded::new(names.clone(), Arc::new(policy()));
    assert_eq!(guarded.addresses(row.host).await, Err(expected), "row {}", row.id);

    let outcome = sent(url, names.clone()).await;
    assert_eq!(outcome, Outcome::DnsFailed, "row {}", row.id);
    assert_eq!(outcome.meaning(), Meaning::Failed, "and is tried again");
    assert_eq!(names.asked(), [row.host, row.host], "as it stands, with nothing added");
}

async fn fails_by_its_answer(row: &Row<'_>) {
    allowed(row).await; // that it is not followed is tested over a socket
    let outcome =
        Outcome::Answered { status: row.reply.parse().expect("a status"), retry_after: None };
    assert_eq!((outcome.meaning(), outcome.class()), (Meaning::Failed, "redirect"));
    assert_eq!(row.reason, "redirect_not_followed");
}

async fn allowed(row: &Row<'_>) {
    accepted(row);
    if row.names != "-" {
        let guarded = Guarded::new(StubNames::answering(row.names), Arc::new(policy()));
        let addresses = guarded.addresses(row.host).await.expect(row.id);
        assert_eq!(addresses.len(), row.names.split(',').count(), "row {}", row.id);
    }
}

/// The row's URL, which policy accepts, with the host that the table says.
fn accepted(row: &Row<'_>) -> Url {
    let url = check_url(&row.url, &policy()).unwrap_or_else(|why| panic!("row {}: {why}", row.id));
    assert_eq!(url.host_str(), Some(row.host), "row {}", row.id);
    url
}
