//! One event of any application: what it says, whom it is owed to and how each of these stands, and whom it is not owed to.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;

use crate::console::form::Asked;
use crate::console::frame::{Frame, Section};
use crate::console::parts::{Badge, When};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{OperatorMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::delivery::shown_body;
use crate::console::views::pager::ROWS;
use crate::control::stories::{NotMatched, Story, TRAIL_MAX, Trail};
use crate::storage::attention::Routed;

/// Most parts there are: a trail has so many deliveries, and no more.
const PARTS_MAX: usize = TRAIL_MAX.div_ceil(ROWS);

#[derive(Template)]
#[template(path = "operator/event.html")]
struct Shown {
    frame: Frame,
    id: Text,
    application: Text,
    event_type: Text,
    producers: Option<Text>,
    subject: Option<Text>,
    occurred: When,
    received: When,
    deliver_at: Option<When>,
    expires_at: Option<When>,
    routed: Badge,
    never: Option<Text>,
    rows: Vec<Row>,
    others: Vec<(Text, Text)>,
    is_whole: bool,
    part: usize,
    next: Option<usize>,
    bytes: usize,
    payload: Text,
    exact: bool,
}

struct Row {
    endpoint: Text,
    called: Text,
    state: Badge,
    attempts: u32,
    why: Text,
    now: Text,
}

impl Row {
    fn of(story: &Story) -> Self {
        let delivery = &story.tracked.delivery;
        let endpoint = delivery.key.endpoint.to_string();
        let called = story.uid.as_deref().or(delivery.url.as_deref()).unwrap_or(&endpoint);
        let now = story.timeline.last().map_or("", |moment| &moment.words);
        Self {
            called: Text::line(called),
            endpoint: Text::line(&endpoint),
            state: Badge::delivery(delivery.state()),
            attempts: delivery.attempts(),
            why: Text::line(&story.why),
            now: Text::line(now),
        }
    }
}

/// `GET /console/events/{event}`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<View>,
    Path(id): Path<String>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    let Trail { event, routed, matched, not_matched, is_whole } =
        operator.control.any_trail(&id).await?;
    let part = asked.one("part").and_then(|text| text.parse().ok()).unwrap_or(1);
    let part = usize::clamp(part, 1, PARTS_MAX);
    let (begin, end) = ((part - 1) * ROWS, part * ROWS);
    let goes_on = matched.len() > end || not_matched.len() > end;
    let (badge, never) = words(&routed);
    let other = |one: &NotMatched| {
        let called = one.uid.clone().unwrap_or_else(|| one.endpoint.to_string());
        (Text::line(&called), Text::line(&one.why))
    };
    let payload = shown_body(&event.payload, asked.one("body") == Some("raw"));
    shown(&Shown {
        frame: operator.frame(&site, "Event", Section::Deliveries, &asked),
        id: Text::line(&event.id.to_string()),
        application: Text::line(&event.application.to_string()),
        event_type: Text::line(event.event_type.as_str()),
        producers: event.event_id.as_deref().map(Text::line),
        subject: event.subject.as_deref().map(Text::line),
        occurred: When(event.occurred_at),
        received: When(event.received_at),
        deliver_at: event.deliver_at.map(When),
        expires_at: event.expires_at.map(When),
        routed: badge,
        never,
        rows: matched.iter().skip(begin).take(ROWS).map(Row::of).collect(),
        others: not_matched.iter().skip(begin).take(ROWS).map(other).collect(),
        is_whole,
        part,
        next: goes_on.then_some(part + 1),
        bytes: event.payload.len(),
        exact: payload.is(&event.payload),
        payload,
    })
}

fn words(routed: &Routed) -> (Badge, Option<Text>) {
    use crate::console::parts::Tone;
    match routed {
        Routed::Yes => (Badge::new(Tone::Good, "routed"), None),
        Routed::NotYet => (Badge::new(Tone::Busy, "not routed yet"), None),
        Routed::Never(why) => (Badge::new(Tone::Bad, "in quarantine"), Some(Text::line(why))),
    }
}
