//! A replay: deliveries offered again, by a filter that is fixed when it begins, at a rate, behind live
//! traffic, and stopped by itself when it makes things worse.
//!
//! Here are its states and the two judgements that it is taken on by: how many deliveries may be offered
//! now ([`Pulse::room`]), and whether it should stop ([`Pulse::judge`]). Both are functions of what was
//! counted; when they are asked is for `control::replays` to say.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Most deliveries a second that may be asked for: what one router offers at full speed.
pub const RATE_MAX: u32 = 10_000;

/// Deliveries a second that are offered when nobody names a rate.
///
/// Fifty: what an ordinary receiver takes in without noticing; a million take five and a half hours. Who
/// knows that a receiver can do more says so.
pub const RATE_DEFAULT: u32 = 50;

/// Most deliveries that are offered in one step: some 5 ms of the writer's time.
pub const STEP_MAX: u32 = 500;

/// Attempts that have to have ended before their failures mean anything.
pub const JUDGED_FROM: u64 = 20;

/// The share of attempts, in per cent, that may fail: beyond it a replay repeats what made the dead letters.
pub const FAILING_PERCENT: u64 = 50;

/// Attempts that are judged by at the most: beyond these both numbers are halved, so that what was long ago
/// counts less and less.
///
/// Two hundred: an endpoint that has taken thousands and fails from now on is found out after a hundred or two.
pub const JUDGED_MOST: u32 = 200;

/// How long the oldest live delivery may have been waiting for its first attempt while a replay goes on.
pub const FRESH_WITHIN: Duration = Duration::from_mins(1);

/// Which deliveries a replay is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Dead letters that match a filter.
    DeadLetters,
    /// What an endpoint was owed and was given up, kept or not (`endpoint.recover`).
    GivenUp,
    /// What an endpoint wants now and was never owed (`endpoint.replay-missing`).
    Missing,
    /// What an endpoint has received already: a repetition on purpose.
    Delivered,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::DeadLetters, Self::GivenUp, Self::Missing, Self::Delivered];

    /// The word for it, in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead_letters",
            Self::GivenUp => "given_up",
            Self::Missing => "missing",
            Self::Delivered => "delivered",
        }
    }
}

/// Where a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReplayState {
    /// Deliveries are being offered.
    Running,
    /// By a person, or by itself; it goes on when a person says so.
    Paused,
    /// All that matched has been offered or passed over.
    Finished,
    /// A person has ended it: what it has not offered stays as it was.
    Cancelled,
    /// Its endpoint was disabled or deleted meanwhile, or what it needs cannot be read: the rest stays as
    /// it was.
    Failed,
}

impl ReplayState {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Running, Self::Paused, Self::Finished, Self::Cancelled, Self::Failed];

    /// The word for it, in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// Whether it may still offer something: its endpoints are taken.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// Deliveries a second, from 1 to [`RATE_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Rate(NonZeroU32);

/// A rate that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate of {0} deliveries a second is not possible: 1 to {RATE_MAX} are accepted")]
pub struct NotARate(u32);

impl Rate {
    /// Deliveries a second.
    pub const fn per_second(self) -> u32 {
        self.0.get()
    }

    /// How many are due after this long.
    pub fn over(self, span: Duration) -> f64 {
        f64::from(self.per_second()) * span.as_secs_f64()
    }
}

impl TryFrom<u32> for Rate {
    type Error = NotARate;

    fn try_from(per_second: u32) -> Result<Self, NotARate> {
        match NonZeroU32::new(per_second) {
            Some(rate) if per_second <= RATE_MAX => Ok(Self(rate)),
            Some(_) | None => Err(NotARate(per_second)),
        }
    }
}

impl From<Rate> for u32 {
    fn from(rate: Rate) -> Self {
        rate.per_second()
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self(NonZeroU32::new(RATE_DEFAULT).expect("not zero"))
    }
}

/// What is counted of a replay that goes on, and of the traffic that it goes behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Deliveries that it has offered and that wait for their first attempt, which may be made now: not those
    /// whose endpoint is paused or whose application holds them back, which wait for a person.
    pub untried: u64,
    /// First attempts of what it offered that failed, lately and since it began or was last resumed.
    pub failed: u64,
    /// First attempts of what it offered that ended, as lately: see [`JUDGED_MOST`].
    pub judged: u64,
    /// How long the oldest delivery of live traffic has been waiting for its first attempt.
    pub live_waits: Duration,
}

/// What becomes of a replay now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// So many may be offered.
    Go(u32),
    /// Nothing for the moment: live traffic is late, and goes first.
    Yield,
    /// It pauses itself: too much of what it offered fails again.
    Failing,
}

/// How many may be offered and not tried yet: ten seconds of the rate, at least a step.
pub fn untried_max(rate: Rate) -> u32 {
    rate.per_second().saturating_mul(10).max(STEP_MAX)
}

impl Pulse {
    /// How many may be offered beside those that were and were not tried yet: never more than one step. What is
    /// offered and cannot be served stays in the journal, not in memory; but it would stand in front of
    /// whatever is offered next.
    pub fn room(&self, rate: Rate) -> u32 {
        let untried = u32::try_from(self.untried).unwrap_or(u32::MAX);
        untried_max(rate).saturating_sub(untried).min(STEP_MAX)
    }

    /// What becomes of it, when `due` are due by its rate.
    pub fn judge(&self, rate: Rate, due: u32) -> Judgement {
        if self.judged >= JUDGED_FROM && self.failed * 100 > self.judged * FAILING_PERCENT {
            return Judgement::Failing;
        }
        if self.live_waits > FRESH_WITHIN {
            return Judgement::Yield;
        }
        Judgement::Go(due.min(self.room(rate)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: u32) -> Rate {
        Rate::try_from(per_second).expect("a rate")
    }

    #[test]
    fn a_rate_is_from_one_to_ten_thousand() {
        assert_eq!(Rate::try_from(0), Err(NotARate(0)));
        assert_eq!(Rate::try_from(RATE_MAX).map(Rate::per_second), Ok(RATE_MAX));
        assert_eq!(Rate::try_from(RATE_MAX + 1), Err(NotARate(RATE_MAX + 1)));
        assert_eq!(Rate::default().per_second(), RATE_DEFAULT);
    }

    #[test]
    fn ten_seconds_of_it_may_be_offered_and_not_tried() {
        let pulse = |untried| Pulse { untried, ..Pulse::default() };

        assert_eq!(pulse(0).room(rate(10)), STEP_MAX, "at least a step");
        assert_eq!(pulse(450).room(rate(10)), 50);
        assert_eq!(pulse(1_000).room(rate(100)), 0);
        assert_eq!(pulse(100).room(rate(100)), STEP_MAX);
    }

    #[test]
    fn it_pauses_itself_when_more_than_half_fails_and_not_before_twenty_have_ended() {
        let pulse = |failed, judged| Pulse { failed, judged, ..Pulse::default() };

        assert_eq!(pulse(19, 19).judge(rate(50), 5), Judgement::Go(5));
        assert_eq!(pulse(10, 20).judge(rate(50), 5), Judgement::Go(5));
        assert_eq!(pulse(11, 20).judge(rate(50), 5), Judgement::Failing);
    }

    #[test]
    fn live_traffic_that_is_late_goes_first() {
        let pulse = |live_waits| Pulse { live_waits, ..Pulse::default() };

        assert_eq!(pulse(FRESH_WITHIN).judge(rate(50), 5), Judgement::Go(5));
        let late = FRESH_WITHIN + Duration::from_millis(1);
        assert_eq!(pulse(late).judge(rate(50), 5), Judgement::Yield);
    }
}
