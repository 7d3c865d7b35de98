//! Replaying dead letters: what it would do, and beginning it when that is what is meant.
//!
//! What was counted goes with the form: should another number match when it is sent, nothing is begun.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::form::{Faults, Typed};
use super::{confirm, names, which, words};
use crate::console::deeds::Details;
use crate::console::form::{Asked, Fields, Sent};
use crate::console::frame::{Frame, Section};
use crate::console::parts::When;
use crate::console::refusal::Refusal;
use crate::console::rights::{MakeAttempts, OperatorMay};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::control::reasons::REASON_ABOVE;
use crate::control::replays::{Previewed, Wish};
use crate::domain::replay::{RATE_DEFAULT, RATE_MAX};

/// Endpoints that a preview names: a screen of them. The sums are of all.
const NAMED: usize = 50;

#[derive(Template)]
#[template(path = "operator/replaying.html")]
struct Preview {
    frame: Frame,
    told: Text,
    hidden: Vec<(&'static str, Text)>,
    query: String,
    typed: Typed,
    matched: Option<u64>,
    replayable: u64,
    by_endpoint: Vec<(Text, Option<&'static str>, u64)>,
    further: usize,
    obstacles: Vec<(&'static str, u64)>,
    bytes: u64,
    span: Option<(When, When)>,
    paused: Vec<Text>,
    rate: u32,
    rate_max: u32,
    takes: String,
    reason_wanted: bool,
    faults: Faults,
}

/// `GET /console/dead-letters/replay`: what it would do.
pub(super) async fn preview(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    Asked(asked): Asked,
) -> Result<Response, Refusal> {
    previewed(&site, &operator, asked, Faults::default()).await
}

async fn previewed(
    site: &Site,
    operator: &OperatorMay<MakeAttempts>,
    asked: Fields,
    faults: Faults,
) -> Result<Response, Refusal> {
    // A rate that is none was found when the form was sent: what it would do is counted all the same.
    let rate = which::read(&asked, "rate").ok().flatten();
    let rate = rate.filter(|rate| (1..=RATE_MAX).contains(rate));
    let wish = Wish { rate, ..wished(&asked)? };
    let previewed = site.replays().preview(&operator.control, None, &wish).await?;
    let frame = operator.frame(site, "Replay these dead letters?", Section::DeadLetters, &asked);
    let mut names = Vec::new();
    for (endpoint, ..) in previewed.preview.by_endpoint.iter().take(NAMED) {
        names.push(names::endpoint(&operator.control, *endpoint).await?);
    }
    let mut paused = Vec::new();
    for endpoint in previewed.preview.paused.iter().take(NAMED) {
        paused.push(names::endpoint(&operator.control, *endpoint).await?);
    }
    let filled = filled(frame, asked, &previewed, names, paused);
    faults.answer(&Preview { faults: faults.clone(), ..filled })
}

fn filled(
    frame: Frame,
    asked: Fields,
    previewed: &Previewed,
    names: Vec<Text>,
    paused: Vec<Text>,
) -> Preview {
    let Previewed { preview, rate } = previewed;
    let by_endpoint = names.into_iter().zip(&preview.by_endpoint);
    let by_endpoint =
        by_endpoint.map(|(name, (_, reason, count))| (name, reason.map(words::reason), *count));
    let obstacles = preview.not_replayable.iter();
    Preview {
        frame,
        told: which::told(&asked),
        hidden: which::hidden(&asked),
        query: which::query(&asked),
        matched: preview.matched,
        replayable: preview.replayable(),
        by_endpoint: by_endpoint.collect(),
        further: preview.by_endpoint.len().saturating_sub(NAMED),
        obstacles: obstacles.map(|(why, count)| (words::obstacle(*why), *count)).collect(),
        bytes: preview.bytes,
        span: preview.span.map(|(first, last)| (When(first), When(last))),
        paused,
        rate: rate.per_second(),
        rate_max: RATE_MAX,
        takes: words::roughly(previewed.estimated_seconds()),
        reason_wanted: preview.matched.is_none_or(|matched| matched > REASON_ABOVE),
        typed: Typed(asked),
        faults: Faults::default(),
    }
}

/// `POST /console/dead-letters/replay`
pub(super) async fn begin(
    State(site): State<Arc<Site>>,
    operator: OperatorMay<MakeAttempts>,
    Sent(form): Sent,
) -> Result<Response, Refusal> {
    let begun = match rate(&form) {
        Ok(rate) => {
            let expect = which::read(&form, "expect")?;
            let reason = form.one("reason").map(str::to_owned);
            let wish = Wish { rate: Some(rate), reason, expect, ..wished(&form)? };
            let actor = operator.organisation.to_string();
            site.replays().begin(&operator.control, None, &wish, &actor).await
        }
        Err(why) => return previewed(&site, &operator, form, Faults::at("rate", &why)).await,
    };
    match begun {
        Ok(replay) => {
            let details = json!({
                "replay": replay.id, "filter": which::told(&form).as_str(), "matched": replay.matched,
                "rate": replay.rate, "reason": replay.reason,
            });
            let at = format!("/console/replays/{}", replay.id);
            Ok((Details(details), confirm::done(&at, "begun")).into_response())
        }
        Err(error) => previewed(&site, &operator, form, Faults::of(error)?).await,
    }
}

fn rate(form: &Fields) -> Result<u32, String> {
    let Some(text) = form.one("rate") else { return Ok(RATE_DEFAULT) };
    let read = text.parse::<u32>().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    read.ok_or_else(|| format!("1 to {RATE_MAX} deliveries a second are accepted"))
}

fn wished(fields: &Fields) -> Result<Wish, Refusal> {
    let which = which::which(fields)?;
    // One application's alone is not nothing, and still every one that there is of it.
    let all = fields.one("all").is_some() || which.application.is_some() || which::is_all(fields);
    Ok(Wish { which, all, ..Wish::default() })
}
