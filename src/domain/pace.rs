//! Moments handed out one after the other: when something that must wait outside may come back.
//!
//! A stored "next free moment" instead of a count of who waits: one number per endpoint, no refill
//! task, and a backlog of a hundred thousand is spread over the time that it takes, so that each
//! delivery goes round the ladder about once instead of all of them together again and again.
//!
//! Not here: enforcing the rate (`lane`). A slot is an appointment, not a permit; whoever comes
//! back early or in a crowd still has to pass the lane.

use std::time::Duration;

use super::time::Timestamp;

/// The next free moment of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    next_free: Timestamp,
}

impl Pace {
    /// Books the next free moment that is not before `earliest`, `interval` after the last one.
    pub fn book(&mut self, earliest: Timestamp, interval: Duration) -> Timestamp {
        let slot = self.next_free.max(earliest);
        // At least a millisecond apart, the grain of time here: or a fast lane's slots would be one.
        self.next_free = slot + interval.max(Duration::from_millis(1));
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_each_other_at_the_interval() {
        let mut pace = Pace::default();
        let start = Timestamp::from_seconds(1_790_000_000);
        let slots: Vec<_> = (0..4)
            .map(|_| pace.book(start, Duration::from_millis(50)).since(start).as_millis())
            .collect();
        assert_eq!(slots, [0, 50, 100, 150]);
    }

    #[test]
    fn an_idle_endpoint_does_not_save_up_the_past() {
        let mut pace = Pace::default();
        let start = Timestamp::from_seconds(1_790_000_000);
        pace.book(start, Duration::from_secs(1));
        let later = start + Duration::from_mins(1);
        assert_eq!(pace.book(later, Duration::from_secs(1)), later);
    }
}
