//! Where a moment lies among the events.
//!
//! Events are numbered in the order of their acceptance, and the moments at which they were received grow
//! with the numbers, all but exactly: what waited for the writer, and what another router's clock says,
//! may be a little out of order. So a moment is looked for by halving the numbers, each time reading one
//! row of the tree that they are the key of, and there is no index on the moment: it would be one more
//! leaf to write for every event.

use std::time::Duration;

use super::super::engine::{Connection, OptionalExtension};
use super::super::walk::Reach;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;

/// How far out of order moments may be: clocks of routers that agree to a second, and a second of waiting
/// for the writer. A clock that was set back by more hides from questions about that time what it is
/// wrong about, and from no others.
pub(in super::super) const SLACK: Duration = Duration::from_secs(2);

/// The row that tells on which side of a number the moment lies.
pub(in super::super) const PROBE: &str =
    "SELECT seq, received_at FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1";

/// The numbers of the events that can have been received after and before these moments. What is exactly
/// so has to be looked at in each.
pub(in super::super) fn reach(
    connection: &Connection,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
) -> Result<Reach<i64>, StorageError> {
    // With every row in its order but for the slack: what lies behind one that was received that much later
    // was received later, and what lies in front of one that was received that much earlier, earlier.
    Ok(Reach {
        from: after.map(|after| first_at(connection, after - SLACK)).transpose()?,
        below: before.map(|before| first_at(connection, before + SLACK)).transpose()?,
    })
}

/// The number from which on events were received at this moment or later. Reads one row for each time
/// that their numbers can be halved: 63 at the most.
pub(in super::super) fn first_at(
    connection: &Connection,
    moment: Timestamp,
) -> Result<i64, StorageError> {
    let mut ends = connection.prepare_cached(
        "SELECT coalesce((SELECT min(seq) FROM events), 0), \
                coalesce((SELECT max(seq) FROM events), -1)",
    )?;
    let (mut low, last): (i64, i64) = ends.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut high = last + 1;
    let mut probe = connection.prepare_cached(PROBE)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(i64, Timestamp)> =
            probe.query_row([middle], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        match found {
            Some((seq, received_at)) if received_at < moment => low = seq + 1,
            // Numbers of events that are gone lie in between: the next that is there speaks for them.
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}
