//! What waits: until when, by the record, and in which queue.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::words;
use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, Tone, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::storage::queues::{Count, Depth, Depths, Role, Span};

#[derive(Template)]
#[template(path = "operator/queues.html")]
#[expect(clippy::struct_field_names, reason = "as the page says it")]
struct Queues {
    frame: Frame,
    pending: String,
    in_memory: String,
    held_back: String,
    oldest: Option<(When, String)>,
    rungs: Vec<Rung>,
    queues: Vec<Row>,
    missing: Vec<Text>,
    /// Why the queues cannot be told.
    away: Option<Text>,
}

/// What goes on within a span: its words, its count, and its bar, in parts of a hundred.
struct Rung {
    until: String,
    count: String,
    width: u64,
}

struct Row {
    name: Text,
    what: &'static str,
    waits: Option<String>,
    ready: String,
    consumers: Option<u32>,
    state: Option<Badge>,
}

impl Row {
    fn of(depth: &Depth) -> Self {
        let wants_a_person = depth.role.wants_a_person() && depth.ready.least > 0;
        Self {
            name: Text::line(&depth.name),
            what: depth.role.words(),
            waits: match depth.role {
                Role::Rung(span) => Some(format!("{} ms", span.as_millis())),
                Role::Inbox
                | Role::Due
                | Role::DeadLetters
                | Role::Quarantine
                | Role::Unroutable
                | Role::Orphans
                | Role::Poison
                | Role::Resends
                | Role::Tidings => None,
            },
            ready: told(depth.ready),
            consumers: depth.consumers,
            state: wants_a_person.then(|| Badge::new(Tone::Warn, "wants a person")),
        }
    }
}

/// `GET /console/queues`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let leave = operator.installation()?;
    let desk = &site.installation().queues;
    let waiting = desk.waiting(leave).await?;
    let (depths, away) = match desk.depths(leave).await {
        Ok(depths) => (depths, None),
        // The broker is away: what waits is told by the record all the same.
        Err(ControlError::Unavailable(why)) => (Depths::default(), Some(Text::line(&why))),
        Err(error) => return Err(error.into()),
    };
    let most = waiting.spans.iter().map(|span| span.count.least).max().unwrap_or(0);
    let late = |at| (When(at), words::roughly(site.now().since(at).as_secs()));
    shown(&Queues {
        frame: operator.frame(&site, "Queues", Section::Queues, &asked),
        pending: told(waiting.pending),
        in_memory: told(waiting.in_memory),
        held_back: told(waiting.held_back),
        oldest: waiting.oldest.map(late),
        rungs: rungs(&waiting.spans, most),
        queues: depths.queues.iter().map(Row::of).collect(),
        missing: depths.missing.iter().map(|name| Text::line(name)).collect(),
        away,
    })
}

fn rungs(spans: &[Span], most: u64) -> Vec<Rung> {
    let mut from = 0;
    let rung = |span: &Span| {
        let until = match span.until.map(|until| until.as_secs()) {
            Some(0) => "due already".to_owned(),
            Some(seconds) => format!("within {}", words::roughly(seconds)),
            None => format!("later than {}", words::roughly(from)),
        };
        from = span.until.map_or(from, |until| until.as_secs());
        // At least a line, where there is anything.
        let width = (span.count.least * 100).checked_div(most).unwrap_or(0);
        let width = width.max(u64::from(span.count.least > 0));
        Rung { until, count: told(span.count), width }
    };
    spans.iter().map(rung).collect()
}

fn told(count: Count) -> String {
    if count.or_more { format!("{} or more", count.least) } else { count.least.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_span_is_told_with_a_bar_against_the_largest() {
        let span = |until, count| Span { until, count: Count::exactly(count) };
        let spans = [
            span(Some(Duration::ZERO), 0),
            span(Some(Duration::from_secs(10)), 1),
            span(Some(Duration::from_hours(24)), 1_000),
            span(None, 500),
        ];
        let told: Vec<_> =
            rungs(&spans, 1_000).into_iter().map(|one| (one.until, one.width)).collect();
        let expected =
            [("due already", 0), ("within 10 s", 1), ("within 24 h", 100), ("later than 24 h", 50)];
        assert_eq!(told, expected.map(|(words, width)| (words.to_owned(), width)));
    }
}
