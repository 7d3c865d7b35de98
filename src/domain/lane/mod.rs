//! What is kept in memory for one endpoint, and the one decision made there: start, hold, or not
//! before T.
//!
//! A lane knows its endpoint's rate (a governor limiter on a clock that the caller feeds), how many
//! of its requests are on the way, and a short bounded line of what waits to start. What cannot
//! start soon is refused with a moment to come back at. How many may stand in line follows from how
//! fast the endpoint has been serving them: a fast one may have [`LINE_MAX`], one that hangs soon has
//! room for hardly any, and nobody stands longer than [`HOLD_MAX`].
//!
//! How many of its requests may be on the way is learnt from how they end ([`allowance`]); one that does nothing but
//! fail is not called at all for a while ([`Breaker`]).
//!
//! An endpoint that asks to be called less ([`Pressure::SlowDown`]) slows its whole lane down: nothing
//! starts before the moment that it named, and from then on one request at a time, until one succeeds.
//! Whoever would have to wait too long for that is sent away at once. This is kept here alone: a router
//! that starts anew asks once more, and is told.
//!
//! What can wait stands in a second, small line ([`Lane::offer_behind`]): it starts only when nobody stands in
//! the first, and has no more than half of what may be on the way, so that whoever comes finds room at once.
//!
//! A [`Permit`] is made here and nowhere else, is moved to the sender, and has to come back through
//! [`Lane::finished`]: sending without one does not compile.

mod allowance;
mod limiter;
mod numbers;

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU16;
use std::time::Duration;

use self::allowance::Allowance;
use self::limiter::Limiter;
pub use self::numbers::Numbers;
use crate::domain::breaker::{Breaker, Health, Pass, Turned};
use crate::domain::outcome::{Pressure, RetryAfter, Sign};
use crate::domain::pace::Pace;
use crate::domain::retry::{Chance, Due};
use crate::domain::room::Standing;
use crate::domain::settlement::Postponed;
use crate::domain::time::Timestamp;

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

/// Most deliveries that stand in the second line, behind live traffic.
///
/// 64: enough to keep a fast endpoint busy between two claims; what is beyond waits in the store, and not in
/// places that live traffic may need.
pub const BEHIND_MAX: usize = 64;

/// Most deliveries that one lane keeps between two attempts.
///
/// 64: short schedules are for the odd hiccup. An endpoint that fails everything must not fill the
/// window with its waits; what is beyond goes on the ladder.
pub const HELD_MAX: usize = 64;

/// How long a request is taken to last before any has ended.
///
/// A tenth of a second, the order of an ordinary receiver. One that hangs is found out by its silence.
const MEAN_MS_GUESS: u64 = 100;

/// Longest that an endpoint's word keeps its whole lane from starting anything.
///
/// One hour. The one delivery that was answered waits as long as it was asked to
/// ([`RETRY_AFTER_MAX`](crate::domain::retry::RETRY_AFTER_MAX)); but an answer that is wrong must not silence an
/// endpoint for a day.
pub const SLOWED_MAX: Duration = Duration::from_hours(1);

/// How long nothing starts when an endpoint asks to be called less and names no moment: the first time,
/// doubled each time in a row, up to the second of these. A second is what a gateway needs to find
/// another instance, a minute what an operator does not mind when it is over.
const SLOWED_FIRST: Duration = Duration::from_secs(1);
const SLOWED_MOST: Duration = Duration::from_mins(1);

/// Longest that something waits for a circuit before it is looked at again.
///
/// One hour. It is brought back when the circuit closes; but a router that dies forgets that its circuit was open, and
/// slots that were booked at the pace of an endpoint that hangs may be days away.
const CIRCUIT_AWAY_MAX: Duration = Duration::from_hours(1);

/// How long an endpoint may be silent while requests are on their way to it, and still pass for one that works.
///
/// One second: ten times what a receiver takes, a fraction of what a time-out is.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// How often a lane with a rate is looked at whose part of it is not known.
const ASKED_AGAIN: Duration = Duration::from_millis(250);

/// Shortest time that a refused delivery is sent away for: less is not worth its way.
const AWAY_MIN: Duration = Duration::from_secs(1);

/// How long before its line would be empty a lane wants the first of those that it sent away to come back.
///
/// One second: twice as long as the journal may take to notice that something is due. What comes too early stands in
/// line; what came too late would leave an endpoint with a rate below it, and nothing makes that up.
const EARLY: Duration = Duration::from_secs(1);

/// How long a lane is kept of an endpoint that failed when it was called last.
///
/// One hour: who fails for longer, and is sent less than one event in it, is found out anew.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Leave to send one request to the lane's endpoint. Given back through [`Lane::finished`].
#[derive(Debug)]
#[must_use = "a permit that is not given back blocks its lane"]
pub struct Permit {
    /// Whether it is for one that stood behind.
    behind: bool,
    started_at: Timestamp,
    pass: Pass,
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
    numbers: Numbers,
    limiter: Option<Limiter>,
    max_in_flight: NonZeroU16,
    allowance: Allowance,
    breaker: Breaker,
    in_flight: u16,
    /// Ready to start, in the order they came, with the moment when each stops waiting.
    line: VecDeque<(Timestamp, J)>,
    /// The same, of those that start when nobody is in line.
    behind: VecDeque<(Timestamp, J)>,
    /// Whether its last request that said anything was a success.
    is_proven: bool,
    /// Of those on the way, how many stood behind.
    behind_in_flight: u16,
    /// Not to start before a moment: short waits between attempts.
    timed: BTreeMap<(Timestamp, u64), Held<J>>,
    timed_count: u64,
    /// The limiter's word on the next start.
    not_before: Timestamp,
    /// The endpoint's own word on it, until it is taken back by a success.
    slowed: Option<Slowed>,
    pace: Pace,
    /// The same for those behind: their slots put nobody off who is in front of them.
    pace_behind: Pace,
    /// Moving average of how long a request takes, in milliseconds.
    mean_ms: u64,
    /// When a request last started from an empty lane, or ended.
    progress_at: Timestamp,
}

/// Kept between two attempts.
#[derive(Debug)]
struct Held<J> {
    /// Whether it stood behind, and goes there again.
    behind: bool,
    job: J,
}

/// An endpoint has asked to be called less.
#[derive(Debug, Clone, Copy)]
struct Slowed {
    /// Nothing starts before this; from then on, one at a time.
    until: Timestamp,
    /// How long the next wait is, when the endpoint names none.
    next: Duration,
}

impl<J> Lane<J> {
    /// An idle lane.
    pub fn new(numbers: Numbers) -> Self {
        let max_in_flight = numbers.own_in_flight();
        Self {
            numbers,
            limiter: numbers.limiter(),
            max_in_flight,
            allowance: Allowance::new(max_in_flight),
            breaker: Breaker::default(),
            in_flight: 0,
            line: VecDeque::new(),
            behind: VecDeque::new(),
            is_proven: false,
            behind_in_flight: 0,
            timed: BTreeMap::new(),
            timed_count: 0,
            not_before: Timestamp::default(),
            slowed: None,
            pace: Pace::default(),
            pace_behind: Pace::default(),
            mean_ms: MEAN_MS_GUESS,
            progress_at: Timestamp::default(),
        }
    }

    /// Takes over an edited endpoint's numbers, or another part of them, from the next start on.
    pub fn adjust(&mut self, numbers: Numbers) {
        let before = std::mem::replace(&mut self.numbers, numbers);
        if before.rate != numbers.rate || before.among != numbers.among {
            // Else each that comes or goes would let everybody have a burst.
            let goes_on = self.limiter.is_some() && before.among.is_some();
            self.limiter = if goes_on { numbers.limiter_that_goes_on() } else { numbers.limiter() };
            self.not_before = Timestamp::default();
        }
        self.max_in_flight = numbers.own_in_flight();
        self.allowance.adjust(self.max_in_flight);
        if !numbers.breaks {
            self.breaker = Breaker::default();
        }
        if numbers.are_wider_than(&before) {
            self.book_anew();
        }
    }

    /// Forgets what the endpoint has asked for and how it failed: it is another one now, or a person has stepped in.
    pub fn forgive(&mut self) {
        self.speed_up();
        self.breaker = Breaker::default();
        self.allowance = Allowance::new(self.max_in_flight);
    }

    /// Lets a request start at once although the endpoint failed or asked for quiet, to see: a person wants it called.
    pub fn try_now(&mut self, now: Timestamp) {
        self.breaker.probe_now(now);
        if let Some(slowed) = &mut self.slowed {
            slowed.until = slowed.until.min(now);
        }
    }

    fn speed_up(&mut self) {
        self.slowed = None;
        self.book_anew();
    }

    /// Forgets the slots that were given for a slower endpoint: who comes now is not put behind them.
    fn book_anew(&mut self) {
        self.pace = Pace::default();
        self.pace_behind = Pace::default();
    }

    /// Puts a delivery in line, if it can start soon.
    ///
    /// # Errors
    /// [`Refused`], with the slot to come back at.
    pub fn offer(&mut self, job: J, now: Timestamp) -> Result<(), Refused<J>> {
        if self.line.len() < self.line_max(now) && self.starts_from() <= now + HOLD_MAX {
            self.line.push_back((now + HOLD_MAX, job));
            Ok(())
        } else {
            Err(self.refuse(job, now))
        }
    }

    /// Puts a delivery in the second line, behind all live ones, if it can start soon when none comes.
    ///
    /// # Errors
    /// [`Refused`], with the slot to come back at.
    pub fn offer_behind(&mut self, job: J, now: Timestamp) -> Result<(), Refused<J>> {
        let fits = self.behind.len() < BEHIND_MAX
            && self.line.len() + self.behind.len() < self.line_max(now);
        if fits && self.starts_from() <= now + HOLD_MAX {
            self.behind.push_back((now + HOLD_MAX, job));
            Ok(())
        } else {
            Err(self.refuse_behind(job, now))
        }
    }

    /// Keeps a delivery that may start at `due`, at most [`HOLD_MAX`] from now.
    ///
    /// # Errors
    /// The delivery, when [`HELD_MAX`] are kept already.
    pub fn hold_until(&mut self, due: Timestamp, job: J) -> Result<(), J> {
        self.hold(due, Held { behind: false, job })
    }

    /// The same for one that stands behind all live ones: then, too.
    ///
    /// # Errors
    /// The delivery, when [`HELD_MAX`] are kept already.
    pub fn hold_behind_until(&mut self, due: Timestamp, job: J) -> Result<(), J> {
        self.hold(due, Held { behind: true, job })
    }

    fn hold(&mut self, due: Timestamp, held: Held<J>) -> Result<(), J> {
        if self.timed.len() >= HELD_MAX {
            return Err(held.job);
        }
        self.timed_count += 1;
        self.timed.insert((due, self.timed_count), held);
        Ok(())
    }

    /// The next delivery that may start now, with its permit.
    pub fn next(&mut self, now: Timestamp) -> Option<(Permit, J)> {
        self.bring_in_the_due(now);
        let behind = self.line.is_empty();
        if behind && !self.may_start_behind() {
            return None;
        }
        if self.in_flight >= self.cap() || self.breaker.is_probing() || now < self.starts_from() {
            return None;
        }
        if self.limiter.is_some() && self.numbers.among.is_none() {
            self.not_before = now + ASKED_AGAIN;
            return None;
        }
        if let Some(limiter) = &mut self.limiter
            && let Err(moment) = limiter.check(now)
        {
            self.not_before = moment;
            return None;
        }
        let (_, job) = if behind { self.behind.pop_front() } else { self.line.pop_front() }?;
        if self.in_flight == 0 {
            self.progress_at = now;
        }
        self.in_flight += 1;
        self.behind_in_flight += u16::from(behind);
        Some((Permit { behind, started_at: now, pass: self.breaker.started() }, job))
    }

    /// Takes a permit back when its request has ended at `now`, after `took`, with what its end said about
    /// the endpoint. What has become of its circuit, if that has changed.
    pub fn finished(
        &mut self,
        permit: Permit,
        took: Duration,
        sign: Sign,
        now: Timestamp,
        chance: Chance,
    ) -> Option<Turned> {
        let Permit { behind, started_at, pass } = permit;
        let in_flight = self.in_flight;
        self.in_flight = self.in_flight.checked_sub(1).expect("each permit comes back once");
        self.behind_in_flight -= u16::from(behind);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).min(60_000);
        self.mean_ms = (self.mean_ms * 7 + took_ms) / 8;
        self.progress_at = now;
        match sign.health {
            Health::Well => self.is_proven = true,
            Health::Sick => self.is_proven = false,
            Health::Unsaid => {}
        }
        let health = if self.numbers.breaks { sign.health } else { Health::Unsaid };
        let turned = self.breaker.ended(pass, health, now, chance);
        match turned {
            Some(Turned::HalfOpen) => self.allowance.begin_again(),
            Some(Turned::Closed) => self.book_anew(),
            Some(Turned::Open(_)) | None => {}
        }
        match sign.pressure {
            Pressure::Eased => {
                self.allowance.eased(in_flight);
                // Of what was on the way when the endpoint spoke, some may still succeed: that is no answer.
                if self.slowed.is_some_and(|slowed| slowed.until <= now) {
                    self.speed_up();
                }
            }
            Pressure::Unsaid => {}
            Pressure::Overrun => self.allowance.overrun(started_at, now),
            Pressure::SlowDown(asked) => {
                self.allowance.overrun(started_at, now);
                self.slow_down(asked, now);
            }
        }
        turned
    }

    /// Takes out of the line what has waited as long as it may, or would have to wait longer.
    pub fn expelled(&mut self, now: Timestamp) -> Option<Refused<J>> {
        let starts_from = self.starts_from();
        let is_over = |front: Option<&(Timestamp, J)>| {
            front.is_some_and(|(until, _)| *until <= now || *until < starts_from)
        };
        if is_over(self.line.front()) {
            let (_, job) = self.line.pop_front()?;
            return Some(self.refuse(job, now));
        }
        if is_over(self.behind.front()) {
            let (_, job) = self.behind.pop_front()?;
            return Some(self.refuse_behind(job, now));
        }
        None
    }

    /// Empties the lane of all that has not started: for a shutdown, or an endpoint that is gone.
    pub fn clear(&mut self) -> Vec<J> {
        let timed = std::mem::take(&mut self.timed);
        let lines = self.line.drain(..).chain(self.behind.drain(..));
        let held = timed.into_values().map(|held| held.job);
        lines.map(|(_, job)| job).chain(held).collect()
    }

    /// When to look again, if nothing ends before; `None` when only an ending can change anything.
    ///
    /// `may_start` says whether there is room outside for another request: if not, only what has to
    /// leave the line is worth a look.
    pub fn wake_at(&self, may_start: bool) -> Option<Timestamp> {
        let fronts = [self.line.front(), self.behind.front()].into_iter().flatten();
        let leaves = fronts.map(|(until, _)| *until).min();
        if !may_start || self.in_flight >= self.cap() || self.breaker.is_probing() {
            return leaves;
        }
        let may_one = !self.line.is_empty() || self.may_start_behind();
        let starts = may_one.then(|| self.not_before.max(self.starts_from()));
        let held = self.timed.first_key_value().map(|((due, _), _)| *due);
        [starts, leaves, held].into_iter().flatten().min()
    }

    /// Whether nothing is in line, held or on the way, nothing has been since `moment`, and nothing that the
    /// endpoint has said or shown is to be remembered for longer than that.
    pub fn is_idle_since(&self, moment: Timestamp) -> bool {
        let empty = self.in_flight == 0 && self.waiting() == 0;
        let remembered = if self.breaker.is_tripped() { REMEMBERED } else { Duration::ZERO };
        empty && (self.progress_at + remembered).max(self.starts_from()) <= moment
    }

    /// Whether its endpoint has taken something, and gives answers now.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let hangs = self.in_flight > 0 && now.since(self.progress_at) > HANGS_AFTER;
        if self.is_proven && !hangs { Standing::Proven } else { Standing::Unproven }
    }

    /// Whether its circuit is anything but closed.
    pub const fn is_tripped(&self) -> bool {
        self.breaker.is_tripped()
    }

    /// Requests on the way.
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Deliveries in line or held.
    pub fn waiting(&self) -> usize {
        self.line.len() + self.behind.len() + self.timed.len()
    }

    /// Requests that may be on the way at once: one, to see, while the endpoint wants it slower.
    fn cap(&self) -> u16 {
        if self.slowed.is_some() { 1 } else { self.allowance.get() }
    }

    /// Whether one that stands behind may start as far as the others on the way go: half of them, at least one.
    fn may_start_behind(&self) -> bool {
        !self.behind.is_empty() && self.behind_in_flight < (self.cap() / 2).max(1)
    }

    /// When the next may start, by what the endpoint has said and shown.
    fn starts_from(&self) -> Timestamp {
        let asked = self.slowed.map_or_else(Timestamp::default, |slowed| slowed.until);
        asked.max(self.breaker.starts_from())
    }

    fn slow_down(&mut self, asked: Option<RetryAfter>, now: Timestamp) {
        let before = self.slowed.unwrap_or(Slowed { until: now, next: SLOWED_FIRST });
        // Those that were on the way together have one thing to say, however many they are.
        let once_more = before.until <= now;
        let named = asked.map(|asked| match asked {
            RetryAfter::In(wait) => now + wait.min(SLOWED_MAX),
            RetryAfter::At(moment) => moment.min(now + SLOWED_MAX),
        });
        let until = match named {
            Some(moment) => moment,
            None if once_more => now + before.next,
            None => before.until,
        };
        let next = if once_more { (before.next * 2).min(SLOWED_MOST) } else { before.next };
        self.slowed = Some(Slowed { until: until.max(before.until), next });
    }

    /// How many may stand in line: what can start within [`HOLD_MAX`], at most [`LINE_MAX`].
    fn line_max(&self, now: Timestamp) -> usize {
        let interval = self.interval(now);
        let fitting = HOLD_MAX.as_micros() / interval.as_micros().max(1);
        // One at the least: a lane that takes nothing in would never learn that its endpoint is back.
        usize::try_from(fitting).unwrap_or(LINE_MAX).clamp(1, LINE_MAX)
    }

    /// How far apart starts are by what the endpoint has been doing. A lane that is full and has not
    /// moved for longer than its average request is judged by that silence instead.
    fn interval_by_count(&self, now: Timestamp) -> Duration {
        let full = self.in_flight >= self.cap();
        let silence = if full { now.since(self.progress_at) } else { Duration::ZERO };
        // By what it may have when it is well, also while it is slowed down: or what is sent away for a
        // minute of quiet would be booked hours ahead.
        Duration::from_millis(self.mean_ms).max(silence) / u32::from(self.max_in_flight.get())
    }

    /// How far apart starts are when it works, over all routers: what brings back what waits for it goes by this.
    pub fn interval_of_all(&self, now: Timestamp) -> Duration {
        self.interval(now) / u32::from(self.numbers.sharers().get())
    }

    /// How far apart they are here.
    fn interval(&self, now: Timestamp) -> Duration {
        self.interval_by_count(now).max(self.interval_by_rate())
    }

    /// How far apart starts are by the rate.
    fn interval_by_rate(&self) -> Duration {
        self.numbers.interval()
    }

    fn refuse(&mut self, job: J, now: Timestamp) -> Refused<J> {
        let (earliest, interval, why) = self.slot(self.line.len(), now);
        Refused { job, due: appointment(self.pace.book(earliest, interval), why, now), why }
    }

    fn refuse_behind(&mut self, job: J, now: Timestamp) -> Refused<J> {
        let ahead = self.line.len() + self.behind.len();
        let (earliest, interval, why) = self.slot(ahead, now);
        Refused { job, due: appointment(self.pace_behind.book(earliest, interval), why, now), why }
    }

    /// The first moment to come back at with so many ahead, how far apart such moments are, and why.
    fn slot(&self, ahead: usize, now: Timestamp) -> (Timestamp, Duration, Postponed) {
        let (by_count, by_rate) = (self.interval_by_count(now), self.interval_by_rate());
        let interval = by_count.max(by_rate);
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let earliest = now + interval.saturating_mul(ahead).saturating_sub(EARLY).max(AWAY_MIN);
        let why = if self.breaker.is_tripped() {
            Postponed::CircuitOpen
        } else if self.slowed.is_some() {
            Postponed::SlowedDown
        } else if by_rate > by_count {
            Postponed::RateLimited
        } else {
            Postponed::Busy
        };
        (earliest.max(self.starts_from()), interval, why)
    }

    fn bring_in_the_due(&mut self, now: Timestamp) {
        let mut due = Vec::new();
        while let Some(entry) = self.timed.first_entry()
            && entry.key().0 <= now
        {
            due.push(entry.remove());
        }
        // To the front of their line: they have waited already, and their schedules are counted in tenths.
        for Held { behind, job } in due.into_iter().rev() {
            let line = if behind { &mut self.behind } else { &mut self.line };
            line.push_front((now + HOLD_MAX, job));
        }
    }
}

/// When what was sent away comes back, by the slot that it was given.
fn appointment(slot: Timestamp, why: Postponed, now: Timestamp) -> Due {
    let waits_for_circuit = why == Postponed::CircuitOpen;
    Due::exactly(if waits_for_circuit { slot.min(now + CIRCUIT_AWAY_MAX) } else { slot })
}

#[cfg(test)]
mod tests;
