//! What is checked between the steps: at every quiet moment, at the end of each life, and at the end of
//! it all.

use std::collections::BTreeMap;
use std::time::Duration;

use posthaste::domain::delivery::{DeliveryKey, DeliveryState, Holder, Standing, Turn};
use posthaste::domain::event::WebhookMode;
use posthaste::domain::settlement::DeathReason;
use posthaste::domain::time::Timestamp;
use posthaste::storage::memory::Shape;

use super::world::{Called, State, Story, World};

/// How long after trouble, and after its due time, a delivery may still be waiting.
///
/// Ten minutes: five leases of two minutes, one of which a router needs to believe that another is
/// gone. Below the quarter of an hour and the two hours behind which the journal brings back what
/// everybody else has lost, so that those do not cover up a loss.
const LATE_MOST: Duration = Duration::from_mins(10);

/// Outcomes that are our own doing: they cost no attempt.
const OURS: [&str; 3] = ["interrupted", "internal", "unknown"];

impl World {
    /// Whether nothing is left to do.
    pub(crate) fn is_quiet(&self) -> bool {
        let memory = self.memory();
        let backlog = memory.backlog();
        let open: usize = self.state().endpoints.iter().map(|seen| seen.open).sum();
        backlog.events + backlog.copies + open == 0 && memory.unfinished().is_empty()
    }

    /// The books balance, and everything that is not finished is in somebody's hands and not late.
    pub(crate) fn check_books(&self) {
        let memory = self.memory();
        let (kept, counted) = (memory.books_kept(), memory.books_counted());
        let mut guard = self.state();
        let state = &mut *guard;
        state.counts.checks += 1;
        if kept != counted {
            self.breach(state, format_args!("the books say {kept:?}, the rows {counted:?}"));
        }
        if counted.unaccounted() != 0 {
            self.breach(state, format_args!("{} are in no account", counted.unaccounted()));
        }
        let at_the_broker = match self.scenario.shape {
            Shape::OneStore => None,
            Shape::Broker { .. } => Some(memory.events_at_the_broker()),
        };
        // Once for all: a backlog of thousands would otherwise be gone through for each of them.
        let copies = memory.every_copy();
        for (key, standing) in memory.unfinished() {
            let mut safe = true;
            if let Some(events) = &at_the_broker {
                let name = state.number(key.event).map(|number| &self.scenario.events[number].name);
                let event_is_there = name.is_some_and(|name| events.contains(name));
                safe = event_is_there
                    || Self::is_in_safe_hands(state, key, standing, copies.get(&key));
            }
            if !safe {
                let name = self.name(state, key);
                let what = "and neither its event nor a copy of it is anywhere but in memory";
                self.breach(state, format_args!("{name} is {}, {what}", standing.state.as_str()));
            }
            if self.is_late(state, key, standing) {
                let name = self.name(state, key);
                self.breach(state, format_args!("{name} waits in vain: {standing:?}"));
            }
        }
    }

    /// Whether somebody other than a process has it, now that its event is acknowledged.
    fn is_in_safe_hands(
        state: &State,
        key: DeliveryKey,
        standing: Standing,
        copies: Option<&Vec<Turn>>,
    ) -> bool {
        let copies = copies.map_or(&[][..], Vec::as_slice);
        match standing.state {
            DeliveryState::Pending => false,
            // An old copy takes over; what the journal gave out, it gives out again.
            DeliveryState::Waiting { held_by: Holder::Router, .. } => {
                let taken_over = state.taken_over.contains(&key);
                taken_over || state.claimed.contains(&key) || !copies.is_empty()
            }
            DeliveryState::Waiting { held_by: Holder::Ladder, .. } => {
                copies.iter().any(|turn| *turn >= standing.turn)
            }
            DeliveryState::Waiting { held_by: Holder::Journal | Holder::Circuit, .. }
            | DeliveryState::Delivered
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Dropped
            | DeliveryState::Discarded
            | DeliveryState::Unknown => true,
        }
    }

    fn is_late(&self, state: &State, key: DeliveryKey, standing: Standing) -> bool {
        let due_at = match standing.state {
            DeliveryState::Waiting { due_at, .. } => due_at,
            DeliveryState::Pending => {
                let event = self.memory().event_of(key.event).expect("it is owed");
                event.deliver_at.unwrap_or(event.received_at)
            }
            DeliveryState::Delivered
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Dropped
            | DeliveryState::Discarded
            | DeliveryState::Unknown => return false,
        };
        let place = state.place(key.endpoint).expect("it is owed to one of ours");
        let paused = matches!(state.endpoints[place].called, Called::Paused | Called::Disabled)
            || !state.switch.sends();
        let changed_at = state.endpoints[place].changed_at.max(state.switched_at);
        let since = due_at.max(state.trouble_at).max(changed_at);
        let forever = due_at == Timestamp::NEVER && !paused;
        forever || (!paused && self.now().since(since) > LATE_MOST)
    }

    /// A life has ended: what it was told is on record is there, and what is not is lost with it. A life
    /// that ended in order, without trouble, loses nothing.
    pub(crate) fn check_end_of_life(&self, in_order: bool) {
        let memory = self.memory();
        let mut guard = self.state();
        let state = &mut *guard;
        for (key, id) in std::mem::take(&mut state.answered) {
            if memory.attempts_of(key).iter().all(|attempt| attempt.id != id) {
                let name = self.name(state, key);
                let what = "an attempt of it was answered as recorded, and is not on record";
                self.breach(state, format_args!("{name}: {what}"));
            }
        }
        // What was planned and never written is nobody's plan any more.
        for (key, story) in &mut state.stories {
            let turn = memory.standing_of(*key).map(|standing| standing.turn);
            story.planned.retain(|(from, _)| Some(*from) <= turn);
        }
        for (key, standing) in memory.every_delivery() {
            if standing.state == DeliveryState::Unknown {
                state.stories.entry(key).or_default().unknown_for_good = true;
            }
        }
        for key in std::mem::take(&mut state.touched) {
            let on_record = memory.attempts_on_record(key);
            let place = state.place(key.endpoint).expect("a request was made to it");
            let story = state.stories.get_mut(&key).expect("a request was made for it");
            let lost = story.requests.saturating_sub(story.lost + on_record);
            if lost > 0 && self.scenario.at_most_once(place) {
                let name = self.name(state, key);
                self.breach(state, format_args!("a request of {name} was never on record"));
            } else if lost > 0 {
                story.lost += lost;
                story.asked = None;
                state.counts.lost += lost as u64;
                if in_order && state.counts.faults == 0 {
                    let name = self.name(state, key);
                    self.breach(state, format_args!("{lost} requests of {name} left no record"));
                }
            }
        }
    }

    /// Everything has come to an end: each event that was confirmed has reached everybody who wanted it,
    /// or it is on record why not.
    pub(crate) fn check_end(&self) {
        let memory = self.memory();
        let rows: BTreeMap<_, _> = memory.every_delivery().into_iter().collect();
        let quarantined = memory.backlog().quarantined;
        let mut guard = self.state();
        let state = &mut *guard;
        if quarantined > 0 {
            self.breach(state, format_args!("{quarantined} events went to quarantine"));
        }
        state.counts.deliveries = rows.len() as u64;
        for (id, number) in state.ids().collect::<Vec<_>>() {
            let Some(_confirmed) = state.published[number] else { continue };
            state.counts.events += 1;
            let event = &self.scenario.events[number];
            if memory.event_of(id).is_none() {
                self.breach(state, format_args!("{} was confirmed and is gone", event.name));
            }
            let elsewhere = event.own == Some(WebhookMode::Override) || state.was_off;
            let listed = &self.scenario.endpoints[..self.scenario.listed];
            for (place, endpoint) in listed.iter().enumerate().filter(|_| !elsewhere) {
                let key = DeliveryKey { event: id, endpoint: endpoint.id };
                let event_type = event.event_type.parse().expect("a type");
                let owed = rows.contains_key(&key);
                let seen = &state.endpoints[place];
                let there = seen.called != Called::Deleted && !seen.was_disabled;
                if endpoint.filter.wants(&event_type) && there && !owed {
                    let name = self.name(state, key);
                    self.breach(state, format_args!("{name} was wanted and is not owed"));
                }
            }
        }
        for (key, standing) in &rows {
            if let Err(fault) = self.ended_well(state, *key, *standing) {
                let name = self.name(state, *key);
                self.breach(state, format_args!("{name} {fault}"));
            }
        }
        self.check_dead_letters(state);
    }

    /// Whether a delivery's end is true.
    fn ended_well(
        &self,
        state: &State,
        key: DeliveryKey,
        standing: Standing,
    ) -> Result<(), String> {
        let nothing = Story::default();
        let story = state.stories.get(&key).unwrap_or(&nothing);
        let place = state.place(key.endpoint).expect("it is owed to one of ours");
        let on_record = self.memory().attempts_on_record(key);
        if self.scenario.at_most_once(place) {
            return self.ended_once(state, key, standing, story);
        }
        if story.requests != story.lost + on_record {
            return Err(format!(
                "had {} requests: {on_record} are on record, {} were cut off by a death",
                story.requests, story.lost
            ));
        }
        let counting = self.memory().attempts_of(key);
        let counting = counting.iter().filter(|one| !OURS.contains(&one.outcome.as_str())).count();
        let most = self.scenario.endpoints[place].policy.retry.max_attempts();
        // What is claimed while a copy is on its way (a person resumed its endpoint; the note that it is
        // on the ladder was lost) goes on at a later turn: the copy's attempt is history and does not
        // count.
        let claimed = story.recalled || state.claimed.contains(&key);
        if counting > most as usize && !claimed {
            return Err(format!("had {counting} attempts that count: its policy has {most}"));
        }
        match standing.state {
            DeliveryState::Delivered if !story.succeeded => {
                Err("is recorded as delivered, and no request of it succeeded".into())
            }
            DeliveryState::Cancelled if state.endpoints[place].called != Called::Deleted => {
                Err("was taken back, and its endpoint is there".into())
            }
            DeliveryState::Pending | DeliveryState::Waiting { .. } => {
                Err("is not finished at the end".into())
            }
            DeliveryState::Unknown => Err("is unknown, and was to be tried until it is not".into()),
            DeliveryState::Delivered
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Dropped
            | DeliveryState::Discarded => Ok(()),
        }
    }

    /// The same for one that is delivered at most once.
    fn ended_once(
        &self,
        state: &State,
        key: DeliveryKey,
        standing: Standing,
        story: &Story,
    ) -> Result<(), String> {
        let on_record = self.memory().attempts_of(key);
        if story.requests > 1 || on_record.len() > 1 || story.requests > on_record.len() {
            return Err(format!(
                "had {} requests, at most once: {} are on record",
                story.requests,
                on_record.len()
            ));
        }
        if story.unknown_for_good && standing.state != DeliveryState::Unknown {
            let stands = standing.state.as_str();
            return Err(format!("was unknown when its router died, and is {stands} now"));
        }
        let place = state.place(key.endpoint).expect("it is owed to one of ours");
        let ours = on_record.iter().any(|one| ["interrupted", "internal"].contains(&&*one.outcome));
        let trouble = state.counts.kills + state.counts.restarts + state.counts.faults > 0;
        match standing.state {
            DeliveryState::Delivered if !story.succeeded => {
                Err("is recorded as delivered, and no request of it succeeded".into())
            }
            DeliveryState::Dead | DeliveryState::Dropped | DeliveryState::Discarded
                if story.requests == 0 =>
            {
                Err("was given up without a request".into())
            }
            DeliveryState::Unknown if !ours && !trouble => {
                Err("is unknown, and nothing went wrong".into())
            }
            DeliveryState::Cancelled if state.endpoints[place].called != Called::Deleted => {
                Err("was taken back, and its endpoint is there".into())
            }
            DeliveryState::Pending | DeliveryState::Waiting { .. } => {
                Err("is not finished at the end".into())
            }
            DeliveryState::Delivered
            | DeliveryState::Dead
            | DeliveryState::Cancelled
            | DeliveryState::Dropped
            | DeliveryState::Discarded
            | DeliveryState::Unknown => Ok(()),
        }
    }

    /// Whether each dead letter is one, and was told of.
    fn check_dead_letters(&self, state: &mut State) {
        let dead_letters = self.memory().every_dead_letter();
        let dead = self.memory().books_counted().dead;
        if dead != dead_letters.len() as u64 {
            let laid_down = dead_letters.len();
            self.breach(state, format_args!("{dead} are dead, {laid_down} dead letters are kept"));
        }
        let told = self.memory().told();
        // A death between the record and the telling leaves one untold: ARCHITECTURE.md says so.
        let must_tell = self.scenario.shape != Shape::OneStore
            && state.counts.kills + state.counts.restarts == 0;
        for letter in dead_letters {
            let name = self.name(state, letter.key);
            let story = state.stories.get(&letter.key);
            let refused = story.is_some_and(|story| story.refused_for_good);
            if letter.reason == DeathReason::Gone && !refused {
                self.breach(state, format_args!("{name} was given up as gone, and nobody said so"));
            }
            let is_it = |key: DeliveryKey| key == letter.key;
            let heard = told.iter().any(|notice| {
                is_it(DeliveryKey { event: notice.event.id, endpoint: notice.endpoint })
            });
            if must_tell && !heard {
                self.breach(state, format_args!("nobody was told of the dead letter {name}"));
            }
        }
    }
}
