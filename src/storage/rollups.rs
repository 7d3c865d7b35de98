//! Port: how many requests ended how, by five minutes: what the charts are drawn from.
//!
//! Added up while requests end, and kept for an endpoint, its application and its organisation apart, so that a
//! chart reads as many rows as it has bars, however many requests and endpoints there are. A router adds what it
//! has counted every few seconds; one that is killed in between has counted those for nobody. So this is for
//! looking at: the books are the record.

use std::time::Duration;

use async_trait::async_trait;

use super::StorageError;
use crate::domain::application::Tenant;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::time::Timestamp;

/// How long one row counts for. Five minutes: 288 of them are a day, and a fault of ten minutes is seen.
pub const SPAN: Duration = Duration::from_mins(5);

/// Upper ends of the classes that durations are counted in, in milliseconds; the last class has none. Twice to
/// two and a half times the one before: a percentile read from them is at most that far off.
pub const DURATIONS_MS: [u32; 9] = [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000];

/// What ended within a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Requests that were accepted.
    pub delivered: u64,
    /// Requests that failed, and are tried again.
    pub failed: u64,
    /// Requests that failed, and were the last.
    pub given_up: u64,
    /// How many took how long, by [`DURATIONS_MS`]; those that had no answer too.
    pub durations: [u64; DURATIONS_MS.len() + 1],
}

/// Of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// All applications of an organisation.
    Organisation(OrganisationId),
    /// All endpoints of an application.
    Tenant(Tenant),
    /// One of a tenant's endpoints.
    Endpoint(Tenant, EndpointId),
}

/// What one endpoint's requests came to within a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// When the span begins: a multiple of [`SPAN`].
    pub at: Timestamp,
    /// Whose endpoint.
    pub application: ApplicationId,
    /// Which; also one that nobody lists.
    pub endpoint: EndpointId,
    /// What it came to.
    pub tally: Tally,
}

/// The port.
#[async_trait]
pub trait Rollups: Send + Sync {
    /// Adds what was counted to what is there.
    ///
    /// # Errors
    /// `Unavailable`: added or not, we cannot know.
    async fn add_up(&self, counted: &[Counted]) -> Result<(), StorageError>;

    /// What was counted from `since` until `until`, by spans of `step`, a multiple of [`SPAN`]: one tally for each, the oldest
    /// first, also where nothing ended. At most [`BARS_MAX`] of them.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn tallies(
        &self,
        of: Of,
        since: Timestamp,
        until: Timestamp,
        step: Duration,
    ) -> Result<Vec<(Timestamp, Tally)>, StorageError>;
}

/// Most tallies that are given at once: thirty days by the hour.
pub const BARS_MAX: usize = 720;

impl Tally {
    /// All requests.
    pub const fn all(&self) -> u64 {
        self.delivered + self.failed + self.given_up
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.failed += other.failed;
        self.given_up += other.given_up;
        for (own, theirs) in self.durations.iter_mut().zip(other.durations) {
            *own += theirs;
        }
    }

    /// Counts how long a request took.
    pub fn took(&mut self, duration_ms: u32) {
        let class = DURATIONS_MS.iter().position(|end| duration_ms <= *end);
        self.durations[class.unwrap_or(DURATIONS_MS.len())] += 1;
    }

    /// The upper end of the class that this part of the durations lies within, in milliseconds: the largest there is for what is
    /// beyond all of them; `None` when nothing was counted. `percent` is 1 to 100.
    pub fn percentile(&self, percent: u64) -> Option<u32> {
        let all: u64 = self.durations.iter().sum();
        let wanted = (all * percent).div_ceil(100);
        let mut seen = 0;
        let classes = self.durations.iter().position(|count| {
            seen += count;
            seen >= wanted && wanted > 0
        })?;
        Some(DURATIONS_MS[classes.min(DURATIONS_MS.len() - 1)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_end_of_its_class() {
        let mut tally = Tally::default();
        assert_eq!(tally.percentile(50), None);
        for duration_ms in [10, 20, 30, 60, 70, 80, 90, 100, 3_000, 60_000] {
            tally.took(duration_ms);
        }
        for (percent, expected) in
            [(1, 50), (30, 50), (31, 100), (80, 100), (90, 5_000), (100, 30_000)]
        {
            assert_eq!(tally.percentile(percent), Some(expected), "{percent} %");
        }
    }
}
