//! A replay: what it offers, how far it is and what came of it, and what can be done to it.

use askama::Template;
use askama::filters::HtmlSafe;

use crate::console::frame::Frame;
use crate::console::parts::{Badge, Tone, When};
use crate::console::text::Text;
use crate::domain::replay::{RATE_MAX, ReplayState, Scope};
use crate::domain::time::Timestamp;
use crate::storage::replays::{Replay, Selection};

/// A replay.
#[derive(Template)]
#[template(path = "views/replay.html")]
pub(in crate::console) struct ReplayView {
    this: String,
    form_token: String,
    may_change: bool,
    id: String,
    what: &'static str,
    endpoint: Option<Text>,
    to: Option<Text>,
    event_type: Option<Text>,
    /// What else the deliveries have in common.
    besides: Vec<Text>,
    /// Where those are that were given up once more.
    again: Option<String>,
    span: (Option<When>, Option<When>),
    badge: Badge,
    because: Option<Text>,
    matched: Option<u64>,
    passed: u64,
    offered: u64,
    skipped: u64,
    tried: u64,
    delivered: u64,
    dead: u64,
    rate: u32,
    rate_most: u32,
    left: Option<String>,
    running: bool,
    paused: bool,
    actor: Text,
    reason: Option<Text>,
    begun_at: When,
    ended_at: Option<When>,
}

impl HtmlSafe for ReplayView {}

/// Where a replay is, as a badge.
pub(in crate::console) const fn badge(state: ReplayState) -> Badge {
    match state {
        ReplayState::Running => Badge::new(Tone::Busy, "running"),
        ReplayState::Paused => Badge::new(Tone::Warn, "paused"),
        ReplayState::Finished => Badge::new(Tone::Good, "finished"),
        ReplayState::Cancelled => Badge::new(Tone::Plain, "cancelled"),
        ReplayState::Failed => Badge::new(Tone::Bad, "failed"),
    }
}

/// What it offers, in words.
pub(in crate::console) const fn scope_words(scope: Scope) -> &'static str {
    match scope {
        Scope::DeadLetters => "dead letters",
        Scope::GivenUp => "what was given up",
        Scope::Missing => "what was never owed, and would be now",
        Scope::Delivered => "what was delivered already, once more",
    }
}

impl ReplayView {
    /// A replay below this address (`…/pause`, `…/resume`, `…/cancel` and `…/rate` are its deeds), with the names of its endpoints as
    /// their owners have them.
    pub(in crate::console) fn of(
        replay: &Replay,
        this: String,
        (endpoint, to): (Option<Text>, Option<Text>),
        frame: &Frame,
    ) -> Self {
        let passed = replay.offered + replay.skipped;
        let (event_type, span) = match &replay.selection {
            Selection::DeadLetters(filter) => {
                (filter.event_type.as_ref(), (filter.since, filter.until))
            }
            Selection::OfEndpoint(of) => (of.event_type.as_ref(), (Some(of.since), of.until)),
        };
        let begin = |at: &Timestamp| at.as_millis() > 0;
        let running = replay.state == ReplayState::Running;
        Self {
            this,
            form_token: frame.form_token.clone(),
            may_change: frame.may.make_attempts && replay.state.is_active(),
            id: replay.id.to_string(),
            what: scope_words(replay.selection.scope()),
            endpoint,
            to,
            event_type: event_type.map(|pattern| Text::line(&pattern.to_string())),
            besides: besides(&replay.selection),
            again: None,
            span: (span.0.filter(begin).map(When), span.1.map(When)),
            badge: badge(replay.state),
            because: replay.because.as_deref().map(Text::line),
            matched: replay.matched,
            passed,
            offered: replay.offered,
            skipped: replay.skipped,
            tried: replay.tried,
            delivered: replay.delivered,
            dead: replay.dead,
            rate: replay.rate.per_second(),
            rate_most: RATE_MAX,
            left: replay.matched.filter(|_| running).map(|matched| {
                let left = matched.saturating_sub(passed);
                span_words(left.div_ceil(u64::from(replay.rate.per_second())))
            }),
            running,
            paused: replay.state == ReplayState::Paused,
            actor: Text::line(&replay.actor),
            reason: replay.reason.as_deref().map(Text::line),
            begun_at: When(replay.created_at),
            ended_at: replay.ended_at.map(When),
        }
    }

    /// The same with a way to what was given up once more, where there is any.
    pub(in crate::console) fn with_again(self, at: String) -> Self {
        Self { again: (self.dead > 0).then_some(at), ..self }
    }
}

/// What a search for dead letters says beside endpoint, type and time.
fn besides(selection: &Selection) -> Vec<Text> {
    let Selection::DeadLetters(filter) = selection else { return Vec::new() };
    let said = [
        (!filter.ids.is_empty()).then(|| format!("{} by their ids", filter.ids.len())),
        filter.reason.map(|reason| format!("given up as {}", reason.as_str().replace('_', " "))),
        filter.status.map(|status| format!("with the last status {status}")),
        filter.error.map(|error| format!("that ended as {}", error.as_str().replace('_', " "))),
        filter.subject.as_ref().map(|subject| format!("about {subject}")),
        filter.text.as_ref().map(|text| format!("with “{text}” in them")),
    ];
    said.into_iter().flatten().map(|words| Text::line(&words)).collect()
}

/// A span of seconds as people say it.
pub(in crate::console) fn span_words(seconds: u64) -> String {
    match seconds {
        0..=1 => "a moment".to_owned(),
        2..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}
