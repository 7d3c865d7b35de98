//! When a failed delivery is tried again, if at all.
//!
//! Two forms, because people think in both: a *schedule* lists the waits one by one, an
//! *exponential* policy grows them. Jitter is drawn by the caller and handed in, so that a decision
//! can be repeated; it moves a wait by at most the policy's share of it, in either direction.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::object::AsObject;
use super::outcome::RetryAfter;
use super::time::Timestamp;

/// Longest we honour a `Retry-After`.
///
/// 24 hours, the ladder's highest rung: some servers answer with dates years ahead, and RFC 9110
/// §10.2.3 sets no limit.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// How often and when a delivery is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum RetryPolicy {
    /// One attempt.
    None,
    /// One attempt, then one behind each wait.
    Schedule {
        /// The waits, in milliseconds.
        #[serde(rename = "delaysMs")]
        delays_ms: Vec<u64>,
        /// How far each wait may move, as a share of it: 0.2 is ±20 %.
        #[serde(default = "default_jitter")]
        jitter: f64,
    },
    /// One attempt, then others behind growing waits.
    Exponential {
        /// The first wait, in milliseconds.
        #[serde(rename = "baseMs")]
        base_ms: u64,
        /// What each wait is multiplied with to give the next.
        factor: f64,
        /// The longest wait, in milliseconds.
        #[serde(rename = "maxDelayMs")]
        max_delay_ms: u64,
        /// Attempts in all, the first among them.
        #[serde(rename = "maxAttempts")]
        max_attempts: u32,
        /// How old an event may be, from when it was received (or from its `deliver-at`), and still be tried
        /// again, in milliseconds. None: as old as the attempts last.
        #[serde(rename = "maxAgeMs", default, skip_serializing_if = "Option::is_none")]
        max_age_ms: Option<u64>,
        /// How far each wait may move, as a share of it.
        #[serde(default = "default_jitter")]
        jitter: f64,
    },
}

/// ±20 %, what the Standard Webhooks reference server uses: enough to pull a crowd apart.
const fn default_jitter() -> f64 {
    0.2
}

/// A number in [0, 1), drawn for one decision.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance(f64);

impl Chance {
    /// Moves nothing: the middle.
    pub const MIDDLE: Self = Self(0.5);

    /// From 64 random bits.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are all that a float holds")]
    pub fn from_bits(bits: u64) -> Self {
        Self((bits >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// That share of a wait: anything from nothing to the whole of it.
    pub fn of(self, wait: Duration) -> Duration {
        wait.mul_f64(self.0)
    }
}

/// When something that waits may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The moment that was aimed at.
    pub at: Timestamp,
    /// Never before this: `at` itself, or the lower end of the jitter around it.
    pub earliest: Timestamp,
}

impl Due {
    /// At that moment, and not before it.
    pub const fn exactly(at: Timestamp) -> Self {
        Self { at, earliest: at }
    }
}

impl AsObject for RetryPolicy {
    const ACCEPTED: &'static str =
        "an object with the kind none, schedule or exponential, as {\"kind\":\"none\"}";
}

impl Default for RetryPolicy {
    /// The example schedule of Standard Webhooks: ten attempts over three days.
    fn default() -> Self {
        const SECOND: u64 = 1_000;
        const MINUTE: u64 = 60 * SECOND;
        const HOUR: u64 = 60 * MINUTE;
        Self::Schedule {
            delays_ms: vec![
                5 * SECOND,
                5 * MINUTE,
                30 * MINUTE,
                2 * HOUR,
                5 * HOUR,
                10 * HOUR,
                14 * HOUR,
                20 * HOUR,
                24 * HOUR,
            ],
            jitter: default_jitter(),
        }
    }
}

impl RetryPolicy {
    /// When to try again after `attempts` attempts have failed; `None` when it is time to give up.
    ///
    /// A `Retry-After` moves the next try back, never forward, and by no more than
    /// [`RETRY_AFTER_MAX`].
    pub fn next(
        &self,
        attempts: u32,
        asked: Option<RetryAfter>,
        now: Timestamp,
        chance: Chance,
    ) -> Option<Due> {
        let (wait_ms, jitter) = self.wait_after(attempts)?;
        let planned = Due {
            at: now + scaled(wait_ms, 1.0 + jitter * (2.0 * chance.0 - 1.0)),
            earliest: now + scaled(wait_ms, 1.0 - jitter),
        };
        let asked = match asked {
            Some(RetryAfter::In(wait)) => now + wait.min(RETRY_AFTER_MAX),
            Some(RetryAfter::At(moment)) => moment.min(now + RETRY_AFTER_MAX),
            None => return Some(planned),
        };
        Some(Due { at: planned.at.max(asked), earliest: planned.earliest.max(asked) })
    }

    /// Whether an event whose life began then is too old to be tried again at `at`.
    pub fn is_too_late(&self, begins_at: Timestamp, at: Timestamp) -> bool {
        match self {
            Self::Exponential { max_age_ms: Some(most), .. } => {
                at.since(begins_at) > Duration::from_millis(*most)
            }
            Self::None | Self::Schedule { .. } | Self::Exponential { max_age_ms: None, .. } => {
                false
            }
        }
    }

    /// Attempts in all before we give up, however old the event is.
    pub fn max_attempts(&self) -> u32 {
        match self {
            Self::None => 1,
            Self::Schedule { delays_ms, .. } => {
                u32::try_from(delays_ms.len()).unwrap_or(u32::MAX).saturating_add(1)
            }
            Self::Exponential { max_attempts, .. } => *max_attempts,
        }
    }

    /// The waits between attempts as written, without jitter: the rungs worth having exactly.
    pub fn waits_ms(&self) -> impl Iterator<Item = u64> + '_ {
        (1..self.max_attempts()).map_while(|n| self.wait_after(n)).map(|(wait_ms, _)| wait_ms)
    }

    /// Says what is wrong with the policy, if anything is.
    ///
    /// # Errors
    /// A sentence that names the field and what is accepted.
    pub fn check(&self) -> Result<(), String> {
        const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
        let jitter = match self {
            Self::None => return Ok(()),
            Self::Schedule { delays_ms, jitter } => {
                if delays_ms.len() > 50 {
                    return Err(format!("delaysMs has {} waits: at most 50", delays_ms.len()));
                }
                if let Some(wait) = delays_ms.iter().find(|wait| **wait > 7 * DAY_MS) {
                    return Err(format!("delaysMs has a wait of {wait} ms: at most 7 days"));
                }
                *jitter
            }
            Self::Exponential {
                base_ms,
                factor,
                max_delay_ms,
                max_attempts,
                max_age_ms,
                jitter,
            } => {
                if *base_ms == 0 || base_ms > max_delay_ms || *max_delay_ms > 7 * DAY_MS {
                    return Err("1 <= baseMs <= maxDelayMs <= 7 days is wanted".into());
                }
                if !(1.0..=10.0).contains(factor) {
                    return Err(format!("factor is {factor}: 1 to 10 is accepted"));
                }
                if let Some(age) = max_age_ms.filter(|age| !(1_000..=30 * DAY_MS).contains(age)) {
                    return Err(format!("maxAgeMs is {age}: 1000 to 30 days is accepted"));
                }
                if !(1..=50).contains(max_attempts) {
                    return Err(format!("maxAttempts is {max_attempts}: 1 to 50 is accepted"));
                }
                *jitter
            }
        };
        if (0.0..=0.5).contains(&jitter) {
            Ok(())
        } else {
            Err(format!("jitter is {jitter}: 0 to 0.5 is accepted"))
        }
    }

    fn wait_after(&self, attempts: u32) -> Option<(u64, f64)> {
        match self {
            Self::None => None,
            Self::Schedule { delays_ms, jitter } => {
                let position = usize::try_from(attempts.checked_sub(1)?).ok()?;
                delays_ms.get(position).map(|wait_ms| (*wait_ms, *jitter))
            }
            Self::Exponential { base_ms, factor, max_delay_ms, max_attempts, jitter, .. } => {
                if attempts >= *max_attempts {
                    return None;
                }
                let power = i32::try_from(attempts.checked_sub(1)?).ok()?;
                let grown = scaled(*base_ms, factor.powi(power)).as_millis();
                Some((u64::try_from(grown).unwrap_or(u64::MAX).min(*max_delay_ms), *jitter))
            }
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "waits are far below 2^53 ms, and casts from float to integer saturate"
)]
fn scaled(ms: u64, by: f64) -> Duration {
    Duration::from_millis((ms as f64 * by).round() as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn schedule(delays_ms: &[u64], jitter: f64) -> RetryPolicy {
        RetryPolicy::Schedule { delays_ms: delays_ms.to_vec(), jitter }
    }

    fn wait_ms(policy: &RetryPolicy, attempts: u32) -> Option<u128> {
        let due = policy.next(attempts, None, NOW, Chance::MIDDLE)?;
        Some(due.at.since(NOW).as_millis())
    }

    #[test]
    fn a_schedule_is_followed_and_ends() {
        let xora = schedule(&[500, 1_000], 0.0);
        assert_eq!([1, 2, 3].map(|n| wait_ms(&xora, n)), [Some(500), Some(1_000), None]);
        assert_eq!(xora.max_attempts(), 3);
    }

    #[test]
    fn an_exponential_policy_grows_to_its_cap_and_ends() {
        let policy = RetryPolicy::Exponential {
            base_ms: 5_000,
            factor: 2.0,
            max_delay_ms: 30_000,
            max_attempts: 6,
            max_age_ms: None,
            jitter: 0.0,
        };
        let waits = [1, 2, 3, 4, 5, 6].map(|n| wait_ms(&policy, n));
        assert_eq!(
            waits,
            [Some(5_000), Some(10_000), Some(20_000), Some(30_000), Some(30_000), None]
        );
        assert_eq!(policy.waits_ms().collect::<Vec<_>>(), [5_000, 10_000, 20_000, 30_000, 30_000]);
    }

    #[test]
    fn the_default_is_ten_attempts_over_seventy_five_hours() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.max_attempts(), 10);
        assert_eq!(policy.waits_ms().sum::<u64>(), 272_105_000); // 75 h 35 m 5 s
    }

    #[test]
    fn no_retries_means_one_attempt() {
        assert_eq!(wait_ms(&RetryPolicy::None, 1), None);
        assert_eq!(RetryPolicy::None.max_attempts(), 1);
    }

    #[test]
    fn a_longer_retry_after_is_kept_and_a_shorter_one_changes_nothing() {
        let policy = schedule(&[5_000], 0.2);
        let seconds = |n| Some(RetryAfter::In(Duration::from_secs(n)));
        let next = |asked| policy.next(1, asked, NOW, Chance::MIDDLE).expect("one retry");

        assert_eq!(next(seconds(7)), Due::exactly(NOW + Duration::from_secs(7)));
        assert_eq!(next(seconds(1)), next(None));
        let date = NOW + Duration::from_secs(90);
        assert_eq!(next(Some(RetryAfter::At(date))), Due::exactly(date));
        assert_eq!(next(Some(RetryAfter::At(Timestamp::from_seconds(0)))), next(None));
    }

    #[test]
    fn an_absurd_retry_after_is_capped() {
        let policy = schedule(&[5_000], 0.2);
        for asked in [RetryAfter::In(Duration::MAX), RetryAfter::At(Timestamp::NEVER)] {
            let due = policy.next(1, Some(asked), NOW, Chance::MIDDLE).expect("one retry");
            assert_eq!(due, Due::exactly(NOW + RETRY_AFTER_MAX));
        }
    }

    #[test]
    fn a_policy_that_cannot_be_kept_is_refused_with_a_sentence() {
        assert!(schedule(&[1_000], 0.7).check().unwrap_err().contains("jitter is 0.7"));
        assert!(schedule(&[u64::MAX], 0.1).check().unwrap_err().contains("7 days"));
        assert_eq!(RetryPolicy::default().check(), Ok(()));
    }

    proptest! {
        #[test]
        fn a_retry_after_is_never_undercut(wait in 1_u64..100_000, asked_ms in 0_u64..100_000, bits: u64) {
            let asked = NOW + Duration::from_millis(asked_ms);
            let due = schedule(&[wait], 0.2)
                .next(1, Some(RetryAfter::At(asked)), NOW, Chance::from_bits(bits))
                .expect("one retry");
            prop_assert!(due.earliest >= asked && due.at >= due.earliest);
        }

        #[test]
        fn jitter_stays_within_its_share(wait in 1_u64..100_000_000, bits: u64, share in 0.0..0.5) {
            let policy = schedule(&[wait], share);
            let due = policy.next(1, None, NOW, Chance::from_bits(bits)).expect("one retry");
            let (low, high) = (scaled(wait, 1.0 - share), scaled(wait, 1.0 + share));
            prop_assert_eq!(due.earliest, NOW + low);
            prop_assert!(due.at >= due.earliest && due.at <= NOW + high);
        }
    }
}
