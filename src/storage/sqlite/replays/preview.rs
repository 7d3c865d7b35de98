//! Counting what a replay would do, before it does anything.
//!
//! Dead letters are counted in one walk over those that match. Of an endpoint's deliveries nothing is counted
//! anywhere: they are looked for as the steps would look for them, one look after the other, for as
//! long as [`COUNT_FOR`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::Value;

use super::look::{self, Found, Walked};
use super::{Sqlite, whole};
use crate::domain::endpoint::EndpointState;
use crate::domain::id::{EndpointId, OrganisationId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::replays::{Obstacle, OfEndpoint, Preview, Selection};
use crate::storage::sqlite::dead_letters::{self, Conditions, WHOSE};
use crate::storage::sqlite::history::moments::{self, SLACK};
use crate::storage::sqlite::rows::corrupt;

/// How long an endpoint's deliveries are counted: some 300,000 rows. Who asks waits for it; a replay can be begun
/// without the count.
const COUNT_FOR: Duration = Duration::from_secs(2);

/// What was counted, and is what is run.
pub(super) struct Counted {
    /// The selection, with what it is fixed by.
    pub(super) selection: Selection,
    /// The walk begins behind this dead letter or event, by its number.
    pub(super) place: i64,
    /// And ends with this one.
    pub(super) last: i64,
    /// Whom it is about.
    pub(super) endpoints: Vec<EndpointId>,
    pub(super) preview: Preview,
}

impl Sqlite {
    /// Counts what a selection is about now.
    pub(super) async fn counted(
        &self,
        organisation: OrganisationId,
        selection: &Selection,
        to: Option<EndpointId>,
        now: Timestamp,
    ) -> Result<Counted, StorageError> {
        match selection {
            Selection::DeadLetters(filter) => {
                let mut filter = filter.clone();
                // `until` is exclusive: the next millisecond, so that what died just now is in.
                let moment = now + Duration::from_millis(1);
                filter.until = Some(filter.until.map_or(moment, |until| until.min(moment)));
                let selection = Selection::DeadLetters(filter);
                self.browse(move |connection| dead(connection, organisation, selection, to, now))
                    .await
            }
            Selection::OfEndpoint(of) => self.of_endpoint(of.clone(), to, now).await,
        }
    }

    async fn of_endpoint(
        &self,
        of: OfEndpoint,
        to: Option<EndpointId>,
        now: Timestamp,
    ) -> Result<Counted, StorageError> {
        let begun = Instant::now();
        let ends = of.clone();
        let (place, last) = self.browse(move |connection| span(connection, &ends)).await?;
        let (mut from, mut sum) = (place, Sum::default());
        let counted_all = loop {
            let (of, vault) = (of.clone(), Arc::clone(&self.vault));
            let (found, walked) = self
                .browse(move |connection| {
                    look::of_endpoint(connection, &vault, &of, from..=last, look::COUNTED)
                })
                .await?;
            sum.add(&found, now);
            match walked {
                Walked::All => break true,
                Walked::UpTo(next) => from = next,
            }
            if begun.elapsed() > COUNT_FOR {
                break false;
            }
        };
        let receiver = to.unwrap_or(of.endpoint);
        let stands = self.browse(move |connection| state_of(connection, receiver)).await?;
        let endpoints = vec![of.endpoint];
        let preview = sum.preview(of.endpoint, counted_all, stands, receiver);
        Ok(Counted { selection: Selection::OfEndpoint(of), place, last, endpoints, preview })
    }
}

/// The events that an endpoint's selection is about, by their numbers: behind the first, up to the last.
fn span(connection: &Connection, of: &OfEndpoint) -> Result<(i64, i64), StorageError> {
    let newest: i64 =
        connection.query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| row.get(0))?;
    let last = match of.until {
        Some(until) => (moments::first_at(connection, until + SLACK)? - 1).min(newest),
        None => newest,
    };
    Ok((moments::first_at(connection, of.since - SLACK)? - 1, last))
}

/// What was found of one endpoint's.
#[derive(Default)]
struct Sum {
    count: u64,
    forgotten: u64,
    expired: u64,
    bytes: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Sum {
    fn add(&mut self, found: &[Found], now: Timestamp) {
        for one in found {
            if one.bytes == 0 {
                self.forgotten += 1;
                continue;
            }
            if one.is_expired(now) {
                self.expired += 1;
                continue;
            }
            self.count += 1;
            self.bytes += whole(one.bytes);
            self.span = Some(match self.span {
                Some((oldest, newest)) => (oldest.min(one.at), newest.max(one.at)),
                None => (one.at, one.at),
            });
        }
    }

    fn preview(
        self,
        endpoint: EndpointId,
        counted_all: bool,
        stands: Option<EndpointState>,
        receiver: EndpointId,
    ) -> Preview {
        let matched = counted_all.then_some(self.count + self.forgotten + self.expired);
        let mut preview = Preview { matched, ..Preview::default() };
        let mut leave = |why, count| {
            if count > 0 {
                preview.not_replayable.push((why, count));
            }
        };
        leave(Obstacle::PayloadForgotten, self.forgotten);
        leave(Obstacle::Expired, self.expired);
        match stands {
            None => leave(Obstacle::EndpointGone, self.count),
            Some(EndpointState::Disabled) => leave(Obstacle::EndpointDisabled, self.count),
            Some(state @ (EndpointState::Active | EndpointState::Paused)) => {
                if self.count > 0 {
                    preview.by_endpoint.push((endpoint, None, self.count));
                }
                (preview.bytes, preview.span) = (self.bytes, self.span);
                if state == EndpointState::Paused {
                    preview.paused.push(receiver);
                }
            }
        }
        preview
    }
}

/// How an endpoint stands that somebody lists; `None` for one that is gone.
fn state_of(
    connection: &Connection,
    endpoint: EndpointId,
) -> Result<Option<EndpointState>, StorageError> {
    use rusqlite::OptionalExtension as _;
    let mut find = connection
        .prepare_cached("SELECT state FROM endpoints WHERE id = ?1 AND deleted_at IS NULL")?;
    let word: Option<String> = find.query_row([endpoint], |row| row.get(0)).optional()?;
    word.map(|word| {
        crate::storage::sqlite::endpoints::state_of(&word)
            .ok_or_else(|| corrupt(format!("endpoint {endpoint} is `{word}`")))
    })
    .transpose()
}

/// Beside `dead_letters d` and [`WHOSE`]: what stands in the way of its own endpoint's getting it again, by the
/// place in [`Obstacle::ALL`]; NULL: nothing.
const OBSTACLE: &str = "CASE \
     WHEN e.id IS NOT NULL THEN \
          CASE WHEN e.deleted_at IS NOT NULL THEN 0 WHEN e.state = 'disabled' THEN 1 END \
     WHEN NOT EXISTS (SELECT 1 FROM applications a \
                      WHERE a.id = d.application AND a.deleted_at IS NULL) THEN 0 \
     WHEN s.default_id IS d.endpoint AND s.default_url IS NULL THEN 2 END";

/// Of the dead letters `d` of this organisation.
pub(super) fn of_organisation(conditions: &mut Conditions, organisation: OrganisationId) {
    conditions.and("d.organisation = ?", [Value::Blob(organisation.as_bytes().to_vec())]);
}

/// Dead letters with the same end.
struct Group {
    endpoint: EndpointId,
    reason: String,
    count: u64,
    bytes: u64,
    span: (Timestamp, Timestamp),
    obstacle: Option<u8>,
    is_paused: bool,
    is_expired: bool,
}

/// Counts dead letters.
fn dead(
    connection: &Connection,
    organisation: OrganisationId,
    selection: Selection,
    to: Option<EndpointId>,
    now: Timestamp,
) -> Result<Counted, StorageError> {
    let Selection::DeadLetters(filter) = &selection else {
        unreachable!("the caller has just made it of dead letters")
    };
    let last = dead_letters::last_seq(connection)?;
    let mut conditions = Conditions::of(filter);
    conditions.and("d.seq <= ?", [Value::from(last)]);
    of_organisation(&mut conditions, organisation);
    let groups = conditions.rows(
        connection,
        &format!(
            "SELECT d.endpoint, d.reason, count(*), sum(d.payload_bytes), min(d.died_at), \
                    max(d.died_at), {OBSTACLE} AS obstacle, e.state = 'paused', \
                    coalesce(d.expires_at <= {}, 0) AS expired \
             FROM dead_letters d {WHOSE}",
            now.as_millis()
        ),
        "GROUP BY d.endpoint, d.reason, obstacle, expired ORDER BY count(*) DESC, d.endpoint, d.reason",
        |row| {
            Ok(Group {
                endpoint: row.get(0)?,
                reason: row.get(1)?,
                count: whole(row.get(2)?),
                bytes: whole(row.get(3)?),
                span: (row.get(4)?, row.get(5)?),
                obstacle: row.get(6)?,
                is_paused: row.get::<_, Option<bool>>(7)?.unwrap_or(false),
                is_expired: row.get(8)?,
            })
        },
    )?;
    let mut preview = Preview { matched: Some(0), ..Preview::default() };
    let (mut left, mut paused, mut endpoints) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
    for group in groups {
        preview.matched = preview.matched.map(|matched| matched + group.count);
        endpoints.insert(group.endpoint);
        if group.is_expired {
            *left.entry(Obstacle::Expired).or_insert(0) += group.count;
            continue;
        }
        // Offered to somebody else, it does not matter how its own endpoint stands.
        if let Some(obstacle) = group.obstacle.filter(|_| to.is_none()) {
            *left.entry(Obstacle::ALL[usize::from(obstacle)]).or_insert(0) += group.count;
            continue;
        }
        let reason = DeathReason::ALL.into_iter().find(|known| known.as_str() == group.reason);
        preview.by_endpoint.push((group.endpoint, reason, group.count));
        preview.bytes += group.bytes;
        let (first, last) = group.span;
        preview.span = Some(match preview.span {
            Some((oldest, newest)) => (oldest.min(first), newest.max(last)),
            None => (first, last),
        });
        if group.is_paused && to.is_none() {
            paused.insert(group.endpoint);
        }
    }
    if let Some(to) = to {
        match state_of(connection, to)? {
            Some(EndpointState::Active) => {}
            Some(EndpointState::Paused) => {
                paused.insert(to);
            }
            stands @ (Some(EndpointState::Disabled) | None) => {
                let why = match stands {
                    Some(_) => Obstacle::EndpointDisabled,
                    None => Obstacle::EndpointGone,
                };
                let count = preview.replayable();
                preview = Preview { matched: preview.matched, ..Preview::default() };
                left.insert(why, count);
            }
        }
    }
    preview.not_replayable = left.into_iter().collect();
    preview.paused = paused.into_iter().collect();
    let endpoints = endpoints.into_iter().collect();
    Ok(Counted { selection, place: 0, last, endpoints, preview })
}
