//! The first page: whether events come in and go out, what keeps them from it, and which endpoints are worst off.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::names::Names;
use super::words;
use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::chart::{Bars, Durations};
use crate::control::installation::Installation;
use crate::control::installation::vitals::Vitals;
use crate::control::{Control, ControlError};
use crate::domain::time::Timestamp;
use crate::storage::attention::{Worst, WorstBy};
use crate::storage::rollups::{Of, Rollups, SPAN, Tally};

/// What the charts look back over, and their steps: a day in half hours.
const LOOK_BACK: Duration = Duration::from_hours(24);
const STEP: Duration = Duration::from_mins(30);
/// What the cards count over: an hour, to the five minutes that requests are counted by.
const LAST: Duration = Duration::from_hours(1);
/// Endpoints that each list of the worst names: what is read at one look.
const WORST: usize = 5;

#[derive(Template)]
#[template(path = "operator/health.html")]
struct Health {
    frame: Frame,
    hour: Tally,
    success: Option<u64>,
    router: Option<Router>,
    worst: Vec<List>,
    requests: Bars,
    durations: Durations,
}

/// How this router is; for those who keep the installation.
struct Router {
    version: &'static str,
    since: When,
    state: Badge,
    missing: Vec<Text>,
    accepted: u64,
    known: u64,
    quarantined: u64,
    in_memory: (u64, u64),
    in_flight: (u64, u64),
    circuits: usize,
    books: Option<[(&'static str, u64); 8]>,
    unaccounted: i64,
    dead: Option<u64>,
    oldest: Option<(When, String)>,
    broker: Option<Broker>,
    trouble: Option<Text>,
    file: Option<[(&'static str, String); 4]>,
}

struct Broker {
    state: Badge,
    reconnects: u64,
    received: u64,
    confirmed: u64,
    refused: u64,
    routers: Option<u64>,
    inbox_ready: u64,
}

/// The worst by one measure.
struct List {
    title: &'static str,
    rows: Vec<Row>,
}

struct Row {
    application: Text,
    application_name: Text,
    endpoint: Text,
    called: Text,
    listed: bool,
    says: String,
    since: When,
}

/// `GET /console`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let now = site.now();
    let of = Of::Organisation(operator.organisation);
    let spans = site.rollups().tallies(of, now - LOOK_BACK, now, STEP).await;
    let spans = spans.map_err(ControlError::from)?;
    let hour = last_hour(site.rollups(), of, now).await?;
    let router = match Installation::of(operator.organisation) {
        Ok(leave) => Some(router(&site.installation().vitals.vitals(leave).await, &site)),
        Err(_) => None, // another organisation's operator: it is not there
    };
    shown(&Health {
        frame: operator.frame(&site, "Health", Section::Overview, &asked),
        success: (hour.delivered * 100).checked_div(hour.all()),
        hour,
        router,
        worst: worst(&operator.control).await?,
        requests: Bars::of("requests", "Requests of the last 24 hours, by half hours", &spans),
        durations: Durations::of("durations", "How long they took", &spans, None),
    })
}

/// What ended within the last hour: the span that runs, and the eleven before it. (A chart's half hours would be up to
/// ninety minutes.)
async fn last_hour(rollups: &dyn Rollups, of: Of, now: Timestamp) -> Result<Tally, Refusal> {
    let spans = rollups.tallies(of, now - LAST + SPAN, now, SPAN).await;
    let mut hour = Tally::default();
    spans.map_err(ControlError::from)?.iter().for_each(|(_, tally)| hour.add(tally));
    Ok(hour)
}

async fn worst(control: &Control) -> Result<Vec<List>, Refusal> {
    let mut lists = Vec::new();
    for (by, title) in [
        (WorstBy::Overdue, "Longest overdue"),
        (WorstBy::Failures, "Most failures since the last success"),
        (WorstBy::Latency, "Slowest"),
    ] {
        let found = control.worst_endpoints(by, WORST).await?;
        let applications = found.worst.iter().map(|one| one.application).collect();
        let names = Names::of(control, applications).await?;
        let rows = found.worst.iter().map(|one| row(by, one, &names)).collect();
        lists.push(List { title, rows });
    }
    Ok(lists)
}

fn row(by: WorstBy, one: &Worst, names: &Names) -> Row {
    let id = one.endpoint.to_string();
    let says = match by {
        WorstBy::Overdue => format!("{} overdue", one.count),
        WorstBy::Failures => format!("{} failures", one.count),
        WorstBy::Latency => {
            let ms = |ms: Option<u32>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms} ms"));
            format!("{} on average, {} at most", ms(one.mean_ms), ms(one.max_ms))
        }
    };
    Row {
        application: Text::line(&one.application.to_string()),
        application_name: names.name(one.application),
        called: Text::line(one.uid.as_deref().or(one.url.as_deref()).unwrap_or(&id)),
        endpoint: Text::line(&id),
        listed: one.url.is_some(),
        says,
        since: When(one.since),
    }
}

fn router(vitals: &Vitals, site: &Site) -> Router {
    let Vitals { events, deliveries, .. } = vitals;
    let state = match (vitals.is_draining, vitals.missing.is_empty()) {
        (true, _) => Badge::new(Tone::Warn, "stopping"),
        (false, true) => Badge::new(Tone::Good, "ready"),
        (false, false) => Badge::new(Tone::Bad, "not ready"),
    };
    let late = |at| (When(at), words::roughly(site.now().since(at).as_secs()));
    Router {
        version: vitals.version,
        since: When(vitals.started_at),
        state,
        missing: vitals.missing.iter().map(|why| Text::line(why)).collect(),
        accepted: events.accepted,
        known: events.known,
        quarantined: events.quarantined,
        in_memory: (deliveries.in_memory, deliveries.in_memory_max),
        in_flight: (deliveries.in_flight, deliveries.in_flight_max),
        circuits: site.circuits().count(),
        unaccounted: vitals.books.map_or(0, |books| books.unaccounted()),
        dead: vitals.books.map(|books| books.dead),
        books: vitals.books.map(|books| {
            [
                ("owed", books.owed),
                ("pending", books.pending),
                ("waiting", books.waiting),
                ("delivered", books.delivered),
                ("dead", books.dead),
                ("discarded or dropped", books.discarded + books.dropped),
                ("cancelled", books.cancelled),
                ("unknown", books.unknown),
            ]
        }),
        oldest: vitals.oldest_late.map(late),
        broker: vitals.broker.map(|broker| Broker {
            state: match (broker.is_blocked, broker.publish_connected && broker.consume_connected) {
                (true, _) => Badge::new(Tone::Bad, "takes no publishes"),
                (false, true) => Badge::new(Tone::Good, "connected"),
                (false, false) => Badge::new(Tone::Bad, "not connected"),
            },
            reconnects: broker.reconnects,
            received: broker.received,
            confirmed: broker.confirmed,
            refused: broker.refused,
            routers: broker.routers,
            inbox_ready: broker.inbox_ready,
        }),
        trouble: vitals.store.trouble.as_deref().map(Text::line),
        file: vitals.store.size.as_ref().map(|size| {
            [
                ("file", words::bytes(size.file_bytes)),
                ("not folded in yet", words::bytes(size.log_bytes)),
                ("free within it", words::bytes(size.free_bytes)),
                ("left on the disk", words::bytes(size.available_bytes)),
            ]
        }),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::domain::id::OrganisationId;
    use crate::storage::StorageError;
    use crate::storage::rollups::Counted;

    /// One request in each span, ever since.
    struct Steady;

    #[async_trait]
    impl Rollups for Steady {
        async fn add_up(&self, _: &[Counted]) -> Result<(), StorageError> {
            Ok(())
        }

        async fn tallies(
            &self,
            _: Of,
            since: Timestamp,
            until: Timestamp,
            step: Duration,
        ) -> Result<Vec<(Timestamp, Tally)>, StorageError> {
            let step_ms = i64::try_from(step.as_millis()).expect("short");
            let span_ms = i64::try_from(SPAN.as_millis()).expect("short");
            let (first, end) =
                (since.as_millis().div_euclid(step_ms), (until.as_millis() - 1) / step_ms);
            let each = u64::try_from(step_ms / span_ms).expect("some");
            let tally = Tally { delivered: each, ..Tally::default() };
            let at = |bar: i64| Timestamp::from_millis(bar * step_ms);
            Ok((first..=end).map(|bar| (at(bar), tally)).collect())
        }
    }

    #[tokio::test]
    async fn the_last_hour_is_an_hour_whenever_one_looks() {
        for minutes in [0, 1, 4, 7, 29, 31, 44, 59] {
            let now = Timestamp::from_seconds(1_790_000_000 + minutes * 60);
            let hour = last_hour(&Steady, Of::Organisation(OrganisationId::DEFAULT), now).await;
            let spans = hour.expect("counted").delivered;
            assert_eq!(spans, 12, "{minutes} minutes behind: 12 spans of five minutes");
        }
    }
}
