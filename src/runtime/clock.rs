//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// The moment it is.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)) + ahead()
}

/// How far a test has set the clock ahead, to see leases end without waiting for them.
#[cfg(feature = "failpoints")]
fn ahead() -> std::time::Duration {
    crate::failpoint::clock_ahead()
}

#[cfg(not(feature = "failpoints"))]
const fn ahead() -> std::time::Duration {
    std::time::Duration::ZERO
}
