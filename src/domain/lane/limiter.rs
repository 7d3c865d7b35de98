//! An endpoint's rate: governor's limiter, on a clock that the caller feeds.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::domain::time::Timestamp;

/// A governor limiter on a clock that stands still until it is fed.
#[derive(Debug)]
pub(super) struct Limiter {
    clock: FedClock,
    governor: RateLimiter<NotKeyed, InMemoryState, FedClock, NoOpMiddleware<Nanos>>,
    /// What is taken of the burst before anything starts.
    spent: Option<NonZeroU32>,
}

impl Limiter {
    /// One of so many parts of at most `rate` in any second, and a tenth of it (at least one) at once after a pause.
    pub(super) fn new(rate: NonZeroU32, among: NonZeroU16) -> Self {
        let (clock, parts) = (FedClock::default(), u32::from(among.get()));
        let burst = rate.get().div_ceil(10 * parts);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(Duration::from_secs(1) * parts / rate.get());
        let quota =
            quota.expect("a rate is at most a thousand million a second").allow_burst(burst);
        Self { governor: RateLimiter::direct_with_clock(quota, clock.clone()), clock, spent: None }
    }

    /// The same, without a burst to begin with: for who has had his before, by another part of the rate.
    pub(super) fn going_on(rate: NonZeroU32, among: NonZeroU16) -> Self {
        let limiter = Self::new(rate, among);
        let burst = rate.get().div_ceil(10 * u32::from(among.get()));
        Self { spent: NonZeroU32::new(burst), ..limiter }
    }

    pub(super) fn check(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        self.clock.feed(now);
        if let Some(burst) = self.spent.take() {
            let _it_is_whole = self.governor.check_n(burst);
        }
        self.governor.check().map_err(|not_until| {
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
