//! Which rung of the ladder a wait takes: pure arithmetic.
//!
//! The rungs are the preferred numbers of ISO 3 (R10) from 100 ms to 24 h, each about 1.26 times the
//! one below, and the exact waits of the configured schedules between them. A wait is never early.
//! One that may be jittered takes a rung inside its jitter, in one hop. One that may not is rounded
//! up; where that would make it late by more than [`LATE_SHARE`], it takes the largest rung below
//! instead and the rest on its return.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::retry::Due;
use crate::domain::time::Timestamp;

/// The highest rung: 24 hours. Longer waits take it again and again.
pub const TOP_MS: u64 = 24 * 60 * 60 * 1_000;

/// The lowest rung. What is shorter is better kept in memory; here it is rounded up.
pub const BOTTOM_MS: u64 = 100;

/// R10, in hundreds: the tenth roots of ten as ISO 3 rounds them.
const PREFERRED: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];

/// Waits that people like to write down: the default schedule and the shortest ones in use.
const USUAL_MS: [u64; 11] = [
    500, 1_000, 5_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000,
    72_000_000, TOP_MS,
];

/// Up to here a wait is rounded up, however coarse the step: a minute late by a quarter is nobody's
/// trouble, and a second hop costs the broker two writes.
const ONE_HOP_MAX_MS: u64 = 60_000;

/// The largest share of a longer wait that rounding up may add to it: one in sixteen, about 6 %.
const LATE_SHARE: u64 = 16;

/// The rungs there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rungs {
    ms: BTreeSet<u64>,
}

/// The rung that a wait takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// How long it stays there.
    pub rung_ms: u64,
    /// When the delivery may go on: what it is told when it comes back. Later than the hop's end
    /// when another hop follows.
    pub due_at: Timestamp,
}

impl Rungs {
    /// The ladder with these exact waits among its rungs. What is no rung (below the lowest, above
    /// the highest) is left out.
    pub fn new(exact_ms: &[u64]) -> Self {
        let grown = (0..7).flat_map(|power| PREFERRED.map(|number| number * 10_u64.pow(power)));
        let ms = grown
            .chain(USUAL_MS)
            .chain(exact_ms.iter().copied())
            .filter(|ms| (BOTTOM_MS..=TOP_MS).contains(ms))
            .collect();
        Self { ms }
    }

    /// Every rung, lowest first, in milliseconds.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ms.iter().copied()
    }

    /// The rung that a delivery due then takes from `now`.
    pub fn choose(&self, now: Timestamp, due: Due) -> Hop {
        let wait_ms = ms_between(now, due.at);
        let earliest_ms = ms_between(now, due.earliest).min(wait_ms);
        if let Some(rung_ms) = self.within_jitter(earliest_ms, wait_ms) {
            let back_at = now + Duration::from_millis(rung_ms);
            return Hop { rung_ms, due_at: back_at.min(due.at) };
        }
        Hop { rung_ms: self.not_before(wait_ms), due_at: due.at }
    }

    /// The nearest rung to the wait that is not before its jitter begins, nor as far behind it.
    fn within_jitter(&self, earliest_ms: u64, wait_ms: u64) -> Option<u64> {
        let latest_ms = wait_ms + (wait_ms - earliest_ms);
        self.ms.range(earliest_ms..=latest_ms).copied().min_by_key(|rung| rung.abs_diff(wait_ms))
    }

    /// The rung for a wait that may not be shortened.
    fn not_before(&self, wait_ms: u64) -> u64 {
        let below = self.ms.range(..=wait_ms).next_back().copied();
        let Some(above) = self.ms.range(wait_ms..).next().copied() else {
            return TOP_MS; // further than the ladder reaches: the rest when it comes back
        };
        let late_ms = above - wait_ms;
        if wait_ms <= ONE_HOP_MAX_MS || late_ms <= wait_ms / LATE_SHARE {
            above
        } else {
            below.unwrap_or(above)
        }
    }
}

fn ms_between(now: Timestamp, then: Timestamp) -> u64 {
    u64::try_from(then.since(now).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn after(ms: u64) -> Timestamp {
        NOW + Duration::from_millis(ms)
    }

    fn rung(wait_ms: u64) -> u64 {
        Rungs::new(&[]).choose(NOW, Due::exactly(after(wait_ms))).rung_ms
    }

    #[test]
    fn the_ladder_is_geometric_from_a_tenth_of_a_second_to_a_day() {
        let rungs: Vec<_> = Rungs::new(&[]).iter().collect();
        assert_eq!((rungs.first(), rungs.last()), (Some(&BOTTOM_MS), Some(&TOP_MS)));
        assert!(rungs.windows(2).all(|pair| pair[1] * 100 <= pair[0] * 128), "{rungs:?}");
        assert!(rungs.len() < 80, "a fixed set of queues: {}", rungs.len());
    }

    #[test]
    fn a_configured_wait_is_a_rung_of_its_own() {
        let rungs = Rungs::new(&[777, 50, 2 * TOP_MS]);
        let taken = rungs.choose(NOW, Due::exactly(after(777))).rung_ms;
        assert_eq!(taken, 777);
        assert!(rungs.iter().all(|ms| (BOTTOM_MS..=TOP_MS).contains(&ms)));
    }

    #[test]
    fn a_short_wait_is_rounded_up() {
        let table = [(0, 100), (1, 100), (100, 100), (101, 125), (4_997, 5_000), (59_000, 63_000)];
        for (wait, expected) in table {
            assert_eq!(rung(wait), expected, "{wait}");
        }
    }

    #[test]
    fn a_long_wait_between_two_rungs_takes_the_lower_one_and_the_rest_on_its_return() {
        let due = Due::exactly(after(450_000));
        let hop = Rungs::new(&[]).choose(NOW, due);

        assert_eq!(hop, Hop { rung_ms: 400_000, due_at: due.at });
        let rest = Rungs::new(&[]).choose(after(400_003), Due::exactly(hop.due_at));
        assert_eq!(rest.rung_ms, 50_000);
    }

    #[test]
    fn a_schedule_that_was_decided_a_moment_ago_still_takes_its_exact_rung() {
        assert_eq!(rung(7_200_000 - 4), 7_200_000);
    }

    #[test]
    fn beyond_a_day_the_highest_rung_is_taken_again() {
        assert_eq!(rung(3 * TOP_MS), TOP_MS);
    }

    #[test]
    fn jitter_chooses_a_rung_within_it_in_one_hop() {
        let due = Due { at: after(450_000), earliest: after(360_000) };
        let hop = Rungs::new(&[]).choose(NOW, due);
        assert_eq!(hop, Hop { rung_ms: 400_000, due_at: after(400_000) });
    }

    proptest! {
        #[test]
        fn never_early_and_hardly_late(wait in 0_u64..4 * TOP_MS, shares in 0_u64..=50) {
            let rungs = Rungs::new(&[]);
            let due = Due { at: after(wait), earliest: after(wait - wait * shares / 100) };
            let (mut now, mut due_now, mut hops) = (NOW, due, 0);
            loop {
                let hop = rungs.choose(now, due_now);
                now = now + Duration::from_millis(hop.rung_ms);
                prop_assert!(hop.due_at >= due.earliest);
                hops += 1;
                if now >= hop.due_at {
                    break;
                }
                due_now = Due::exactly(hop.due_at);
            }
            prop_assert!(now >= due.earliest);
            let latest = match wait {
                0..=99 => after(125),
                100..=60_000 => after(wait * 128 / 100),
                _ => after(wait + wait / LATE_SHARE),
            };
            let latest = latest.max(due.at + due.at.since(due.earliest));
            prop_assert!(now <= latest, "{} > {}", now, latest);
            prop_assert!(hops <= 9, "{} hops", hops);
        }
    }
}
