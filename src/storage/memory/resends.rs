//! Attempts that people have asked for and that were not made yet.

use std::collections::BTreeMap;

use super::rows::Place;
use crate::domain::time::Timestamp;

/// By number, with the moment from which on each may be claimed.
#[derive(Debug, Default)]
pub(super) struct Resends {
    asked: BTreeMap<i64, (Place, Timestamp)>,
    asked_ever: i64,
}

impl Resends {
    /// Asks for one.
    pub(super) fn ask(&mut self, place: Place, now: Timestamp) {
        self.asked_ever += 1;
        self.asked.insert(self.asked_ever, (place, now));
    }

    /// Those that may be made by `now`, longest due first; nobody else gets them before `lease_until`.
    pub(super) fn claim(
        &mut self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Vec<(i64, Place)> {
        let due = self.asked.iter().filter(|(_, (_, due_at))| *due_at <= now);
        let mut due: Vec<_> = due.map(|(number, (place, at))| (*at, *number, *place)).collect();
        due.sort_unstable();
        due.truncate(limit);
        for (_, number, _) in &due {
            self.put_off(*number, lease_until);
        }
        due.into_iter().map(|(_, number, place)| (number, place)).collect()
    }

    /// Puts one off; whether it is still asked for.
    pub(super) fn put_off(&mut self, number: i64, until: Timestamp) -> bool {
        let found = self.asked.get_mut(&number);
        found.map(|(_, due_at)| *due_at = until).is_some()
    }

    /// One is done with; whether it was still asked for.
    pub(super) fn done(&mut self, number: i64) -> bool {
        self.asked.remove(&number).is_some()
    }
}
