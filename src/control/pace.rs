//! How fast one caller may ask, and how often one address may ask with tokens that do not hold.
//!
//! Whoever answers people and their programs has limits of its own: the API counts by organisation and application, the pages
//! by session. In this router's memory: several routers allow as many times as much. Publishing is not counted here: it is bounded by what the stores take (`api`), and a producer
//! must not be refused because somebody lists his endpoints.

use std::net::IpAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::atomic::{AtomicU32, Ordering};

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::inspector::REQUESTS_KEPT;
use crate::domain::time::Timestamp;
use crate::storage::inspector::TokenHash;

/// Tokens that do not hold, from one address in one minute: enough for a person who mistypes and a
/// deployment with an old token, and not for guessing.
const FAILURES_A_MINUTE: NonZeroU32 = NonZeroU32::new(60).expect("not zero");
/// Requests to one target for development, in one second: a person watches, and each is a write. As many at
/// once as are kept: more would only push each other out.
const INSPECTED_A_SECOND: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// How many requests lie between two clearings of what is not needed any more: it costs a walk over
/// everybody who asked since.
const CLEAR_EVERY: u32 = 4_096;

/// Where a request comes from. Behind a proxy it is the proxy's: whoever has one lets it count.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// The limits.
pub struct Paces {
    callers: Option<Limiter<String>>,
    failures: Limiter<IpAddr>,
    inspected: Limiter<TokenHash>,
    clock: Fed,
    asked: AtomicU32,
}

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, Fed, NoOpMiddleware<Nanos>>;

impl Paces {
    /// So many requests a second for each caller, and twice as many at once; 0 for no limit.
    pub fn new(per_second: u16, now: fn() -> Timestamp) -> Self {
        let clock = Fed(now);
        let callers = NonZeroU16::new(per_second).map(|rate| {
            let burst = NonZeroU32::from(rate).saturating_mul(NonZeroU32::MIN.saturating_add(1));
            let quota = Quota::per_second(rate.into()).allow_burst(burst);
            RateLimiter::new(quota, HashMapStateStore::default(), clock)
        });
        let quota = Quota::per_minute(FAILURES_A_MINUTE);
        let failures = RateLimiter::new(quota, HashMapStateStore::default(), clock);
        let at_once = NonZeroU32::new(REQUESTS_KEPT).expect("some are kept");
        let quota = Quota::per_second(INSPECTED_A_SECOND).allow_burst(at_once);
        let inspected = RateLimiter::new(quota, HashMapStateStore::default(), clock);
        Self { callers, failures, inspected, clock, asked: AtomicU32::new(0) }
    }

    /// Counts a request of this caller.
    ///
    /// # Errors
    /// After how many seconds it may ask again.
    pub fn asks(&self, caller: &str) -> Result<(), u16> {
        self.clear_now_and_then();
        let Some(callers) = &self.callers else { return Ok(()) };
        callers.check_key(&caller.to_owned()).map_err(|no| self.seconds(&no))
    }

    /// Counts a token that does not hold from this address.
    ///
    /// # Errors
    /// After how many seconds it may try again.
    pub fn fails(&self, address: IpAddr) -> Result<(), u16> {
        self.clear_now_and_then();
        self.failures.check_key(&of_one_owner(address)).map_err(|no| self.seconds(&no))
    }

    /// Counts a request to this target.
    ///
    /// # Errors
    /// After how many seconds it takes another.
    pub fn inspects(&self, target: TokenHash) -> Result<(), u16> {
        self.clear_now_and_then();
        self.inspected.check_key(&target).map_err(|no| self.seconds(&no))
    }

    fn seconds(&self, no: &governor::NotUntil<Nanos>) -> u16 {
        let wait = no.wait_time_from(self.clock.now());
        u16::try_from(wait.as_secs() + 1).unwrap_or(u16::MAX)
    }

    fn clear_now_and_then(&self) {
        if self.asked.fetch_add(1, Ordering::Relaxed) % CLEAR_EVERY == CLEAR_EVERY - 1 {
            if let Some(callers) = &self.callers {
                callers.retain_recent();
            }
            self.failures.retain_recent();
            self.inspected.retain_recent();
        }
    }
}

/// An IPv6 address by its network: who has one has 2^64 of them.
fn of_one_owner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let network = u128::from(v6) >> 64 << 64;
            IpAddr::V6(network.into())
        }
    }
}

/// The clock that we are handed, as governor reads one.
#[derive(Debug, Clone, Copy)]
struct Fed(fn() -> Timestamp);

impl Clock for Fed {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        let millis = u64::try_from((self.0)().as_millis()).unwrap_or(0);
        Nanos::from(millis.saturating_mul(1_000_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing_still() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000)
    }

    #[test]
    fn a_caller_that_asks_too_fast_is_told_when_to_come_back_and_keeps_nobody_else_out() {
        let paces = Paces::new(5, standing_still);
        let allowed = (0..20).filter(|_| paces.asks("org_a").is_ok()).count();
        assert_eq!(allowed, 10, "twice the rate at once");
        assert_eq!(paces.asks("org_a"), Err(1));
        assert_eq!(paces.asks("org_b"), Ok(()));
        let unlimited = Paces::new(0, standing_still);
        assert!((0..1_000).all(|_| unlimited.asks("org_a").is_ok()));
    }

    #[test]
    fn a_target_takes_as_many_at_once_as_are_kept_and_keeps_no_other_waiting() {
        let paces = Paces::new(5, standing_still);
        let taken = (0..100).filter(|_| paces.inspects([1; 32]).is_ok()).count();
        assert_eq!(taken, 50);
        assert_eq!((paces.inspects([1; 32]), paces.inspects([2; 32])), (Err(1), Ok(())));
    }

    #[test]
    fn guessing_is_slowed_down_by_network() {
        let paces = Paces::new(5, standing_still);
        let address = |text: &str| text.parse().expect("an address");
        let one = (0..100).filter(|_| paces.fails(address("192.0.2.1")).is_ok()).count();
        assert_eq!(one, 60);
        assert_eq!(paces.fails(address("192.0.2.2")), Ok(()));
        for last in 0..60 {
            paces.fails(address(&format!("2001:db8::{last}"))).expect("allowed");
        }
        assert!(paces.fails(address("2001:db8::ffff")).is_err(), "of the same network");
    }
}
