//! How many requests may be on the way to one endpoint at once, learnt from how they end.
//!
//! What TCP does with its congestion window (RFC 5681), for the same reason: nobody tells us how much the other
//! side can take. An endpoint that nothing is known of begins with [`FIRST`] and is given one more for each
//! success while half of it is used (a trickle that succeeds says nothing about what a flood would do), which makes half as many
//! again in each round trip: a new one is warmed up, and one that hangs from the start holds [`FIRST`]
//! connections and no more. Who is overrun has it halved, once for all that was on the way together, and is given one more in two
//! round trips from then on.
//!
//! Not here: how long nothing starts at all (`lane`, `breaker`).

use std::num::NonZeroU16;

use crate::domain::time::Timestamp;

/// How many may be on the way to an endpoint of which nothing is known.
///
/// Four: the second burst finds room for six, the seventh for all of the default cap; and a thousand endpoints that
/// hang from their first request on hold no more than four thousand connections.
pub(super) const FIRST: u16 = 4;

/// Learnt for one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    most: NonZeroU16,
    /// Requests; between two whole numbers the share of the way to the next.
    now: f64,
    /// Below this it grows by one for each success, above by its part of one.
    careful_from: f64,
    /// When it was halved last: what started before says nothing new.
    halved_at: Option<Timestamp>,
}

impl Allowance {
    /// That of an endpoint which nothing is known of, and which may have `most`.
    pub(super) fn new(most: NonZeroU16) -> Self {
        let now = f64::from(FIRST.min(most.get()));
        Self { most, now, careful_from: f64::INFINITY, halved_at: None }
    }

    /// Takes over an edited endpoint's cap.
    pub(super) const fn adjust(&mut self, most: NonZeroU16) {
        self.most = most;
    }

    /// Requests that may be on the way at once: at least one, at most the endpoint's cap.
    pub(super) fn get(&self) -> u16 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 65,535")]
        let whole = self.now.clamp(1.0, f64::from(u16::MAX)) as u16;
        whole.min(self.most.get())
    }

    /// A request has succeeded while so many were on the way, itself among them.
    pub(super) fn eased(&mut self, in_flight: u16) {
        if in_flight < self.get().div_ceil(2) || self.now >= f64::from(self.most.get()) {
            return;
        }
        self.now += if self.now < self.careful_from { 1.0 } else { 1.0 / self.now };
    }

    /// A request that was started at this moment has found the endpoint overrun, and ended now.
    pub(super) fn overrun(&mut self, started_at: Timestamp, now: Timestamp) {
        if self.halved_at.is_some_and(|halved_at| started_at <= halved_at) {
            return;
        }
        self.now = (f64::from(self.get()) / 2.0).max(1.0);
        self.careful_from = self.now;
        self.halved_at = Some(now);
    }

    /// Begins with one again, and grows fast to half of what it was: the endpoint comes back.
    pub(super) fn begin_again(&mut self) {
        self.careful_from = self.careful_from.min((self.now / 2.0).max(f64::from(FIRST)));
        self.now = 1.0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_790_000_000);

    fn of(most: u16) -> Allowance {
        Allowance::new(NonZeroU16::new(most).expect("not 0"))
    }

    /// A round trip: as many as are allowed, and all succeed.
    fn round(allowance: &mut Allowance) -> u16 {
        for left in (1..=allowance.get()).rev() {
            allowance.eased(left);
        }
        allowance.get()
    }

    fn at(ms: u64) -> Timestamp {
        START + Duration::from_millis(ms)
    }

    #[test]
    fn a_new_endpoint_is_given_half_as_much_again_in_each_round_trip_up_to_its_cap() {
        let mut allowance = of(50);
        let seen: Vec<_> = (0..8).map(|_| round(&mut allowance)).collect();
        assert_eq!((seen, of(2).get()), (vec![6, 9, 13, 18, 25, 34, 46, 50], 2));
    }

    #[test]
    fn who_is_overrun_has_half_and_one_more_in_two_round_trips_from_then_on() {
        let mut allowance = of(64);
        while round(&mut allowance) < 64 {}
        allowance.overrun(at(0), at(1_000));
        assert_eq!(allowance.get(), 32);
        let seen: Vec<_> = (0..6).map(|_| round(&mut allowance)).collect();
        assert_eq!(seen, [32, 33, 33, 34, 34, 35], "half of one each time");
    }

    #[test]
    fn what_was_on_the_way_together_halves_it_once() {
        let mut allowance = of(64);
        while round(&mut allowance) < 64 {}
        for started in [0, 100, 1_000] {
            allowance.overrun(at(started), at(1_000));
        }
        assert_eq!(allowance.get(), 32);
        for _ in 0..20 {
            let last = allowance.halved_at.expect("it was");
            allowance.overrun(last + Duration::from_millis(1), last + Duration::from_millis(2));
        }
        assert_eq!(allowance.get(), 1, "never none");
    }

    #[test]
    fn a_trickle_proves_nothing() {
        let mut allowance = of(64);
        for _ in 0..1_000 {
            allowance.eased(1);
        }
        assert_eq!(allowance.get(), FIRST, "one at a time says nothing about four");
    }

    #[test]
    fn who_comes_back_begins_with_one_and_is_soon_at_half() {
        let mut allowance = of(64);
        while round(&mut allowance) < 64 {}
        allowance.begin_again();
        let seen: Vec<_> = (0..12).map(|_| round(&mut allowance)).collect();
        assert_eq!(seen[..6], [2, 3, 5, 7, 10, 14]);
        assert_eq!(seen[8..10], [32, 32], "carefully from half on: {seen:?}");
    }

    #[test]
    fn a_lowered_cap_holds_at_once_and_a_raised_one_is_grown_into() {
        let mut allowance = of(64);
        while round(&mut allowance) < 64 {}
        allowance.adjust(NonZeroU16::new(5).expect("not 0"));
        assert_eq!(allowance.get(), 5);
    }
}
