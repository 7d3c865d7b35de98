//! Which circuits are not closed, for whoever wants to show it: the dispatcher writes it down, and reads it never.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::breaker::{Tripped, Turned};
use crate::domain::id::EndpointId;
use crate::domain::time::Timestamp;

/// A board that clones share. It has an entry for each lane whose circuit is not closed.
#[derive(Debug, Clone, Default)]
pub struct Circuits(Arc<Mutex<HashMap<EndpointId, Tripped>>>);

impl Circuits {
    /// How an endpoint's circuit is, when it is not closed.
    pub fn of(&self, endpoint: EndpointId) -> Option<Tripped> {
        self.board().get(&endpoint).copied()
    }

    /// How many are not closed.
    pub fn count(&self) -> usize {
        self.board().len()
    }

    /// An endpoint's circuit has changed its state now.
    pub(super) fn turned(&self, endpoint: EndpointId, turned: Turned, now: Timestamp) {
        let mut board = self.board();
        match turned {
            Turned::Closed => {
                board.remove(&endpoint);
            }
            Turned::Open(until) => {
                let since = board.get(&endpoint).map_or(now, |before| before.since);
                board.insert(endpoint, Tripped { since, until: Some(until) });
            }
            Turned::HalfOpen => {
                let since = board.get(&endpoint).map_or(now, |before| before.since);
                board.insert(endpoint, Tripped { since, until: None });
            }
        }
    }

    /// Keeps those alone whose circuits are not closed still.
    pub(super) fn keep(&self, is_tripped: impl Fn(EndpointId) -> bool) {
        self.board().retain(|endpoint, _| is_tripped(*endpoint));
    }

    fn board(&self) -> MutexGuard<'_, HashMap<EndpointId, Tripped>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_circuit_is_open_since_it_was_closed_last_however_often_it_opened() {
        let (circuits, one) = (Circuits::default(), EndpointId::derived(&[b"one"]));
        let at = |s| Timestamp::from_seconds(1_790_000_000) + Duration::from_secs(s);
        assert_eq!((circuits.of(one), circuits.count()), (None, 0));
        circuits.turned(one, Turned::Open(at(1)), at(0));
        circuits.turned(one, Turned::Open(at(3)), at(1));
        assert_eq!(circuits.of(one), Some(Tripped { since: at(0), until: Some(at(3)) }));
        circuits.turned(one, Turned::HalfOpen, at(4));
        assert_eq!(circuits.of(one), Some(Tripped { since: at(0), until: None }));
        circuits.keep(|_| true);
        assert_eq!(circuits.count(), 1);
        circuits.turned(one, Turned::Closed, at(5));
        assert_eq!(circuits.count(), 0);
        circuits.turned(one, Turned::Open(at(9)), at(8));
        circuits.keep(|_| false);
        assert_eq!(circuits.of(one), None, "it was edited, or is gone");
    }
}
