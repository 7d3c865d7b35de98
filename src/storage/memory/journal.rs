//! The journal's port: acceptance, the fence, claims.

use std::time::Duration;

use async_trait::async_trait;

use super::faults::Call;
use super::rows::{Place, Rows};
use super::{Memory, Store};
use crate::domain::dead_letter::{NO_ATTEMPT, told};
use crate::domain::delivery::{
    Delivery, DeliveryKey, DeliveryState, Holder, Standing, Trigger, Turn,
};
use crate::domain::endpoint::EndpointState;
use crate::domain::id::{EndpointId, EventId};
use crate::domain::outcome::Meaning;
use crate::domain::settlement::{DeathReason, Settlement};
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::dead_letters::DeadLetter;
use crate::storage::journal::{
    Acceptance, Books, Journal, Overdue, Owed, Recorded, Resend, Settled,
};

/// Pending deliveries that one claim looks at: the oldest.
const LOOKED_AT: usize = 200;

#[async_trait]
impl Journal for Memory {
    async fn accept(&self, batch: Vec<Owed>) -> Result<Vec<Acceptance>, StorageError> {
        self.call(Call::Accept, |store| {
            Ok(batch.into_iter().map(|owed| accept(store, &owed)).collect())
        })
        .await
    }

    async fn standings(
        &self,
        keys: Vec<DeliveryKey>,
    ) -> Result<Vec<Option<Standing>>, StorageError> {
        self.call(Call::Standings, |store| {
            let standing = |key| store.rows.place(key).and_then(|place| store.rows.standing(place));
            Ok(keys.into_iter().map(standing).collect())
        })
        .await
    }

    async fn has_events(&self, ids: Vec<EventId>) -> Result<Vec<bool>, StorageError> {
        self.call(Call::Standings, |store| {
            Ok(ids.into_iter().map(|id| store.rows.number(id).is_some()).collect())
        })
        .await
    }

    async fn record(&self, batch: Vec<Settled>) -> Result<Vec<Recorded>, StorageError> {
        let recorded = self
            .call(Call::Record, |store| {
                Ok(batch.iter().map(|settled| record(store, settled)).collect())
            })
            .await;
        self.ring(); // what is recorded as held by the ladder may be due before anything else
        recorded
    }

    async fn handed_on(&self, batch: Vec<(DeliveryKey, Turn)>) -> Result<(), StorageError> {
        self.call(Call::HandedOn, |store| {
            for (key, turn) in batch {
                handed_on(&mut store.rows, key, turn);
            }
            Ok(())
        })
        .await
    }

    async fn escrow(
        &self,
        batch: Vec<(DeliveryKey, Turn)>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StorageError> {
        self.call(Call::Escrow, |store| {
            let one = |(key, turn): &(_, _)| escrow(&mut store.rows, *key, *turn, now);
            Ok(batch.iter().map(one).collect())
        })
        .await
    }

    async fn bring_forward(
        &self,
        endpoint: EndpointId,
        now: Timestamp,
        interval: Duration,
    ) -> Result<u64, StorageError> {
        self.call(Call::BringForward, |store| {
            Ok(bring_forward(&mut store.rows, endpoint, now, interval))
        })
        .await
    }

    async fn claim(
        &self,
        overdue: Overdue,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        self.call(Call::Claim, |store| Ok(claim(&mut store.rows, overdue, lease_until, limit)))
            .await
    }

    async fn claim_resends(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Resend>, StorageError> {
        self.call(Call::Claim, |store| Ok(claim_resends(store, now, lease_until, limit))).await
    }

    async fn put_off_resends(
        &self,
        numbers: Vec<i64>,
        until: Timestamp,
    ) -> Result<(), StorageError> {
        self.call(Call::Claim, |store| {
            for number in numbers {
                let _done_with = store.resends.put_off(number, until);
            }
            Ok(())
        })
        .await
    }

    async fn books(&self) -> Result<Books, StorageError> {
        self.call(Call::Books, |store| Ok(store.rows.books())).await
    }
}

fn accept(store: &mut Store, Owed { event, endpoints }: &Owed) -> Acceptance {
    let rows = &mut store.rows;
    let number = if let Some(number) = rows.add_event(event) {
        number
    } else {
        let number = rows.number(event.id).expect("it is there, or it would have been added");
        if !store.noted.take(number) {
            return Acceptance::Known(rows.of_event(number).collect());
        }
        number // published before, and accepted only now
    };
    for endpoint in endpoints {
        rows.owe((number, *endpoint));
    }
    Acceptance::New
}

fn record(store: &mut Store, settled: &Settled) -> Recorded {
    let was_asked = match settled.trigger {
        Trigger::Turn => false,
        Trigger::ByHand(number) => match settled.settlement {
            Settlement::Postpone(due, _) => store.resends.put_off(number, due.at),
            Settlement::Delivered
            | Settlement::Retry(_)
            | Settlement::DeadLetter(_)
            | Settlement::Drop(_)
            | Settlement::LetGo
            | Settlement::Cancelled
            | Settlement::Unchanged => store.resends.done(number),
        },
    };
    let found = store.rows.place(settled.key);
    let Some((place, standing)) =
        found.and_then(|place| Some((place, store.rows.standing(place)?)))
    else {
        return Recorded::Stale; // never owed: there is nothing to settle
    };
    if settled.settlement == Settlement::LetGo {
        return let_go(store, place, standing, settled, was_asked);
    }
    // A request that was made is history, whoever settles the turn.
    if let Some(attempt) = &settled.attempt {
        store.rows.keep(place, attempt);
        if attempt.meaning == Meaning::Gone {
            store.catalogue.close(settled.key.endpoint, attempt.started_at, settled.at);
        }
    }
    let delivered = settled.settlement == Settlement::Delivered;
    let by_hand = settled.trigger.is_by_hand();
    let old = settled.turn < standing.turn || by_hand;
    if by_hand && delivered && standing.state != DeliveryState::Delivered {
        // A success is a fact, whatever had become of the delivery.
        store.rows.dead_letters.retain(|_, letter| letter.key != settled.key);
    } else if by_hand || (old && !delivered) || !is_open(standing.state, &settled.settlement) {
        return Recorded::Stale;
    }
    let state = match settled.settlement {
        Settlement::Delivered => DeliveryState::Delivered,
        Settlement::Retry(_) | Settlement::Postpone(..) => waits(store, settled),
        Settlement::DeadLetter(reason) => {
            lay_down(&mut store.rows, place, settled, reason);
            DeliveryState::Dead
        }
        Settlement::Drop(_) => DeliveryState::Dropped,
        Settlement::Cancelled => DeliveryState::Cancelled,
        Settlement::LetGo | Settlement::Unchanged => return Recorded::Stale,
    };
    // A success at an old turn, or beside it: what was counted since then stays counted.
    let attempts = if old { settled.attempts.max(standing.attempts) } else { settled.attempts };
    let turn = settled.turn.max(standing.turn).next();
    store.rows.put(place, Standing { turn, attempts, state });
    Recorded::Now
}

/// Puts on record that a request is about to be made, which has not been made: unless it may be, nothing
/// is.
fn let_go(
    store: &mut Store,
    place: Place,
    standing: Standing,
    settled: &Settled,
    was_asked: bool,
) -> Recorded {
    let by_hand = settled.trigger.is_by_hand();
    let may_be = if by_hand {
        was_asked
    } else {
        !standing.state.is_final() && settled.turn >= standing.turn
    };
    if !may_be {
        return Recorded::Stale;
    }
    if let Some(attempt) = &settled.attempt {
        store.rows.keep(place, attempt);
    }
    if !by_hand {
        let (turn, attempts) = (settled.turn.next(), settled.attempts);
        store.rows.put(place, Standing { turn, attempts, state: DeliveryState::Unknown });
    }
    Recorded::Now
}

/// Whether a delivery that stands so can still come to this, if it is its turn.
fn is_open(state: DeliveryState, settlement: &Settlement) -> bool {
    !state.is_final() || (state == DeliveryState::Unknown && settlement.is_an_answer())
}

/// Who holds what goes on, and until when. Whether a pause still holds is looked up here: a router
/// may have seen an old version of the endpoint, or of its application's settings, and the resumption has
/// passed by.
fn waits(store: &Store, settled: &Settled) -> DeliveryState {
    if let Some(due) = settled.settlement.due() {
        return DeliveryState::Waiting { due_at: due.at, held_by: settled.held_by };
    }
    let endpoint = store.catalogue.endpoint(settled.key.endpoint);
    let paused = endpoint.is_some_and(|endpoint| endpoint.state != EndpointState::Active);
    let application = store.rows.number(settled.key.event);
    let application = application.map(|number| store.rows.event(number).application);
    let settings = application.and_then(|id| store.catalogue.settings_of(id));
    let held = settings.is_some_and(|settings| !settings.delivery.sends());
    let due_at = if paused || held { Timestamp::NEVER } else { settled.at };
    DeliveryState::Waiting { due_at, held_by: Holder::Journal }
}

fn lay_down(rows: &mut Rows, place: Place, settled: &Settled, reason: DeathReason) {
    let event = rows.event(place.0);
    let last = settled.attempt.as_ref();
    let dead_letter = DeadLetter {
        number: rows.next_dead_letter(),
        id: settled.key.id(),
        key: settled.key,
        application: event.application,
        event_type: event.event_type.to_string(),
        event_id: event.event_id.as_deref().map(str::to_owned),
        subject: event.subject.as_deref().map(str::to_owned),
        reason,
        attempts: settled.attempts,
        last_status: last.map_or(0, |attempt| attempt.outcome.status()),
        last_outcome: last.map_or(NO_ATTEMPT, |one| told(one.class(), &one.url)).to_owned(),
        last_detail: last.map_or_else(String::new, |attempt| attempt.detail.clone()),
        payload_bytes: event.payload.len() as u64,
        died_at: settled.at,
    };
    rows.lay_down(dead_letter);
}

/// Not what the journal holds: it was recalled or claimed at this turn, and goes on from there.
fn handed_on(rows: &mut Rows, key: DeliveryKey, turn: Turn) {
    let Some(place) = rows.place(key) else { return };
    if let Some(standing) = rows.standing(place)
        && standing.turn == turn
        && let DeliveryState::Waiting { due_at, held_by: Holder::Router } = standing.state
    {
        let state = DeliveryState::Waiting { due_at, held_by: Holder::Ladder };
        rows.put(place, Standing { state, ..standing });
    }
}

/// A router's own short wait is its own still; and of what was on the ladder, it has what came back. What the journal gave
/// out is leased.
fn escrow(rows: &mut Rows, key: DeliveryKey, turn: Turn, now: Timestamp) -> bool {
    let Some(place) = rows.place(key) else { return false };
    let Some(standing) = rows.standing(place) else { return false };
    let due_at = match standing.state {
        DeliveryState::Pending => now,
        DeliveryState::Waiting { due_at, held_by: Holder::Router | Holder::Ladder } => {
            due_at.max(now)
        }
        DeliveryState::Waiting { held_by: Holder::Journal | Holder::Circuit, .. }
        | DeliveryState::Delivered
        | DeliveryState::Dead
        | DeliveryState::Cancelled
        | DeliveryState::Dropped
        | DeliveryState::Discarded
        | DeliveryState::Unknown => return true,
    };
    if standing.turn == turn {
        let state = DeliveryState::Waiting { due_at, held_by: Holder::Router };
        rows.put(place, Standing { state, ..standing });
    }
    true
}

/// What waits for an endpoint's circuit, in the order in which it was received; nothing is put later than it was.
fn bring_forward(rows: &mut Rows, endpoint: EndpointId, now: Timestamp, interval: Duration) -> u64 {
    let (mut due, mut moved) = (now, 0);
    for (place, standing) in rows.unfinished(endpoint) {
        if let DeliveryState::Waiting { due_at, held_by: Holder::Circuit } = standing.state {
            let state =
                DeliveryState::Waiting { due_at: due_at.min(due), held_by: Holder::Circuit };
            rows.put(place, Standing { state, ..standing });
            due = due + interval;
            moved += 1;
        }
    }
    moved
}

fn claim(rows: &mut Rows, overdue: Overdue, lease_until: Timestamp, limit: usize) -> Vec<Delivery> {
    let before = |moment: Timestamp| Timestamp::from_millis(moment.as_millis() - 1);
    let forgotten = rows.pending_after(0).take(LOOKED_AT).filter_map(|place| {
        let received_at = rows.event(place.0).received_at;
        (received_at < overdue.forgotten_before).then_some((received_at, place))
    });
    let mut due: Vec<(Timestamp, Place)> = rows
        .waiting(Holder::Journal, overdue.due_by)
        .take(limit)
        .chain(rows.waiting(Holder::Circuit, overdue.due_by).take(limit))
        .chain(rows.waiting(Holder::Router, before(overdue.abandoned_before)).take(limit))
        .chain(rows.waiting(Holder::Ladder, before(overdue.lost_before)).take(limit))
        .chain(forgotten)
        .collect();
    due.sort_unstable();
    due.truncate(limit);
    due.into_iter()
        .map(|(_, place)| {
            let standing = rows.standing(place).expect("it was found just now");
            let turn = standing.turn.next();
            let state = DeliveryState::Waiting { due_at: lease_until, held_by: Holder::Journal };
            rows.put(place, Standing { turn, state, ..standing });
            let event = std::sync::Arc::clone(rows.event(place.0));
            Delivery {
                event,
                endpoint: place.1,
                turn,
                attempts: standing.attempts,
                replayed: false,
            }
        })
        .collect()
}

fn claim_resends(
    store: &mut Store,
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
) -> Vec<Resend> {
    let claimed = store.resends.claim(now, lease_until, limit).into_iter();
    let rows = &store.rows;
    claimed
        .map(|(number, place)| {
            let Standing { turn, attempts, .. } = rows.standing(place).expect("it was owed then");
            let event = std::sync::Arc::clone(rows.event(place.0));
            Resend {
                number,
                delivery: Delivery { event, endpoint: place.1, turn, attempts, replayed: false },
            }
        })
        .collect()
}
