//! The last requests that were not made because policy forbids them: for operators, who are told more than tenants are.
//!
//! In memory and few: it answers "what is being blocked right now, and why?", and the record of attempts answers the rest. It is
//! each router's own, and gone with it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use super::guard::Refusal;
use crate::domain::id::{ApplicationId, EndpointId};
use crate::domain::time::Timestamp;

/// How many are kept: as many as anybody reads. Some 30 KiB with the longest host names.
pub const KEPT_MAX: usize = 100;

/// Whose request it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whose {
    /// The application.
    pub application: ApplicationId,
    /// The endpoint.
    pub endpoint: EndpointId,
}

/// A request that was not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// When.
    pub at: Timestamp,
    /// Whose it was.
    pub whose: Whose,
    /// The host of its URL.
    pub host: String,
    /// Why.
    pub refusal: Refusal,
    /// The address that may not be called, when it is that.
    pub address: Option<IpAddr>,
}

/// The last ones.
#[derive(Debug)]
pub struct BlockedLog {
    now: fn() -> Timestamp,
    last: Mutex<VecDeque<Blocked>>,
}

impl BlockedLog {
    /// None yet; `now` says when each was.
    pub fn new(now: fn() -> Timestamp) -> Self {
        Self { now, last: Mutex::default() }
    }

    /// Notes one; the oldest makes room for it.
    pub(super) fn note(&self, whose: Whose, host: &str, refusal: Refusal, address: Option<IpAddr>) {
        let one = Blocked { at: (self.now)(), whose, host: host.to_owned(), refusal, address };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.truncate(KEPT_MAX - 1);
        last.push_front(one);
    }

    /// Those that are kept, newest first.
    pub fn last(&self) -> Vec<Blocked> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_hundred_are_kept_newest_first() {
        let log = BlockedLog::new(|| Timestamp::from_seconds(1_790_000_000));
        let whose = Whose {
            application: ApplicationId::derived(&[b"acme"]),
            endpoint: EndpointId::derived(&[b"a"]),
        };
        for number in 0..=KEPT_MAX {
            log.note(whose, &format!("host-{number}.example"), Refusal::Scheme, None);
        }
        let last = log.last();
        assert_eq!(last.len(), KEPT_MAX);
        assert_eq!(last[0].host, "host-100.example");
        assert_eq!(last[KEPT_MAX - 1].host, "host-1.example");
    }
}
