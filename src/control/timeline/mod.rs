//! What has happened to a delivery, in words: when it was accepted, why it went to whom, what each request was answered
//! and what that meant, and when it is tried next and why then.
//!
//! Functions of what is on record, and of the catalogue of today. What was matched when the event was accepted is on
//! record as the delivery itself; by which pattern is not, and is told as it is now. So is the reason of the next moment:
//! it is told from the policy that the last request was made by, and said with the caution that this deserves.

use std::time::Duration;

use super::tracking::told;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::{Event, WebhookMode};
use crate::domain::filter::{Filter, Pattern};
use crate::domain::policy::Policy;
use crate::domain::retry::{Chance, RetryPolicy};
use crate::domain::settings::DefaultUrlWhen;
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::attention::Death;
use crate::storage::history::{AttemptEntry, DeliveryEntry};
use crate::storage::replays::Offer;

/// Something that has happened to a delivery, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// When; `None` where that is not on record.
    pub at: Option<Timestamp>,
    /// What, in one word: `accepted`, `matched`, `attempt`, `replayed`, `delivered`, `given_up`, `cancelled`,
    /// `unknown`, or `next`.
    pub what: &'static str,
    /// A sentence for people.
    pub words: String,
}

/// Whom a delivery is owed to, as the catalogue has it today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// An endpoint that somebody lists.
    Listed {
        /// Which event types it wants.
        filter: Filter,
        /// On which channels.
        channels: Vec<String>,
        /// Why it is not called, if it is not: `paused`, `disabled`.
        stopped: Option<&'static str>,
    },
    /// The application's default URL.
    Default(DefaultUrlWhen),
    /// The URL that the event names.
    Named(WebhookMode),
    /// An endpoint that is gone.
    Gone,
}

/// All that is known of a delivery.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Its event.
    pub event: &'a Event,
    /// How it stands.
    pub delivery: &'a DeliveryEntry,
    /// Whom it is owed to.
    pub whom: &'a Whom,
    /// Its requests, oldest first.
    pub attempts: &'a [AttemptEntry],
    /// Whether there were more before those.
    pub earlier: bool,
    /// That it was given up, when it is a dead letter.
    pub death: Option<Death>,
    /// The policy that its last request was made by.
    pub policy: Option<&'a Policy>,
    /// Replays that have offered it, oldest first.
    pub offers: &'a [Offer],
    /// Whether its application sends anything at all.
    pub sends: bool,
    /// The moment it is.
    pub now: Timestamp,
}

/// What has happened, in order, and what comes next.
pub fn timeline(facts: &Facts<'_>) -> Vec<Moment> {
    let at = Some(facts.delivery.created_at);
    let mut moments = vec![
        Moment { at, what: "accepted", words: accepted(facts.event) },
        Moment { at, what: "matched", words: why_matched(facts.event, facts.whom) },
    ];
    let mut happened: Vec<Moment> = facts.attempts.iter().map(attempt).collect();
    happened.extend(facts.offers.iter().map(|offer| Moment {
        at: Some(offer.at),
        what: "replayed",
        words: format!("offered again by replay {}: its attempts begin anew", offer.replay),
    }));
    happened.sort_by_key(|moment| moment.at); // stable: what began together stays as it was
    if facts.earlier {
        let words = "there were more requests before those below".into();
        moments.push(Moment { at: None, what: "attempt", words });
    }
    moments.extend(happened);
    moments.push(end(facts));
    moments
}

fn accepted(event: &Event) -> String {
    let about = event.subject.as_ref().map(|it| format!(" about {it}")).unwrap_or_default();
    let later = event.deliver_at.map(|at| format!(", not to be delivered before {at}"));
    let useless = event.expires_at.map(|at| format!(", of no use from {at} on"));
    let (later, useless) = (later.unwrap_or_default(), useless.unwrap_or_default());
    format!("{}{about} was accepted{later}{useless}", event.event_type)
}

/// Why an event is owed to it.
pub fn why_matched(event: &Event, whom: &Whom) -> String {
    match whom {
        Whom::Listed { filter, channels, .. } => match unmatched(event, filter, channels) {
            None => format!("{}{}", by_type(event, filter), by_channel(event, channels)),
            Some(why) => format!(
                "it was owed when the event was accepted, or a person asked for it; as the endpoint is now it would not be: {why}"
            ),
        },
        Whom::Default(DefaultUrlWhen::NoMatch) => {
            "no endpoint wanted it, and the application has a default URL".into()
        }
        Whom::Default(DefaultUrlWhen::NoOverride) => {
            "the application's default URL gets every event that names no URL itself".into()
        }
        Whom::Named(WebhookMode::Override) => {
            "the event names this URL, instead of the endpoints".into()
        }
        Whom::Named(WebhookMode::Add) => "the event names this URL, beside the endpoints".into(),
        Whom::Gone => "it was owed when the event was accepted; the endpoint is gone since".into(),
    }
}

/// Why an endpoint that is like this is not owed an event; `None` when it wants it.
pub fn unmatched(event: &Event, filter: &Filter, channels: &[String]) -> Option<String> {
    if !filter.wants(&event.event_type) {
        return Some(format!("it wants {filter}, and this is {}", event.event_type));
    }
    let listens = channels.is_empty()
        || event.channels.iter().any(|one| channels.iter().any(|own| **own == **one));
    if listens {
        return None;
    }
    let own = channels.join(", ");
    Some(match event.channels.join(", ") {
        none if none.is_empty() => {
            format!("it listens on the channels {own}, and the event is for none")
        }
        theirs => format!("it listens on the channels {own}, and the event is for {theirs}"),
    })
}

fn by_type(event: &Event, filter: &Filter) -> String {
    let matching = filter.patterns().iter().find(|one| one.matches(&event.event_type));
    match matching {
        None | Some(Pattern::All) => "the endpoint wants everything".into(),
        Some(Pattern::Exact(name)) => format!("the endpoint wants {name}"),
        Some(prefix @ Pattern::Prefix(_)) => {
            format!("the endpoint wants {prefix}, which matches {}", event.event_type)
        }
    }
}

fn by_channel(event: &Event, channels: &[String]) -> String {
    let common = event.channels.iter().find(|one| channels.iter().any(|own| **own == ***one));
    common.map(|name| format!(", and listens on the channel {name}")).unwrap_or_default()
}

fn attempt(entry: &AttemptEntry) -> Moment {
    let one = &entry.attempt;
    let number = if entry.manual {
        "a request that a person asked for".to_owned()
    } else {
        format!("attempt {}", one.number)
    };
    let ended = ended(&told(&one.outcome, &one.url), one.status);
    let costs = match one.outcome.as_str() {
        "success" | "unknown" => "",
        "interrupted" | "internal" => ": it does not count",
        _ if entry.manual => ": it does not count against the delivery",
        _ => "",
    };
    let took = if one.outcome == "unknown" {
        String::new()
    } else {
        format!(" after {}", spoken(Duration::from_millis(one.duration_ms.into())))
    };
    let words = format!("{number} {ended}{took}{costs}");
    Moment { at: Some(one.started_at), what: "attempt", words }
}

/// What a request was answered, and what that means.
fn ended(outcome: &str, status: u16) -> String {
    match outcome {
        "success" => format!("was answered {status}, and the receiver has it"),
        "redirect" => format!("was answered {status}: redirects are not followed, and it failed"),
        "gone" => format!(
            "was answered {status}: the receiver is gone for good, and is not called any more"
        ),
        "too_many_requests" => {
            format!("was answered {status}: the receiver wants to be called less")
        }
        "client_error" => format!("was answered {status}: the receiver does not accept it"),
        "server_error" => format!("was answered {status}: the receiver could not do it"),
        "odd_status" => {
            format!("was answered {status}, which its policy does not take for a success")
        }
        "timeout" => "had no answer in time".into(),
        "dns" => "was not made: the host's name leads nowhere".into(),
        "connect" => "was not made: no connection could be opened".into(),
        "tls" => "was not made: TLS was refused by one side".into(),
        "connection_lost" => "had no answer: the connection ended before it".into(),
        "protocol" => "had an answer that is not HTTP".into(),
        "target_not_allowed" => "was not made: the address may not be called".into(),
        "interrupted" => "was interrupted when the router stopped".into(),
        "internal" => "could not be made, which was not the receiver's doing".into(),
        "unknown" => "was let go, and how it ended is not on record".into(),
        other => format!("ended as {other}"),
    }
}

/// How it stands now, and what comes next.
fn end(facts: &Facts<'_>) -> Moment {
    let last_end = facts.attempts.last().map(|last| {
        last.attempt.started_at + Duration::from_millis(last.attempt.duration_ms.into())
    });
    let moment = |at, what, words: String| Moment { at, what, words };
    match facts.delivery.standing.state {
        DeliveryState::Delivered => {
            let success = facts.attempts.iter().find(|one| one.success);
            let at = success.map(|one| {
                one.attempt.started_at + Duration::from_millis(one.attempt.duration_ms.into())
            });
            moment(at.or(last_end), "delivered", "the receiver has it".into())
        }
        DeliveryState::Dead => {
            let (at, why) = match &facts.death {
                Some(death) => (Some(death.at), gave_up(death.reason)),
                None => (last_end, "its dead letter was put away"),
            };
            let kept = if facts.death.is_some() {
                format!(": kept as dead letter {}, which can be replayed", facts.delivery.key.id())
            } else {
                String::new()
            };
            moment(at, "given_up", format!("given up, because {why}{kept}"))
        }
        DeliveryState::Dropped => {
            moment(last_end, "given_up", "given up, and not kept: its policy says so".into())
        }
        DeliveryState::Discarded => moment(
            None,
            "discarded",
            "given up, and its dead letter was put away by a person: it does not come back with \
             what was given up"
                .into(),
        ),
        DeliveryState::Cancelled => moment(
            None,
            "cancelled",
            "taken back: it is not tried by itself, and a person may still ask for an attempt"
                .into(),
        ),
        DeliveryState::Unknown => moment(
            last_end,
            "unknown",
            "made at most once, and nobody knows how it ended: it is not tried again by itself"
                .into(),
        ),
        DeliveryState::Pending | DeliveryState::Waiting { .. } => {
            let Next { at, why } = next(facts).expect("it is not finished");
            moment(at, "next", why)
        }
    }
}

const fn gave_up(reason: DeathReason) -> &'static str {
    match reason {
        DeathReason::AttemptsExhausted => "all its attempts have failed",
        DeathReason::Gone => "the receiver said that it is gone for good",
        DeathReason::Refused => "the receiver answered what its policy gives up at",
        DeathReason::Expired => "it was of no use any more",
    }
}

/// When a delivery is tried next, and why then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// When; `None` where a person has to act first, or nobody knows.
    pub at: Option<Timestamp>,
    /// Why then.
    pub why: String,
}

/// When a delivery is tried next; `None` when it is not.
pub fn next(facts: &Facts<'_>) -> Option<Next> {
    let due_at = match facts.delivery.standing.state {
        DeliveryState::Pending => None,
        DeliveryState::Waiting { due_at, .. } => Some(due_at),
        DeliveryState::Delivered
        | DeliveryState::Dead
        | DeliveryState::Cancelled
        | DeliveryState::Dropped
        | DeliveryState::Discarded
        | DeliveryState::Unknown => return None,
    };
    if let Whom::Listed { stopped: Some(stopped), .. } = facts.whom {
        let why = format!("the endpoint is {stopped}: it waits until a person lets it go on");
        return Some(Next { at: None, why });
    }
    if !facts.sends {
        let why = "the application holds back all that it sends: it waits until that is lifted";
        return Some(Next { at: None, why: why.into() });
    }
    let Some(due_at) = due_at else {
        let why = "it is on its way to its first attempt".into();
        return Some(Next { at: None, why });
    };
    if due_at == Timestamp::NEVER {
        let why = "it waits until a person lets it go on".into();
        return Some(Next { at: None, why });
    }
    if due_at <= facts.now {
        let why = "due now: it is tried as soon as its endpoint has room for it".into();
        return Some(Next { at: Some(due_at), why });
    }
    Some(Next { at: Some(due_at), why: why_then(facts, due_at) })
}

/// Why it waits until then.
fn why_then(facts: &Facts<'_>, due_at: Timestamp) -> String {
    if facts.event.deliver_at == Some(due_at) {
        return "its producer wants it then".into();
    }
    let attempts = facts.delivery.standing.attempts;
    let counted = facts.attempts.iter().rfind(|one| !one.manual && one.attempt.number == attempts);
    let Some((last, policy)) = counted.zip(facts.policy) else {
        return "put off: its endpoint has no room before".into();
    };
    let ended_at = last.attempt.started_at + Duration::from_millis(last.attempt.duration_ms.into());
    if is_wait_of(&policy.retry, attempts, ended_at, due_at) {
        let (next, most) = (attempts + 1, policy.retry.max_attempts());
        let wait = spoken(due_at.since(ended_at));
        return format!(
            "attempt {next} of {most}: its schedule waits {wait} here, some of it by chance"
        );
    }
    match last.attempt.outcome.as_str() {
        "too_many_requests" | "server_error" => {
            "the receiver has asked to be called later, or less".into()
        }
        _ => "put off: its endpoint has no room before".into(),
    }
}

/// Whether the schedule itself leads from the end of an attempt to that moment. Two seconds of grace, behind: a settlement
/// is decided a little later than its request has ended.
fn is_wait_of(retry: &RetryPolicy, attempts: u32, ended_at: Timestamp, due_at: Timestamp) -> bool {
    const GRACE: Duration = Duration::from_secs(2);
    let Some(planned) = retry.next(attempts, None, ended_at, Chance::MIDDLE) else { return false };
    let latest = planned.at + planned.at.since(planned.earliest) + GRACE;
    planned.earliest <= due_at && due_at <= latest
}

/// A span of time, as people say it.
fn spoken(span: Duration) -> String {
    let ms = span.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests;
