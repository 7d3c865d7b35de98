//! Deliveries: to an endpoint, of an event, counted, and one more that is owed.

use std::num::NonZeroU16;

use url::Url;

use super::super::books::Movement;
use super::super::endpoints;
use super::super::engine::{Connection, OptionalExtension, Row, params};
use super::super::rows::{self, State, corrupt, read_json};
use super::super::walk::Walk;
use super::{events, moments};
use crate::domain::application::{Metadata, Tenant};
use crate::domain::delivery::{Shown, Standing};
use crate::domain::endpoint::EndpointState;
use crate::domain::filter::Filter;
use crate::domain::id::{EndpointId, EventId};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::history::{
    DeliveryCounts, EndpointDelivery, EndpointFacts, EventDelivery, EventFilter,
};
use crate::storage::page::{Listed, Page};

/// Deliveries that one read counts: some 20 ms of a reader's time.
const COUNT_STEP: u32 = 10_000;
/// Deliveries that are counted at the most: a second's work. A busy endpoint has more in a month, and
/// whoever asks for them every few seconds, as a page does, should not slow everybody down.
const COUNT_MOST: u32 = 250_000;

/// Whether an endpoint, deleted or not, is the tenant's.
pub(super) fn is_of(
    connection: &Connection,
    tenant: Tenant,
    endpoint: EndpointId,
) -> Result<bool, StorageError> {
    let mut find =
        connection.prepare_cached("SELECT 1 FROM endpoints WHERE id = ?1 AND application = ?2")?;
    Ok(find.exists(params![endpoint, tenant.application()])?)
}

/// A page of what an endpoint is owed.
pub(super) fn to(
    connection: &Connection,
    tenant: Tenant,
    endpoint: EndpointId,
    shown: Option<Shown>,
    filter: &EventFilter,
    page: &Page<EventId>,
    payloads: bool,
) -> Result<Listed<EventDelivery, EventId>, StorageError> {
    if !is_of(connection, tenant, endpoint)? {
        return Ok(Listed::nothing());
    }
    walk_to(connection, tenant, endpoint, filter, page)?.look(
        connection,
        |row| Ok(row.get("id")?),
        |row| {
            let standing = rows::standing(row)?;
            if shown.is_some_and(|wanted| standing.state.shown() != wanted)
                || !events::is_like(filter, row)?
                || !events::is_between(filter, row.get("received_at")?)
            {
                return Ok(None);
            }
            let event = events::event(connection, row, payloads)?;
            Ok(Some(EventDelivery { event, standing }))
        },
        |one| one.event.payload.len(),
    )
}

/// The walk over what an endpoint is owed.
pub(in super::super) fn walk_to(
    connection: &Connection,
    tenant: Tenant,
    endpoint: EndpointId,
    filter: &EventFilter,
    page: &Page<EventId>,
) -> Result<Walk, StorageError> {
    let page = events::by_number(connection, tenant, page)?;
    let reach = moments::reach(connection, filter.after, filter.before)?;
    let from = "deliveries d INDEXED BY deliveries_to CROSS JOIN events e ON e.seq = d.event";
    Ok(Walk::within(from, "d.event", &page, &reach)
        .columns(concat!(
            events::columns!(),
            ", d.turn AS turn, d.attempts AS attempts, d.state AS state, d.held_by AS held_by, \
             d.due_at AS due_at"
        ))
        .only("d.endpoint = ?", endpoint))
}

/// A page of those that an event is owed to.
pub(super) fn of(
    connection: &Connection,
    tenant: Tenant,
    event: EventId,
    page: &Page<EndpointId>,
) -> Result<Listed<EndpointDelivery, EndpointId>, StorageError> {
    let Some(seq) = events::seq_of(connection, tenant, event)? else {
        return Ok(Listed::nothing());
    };
    walk_of(seq, page).look(
        connection,
        |row| Ok(row.get("id")?),
        |row| {
            let (endpoint, standing) = (facts(row)?, rows::standing(row)?);
            Ok(Some(EndpointDelivery { endpoint, standing }))
        },
        |_| 0, // nothing of an endpoint is large
    )
}

/// The walk over those that an event is owed to.
pub(in super::super) fn walk_of(seq: i64, page: &Page<EndpointId>) -> Walk {
    let from = "deliveries d CROSS JOIN events e ON e.seq = d.event \
                LEFT JOIN endpoints p ON p.id = d.endpoint \
                LEFT JOIN settings s ON s.application = e.application";
    Walk::over(from, "d.endpoint", page)
        .columns(
            "d.endpoint AS id, p.uid, p.description, p.url, p.filter, p.channels, \
             p.state AS whether, p.disabled_because, p.throttle_rate, p.metadata, p.version, \
             p.created_at, p.updated_at, p.deleted_at, d.turn, d.attempts, d.state AS state, \
             d.held_by, d.due_at, p.id IS NOT NULL AS listed, e.received_at AS received_at, \
             coalesce((SELECT a.url FROM attempts a \
                       WHERE a.event = d.event AND a.endpoint = d.endpoint \
                       ORDER BY a.id DESC LIMIT 1), \
                      CASE WHEN d.endpoint IS s.default_id THEN s.default_url \
                      ELSE e.webhook_url END) AS goes_to",
        )
        .only("d.event = ?", seq)
}

/// What there is to see of a URL that nobody lists as an endpoint: where it last went for this event, or
/// is to go.
fn unlisted(row: &Row<'_>) -> Result<EndpointFacts, StorageError> {
    let id: EndpointId = row.get("id")?;
    // Of a default URL that was cleared before anything went there nothing is left to be shown.
    let url: Option<String> = row.get("goes_to")?;
    let url = url.as_deref().unwrap_or("about:blank");
    let owed_at: Timestamp = row.get("received_at")?;
    Ok(EndpointFacts {
        id,
        listed: false,
        uid: None,
        description: String::new(),
        url: Url::parse(url).map_err(|error| corrupt(format!("url of {id}: {error}")))?,
        filter: Filter::of(Vec::new()),
        channels: Vec::new(),
        state: EndpointState::Active,
        disabled_because: None,
        throttle_rate: None,
        metadata: Metadata::new(),
        version: NonZeroU16::MIN,
        created_at: owed_at,
        updated_at: owed_at,
        deleted_at: None,
    })
}

fn facts(row: &Row<'_>) -> Result<EndpointFacts, StorageError> {
    if !row.get::<_, bool>("listed")? {
        return unlisted(row);
    }
    let id: EndpointId = row.get("id")?;
    let (url, state): (String, String) = (row.get("url")?, row.get("whether")?);
    let because: Option<String> = row.get("disabled_because")?;
    let state = endpoints::state_of(&state)
        .ok_or_else(|| corrupt(format!("state of {id} is `{state}`")))?;
    Ok(EndpointFacts {
        id,
        listed: true,
        uid: row.get("uid")?,
        description: row.get("description")?,
        url: Url::parse(&url).map_err(|error| corrupt(format!("url of {id}: {error}")))?,
        filter: read_json(&row.get::<_, String>("filter")?, id, "filter")?,
        channels: read_json(&row.get::<_, String>("channels")?, id, "channels")?,
        state,
        disabled_because: endpoints::because(because.as_deref()),
        throttle_rate: row.get("throttle_rate")?,
        metadata: read_json(&row.get::<_, String>("metadata")?, id, "metadata")?,
        version: row.get("version")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        deleted_at: row.get("deleted_at")?,
    })
}

/// A count in the making: newest first, from step to step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Count {
    pub(super) counts: DeliveryCounts,
    endpoint: EndpointId,
    /// Events from this number on.
    from: i64,
    /// And below this one: what is not counted yet. Not above `from`: nothing is left.
    below: i64,
    counted: u32,
}

/// The next deliveries to be counted.
pub(in super::super) const COUNT: &str = "SELECT event, turn, attempts, state, held_by, due_at \
     FROM deliveries INDEXED BY deliveries_to \
     WHERE endpoint = ?1 AND event >= ?2 AND event < ?3 ORDER BY event DESC LIMIT ?4";

impl Count {
    /// A count of a tenant's endpoint over this time: of nothing, if it is not the tenant's.
    pub(super) fn over(
        connection: &Connection,
        tenant: Tenant,
        endpoint: EndpointId,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<Self, StorageError> {
        let nothing =
            Self { counts: DeliveryCounts::default(), endpoint, from: 0, below: 0, counted: 0 };
        if !is_of(connection, tenant, endpoint)? {
            return Ok(nothing);
        }
        let (from, below) =
            (moments::first_at(connection, since)?, moments::first_at(connection, until)?);
        Ok(Self { from, below, ..nothing })
    }

    /// Whether nothing is left to be counted, or enough is counted.
    pub(super) const fn is_done(&self) -> bool {
        self.below <= self.from
    }

    /// Goes on by a step.
    pub(super) fn step(mut self, connection: &Connection) -> Result<Self, StorageError> {
        let mut find = connection.prepare_cached(COUNT)?;
        let mut found = find.query(params![self.endpoint, self.from, self.below, COUNT_STEP])?;
        let mut seen = 0;
        while let Some(row) = found.next()? {
            self.counts.count(rows::standing(&row)?.state.shown());
            self.below = row.get("event")?;
            seen += 1;
        }
        self.counted += seen;
        if seen < COUNT_STEP {
            self.below = self.from;
        } else if self.counted >= COUNT_MOST {
            let mut last = connection.prepare_cached(moments::PROBE)?;
            let received_at = last.query_row([self.below], |row| row.get("received_at"));
            self.counts.only_since = received_at.optional()?;
            self.below = self.from;
        }
        Ok(self)
    }
}

/// How a delivery stands.
pub(super) fn owed(
    connection: &Connection,
    tenant: Tenant,
    event: EventId,
    endpoint: EndpointId,
) -> Result<Option<Standing>, StorageError> {
    let Some(seq) = events::seq_of(connection, tenant, event)? else { return Ok(None) };
    if !is_of(connection, tenant, endpoint)? {
        return Ok(None);
    }
    let mut find =
        connection.prepare_cached("SELECT * FROM deliveries WHERE event = ?1 AND endpoint = ?2")?;
    let mut found = find.query(params![seq, endpoint])?;
    found.next()?.map(|row| rows::standing(&row)).transpose()
}

/// Writes a delivery that is due now and held by the journal, offered by the replay of this number, if by one;
/// whether it did. Not one that is there, nor
/// one of an event that has no payload any more or is not routed yet, which will say itself what it owes.
pub(in super::super) fn owe(
    connection: &Connection,
    seq: i64,
    endpoint: EndpointId,
    replay: Option<i64>,
    now: Timestamp,
    movement: &mut Movement,
) -> Result<bool, StorageError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO deliveries (event, endpoint, turn, attempts, state, held_by, due_at, replay) \
         SELECT seq, ?2, 0, 0, 1, 2, ?3, ?4 FROM events WHERE seq = ?1 AND length(payload) > 0 \
            AND NOT EXISTS (SELECT 1 FROM inbox WHERE event = ?1) \
         ON CONFLICT DO NOTHING",
    )?;
    let written = insert.execute(params![seq, endpoint, now, replay])? == 1;
    if written {
        movement.owes();
        movement.moves(State::Pending, State::Waiting);
    }
    Ok(written)
}
