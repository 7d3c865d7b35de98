//! What is kept in memory for one endpoint, and the one decision made there: start, hold, or not
//! before T.
//!
//! A lane knows its endpoint's rate (a governor limiter on a clock that the caller feeds), how many
//! of its requests are on the way, and a short bounded line of what waits to start. What cannot
//! start soon is refused with a moment to come back at. How many may stand in line follows from how
//! fast the endpoint has been serving them: a fast one may have [`LINE_MAX`], one that hangs soon has
//! room for hardly any, and nobody stands longer than [`HOLD_MAX`].
//!
//! A [`Permit`] is made here and nowhere else, is moved to the sender, and has to come back through
//! [`Lane::finished`]: sending without one does not compile.

use std::collections::{BTreeMap, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use super::pace::Pace;
use super::retry::Due;
use super::settlement::Postponed;
use super::time::Timestamp;

/// Longest that a delivery waits in memory before it goes on the ladder.
///
/// Five seconds: long enough that short schedules (500 ms, 1 s) are kept to the tenth of a second,
/// which the ladder's hops could not; short enough that what a crash repeats is little.
pub const HOLD_MAX: Duration = Duration::from_secs(5);

/// Most deliveries that stand in one lane's line.
///
/// As many events as the default consumer window holds, so that an endpoint that serves them as fast
/// as they come never has one refused.
pub const LINE_MAX: usize = 1_024;

/// Most deliveries that one lane keeps between two attempts.
///
/// 64: short schedules are for the odd hiccup. An endpoint that fails everything must not fill the
/// window with its waits; what is beyond goes on the ladder.
pub const HELD_MAX: usize = 64;

/// How long a request is taken to last before any has ended.
///
/// A tenth of a second, the order of an ordinary receiver. One that hangs is found out by its silence.
const MEAN_MS_GUESS: u64 = 100;

/// Shortest time that a refused delivery is sent away for: less is not worth the hop.
const AWAY_MIN: Duration = Duration::from_secs(1);

/// Leave to send one request to the lane's endpoint. Given back through [`Lane::finished`].
#[derive(Debug)]
#[must_use = "a permit that is not given back blocks its lane"]
pub struct Permit {
    _made_by_a_lane: (),
}

/// The line is full: come back later.
#[derive(Debug)]
pub struct Refused<J> {
    /// What was offered.
    pub job: J,
    /// When to come back.
    pub due: Due,
    /// Why.
    pub why: Postponed,
}

/// One endpoint's lane; `J` is what stands in line.
#[derive(Debug)]
pub struct Lane<J> {
    rate: Option<NonZeroU32>,
    limiter: Option<Limiter>,
    max_in_flight: NonZeroU16,
    in_flight: u16,
    /// Ready to start, in the order they came, with the moment when each stops waiting.
    line: VecDeque<(Timestamp, J)>,
    /// Not to start before a moment: short waits between attempts.
    timed: BTreeMap<(Timestamp, u64), J>,
    timed_count: u64,
    /// The limiter's word on the next start.
    not_before: Timestamp,
    pace: Pace,
    /// Moving average of how long a request takes, in milliseconds.
    mean_ms: u64,
    /// When a request last started from an empty lane, or ended.
    progress_at: Timestamp,
}

impl<J> Lane<J> {
    /// An idle lane.
    pub fn new(rate: Option<NonZeroU32>, max_in_flight: NonZeroU16) -> Self {
        Self {
            rate,
            limiter: rate.map(Limiter::new),
            max_in_flight,
            in_flight: 0,
            line: VecDeque::new(),
            timed: BTreeMap::new(),
            timed_count: 0,
            not_before: Timestamp::default(),
            pace: Pace::default(),
            mean_ms: MEAN_MS_GUESS,
            progress_at: Timestamp::default(),
        }
    }

    /// Takes over an edited endpoint's numbers, from the next start on.
    pub fn adjust(&mut self, rate: Option<NonZeroU32>, max_in_flight: NonZeroU16) {
        if self.rate != rate {
            self.rate = rate;
            self.limiter = rate.map(Limiter::new);
            self.not_before = Timestamp::default();
        }
        self.max_in_flight = max_in_flight;
    }

    /// Puts a delivery in line, if it can start soon.
    ///
    /// # Errors
    /// [`Refused`], with the slot to come back at.
    pub fn offer(&mut self, job: J, now: Timestamp) -> Result<(), Refused<J>> {
        if self.line.len() < self.line_max(now) {
            self.line.push_back((now + HOLD_MAX, job));
            Ok(())
        } else {
            Err(self.refuse(job, now))
        }
    }

    /// Keeps a delivery that may start at `due`, at most [`HOLD_MAX`] from now.
    ///
    /// # Errors
    /// The delivery, when [`HELD_MAX`] are kept already.
    pub fn hold_until(&mut self, due: Timestamp, job: J) -> Result<(), J> {
        if self.timed.len() >= HELD_MAX {
            return Err(job);
        }
        self.timed_count += 1;
        self.timed.insert((due, self.timed_count), job);
        Ok(())
    }

    /// The next delivery that may start now, with its permit.
    pub fn next(&mut self, now: Timestamp) -> Option<(Permit, J)> {
        self.bring_in_the_due(now);
        if self.line.is_empty() || self.in_flight >= self.max_in_flight.get() {
            return None;
        }
        if let Some(limiter) = &self.limiter
            && let Err(moment) = limiter.check(now)
        {
            self.not_before = moment;
            return None;
        }
        let (_, job) = self.line.pop_front()?;
        if self.in_flight == 0 {
            self.progress_at = now;
        }
        self.in_flight += 1;
        Some((Permit { _made_by_a_lane: () }, job))
    }

    /// Takes a permit back when its request has ended at `now`, after `took`.
    #[expect(clippy::needless_pass_by_value, reason = "a permit comes back once: it is moved")]
    pub fn finished(&mut self, permit: Permit, took: Duration, now: Timestamp) {
        let Permit { _made_by_a_lane: () } = permit;
        self.in_flight = self.in_flight.checked_sub(1).expect("each permit comes back once");
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).min(60_000);
        self.mean_ms = (self.mean_ms * 7 + took_ms) / 8;
        self.progress_at = now;
    }

    /// Takes out of the line what has waited as long as it may.
    pub fn expelled(&mut self, now: Timestamp) -> Option<Refused<J>> {
        let (until, _) = self.line.front()?;
        if *until > now {
            return None;
        }
        let (_, job) = self.line.pop_front()?;
        Some(self.refuse(job, now))
    }

    /// Empties the lane of all that has not started: for a shutdown, or an endpoint that is gone.
    pub fn clear(&mut self) -> Vec<J> {
        let timed = std::mem::take(&mut self.timed);
        self.line.drain(..).map(|(_, job)| job).chain(timed.into_values()).collect()
    }

    /// When to look again, if nothing ends before; `None` when only an ending can change anything.
    ///
    /// `may_start` says whether there is room outside for another request: if not, only what has to
    /// leave the line is worth a look.
    pub fn wake_at(&self, may_start: bool) -> Option<Timestamp> {
        let leaves = self.line.front().map(|(until, _)| *until);
        if !may_start || self.in_flight >= self.max_in_flight.get() {
            return leaves;
        }
        let starts = (!self.line.is_empty()).then_some(self.not_before);
        let held = self.timed.first_key_value().map(|((due, _), _)| *due);
        [starts, leaves, held].into_iter().flatten().min()
    }

    /// Whether nothing is in line, held or on the way, and nothing has been since `moment`.
    pub fn is_idle_since(&self, moment: Timestamp) -> bool {
        let empty = self.in_flight == 0 && self.line.is_empty() && self.timed.is_empty();
        empty && self.progress_at <= moment
    }

    /// Requests on the way.
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Deliveries in line or held.
    pub fn waiting(&self) -> usize {
        self.line.len() + self.timed.len()
    }

    /// How many may stand in line: what can start within [`HOLD_MAX`], at most [`LINE_MAX`].
    fn line_max(&self, now: Timestamp) -> usize {
        let interval = self.interval_by_count(now).max(self.interval_by_rate());
        let fitting = HOLD_MAX.as_micros() / interval.as_micros().max(1);
        // One at the least: a lane that takes nothing in would never learn that its endpoint is back.
        usize::try_from(fitting).unwrap_or(LINE_MAX).clamp(1, LINE_MAX)
    }

    /// How far apart starts are by what the endpoint has been doing. A lane that is full and has not
    /// moved for longer than its average request is judged by that silence instead.
    fn interval_by_count(&self, now: Timestamp) -> Duration {
        let full = self.in_flight >= self.max_in_flight.get();
        let silence = if full { now.since(self.progress_at) } else { Duration::ZERO };
        Duration::from_millis(self.mean_ms).max(silence) / u32::from(self.max_in_flight.get())
    }

    /// How far apart starts are by the rate.
    fn interval_by_rate(&self) -> Duration {
        self.rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate.get())
    }

    fn refuse(&mut self, job: J, now: Timestamp) -> Refused<J> {
        let (by_count, by_rate) = (self.interval_by_count(now), self.interval_by_rate());
        let interval = by_count.max(by_rate);
        let ahead = u32::try_from(self.line.len()).unwrap_or(u32::MAX);
        let earliest = now + interval.saturating_mul(ahead).max(AWAY_MIN);
        let slot = self.pace.book(earliest, interval);
        let why = if by_rate > by_count { Postponed::RateLimited } else { Postponed::Busy };
        Refused { job, due: Due::exactly(slot), why }
    }

    fn bring_in_the_due(&mut self, now: Timestamp) {
        let mut due = Vec::new();
        while let Some(entry) = self.timed.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove());
        }
        // To the front: they have waited already, and their schedules are counted in tenths.
        for job in due.into_iter().rev() {
            self.line.push_front((now + HOLD_MAX, job));
        }
    }
}

/// A governor limiter on a clock that stands still until it is fed.
#[derive(Debug)]
struct Limiter {
    clock: FedClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, FedClock, NoOpMiddleware<Nanos>>,
}

impl Limiter {
    /// At most `rate` in any second, and a tenth of it (at least one) at once after a pause.
    fn new(rate: NonZeroU32) -> Self {
        let clock = FedClock::default();
        let burst = NonZeroU32::new(rate.get().div_ceil(10)).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self { limiter: RateLimiter::direct_with_clock(quota, clock.clone()), clock }
    }

    fn check(&self, now: Timestamp) -> Result<(), Timestamp> {
        self.clock.feed(now);
        self.limiter.check().map_err(|not_until| {
            let wait = not_until.wait_time_from(self.clock.now());
            // Rounded up to the grain of time here, or we would look again a moment too early.
            now + (wait + Duration::from_micros(999)).max(Duration::from_millis(1))
        })
    }
}

/// Nanoseconds since the epoch, as last fed.
#[derive(Debug, Clone, Default)]
struct FedClock(Arc<AtomicU64>);

impl FedClock {
    fn feed(&self, now: Timestamp) {
        let nanos = u64::try_from(now.as_millis()).unwrap_or(0).saturating_mul(1_000_000);
        self.0.fetch_max(nanos, Ordering::Relaxed); // a clock set back must not stop the lane
    }
}

impl Clock for FedClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn lane(rate: Option<u32>, max_in_flight: u16) -> Lane<u32> {
        Lane::new(rate.and_then(NonZeroU32::new), NonZeroU16::new(max_in_flight).expect("not 0"))
    }

    fn at(ms: u64) -> Timestamp {
        START + Duration::from_millis(ms)
    }

    #[test]
    fn an_unlimited_lane_starts_at_once_and_in_order() {
        let mut lane = lane(None, 8);
        for job in 1..=3 {
            lane.offer(job, START).expect("room");
        }
        let started: Vec<_> = std::iter::from_fn(|| lane.next(START)).map(|(_, j)| j).collect();
        assert_eq!(started, [1, 2, 3]);
    }

    #[test]
    fn no_more_run_at_once_than_the_cap() {
        let mut lane = lane(None, 1);
        lane.offer(1, START).expect("room");
        lane.offer(2, START).expect("room");

        let (permit, first) = lane.next(START).expect("starts");
        assert_eq!((first, lane.next(START).is_none()), (1, true));

        lane.finished(permit, Duration::from_millis(5), START);
        assert_eq!(lane.next(START).map(|(_, job)| job), Some(2));
    }

    #[test]
    fn a_held_delivery_starts_when_it_is_due_and_before_the_line() {
        let mut lane = lane(None, 1);
        let (permit, _) = {
            lane.offer(0, START).expect("room");
            lane.next(START).expect("starts")
        };
        lane.hold_until(at(500), 7).expect("room");
        lane.offer(8, at(400)).expect("room");
        lane.finished(permit, Duration::from_millis(5), START);

        let (permit, job) = lane.next(at(499)).expect("the one in line");
        assert_eq!(job, 8);
        lane.finished(permit, Duration::from_millis(1), at(499));
        assert!(lane.next(at(499)).is_none());
        assert_eq!(lane.wake_at(true), Some(at(500)));
        assert_eq!(lane.next(at(500)).map(|(_, job)| job), Some(7));
    }

    #[test]
    fn a_full_line_refuses_with_slots_at_the_rate() {
        let mut lane = lane(Some(20), 8);
        for job in 0..100 {
            lane.offer(job, START).expect("five seconds of work fit");
        }
        let slots: Vec<_> = (100..103)
            .map(|job| lane.offer(job, START).expect_err("full").due.at.since(START).as_millis())
            .collect();
        assert_eq!(slots, [5_000, 5_050, 5_100]);
    }

    #[test]
    fn an_endpoint_that_hangs_soon_has_hardly_any_room_left() {
        let mut lane = lane(None, 4);
        for job in 0..4 {
            lane.offer(job, START).expect("room");
        }
        let _hanging: Vec<_> = std::iter::from_fn(|| lane.next(START)).collect();
        let mut room = |ms| {
            let mut count = 0;
            while count <= LINE_MAX && lane.offer(0, at(ms)).is_ok() {
                count += 1;
            }
            let _ = lane.clear();
            count
        };
        assert_eq!([room(0), room(1_000), room(2_000), room(10_000)], [200, 20, 10, 2]);
    }

    #[test]
    fn an_endpoint_that_timed_out_again_and_again_is_still_given_a_chance() {
        let mut lane = lane(None, 1);
        for _ in 0..100 {
            lane.offer(0, START).expect("one may always stand in an empty line");
            let (permit, _) = lane.next(START).expect("starts");
            lane.finished(permit, Duration::from_mins(1), START);
        }
    }

    #[test]
    fn without_room_outside_a_lane_asks_only_to_be_looked_at_when_something_must_leave() {
        let mut lane = lane(None, 8);
        lane.offer(1, START).expect("room");
        assert_eq!(lane.wake_at(true), Some(Timestamp::default()), "it could start at once");
        assert_eq!(lane.wake_at(false), Some(at(5_000)));
    }

    #[test]
    fn an_endpoint_that_is_fast_has_room_for_a_whole_window() {
        let mut lane = lane(None, 32);
        for _ in 0..64 {
            lane.offer(0, START).expect("room");
            let (permit, _) = lane.next(START).expect("starts");
            lane.finished(permit, Duration::from_millis(2), START);
        }
        assert!((0..LINE_MAX).all(|_| lane.offer(0, START).is_ok()));
        assert!(lane.offer(0, START).is_err());
    }

    #[test]
    fn only_so_many_are_kept_between_attempts() {
        let mut lane = lane(None, 4);
        for job in 0..64 {
            lane.hold_until(at(500), job).expect("room");
        }
        assert_eq!(lane.hold_until(at(500), 64), Err(64));
    }

    #[test]
    fn what_has_waited_long_enough_is_sent_away() {
        let mut lane = lane(None, 1);
        for job in 0..3 {
            lane.offer(job, START).expect("room");
        }
        let _permit = lane.next(START).expect("starts, and hangs");

        assert!(lane.expelled(at(4_999)).is_none());
        assert_eq!(lane.wake_at(true), Some(at(5_000)));
        assert_eq!(lane.expelled(at(5_000)).map(|refused| refused.job), Some(1));
        assert_eq!(lane.expelled(at(5_000)).map(|refused| refused.job), Some(2));
        assert!(lane.expelled(at(5_000)).is_none());
    }

    #[test]
    fn a_raised_limit_holds_from_the_next_start() {
        let mut lane = lane(Some(1), 8);
        lane.offer(1, START).expect("room");
        lane.offer(2, START).expect("room");
        lane.next(START).map(|_| ()).expect("the first");
        assert!(lane.next(START).is_none());

        lane.adjust(None, NonZeroU16::new(8).expect("not 0"));

        assert_eq!(lane.next(START).map(|(_, job)| job), Some(2));
    }

    proptest! {
        /// Whatever the arrivals, no second sees more than the rate and its burst.
        #[test]
        fn never_more_than_the_rate(
            rate in 1_u32..50,
            gaps in proptest::collection::vec(0_u64..200, 1..300),
        ) {
            let mut lane = lane(Some(rate), 1_000);
            let mut started = Vec::new();
            let mut now = START;
            for gap in gaps {
                let _ = lane.offer(0, now);
                let end = now + Duration::from_millis(gap);
                while now <= end {
                    while lane.next(now).map(|_| ()).is_some() {
                        started.push(now);
                    }
                    now = now + Duration::from_millis(1);
                }
                now = end;
            }
            let most = rate + rate.div_ceil(10);
            for (position, first) in started.iter().enumerate() {
                let window = started[position..]
                    .iter()
                    .take_while(|start| start.since(*first) < Duration::from_secs(1))
                    .count();
                prop_assert!(window <= most as usize, "{window} within a second, {most} allowed");
            }
        }
    }
}
