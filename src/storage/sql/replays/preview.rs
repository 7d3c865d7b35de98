//! Counting what a replay would do, before it does anything.
//!
//! They are looked for one look after the other, for as long as [`COUNT_FOR`]: dead letters as a list looks for
//! them, an endpoint's deliveries as the steps would. Of dead letters that are told apart by nothing but their
//! kind there is a count of each (`dead_letter_groups`): where the time does not do, those are added up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::types::Value;

use super::super::engine::{Connection, OptionalExtension, Row, params};
use super::look::{self, Found, Walked};
use super::{Sql, whole};
use crate::domain::endpoint::EndpointState;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId};
use crate::domain::settlement::DeathReason;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::dead_letters::{DeadLetter, DeadLetterFilter};
use crate::storage::page::{Listed, Order, Page, Place};
use crate::storage::replays::{ENDPOINTS_MAX, Obstacle, OfEndpoint, Preview, Selection};
use crate::storage::sql::dead_letters::{self, Conditions, OBSTACLE, WHOSE, groups, list};
use crate::storage::sql::history::moments::{self, SLACK};
use crate::storage::sql::rows::corrupt;
use crate::storage::sql::walk::LOOK;

/// How long is counted: some 300,000 rows. Who asks waits for it; a replay can be begun
/// without the count.
const COUNT_FOR: Duration = Duration::from_secs(2);

/// What was counted, and is what is run.
pub(in crate::storage::sql) struct Counted {
    /// The selection, with what it is fixed by.
    pub(super) selection: Selection,
    /// The walk begins behind this dead letter or event, by its number.
    pub(super) place: i64,
    /// And ends with this one.
    pub(super) last: i64,
    /// Whom it is about.
    pub(super) endpoints: Vec<EndpointId>,
    pub(in crate::storage::sql) preview: Preview,
}

impl Sql {
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
                self.dead(organisation, filter, to, now, COUNT_FOR).await
            }
            Selection::OfEndpoint(of) => self.of_endpoint(of.clone(), to, now).await,
        }
    }

    /// Counts dead letters, for about so long.
    pub(in crate::storage::sql) async fn dead(
        &self,
        organisation: OrganisationId,
        wanted: &DeadLetterFilter,
        to: Option<EndpointId>,
        now: Timestamp,
        count_for: Duration,
    ) -> Result<Counted, StorageError> {
        let begun = Instant::now();
        let mut filter = wanted.clone();
        // `until` is exclusive: the next millisecond, so that what died just now is in.
        let moment = now + Duration::from_millis(1);
        filter.until = Some(filter.until.map_or(moment, |until| until.min(moment)));
        let last = self.browse(dead_letters::last_seq).await?;
        let within =
            Arc::new(DeadLetterFilter { organisation: Some(organisation), ..filter.clone() });
        let (mut sums, mut place) = (BTreeMap::<Kind, Part>::new(), None);
        let mut counted_all = loop {
            let (wanted, from) =
                (Arc::clone(&within), place.map_or(Place::Beginning, Place::Behind));
            let page = Page { limit: LOOK, place: from, order: Order::Descending };
            let Listed { rows, beyond } = self
                .browse(move |connection| {
                    list::look(connection, &wanted, &page, |row, one| {
                        Part::of(row, &one, last, now)
                    })
                })
                .await?;
            for (kind, part) in rows.into_iter().flatten() {
                sums.entry(kind).or_default().add(part);
            }
            place = beyond;
            if place.is_none() {
                break true;
            }
            if begun.elapsed() >= count_for {
                break false;
            }
        };
        let mut endpoints: BTreeSet<_> = sums.keys().map(|kind| kind.endpoint).collect();
        if !counted_all {
            // What died behind the filter's time is taken off, where it is little: who has counted before says
            // up to when, and that is a moment ago.
            let kinds = DeadLetterFilter { until: None, ..DeadLetterFilter::clone(&within) };
            let later = DeadLetterFilter { since: filter.until, ..kinds.clone() };
            let page = Page { limit: LOOK, place: Place::Beginning, order: Order::Descending };
            let (known, all, later) = self
                .browse(move |connection| {
                    let known =
                        if kinds.is_by_kind() { groups::sums(connection, &kinds)? } else { None };
                    let later = list::look(connection, &later, &page, |row, one| {
                        Part::of(row, &one, i64::MAX, now)
                    })?;
                    let all = groups::endpoints(connection, &kinds, ENDPOINTS_MAX + 1)?;
                    Ok((known, all, later))
                })
                .await?;
            let known = known.filter(|_| later.beyond.is_none());
            // Whoever may be meant is taken: what was not looked at is offered all the same.
            endpoints.extend(all);
            if let Some(known) = known {
                counted_all = true;
                let mut totals = BTreeMap::new();
                for (endpoint, application, reason, count) in known {
                    let kind = Kind { endpoint, application, reason, is_expired: false };
                    *totals.entry(kind).or_insert(0_u64) += count;
                }
                for (kind, _) in later.rows.into_iter().flatten() {
                    let total = totals.entry(Kind { is_expired: false, ..kind }).or_insert(0);
                    *total = total.saturating_sub(1);
                }
                // Which of them have expired is told of those that were looked at.
                for (kind, total) in totals {
                    let expired = sums.get(&Kind { is_expired: true, ..kind });
                    let expired = expired.map_or(0, |part| part.count);
                    if total > expired {
                        sums.entry(kind).or_default().count = total - expired;
                    }
                }
            }
        }
        let preview =
            self.browse(move |connection| dead_preview(connection, sums, counted_all, to)).await?;
        let endpoints = endpoints.into_iter().collect();
        let selection = Selection::DeadLetters(filter);
        Ok(Counted { selection, place: 0, last, endpoints, preview })
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
    let mut find = connection
        .prepare_cached("SELECT state FROM endpoints WHERE id = ?1 AND deleted_at IS NULL")?;
    let word: Option<String> = find.query_row([endpoint], |row| row.get(0)).optional()?;
    word.map(|word| {
        crate::storage::sql::endpoints::state_of(&word)
            .ok_or_else(|| corrupt(format!("endpoint {endpoint} is `{word}`")))
    })
    .transpose()
}

/// Of the dead letters `d` of this organisation.
pub(super) fn of_organisation(conditions: &mut Conditions, organisation: OrganisationId) {
    conditions.and("d.organisation = ?", [Value::Blob(organisation.as_bytes().to_vec())]);
}

/// What dead letters are told apart by here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    endpoint: EndpointId,
    application: ApplicationId,
    reason: DeathReason,
    is_expired: bool,
}

/// Those of one kind.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    count: u64,
    bytes: u64,
    span: Option<(Timestamp, Timestamp)>,
}

impl Part {
    /// One dead letter, unless it was laid down behind the last that is meant.
    fn of(
        row: &Row<'_>,
        one: &DeadLetter,
        last: i64,
        now: Timestamp,
    ) -> Result<Option<(Kind, Self)>, StorageError> {
        let DeadLetter { key, application, reason, payload_bytes, died_at, .. } = *one;
        let expires_at: Option<Timestamp> = row.get("expires_at")?;
        let is_expired = expires_at.is_some_and(|at| at <= now);
        let kind = Kind { endpoint: key.endpoint, application, reason, is_expired };
        let part = Self { count: 1, bytes: payload_bytes, span: Some((died_at, died_at)) };
        Ok((one.number <= last).then_some((kind, part)))
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.span = match (self.span, other.span) {
            (Some((oldest, newest)), Some((first, last))) => {
                Some((oldest.min(first), newest.max(last)))
            }
            (one, other) => one.or(other),
        };
    }
}

/// What these would come to.
fn dead_preview(
    connection: &Connection,
    sums: BTreeMap<Kind, Part>,
    counted_all: bool,
    to: Option<EndpointId>,
) -> Result<Preview, StorageError> {
    let counted: u64 = sums.values().map(|part| part.count).sum();
    let mut preview = Preview { matched: counted_all.then_some(counted), ..Preview::default() };
    let (mut left, mut paused) = (BTreeMap::new(), BTreeSet::new());
    let mut stands = connection.prepare_cached(&format!(
        "SELECT {OBSTACLE}, e.state = 'paused' \
         FROM (SELECT CAST(?1 AS BLOB) AS endpoint, CAST(?2 AS BLOB) AS application) d {WHOSE}"
    ))?;
    let (mut of_each, mut whole) = (BTreeMap::new(), Part::default());
    for (Kind { endpoint, application, reason, is_expired }, part) in sums {
        if is_expired {
            *left.entry(Obstacle::Expired).or_insert(0) += part.count;
            continue;
        }
        let (obstacle, is_paused): (Option<u8>, Option<bool>) = stands
            .query_row(params![endpoint, application], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // Offered to somebody else, it does not matter how its own endpoint stands.
        if let Some(obstacle) = obstacle.filter(|_| to.is_none()) {
            *left.entry(Obstacle::ALL[usize::from(obstacle)]).or_insert(0) += part.count;
            continue;
        }
        *of_each.entry((endpoint, reason)).or_insert(0) += part.count;
        whole.add(part);
        if is_paused == Some(true) && to.is_none() {
            paused.insert(endpoint);
        }
    }
    preview.by_endpoint =
        of_each.into_iter().map(|((endpoint, reason), n)| (endpoint, Some(reason), n)).collect();
    preview.by_endpoint.sort_by_key(|(endpoint, reason, count)| {
        (Reverse(*count), *endpoint, reason.map(DeathReason::as_str))
    });
    (preview.bytes, preview.span) = (whole.bytes, whole.span);
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
                *left.entry(why).or_insert(0) += count;
            }
        }
    }
    preview.not_replayable = left.into_iter().collect();
    preview.paused = paused.into_iter().collect();
    Ok(preview)
}
