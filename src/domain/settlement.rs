//! What a finished or refused attempt means for its delivery: the decision, and nothing else.
//!
//! Carrying it out (recording it, putting it on the ladder, acknowledging) is `pipeline::settle`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::outcome::{Meaning, Outcome};
use super::policy::{OnExhausted, Policy};
use super::retry::{Chance, Due};
use super::time::Timestamp;

/// What becomes of a delivery at the end of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The receiver has it.
    Delivered,
    /// It failed and is tried again.
    Retry(Due),
    /// It was not attempted, or its attempt does not count; it goes on later.
    Postpone(Due, Postponed),
    /// Given up, and kept.
    DeadLetter(DeathReason),
    /// Given up, and only on record.
    Drop(DeathReason),
    /// Its one request is about to be made: whatever comes, there is no other.
    LetGo,
    /// Taken back: the endpoint is gone.
    Cancelled,
    /// As it was: what a person asked for beside the turns has come to nothing.
    Unchanged,
}

impl Settlement {
    /// When the delivery goes on, if there is such a moment and not a person to wait for.
    pub const fn due(&self) -> Option<Due> {
        match self {
            Self::Retry(due) => Some(*due),
            Self::Postpone(due, why) => match why {
                Postponed::Paused | Postponed::Held => None,
                Postponed::RateLimited
                | Postponed::Busy
                | Postponed::SlowedDown
                | Postponed::CircuitOpen
                | Postponed::Crowded
                | Postponed::NotYet
                | Postponed::OurDoing => Some(*due),
            },
            Self::Delivered
            | Self::DeadLetter(_)
            | Self::Drop(_)
            | Self::LetGo
            | Self::Cancelled
            | Self::Unchanged => None,
        }
    }

    /// Whether it is an end that a receiver has spoken: all that can become of a delivery whose one request
    /// was let go.
    pub const fn is_an_answer(&self) -> bool {
        match self {
            Self::Delivered | Self::DeadLetter(_) | Self::Drop(_) => true,
            Self::Retry(_)
            | Self::Postpone(..)
            | Self::LetGo
            | Self::Cancelled
            | Self::Unchanged => false,
        }
    }
}

/// Why a delivery was put off without an attempt that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Postponed {
    /// Its endpoint's rate is used up.
    RateLimited,
    /// Its endpoint has as many requests on the way as it may.
    Busy,
    /// Its endpoint has asked to be called less.
    SlowedDown,
    /// Its endpoint does nothing but fail, and is not called for now.
    CircuitOpen,
    /// Its application has as many deliveries in memory as it may while others have some too.
    Crowded,
    /// Its endpoint is paused: it waits until a person resumes it.
    Paused,
    /// Its application holds back all that it sends: it waits until a person lets it go on.
    Held,
    /// Its producer wants it later.
    NotYet,
    /// We stopped, or could not make the request.
    OurDoing,
}

impl Postponed {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::RateLimited,
        Self::Busy,
        Self::SlowedDown,
        Self::CircuitOpen,
        Self::Crowded,
        Self::Paused,
        Self::Held,
        Self::NotYet,
        Self::OurDoing,
    ];

    /// Whether it waits for room in its endpoint's lane or its application's part of memory, and for no moment that
    /// somebody has named: it may go on as soon as there is some.
    pub const fn waits_for_room(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Busy
            | Self::SlowedDown
            | Self::CircuitOpen
            | Self::Crowded => true,
            Self::Paused | Self::Held | Self::NotYet | Self::OurDoing => false,
        }
    }

    /// The word for it: a metric label and a log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Busy => "busy",
            Self::SlowedDown => "slowed_down",
            Self::CircuitOpen => "circuit_open",
            Self::Crowded => "crowded",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::NotYet => "not_yet",
            Self::OurDoing => "our_doing",
        }
    }
}

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeathReason {
    /// All its attempts failed.
    AttemptsExhausted,
    /// The receiver said 410.
    Gone,
    /// The receiver answered what its policy gives up at.
    Refused,
    /// It was of no use any more.
    Expired,
}

impl DeathReason {
    /// The word for it: a column, a filter and a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptsExhausted => "attempts_exhausted",
            Self::Gone => "gone",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    /// Every reason.
    pub const ALL: [Self; 4] = [Self::AttemptsExhausted, Self::Gone, Self::Refused, Self::Expired];
}

impl fmt::Display for DeathReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long a delivery waits after something that was our doing.
///
/// Ten seconds: long enough for a restart, short enough that nobody asks.
const OUR_DOING_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// From when to when an event is of use.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// When it was received; or when it was first to be delivered, if that is later.
    pub begins_at: Timestamp,
    /// Of no use after this.
    pub expires_at: Option<Timestamp>,
}

impl From<&Event> for Life {
    fn from(event: &Event) -> Self {
        let begins_at = event.deliver_at.map_or(event.received_at, |at| at.max(event.received_at));
        Self { begins_at, expires_at: event.expires_at }
    }
}

/// Decides what the end of an attempt means.
///
/// `attempts` counts those that count, this one included if it does. A delivery that would be tried
/// again only after it has expired, or when it is older than its policy has patience for, is given up at once.
pub fn decide(
    outcome: &Outcome,
    attempts: u32,
    policy: &Policy,
    life: Life,
    now: Timestamp,
    chance: Chance,
) -> Settlement {
    match policy.judge(outcome) {
        Meaning::Delivered => Settlement::Delivered,
        Meaning::Gone => given_up(policy, DeathReason::Gone),
        Meaning::Refused => given_up(policy, DeathReason::Refused),
        Meaning::NotTheirDoing => {
            Settlement::Postpone(Due::exactly(now + OUR_DOING_WAIT), Postponed::OurDoing)
        }
        Meaning::Failed => match policy.retry.next(attempts, outcome.retry_after(), now, chance) {
            None => given_up(policy, DeathReason::AttemptsExhausted),
            Some(due) if life.expires_at.is_some_and(|end| due.at >= end) => {
                given_up(policy, DeathReason::Expired)
            }
            Some(due) if policy.retry.is_too_late(life.begins_at, due.at) => {
                given_up(policy, DeathReason::AttemptsExhausted)
            }
            Some(due) => Settlement::Retry(due),
        },
    }
}

/// What becomes of a delivery that is given up.
pub const fn given_up(policy: &Policy, why: DeathReason) -> Settlement {
    match policy.on_exhausted {
        OnExhausted::DeadLetter => Settlement::DeadLetter(why),
        OnExhausted::Drop => Settlement::Drop(why),
    }
}

/// Decides what the end of a request means that was let go, at most once.
///
/// What the receiver said is the end of it. What was our doing is not made up for, since nobody knows how far
/// the request came: the delivery stays unknown. `by_hand`: a person asked for it, and a failure moves nothing.
pub fn decide_once(outcome: &Outcome, policy: &Policy, by_hand: bool) -> Settlement {
    let why = match policy.judge(outcome) {
        Meaning::Delivered => return Settlement::Delivered,
        Meaning::Gone => DeathReason::Gone,
        Meaning::Refused => DeathReason::Refused,
        Meaning::Failed => DeathReason::AttemptsExhausted,
        Meaning::NotTheirDoing => return Settlement::Unchanged,
    };
    if by_hand { Settlement::Unchanged } else { given_up(policy, why) }
}

/// Decides what the end of an attempt means that a person asked for.
///
/// A success is a fact, whatever the delivery's own turns say. A failure moves nothing: what waits goes
/// on waiting, and what was given up stays so. What was our doing is made up for.
pub fn decide_by_hand(outcome: &Outcome, policy: &Policy, now: Timestamp) -> Settlement {
    match policy.judge(outcome) {
        Meaning::Delivered => Settlement::Delivered,
        Meaning::NotTheirDoing => {
            Settlement::Postpone(Due::exactly(now + OUR_DOING_WAIT), Postponed::OurDoing)
        }
        Meaning::Failed | Meaning::Gone | Meaning::Refused => Settlement::Unchanged,
    }
}

/// Attempts that count after one more ended that meant this.
pub fn counted(attempts: u32, meaning: Meaning) -> u32 {
    match meaning {
        Meaning::Delivered | Meaning::Failed | Meaning::Gone | Meaning::Refused => {
            attempts.saturating_add(1)
        }
        Meaning::NotTheirDoing => attempts,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::outcome::RetryAfter;
    use crate::domain::policy::Statuses;
    use crate::domain::retry::RetryPolicy;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    const LIFE: Life = Life { begins_at: NOW, expires_at: None };

    fn three_attempts() -> Policy {
        let retry = RetryPolicy::Schedule { delays_ms: vec![500, 1_000], jitter: 0.0 };
        Policy { retry, ..Policy::default() }
    }

    fn settle(outcome: &Outcome, attempts: u32) -> Settlement {
        decide(outcome, attempts, &three_attempts(), LIFE, NOW, Chance::MIDDLE)
    }

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None }
    }

    #[test]
    fn a_success_is_delivered_whichever_attempt_it_is() {
        assert_eq!(settle(&answered(200), 1), Settlement::Delivered);
        assert_eq!(settle(&answered(204), 3), Settlement::Delivered);
    }

    #[test]
    fn a_failure_is_tried_again_until_the_schedule_ends() {
        let after = |ms| Settlement::Retry(Due::exactly(NOW + Duration::from_millis(ms)));
        assert_eq!(settle(&answered(500), 1), after(500));
        assert_eq!(settle(&Outcome::TimedOut, 2), after(1_000));
        assert_eq!(
            settle(&answered(404), 3),
            Settlement::DeadLetter(DeathReason::AttemptsExhausted)
        );
    }

    #[test]
    fn a_receiver_that_is_gone_is_not_tried_again() {
        assert_eq!(settle(&answered(410), 1), Settlement::DeadLetter(DeathReason::Gone));
    }

    #[test]
    fn an_interrupted_attempt_is_postponed_and_does_not_count() {
        assert!(matches!(
            settle(&Outcome::Interrupted, 2),
            Settlement::Postpone(_, Postponed::OurDoing)
        ));
        assert_eq!(counted(2, Meaning::NotTheirDoing), 2);
        assert_eq!(counted(2, Meaning::Failed), 3);
    }

    #[test]
    fn an_attempt_by_hand_delivers_or_moves_nothing() {
        let settle = |outcome| decide_by_hand(&outcome, &three_attempts(), NOW);
        assert_eq!(settle(answered(200)), Settlement::Delivered);
        for failed in [answered(500), answered(410), Outcome::TimedOut] {
            assert_eq!(settle(failed), Settlement::Unchanged);
        }
        let again = Due::exactly(NOW + OUR_DOING_WAIT);
        assert_eq!(settle(Outcome::Interrupted), Settlement::Postpone(again, Postponed::OurDoing));
    }

    #[test]
    fn a_request_that_was_let_go_ends_as_its_receiver_says_or_stays_unknown() {
        let policy = Policy { give_up_status: Statuses::class(3), ..three_attempts() };
        let dropping = Policy { on_exhausted: OnExhausted::Drop, ..policy.clone() };
        let exhausted = DeathReason::AttemptsExhausted;
        let table = [
            (answered(200), Settlement::Delivered, Settlement::Delivered),
            (answered(500), Settlement::DeadLetter(exhausted), Settlement::Drop(exhausted)),
            (Outcome::TimedOut, Settlement::DeadLetter(exhausted), Settlement::Drop(exhausted)),
            (
                answered(302),
                Settlement::DeadLetter(DeathReason::Refused),
                Settlement::Drop(DeathReason::Refused),
            ),
            (
                answered(410),
                Settlement::DeadLetter(DeathReason::Gone),
                Settlement::Drop(DeathReason::Gone),
            ),
            (Outcome::Interrupted, Settlement::Unchanged, Settlement::Unchanged),
            (Outcome::Internal, Settlement::Unchanged, Settlement::Unchanged),
        ];
        for (outcome, kept, dropped) in table {
            assert_eq!(decide_once(&outcome, &policy, false), kept, "{outcome:?}");
            assert_eq!(decide_once(&outcome, &dropping, false), dropped, "{outcome:?}");
            let by_hand = decide_once(&outcome, &policy, true);
            assert_eq!(by_hand == Settlement::Delivered, kept == Settlement::Delivered);
            assert!(matches!(by_hand, Settlement::Delivered | Settlement::Unchanged));
            assert!(kept.is_an_answer() || kept == Settlement::Unchanged, "{outcome:?}");
        }
    }

    #[test]
    fn what_its_policy_gives_up_at_is_not_tried_again() {
        let policy = Policy { give_up_status: Statuses::class(4), ..three_attempts() };
        let settle = |policy: &Policy| decide(&answered(404), 1, policy, LIFE, NOW, Chance::MIDDLE);
        assert_eq!(settle(&policy), Settlement::DeadLetter(DeathReason::Refused));
        let dropping = Policy { on_exhausted: OnExhausted::Drop, ..policy };
        assert_eq!(settle(&dropping), Settlement::Drop(DeathReason::Refused));
    }

    #[test]
    fn what_is_older_than_its_policy_has_patience_for_is_not_tried_again() {
        let retry = RetryPolicy::Exponential {
            base_ms: 5_000,
            factor: 2.0,
            max_delay_ms: 60_000,
            max_attempts: 50,
            max_age_ms: Some(20_000),
            jitter: 0.0,
        };
        let policy = Policy { retry, ..Policy::default() };
        let at = |age_s, attempts| {
            let life = Life { begins_at: NOW - Duration::from_secs(age_s), ..LIFE };
            decide(&answered(500), attempts, &policy, life, NOW, Chance::MIDDLE)
        };
        let after = |s| Settlement::Retry(Due::exactly(NOW + Duration::from_secs(s)));
        assert_eq!((at(0, 1), at(10, 2)), (after(5), after(10)));
        assert_eq!(at(11, 2), Settlement::DeadLetter(DeathReason::AttemptsExhausted));
    }

    #[test]
    fn what_would_come_too_late_is_given_up_at_once() {
        let busy = Outcome::Answered {
            status: 503,
            retry_after: Some(RetryAfter::In(Duration::from_secs(7))),
        };
        let soon = Life { expires_at: Some(NOW + Duration::from_secs(5)), ..LIFE };
        assert_eq!(
            decide(&busy, 1, &three_attempts(), soon, NOW, Chance::MIDDLE),
            Settlement::DeadLetter(DeathReason::Expired)
        );
    }
}
