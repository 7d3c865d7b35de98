//! The replays' port in SQL.
//!
//! A row holds what a replay offers, how far it is and what became of it. Looking for what the next step
//! offers is a reader's work, over a bounded number of rows ([`look`]); only what was found is brought to the
//! writer, which judges each once more and moves the place ([`take`]). What became of the offered is
//! counted where settlements are recorded ([`count`]).
//!
//! **What if we die right here?** Before a step's commit nothing has happened, and the step is taken again.
//! With it the replay's place is behind what was offered. Two who take the same step (a router and the one that
//! takes its place) both look, and the place that one of them has moved tells the other that it is late.

mod begin;
pub(super) mod count;
pub(super) mod look;
mod preview;
mod take;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::Sql;
use super::audit;
use super::engine::{Connection, OptionalExtension, Row, params};
use super::rows::{self, corrupt, read_json};
use super::walk::Walk;
use crate::domain::delivery::DeliveryKey;
use crate::domain::filter::Pattern;
use crate::domain::id::{ApplicationId, EndpointId, OrganisationId, ReplayId};
use crate::domain::replay::{Pulse, Rate, ReplayState, Scope, untried_max};
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::storage::StorageError;
use crate::storage::page::Page;
use crate::storage::replays::{
    Change, NewReplay, OfEndpoint, Offer, Preview, Replay, Replays, Running, Selection, Stepped,
};

#[async_trait]
impl Replays for Sql {
    async fn preview(
        &self,
        organisation: OrganisationId,
        selection: &Selection,
        to: Option<EndpointId>,
        now: Timestamp,
    ) -> Result<Preview, StorageError> {
        Ok(self.counted(organisation, selection, to, now).await?.preview)
    }

    async fn begin(&self, replay: NewReplay, now: Timestamp) -> Result<Replay, StorageError> {
        let counted = self.counted(replay.organisation, &replay.selection, replay.to, now).await?;
        begin::as_expected(replay.expect, counted.preview.matched)?;
        self.write(move |connection| begin::begin(connection, &replay, &counted, now)).await
    }

    async fn replay(
        &self,
        organisation: OrganisationId,
        id: ReplayId,
    ) -> Result<Option<Replay>, StorageError> {
        self.browse(move |connection| {
            let found = entry(connection, id)?.map(|entry| entry.replay);
            Ok(found.filter(|replay| replay.organisation == organisation))
        })
        .await
    }

    async fn replays(
        &self,
        organisation: OrganisationId,
        application: Option<ApplicationId>,
        page: &Page<ReplayId>,
    ) -> Result<Vec<Replay>, StorageError> {
        let page = page.clone();
        self.browse(move |connection| {
            let mut walk =
                Walk::over("replays", "id", &page).only("organisation = ?", organisation);
            if let Some(application) = application {
                walk = walk.only("application = ?", application);
            }
            walk.columns(LISTED).rows(connection, |row| {
                let replay = read(row)?.replay;
                Ok(Replay { named: whole(row.get("named")?), ..replay })
            })
        })
        .await
    }

    async fn change(
        &self,
        organisation: OrganisationId,
        id: ReplayId,
        change: Change,
        now: Timestamp,
    ) -> Result<Option<Replay>, StorageError> {
        self.write(move |connection| make_change(connection, organisation, id, change, now)).await
    }

    async fn running(&self) -> Result<Vec<Running>, StorageError> {
        self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT id, rate, because IS NOT NULL FROM replays WHERE state = 'running' \
                 ORDER BY seq",
            )?;
            find.query_and_then([], |row| {
                let id = row.get(0)?;
                Ok(Running { id, rate: rate(id, row.get(1)?)?, waits: row.get(2)? })
            })?
            .collect()
        })
        .await
    }

    async fn pulse(&self, id: ReplayId, now: Timestamp) -> Result<Pulse, StorageError> {
        self.read(move |connection| pulse(connection, id, now)).await
    }

    async fn step(&self, id: ReplayId, most: u32, now: Timestamp) -> Result<Stepped, StorageError> {
        match self.look_ahead(id, most).await? {
            (_, Some(look)) => self.take(look, now).await,
            (state, None) => Ok(Stepped { offered: 0, skipped: 0, state }),
        }
    }

    async fn waits(&self, id: ReplayId, because: Option<&str>) -> Result<(), StorageError> {
        let because = because.map(ToOwned::to_owned);
        self.write(move |connection| {
            let mut say = connection.prepare_cached(
                "UPDATE replays SET because = ?2 WHERE id = ?1 AND state = 'running'",
            )?;
            say.execute(params![id, because])?;
            Ok(())
        })
        .await
    }

    async fn halt(
        &self,
        id: ReplayId,
        state: ReplayState,
        because: &str,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let because = because.to_owned();
        self.write(move |connection| {
            let Some(entry) = entry(connection, id)? else { return Ok(()) };
            if entry.replay.state == ReplayState::Running {
                set_state(connection, entry.seq, state, Some(&because), now)?;
            }
            Ok(())
        })
        .await
    }

    async fn offers(&self, key: DeliveryKey) -> Result<Vec<Offer>, StorageError> {
        self.browse(move |connection| offers(connection, key)).await
    }
}

impl Sql {
    /// The first half of a step: what the next one offers, and how the replay stands.
    pub(super) async fn look_ahead(
        &self,
        id: ReplayId,
        most: u32,
    ) -> Result<(ReplayState, Option<look::Look>), StorageError> {
        let vault = Arc::clone(&self.vault);
        self.read(move |connection| match entry(connection, id)? {
            Some(entry) => Ok((entry.replay.state, look::look(connection, &vault, entry, most)?)),
            None => Ok((ReplayState::Failed, None)),
        })
        .await
    }

    /// The second: it is taken, if it is not late.
    pub(super) async fn take(
        &self,
        look: look::Look,
        now: Timestamp,
    ) -> Result<Stepped, StorageError> {
        let stepped = self.write(move |connection| take::take(connection, &look, now)).await?;
        failpoint!("replay.stepped"); // committed
        Ok(stepped)
    }
}

/// A replay's row: the replay, and how far it is.
struct Entry {
    /// Its number.
    seq: i64,
    replay: Replay,
    /// Done up to this dead letter or event, by its number.
    place: i64,
    /// Not beyond this one.
    last: i64,
}

/// All of a row but the deliveries that its filter names, and how many those are.
const LISTED: &str = "seq, id, organisation, scope, application, endpoint, event_type, since, until, \
     recipient, rate, state, because, place, last, matched, offered, skipped, tried, delivered, dead, actor, \
     reason, created_at, updated_at, ended_at, json_remove(filter, '$.ids') AS filter, \
     coalesce(json_array_length(filter, '$.ids'), 0) AS named";

fn entry(connection: &Connection, id: ReplayId) -> Result<Option<Entry>, StorageError> {
    let mut find = connection.prepare_cached("SELECT * FROM replays WHERE id = ?1")?;
    let mut found = find.query([id])?;
    found.next()?.map(|row| read(&row)).transpose()
}

fn read(row: &Row<'_>) -> Result<Entry, StorageError> {
    let id: ReplayId = row.get("id")?;
    let (scope, state): (String, String) = (row.get("scope")?, row.get("state")?);
    let scope = Scope::ALL.into_iter().find(|known| known.as_str() == scope);
    let state = ReplayState::ALL.into_iter().find(|known| known.as_str() == state);
    let (Some(scope), Some(state)) = (scope, state) else {
        return Err(corrupt(format!("{id} has a scope, or is in a state, that we do not know")));
    };
    let whole = |column: &str| -> Result<u64, StorageError> { Ok(whole(row.get(column)?)) };
    let selection = selection(row, id, scope)?;
    let replay = Replay {
        id,
        organisation: row.get("organisation")?,
        application: row.get("application")?,
        endpoint: row.get("endpoint")?,
        named: selection.named(),
        selection,
        to: row.get("recipient")?,
        rate: rate(id, row.get("rate")?)?,
        state,
        because: row.get("because")?,
        matched: row.get::<_, Option<i64>>("matched")?.map(self::whole),
        offered: whole("offered")?,
        skipped: whole("skipped")?,
        tried: whole("tried")?,
        delivered: whole("delivered")?,
        dead: whole("dead")?,
        actor: row.get("actor")?,
        reason: row.get("reason")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        ended_at: row.get("ended_at")?,
    };
    Ok(Entry { seq: row.get("seq")?, replay, place: row.get("place")?, last: row.get("last")? })
}

fn selection(row: &Row<'_>, id: ReplayId, scope: Scope) -> Result<Selection, StorageError> {
    if scope == Scope::DeadLetters {
        let filter: String = row.get("filter")?;
        return Ok(Selection::DeadLetters(read_json(&filter, id, "filter")?));
    }
    let pattern = |text: String| {
        text.parse::<Pattern>().map_err(|error| corrupt(format!("event_type of {id}: {error}")))
    };
    Ok(Selection::OfEndpoint(OfEndpoint {
        scope,
        application: row.get("application")?,
        endpoint: row.get("endpoint")?,
        event_type: row.get::<_, Option<String>>("event_type")?.map(pattern).transpose()?,
        since: row.get("since")?,
        until: row.get("until")?,
    }))
}

fn rate(id: ReplayId, per_second: u32) -> Result<Rate, StorageError> {
    Rate::try_from(per_second).map_err(|error| corrupt(format!("{id}: {error}")))
}

/// A count as a table gives it.
fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Does what a person asks.
fn make_change(
    connection: &Connection,
    organisation: OrganisationId,
    id: ReplayId,
    change: Change,
    now: Timestamp,
) -> Result<Option<Replay>, StorageError> {
    let Some(Entry { seq, replay, .. }) =
        entry(connection, id)?.filter(|entry| entry.replay.organisation == organisation)
    else {
        return Ok(None);
    };
    let state = replay.state;
    if !state.is_active() {
        if change == Change::Cancel && state == ReplayState::Cancelled {
            return Ok(Some(replay));
        }
        return Err(StorageError::Conflict(format!(
            "{id} is {}: only a replay that is running or paused can be changed",
            state.as_str()
        )));
    }
    match change {
        Change::Pause if state == ReplayState::Paused => {} // why it paused itself stays said
        Change::Pause => set_state(connection, seq, ReplayState::Paused, None, now)?,
        Change::Resume => {
            set_state(connection, seq, ReplayState::Running, None, now)?;
            let mut forgive = connection
                .prepare_cached("UPDATE replays SET judged = 0, failed = 0 WHERE seq = ?1")?;
            forgive.execute([seq])?;
        }
        Change::Cancel => set_state(connection, seq, ReplayState::Cancelled, None, now)?,
        Change::Rate(rate) => {
            let mut set = connection
                .prepare_cached("UPDATE replays SET rate = ?2, updated_at = ?3 WHERE seq = ?1")?;
            set.execute(params![seq, rate.per_second(), now])?;
        }
    }
    Ok(entry(connection, id)?.map(|entry| entry.replay))
}

/// Moves a replay to this state. One that has ended lets its endpoints go.
fn set_state(
    connection: &Connection,
    seq: i64,
    state: ReplayState,
    because: Option<&str>,
    now: Timestamp,
) -> Result<(), StorageError> {
    let ended = (!state.is_active()).then_some(now);
    let mut set = connection.prepare_cached(
        "UPDATE replays SET state = ?2, because = ?3, updated_at = ?4, ended_at = ?5 WHERE seq = ?1",
    )?;
    set.execute(params![seq, state.as_str(), because, now, ended])?;
    if ended.is_some() {
        let mut let_go =
            connection.prepare_cached("DELETE FROM replay_endpoints WHERE replay = ?1")?;
        let_go.execute([seq])?;
    }
    // What a person does has an entry from whoever asked; this is nobody's doing but its own.
    because.map_or(Ok(()), |because| write_down(connection, seq, state, because, now))
}

fn write_down(
    connection: &Connection,
    seq: i64,
    state: ReplayState,
    because: &str,
    now: Timestamp,
) -> Result<(), StorageError> {
    let mut find = connection.prepare_cached(
        "SELECT id, organisation, matched, offered, failed, judged FROM replays WHERE seq = ?1",
    )?;
    let (id, organisation, counted): (ReplayId, _, [Option<u32>; 4]) =
        find.query_row([seq], |row| {
            let counted = [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?];
            Ok((row.get(0)?, row.get(1)?, counted))
        })?;
    let [matched, offered, failed, judged] = counted;
    let details = json!({
        "replayId": id.to_string(), "state": state.as_str(), "because": because,
        "matched": matched, "offered": offered, "failed": failed, "judged": judged,
    });
    let object = format!("/replay/{id}");
    audit::by_ourselves(connection, organisation, ("halt a replay", &object), &details, now)
}

/// Since when the oldest live delivery has been waiting for its first attempt: what is pending was accepted,
/// what is in the inbox is not even routed.
const LIVE_SINCE: &str = "SELECT min(received_at) FROM events WHERE seq IN ( \
         (SELECT min(event) FROM deliveries INDEXED BY deliveries_pending WHERE state = 0), \
         (SELECT min(event) FROM inbox))";

/// How many a replay has offered that wait for their first attempt: counted as far as it matters. Counted where they
/// lie, and not by who went in and out, so that none which anybody takes away or puts on hold is waited for.
pub(super) const UNTRIED: &str = "SELECT count(*) FROM \
     (SELECT 1 FROM deliveries INDEXED BY deliveries_untried \
      WHERE replay = ?1 AND state = 1 AND attempts = 0 AND due_at < 253402128000000 LIMIT ?2) AS few";

fn pulse(connection: &Connection, id: ReplayId, now: Timestamp) -> Result<Pulse, StorageError> {
    let mut live = connection.prepare_cached(LIVE_SINCE)?;
    let live_since: Option<Timestamp> = live.query_row([], |row| row.get(0))?;
    let live_waits = live_since.map(|since| now.since(since)).unwrap_or_default();
    let mut find =
        connection.prepare_cached("SELECT seq, rate, failed, judged FROM replays WHERE id = ?1")?;
    let found = find
        .query_row([id], |row| {
            let seq: i64 = row.get(0)?;
            Ok((seq, row.get(1)?, whole(row.get(2)?), whole(row.get(3)?)))
        })
        .optional()?;
    let Some((seq, per_second, failed, judged)) = found else {
        return Ok(Pulse { live_waits, ..Pulse::default() });
    };
    let most = untried_max(rate(id, per_second)?);
    let mut untried = connection.prepare_cached(UNTRIED)?;
    let untried = whole(untried.query_row(params![seq, most], |row| row.get(0))?);
    Ok(Pulse { untried, failed, judged, live_waits })
}

/// Every time that a delivery was offered by a replay, unless that one is forgotten.
fn offers(connection: &Connection, key: DeliveryKey) -> Result<Vec<Offer>, StorageError> {
    let Some(event) = rows::seq_of(connection, key.event)? else { return Ok(Vec::new()) };
    let mut find = connection.prepare_cached(
        "SELECT r.id, o.turn, o.at FROM offers o JOIN replays r ON r.seq = o.replay \
         WHERE o.event = ?1 AND o.endpoint = ?2 ORDER BY o.turn",
    )?;
    let found = find.query_map(params![event, key.endpoint], |row| {
        Ok(Offer { replay: row.get(0)?, turn: row.get(1)?, at: row.get(2)? })
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Whether there is a replay that ended before this moment.
pub(super) fn any_ended(connection: &Connection, before: Timestamp) -> Result<bool, StorageError> {
    let mut find =
        connection.prepare_cached("SELECT 1 FROM replays WHERE ended_at < ?1 LIMIT 1")?;
    Ok(find.exists([before])?)
}

/// Forgets replays that ended before this moment, with what is kept of their offers: at most so many of both
/// together; how many.
pub(super) fn forget(
    connection: &Connection,
    before: Timestamp,
    most: u32,
) -> Result<usize, StorageError> {
    // A replay goes when its last offer has gone: so none is left without the one that it names.
    let mut offers = connection.prepare_cached(
        "DELETE FROM offers WHERE (event, endpoint, turn) IN \
            (SELECT o.event, o.endpoint, o.turn FROM replays r JOIN offers o ON o.replay = r.seq \
             WHERE r.ended_at < ?1 LIMIT ?2)",
    )?;
    let gone = offers.execute(params![before, most])?;
    if gone == most as usize {
        return Ok(gone);
    }
    let mut replays = connection.prepare_cached(
        "DELETE FROM replays WHERE seq IN \
            (SELECT seq FROM replays r WHERE ended_at < ?1 \
                AND NOT EXISTS (SELECT 1 FROM offers WHERE replay = r.seq) LIMIT ?2)",
    )?;
    Ok(gone + replays.execute(params![before, most - u32::try_from(gone).unwrap_or(most)])?)
}
