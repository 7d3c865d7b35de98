//! What an endpoint may be sent, by its rate and its cap, and how much of that is this router's part.
//!
//! Routers share by being counted: each takes one of so many equal parts, and nobody hands anything over. A cap that is smaller
//! than their number is one for each: a router that could send nothing would keep what it has taken in.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use super::limiter::Limiter;
use crate::domain::endpoint::Endpoint;

/// What an endpoint may be sent, and this router's part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// Requests that may start in a second, over all routers; `None`: as many as there are.
    pub rate: Option<NonZeroU32>,
    /// Requests that may be on the way at once, over all routers.
    pub max_in_flight: NonZeroU16,
    /// Routers that share it. `None` while others do not know of this one, or it does not know of them: then an endpoint
    /// with a rate is sent nothing.
    pub among: Option<NonZeroU16>,
    /// Whether it is left alone when it does nothing but fail.
    pub breaks: bool,
}

impl Numbers {
    /// Those of an endpoint, shared among so many routers.
    pub fn of(endpoint: &Endpoint, among: Option<NonZeroU16>) -> Self {
        Self {
            rate: endpoint.throttle_rate,
            max_in_flight: endpoint.policy.max_in_flight,
            among,
            breaks: endpoint.policy.circuit_breaker,
        }
    }

    /// Whether more may be sent than by what was said before, however many routers share it: then what waits for room
    /// can come sooner.
    pub fn are_wider_than(&self, before: &Self) -> bool {
        let rate = match (before.rate, self.rate) {
            (Some(before), Some(now)) => now > before,
            (Some(_), None) => true,
            (None, Some(_) | None) => false,
        };
        rate || self.max_in_flight > before.max_in_flight || (before.breaks && !self.breaks)
    }

    pub(super) fn sharers(self) -> NonZeroU16 {
        self.among.unwrap_or(NonZeroU16::MIN)
    }

    /// This router's part of what may be on the way: at least one, or some router could send nothing at all; and no more
    /// than that while it is not known how many share it.
    pub(super) fn own_in_flight(self) -> NonZeroU16 {
        let part = self.among.map_or(1, |among| self.max_in_flight.get() / among);
        NonZeroU16::new(part).unwrap_or(NonZeroU16::MIN)
    }

    /// This router's part of the rate.
    pub(super) fn limiter(self) -> Option<Limiter> {
        self.rate.map(|rate| Limiter::new(rate, self.sharers()))
    }

    /// The same when there was one before.
    pub(super) fn limiter_that_goes_on(self) -> Option<Limiter> {
        self.rate.map(|rate| Limiter::going_on(rate, self.sharers()))
    }

    /// How far apart this router's starts are by the rate.
    pub(super) fn interval(self) -> Duration {
        let apart = |rate: NonZeroU32| {
            Duration::from_secs(1) * u32::from(self.sharers().get()) / rate.get()
        };
        self.rate.map_or(Duration::ZERO, apart)
    }
}
