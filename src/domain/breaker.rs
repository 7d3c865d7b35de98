//! Stops calling an endpoint that does nothing but fail, and finds out when it is back.
//!
//! *Closed*: everything may start. [`OPENS_AFTER`] failures in a row that say something about the endpoint
//! (it hangs, refuses connections, answers 5xx; not that it dislikes one request) *open* the circuit: nothing starts for a pause.
//! Then one request may start, to see: the *probe*. When it fails the circuit opens again, for longer; when it
//! succeeds it is *half open*: one request at a time at first, more with each success (that ramp is the lane's
//! allowance), and after [`CLOSES_AFTER`] successes it is closed again. A failure before that opens it.
//!
//! What waits for an open circuit costs no attempt. So an endpoint that is down for an hour costs its deliveries
//! a handful of attempts in all, and not each of them all it has.
//!
//! Pauses grow from [`PAUSE_FIRST`] to [`PAUSE_MOST`] and each is drawn from all between nothing and its length
//! ("full jitter"): routers that found the endpoint down together do not come back together.
//!
//! Kept in memory alone, each router for itself: one that starts anew finds it out anew.

use std::time::Duration;

use super::retry::Chance;
use super::time::Timestamp;

/// Failures in a row that open the circuit.
///
/// Five, as outlier detection has it elsewhere: fewer would be a deployment of theirs, and with more an endpoint
/// that hangs would hold its connections for many time-outs.
pub const OPENS_AFTER: u32 = 5;

/// Successes in a row that close it behind the probe, that one among them.
pub const CLOSES_AFTER: u32 = 5;

/// The first pause, before its jitter: a receiver that is restarted is back after it.
pub const PAUSE_FIRST: Duration = Duration::from_secs(1);

/// The longest, before its jitter.
///
/// Five minutes: a request in so long is nothing to them, and no more than that is lost when they are back.
pub const PAUSE_MOST: Duration = Duration::from_mins(5);

/// Shortest pause that the jitter leaves: less would be none.
const PAUSE_LEAST: Duration = Duration::from_millis(100);

/// What the end of a request says about whether the endpoint works at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Well,
    /// It does not.
    Sick,
    /// Nothing: it disliked this request, or it was not its doing.
    Unsaid,
}

/// A circuit has changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// Nothing starts before this moment.
    Open(Timestamp),
    /// The probe has succeeded.
    HalfOpen,
    /// All is as it was before it opened.
    Closed,
}

/// How a circuit is that is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tripped {
    /// When it opened first since it was closed last.
    pub since: Timestamp,
    /// Nothing starts before this; `None` when the probe has succeeded, and each success lets one more start.
    pub until: Option<Timestamp>,
}

impl Turned {
    /// The word for the state: a metric label and a log field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::HalfOpen => "half_open",
            Self::Closed => "closed",
        }
    }
}

/// The circuit of one endpoint.
#[derive(Debug, Clone, Default)]
pub struct Breaker {
    state: State,
    /// Pauses since it was closed last.
    pauses: u32,
    /// Times that it was opened, ever.
    openings: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Timestamp },
    Probing,
    HalfOpen { successes: u32 },
}

impl Default for State {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// What a request takes along, and brings back to [`Breaker::ended`]: by it is known whether what it tells is news.
#[derive(Debug)]
#[must_use = "a probe that does not come back keeps its circuit as it is"]
pub struct Pass {
    /// Openings before it started.
    openings: u64,
}

impl Breaker {
    /// Before this nothing may start; the epoch when nothing stands against it.
    pub fn starts_from(&self) -> Timestamp {
        match self.state {
            State::Open { until } => until,
            State::Closed { .. } | State::Probing | State::HalfOpen { .. } => Timestamp::default(),
        }
    }

    /// Whether one request at most may be on the way that started behind the opening: the probe.
    pub const fn probes(&self) -> bool {
        matches!(self.state, State::Open { .. } | State::Probing)
    }

    /// Whether the probe is on its way.
    pub const fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing)
    }

    /// Whether it is anything but closed.
    pub const fn is_tripped(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }

    /// Lets the probe start at once: a person wants it called.
    pub fn probe_now(&mut self, now: Timestamp) {
        if let State::Open { until } = &mut self.state {
            *until = (*until).min(now);
        }
    }

    /// A request starts. The caller has asked [`Self::starts_from`]: behind a pause, it is the probe.
    pub fn started(&mut self) -> Pass {
        if matches!(self.state, State::Open { .. }) {
            self.state = State::Probing;
        }
        Pass { openings: self.openings }
    }

    /// A request has ended at `now`: what has changed, if anything.
    ///
    /// What had started before the circuit opened ends behind that and says nothing new.
    #[expect(clippy::needless_pass_by_value, reason = "a pass comes back once: it is moved")]
    pub fn ended(
        &mut self,
        pass: Pass,
        health: Health,
        now: Timestamp,
        chance: Chance,
    ) -> Option<Turned> {
        if pass.openings != self.openings {
            return None;
        }
        let (state, turned) = match (self.state, health) {
            (State::Closed { failures }, Health::Sick) if failures + 1 < OPENS_AFTER => {
                (State::Closed { failures: failures + 1 }, None)
            }
            (State::Closed { .. } | State::Probing | State::HalfOpen { .. }, Health::Sick) => {
                return Some(self.open(now, chance));
            }
            (State::Closed { .. }, Health::Well) => (State::default(), None),
            (State::Probing, Health::Well) => {
                (State::HalfOpen { successes: 1 }, Some(Turned::HalfOpen))
            }
            // It is not known to be back; the next probe has waited long enough.
            (State::Probing, Health::Unsaid) => (State::Open { until: now }, None),
            (State::HalfOpen { successes }, Health::Well) if successes + 1 < CLOSES_AFTER => {
                (State::HalfOpen { successes: successes + 1 }, None)
            }
            (State::HalfOpen { .. }, Health::Well) => {
                self.pauses = 0;
                (State::default(), Some(Turned::Closed))
            }
            (as_it_is, Health::Unsaid) => (as_it_is, None),
            // Nothing starts while it is open but the probe, and then it is no longer open.
            (State::Open { .. }, Health::Well | Health::Sick) => return None,
        };
        self.state = state;
        turned
    }

    fn open(&mut self, now: Timestamp, chance: Chance) -> Turned {
        let longest = PAUSE_FIRST.saturating_mul(2_u32.saturating_pow(self.pauses)).min(PAUSE_MOST);
        let until = now + chance.of(longest).max(PAUSE_LEAST);
        self.pauses = self.pauses.saturating_add(1);
        self.openings += 1;
        self.state = State::Open { until };
        Turned::Open(until)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn at(ms: u64) -> Timestamp {
        START + Duration::from_millis(ms)
    }

    /// One request from its start to its end, both now.
    fn one(breaker: &mut Breaker, health: Health, now: Timestamp) -> Option<Turned> {
        let pass = breaker.started();
        breaker.ended(pass, health, now, Chance::MIDDLE)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..OPENS_AFTER {
            one(&mut breaker, Health::Sick, START);
        }
        assert!(breaker.is_tripped() && breaker.probes() && !breaker.is_probing());
        breaker
    }

    #[test]
    fn so_many_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let mut breaker = Breaker::default();
        for _ in 1..OPENS_AFTER {
            assert_eq!(one(&mut breaker, Health::Sick, START), None);
        }
        one(&mut breaker, Health::Well, START);
        for _ in 1..OPENS_AFTER {
            assert_eq!(one(&mut breaker, Health::Sick, START), None);
        }
        one(&mut breaker, Health::Unsaid, START);
        assert_eq!(one(&mut breaker, Health::Sick, START), Some(Turned::Open(at(500))));
        assert_eq!(breaker.starts_from(), at(500));
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_begin_anew_once_it_was_closed() {
        let mut breaker = opened();
        let (mut pauses, mut now) = (vec![], breaker.starts_from());
        for _ in 0..10 {
            assert!(matches!(one(&mut breaker, Health::Sick, now), Some(Turned::Open(_))));
            pauses.push(breaker.starts_from().since(now).as_secs());
            now = breaker.starts_from();
        }
        // Half of each: the middle of what chance may draw.
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 150, 150]);
        for _ in 0..CLOSES_AFTER {
            one(&mut breaker, Health::Well, now);
        }
        assert!(!breaker.is_tripped());
        for _ in 0..OPENS_AFTER {
            one(&mut breaker, Health::Sick, now);
        }
        assert_eq!(breaker.starts_from().since(now).as_millis(), 500);
    }

    #[test]
    fn chance_draws_from_the_whole_pause_and_leaves_some_of_it() {
        for (bits, ms) in [(0, 100), (u64::MAX / 4, 250), (u64::MAX, 1_000)] {
            let mut breaker = Breaker::default();
            for _ in 0..OPENS_AFTER {
                let pass = breaker.started();
                breaker.ended(pass, Health::Sick, START, Chance::from_bits(bits));
            }
            let pause = breaker.starts_from().since(START).as_millis();
            assert!(pause.abs_diff(ms) <= 1, "{pause} of {ms}");
        }
    }

    #[test]
    fn the_probe_decides_and_its_success_is_not_enough() {
        let mut breaker = opened();
        let probe = breaker.started();
        assert!(breaker.is_probing());
        let turned = breaker.ended(probe, Health::Well, at(600), Chance::MIDDLE);
        assert_eq!((turned, breaker.probes()), (Some(Turned::HalfOpen), false));
        for _ in 2..CLOSES_AFTER {
            assert_eq!(one(&mut breaker, Health::Well, at(700)), None);
        }
        assert_eq!(one(&mut breaker, Health::Well, at(700)), Some(Turned::Closed));
    }

    #[test]
    fn a_failure_while_it_is_half_open_opens_it_for_longer() {
        let mut breaker = opened();
        one(&mut breaker, Health::Well, at(600));
        assert_eq!(one(&mut breaker, Health::Sick, at(700)), Some(Turned::Open(at(1_700))));
    }

    #[test]
    fn what_started_before_it_opened_says_nothing_when_it_ends() {
        let mut breaker = Breaker::default();
        let hanging: Vec<_> = (0..3).map(|_| breaker.started()).collect();
        for _ in 0..OPENS_AFTER {
            one(&mut breaker, Health::Sick, START);
        }
        let mut hanging = hanging.into_iter();
        let mut late = |breaker: &mut Breaker, health| {
            let pass = hanging.next().expect("three");
            breaker.ended(pass, health, at(100), Chance::MIDDLE)
        };
        assert_eq!((late(&mut breaker, Health::Well), breaker.probes()), (None, true));
        let probe = breaker.started();
        assert_eq!((late(&mut breaker, Health::Well), breaker.is_probing()), (None, true));
        breaker.ended(probe, Health::Well, at(600), Chance::MIDDLE);
        assert_eq!(late(&mut breaker, Health::Sick), None, "it failed when all did");
        assert!(!breaker.probes());
    }

    #[test]
    fn a_probe_that_says_nothing_is_followed_by_another_at_once() {
        let mut breaker = opened();
        assert_eq!(one(&mut breaker, Health::Unsaid, at(600)), None);
        assert_eq!((breaker.starts_from(), breaker.probes()), (at(600), true));
    }

    #[test]
    fn a_person_may_have_it_probed_before_its_time() {
        let mut breaker = opened();
        breaker.probe_now(at(10));
        assert_eq!((breaker.starts_from(), breaker.probes()), (at(10), true));
    }

    proptest! {
        /// Whatever happens and in which order: behind an opening one request at most is on the way until it has
        /// succeeded, and no pause is longer than the longest.
        #[test]
        fn one_probe_at_a_time(
            steps in proptest::collection::vec((0_u8..3, any::<bool>(), any::<u64>(), 1_u64..90_000), 1..300),
        ) {
            let mut breaker = Breaker::default();
            let (mut now, mut on_the_way) = (START, std::collections::VecDeque::new());
            for (what, starts, bits, gap) in steps {
                let probes = breaker.probes();
                if starts && now >= breaker.starts_from() && !breaker.is_probing() {
                    on_the_way.push_back((breaker.started(), breaker.openings));
                }
                if probes {
                    let behind = on_the_way.iter().filter(|(_, at)| *at == breaker.openings);
                    prop_assert!(behind.count() <= 1);
                }
                now = now + Duration::from_millis(gap);
                let health = [Health::Well, Health::Sick, Health::Unsaid][usize::from(what)];
                if !starts && let Some((pass, _)) = on_the_way.pop_front() {
                    breaker.ended(pass, health, now, Chance::from_bits(bits));
                }
                prop_assert!(breaker.starts_from() <= now + PAUSE_MOST);
            }
        }
    }
}
