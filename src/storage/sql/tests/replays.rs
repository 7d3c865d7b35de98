//! What is offered again, by a filter, and what becomes of it.

use super::history::MINUTE;
use super::*;
use crate::domain::id::ReplayId;
use crate::domain::replay::{Pulse, Rate, ReplayState, Scope};
use crate::storage::dead_letters::{DeadLetterFilter, DeadLetters};
use crate::storage::history::History;
use crate::storage::journal::{Books, Ledger};
use crate::storage::page::{Order, Page};
use crate::storage::replays::{
    Change, NewReplay, Obstacle, OfEndpoint, Replay, Replays, Selection, Stepped,
};

/// The end of what a step may offer.
pub(super) const MOST: u32 = 500;

pub(super) fn replay_id(number: u32) -> ReplayId {
    ReplayId::minted(NOW + number * SECOND, [0; 15])
}

/// A replay of what one endpoint of `acme` was owed, or was not.
pub(super) fn of(id: ReplayId, scope: Scope, endpoint: EndpointId, since: Timestamp) -> NewReplay {
    let application = acme().application();
    let selection = match scope {
        Scope::DeadLetters => Selection::DeadLetters(DeadLetterFilter {
            application: Some(application),
            endpoint: Some(endpoint),
            ..DeadLetterFilter::default()
        }),
        Scope::GivenUp | Scope::Missing | Scope::Delivered => {
            let event_type = None;
            let of = OfEndpoint { scope, application, endpoint, event_type, since, until: None };
            Selection::OfEndpoint(of)
        }
    };
    NewReplay {
        id,
        organisation: OrganisationId::DEFAULT,
        selection,
        to: None,
        rate: Rate::default(),
        actor: "ada".into(),
        reason: None,
        expect: None,
    }
}

/// What `a` was owed, or was not.
pub(super) fn of_a(number: u32, scope: Scope) -> NewReplay {
    of(replay_id(number), scope, endpoint_id("a"), NOW)
}

/// Dead letters that match.
fn dead(number: u32, filter: DeadLetterFilter) -> NewReplay {
    NewReplay { selection: Selection::DeadLetters(filter), ..of_a(number, Scope::DeadLetters) }
}

fn until(mut replay: NewReplay, moment: Timestamp) -> NewReplay {
    if let Selection::OfEndpoint(of) = &mut replay.selection {
        of.until = Some(moment);
    }
    replay
}

fn since(mut replay: NewReplay, moment: Timestamp) -> NewReplay {
    if let Selection::OfEndpoint(of) = &mut replay.selection {
        of.since = moment;
    }
    replay
}

/// Events 0 to `count`, received a second apart.
pub(super) fn events(count: u32) -> Vec<Arc<Event>> {
    let one = |number: u32| Event {
        received_at: NOW + number * SECOND,
        ..event(&number.to_string()).as_ref().clone()
    };
    (0..count).map(one).map(Arc::new).collect()
}

/// Offered by the journal at this moment, as if it were new.
pub(super) fn offered(turn: u32) -> Standing {
    let state = DeliveryState::Waiting { due_at: NOW + MINUTE, held_by: Holder::Journal };
    standing(turn, 0, state)
}

impl Place {
    /// An active endpoint that wants these types.
    pub(super) async fn have_active(&self, name: &str, patterns: &[&str], channels: &[&str]) {
        self.have_endpoint(name).await;
        let patterns = patterns.iter().map(|one| one.parse().expect("a pattern")).collect();
        let channels = channels.iter().map(|one| (*one).to_owned()).collect();
        let edited = Endpoint { filter: Filter::of(patterns), channels, ..endpoint(name) };
        self.edit_endpoint(&edited).await.expect("edited");
        self.set(name, EndpointState::Active).await;
    }

    pub(super) async fn set(&self, name: &str, state: EndpointState) {
        let there = self.set_endpoint_state(acme(), endpoint_id(name), state, None, NOW).await;
        assert_eq!(there, Ok(true));
    }

    /// These events owed to `a`, and given up, all but those that `got` names.
    pub(super) async fn with_given_up(&self, events: &[Arc<Event>], got: impl Fn(usize) -> bool) {
        self.accept(events.iter().map(|one| owed(one, &["a"])).collect()).await.expect("accepted");
        let settled = events.iter().enumerate().map(|(number, event)| {
            let key = key(event, "a");
            if got(number) { delivered(key, 0) } else { given_up(key, 0) }
        });
        self.record(settled.collect()).await.expect("recorded");
    }

    pub(super) async fn have_begun(&self, replay: NewReplay) -> Replay {
        // Dead letters are laid down a minute behind the events.
        self.begin(replay, NOW + MINUTE).await.expect("begun")
    }

    /// Takes a step; how many deliveries it offered.
    pub(super) async fn take_step(&self) -> u64 {
        self.step(replay_id(1), MOST, NOW + MINUTE).await.expect("taken").offered
    }

    pub(super) async fn found(&self, number: u32) -> Replay {
        let found = Replays::replay(&self.store, OrganisationId::DEFAULT, replay_id(number)).await;
        found.expect("read").expect("there")
    }

    pub(super) async fn state_of(&self, number: u32) -> (ReplayState, u64) {
        let replay = self.found(number).await;
        (replay.state, replay.offered)
    }

    /// Takes steps until the replay has ended; how many, and what they offered.
    pub(super) async fn take_all(&self) -> (u32, u64) {
        let (mut steps, mut moved) = (0, 0);
        while self.state_of(1).await.0 == ReplayState::Running {
            moved += self.take_step().await;
            steps += 1;
        }
        (steps, moved)
    }

    pub(super) async fn stands(&self, event: &Event) -> Option<Standing> {
        self.owed(acme(), event.id, endpoint_id("a")).await.expect("read")
    }

    async fn changed(&self, change: Change) -> Result<Option<Replay>, StorageError> {
        self.change(OrganisationId::DEFAULT, replay_id(1), change, NOW + MINUTE).await
    }
}

#[tokio::test]
async fn dead_letters_that_match_are_offered_once_and_their_lineage_is_kept() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    place.have_active("b", &[], &[]).await;
    let events = events(7);
    place.with_given_up(&events, |number| number == 4).await;
    place.accept(vec![owed(&event("other"), &["b"])]).await.expect("accepted");
    place.settle(given_up(key(&event("other"), "b"), 0)).await;
    let filter =
        DeadLetterFilter { endpoint: Some(endpoint_id("a")), ..DeadLetterFilter::default() };

    let begun = place.have_begun(dead(1, filter)).await;
    assert_eq!((begun.matched, begun.endpoint), (Some(6), Some(endpoint_id("a"))));
    // What dies from now on is not in it.
    let late = event("late");
    place.accept(vec![owed(&late, &["a"])]).await.expect("accepted");
    place.settle(given_up(key(&late, "a"), 0)).await;
    assert_eq!(place.take_all().await.1, 6);

    for (number, event) in events.iter().enumerate() {
        let stands = place.stands(event).await.expect("owed");
        let offers = place.offers(key(event, "a")).await.expect("read");
        if number == 4 {
            assert_eq!((stands.state, offers.len()), (DeliveryState::Delivered, 0));
            continue;
        }
        assert_eq!(stands, offered(2), "{number}");
        let [offer] = offers.as_slice() else { panic!("{offers:?}") };
        assert_eq!((offer.replay, offer.turn, offer.at), (begun.id, Turn(2), NOW + MINUTE));
    }
    let books = Books { owed: 9, waiting: 6, delivered: 1, dead: 2, ..Books::default() };
    assert_eq!(place.books().await, Ok(books));
    assert_eq!(place.state_of(1).await, (ReplayState::Finished, 6));
    assert_eq!(place.claim_due(NOW + MINUTE).await.len(), 6);
}

#[tokio::test]
async fn what_is_counted_before_is_what_is_offered_and_what_stands_in_the_way_is_named() {
    let place = Place::new();
    for name in ["a", "gone", "off", "rests"] {
        place.have_active(name, &[], &[]).await;
        let event = event(name);
        place.accept(vec![owed(&event, &[name])]).await.expect("accepted");
        place.settle(given_up(key(&event, name), 0)).await;
    }
    place.delete_endpoint(acme(), endpoint_id("gone"), NOW).await.expect("deleted");
    place.set("off", EndpointState::Disabled).await;
    place.set("rests", EndpointState::Paused).await;
    let all = dead(1, DeadLetterFilter::default());
    let organisation = OrganisationId::DEFAULT;
    let count = async |to| {
        place.preview(organisation, &all.selection, to, NOW + MINUTE).await.expect("counted")
    };

    let preview = count(None).await;
    assert_eq!((preview.matched, preview.replayable()), (Some(4), 2));
    let mut left = preview.not_replayable.clone();
    left.sort_unstable();
    assert_eq!(left, [(Obstacle::EndpointGone, 1), (Obstacle::EndpointDisabled, 1)]);
    assert_eq!(preview.paused, [endpoint_id("rests")]);
    assert!(preview.by_endpoint.iter().all(|(_, reason, _)| reason.is_some()));
    // To somebody else it does not matter how their own endpoints stand.
    let to_a = count(Some(endpoint_id("a"))).await;
    assert_eq!((to_a.replayable(), to_a.not_replayable.len()), (4, 0));
    let theirs = OrganisationId::derived(&[b"theirs"]);
    let theirs = place.preview(theirs, &all.selection, None, NOW + MINUTE).await.expect("counted");
    assert_eq!(theirs.matched, Some(0), "of another organisation nothing is seen");

    let wrong = NewReplay { expect: Some(3), ..all.clone() };
    let refused = place.begin(wrong, NOW + MINUTE).await;
    assert!(matches!(&refused, Err(StorageError::Conflict(why)) if why.contains("4 deliveries")));
    place.have_begun(NewReplay { expect: Some(4), ..all }).await;
    assert_eq!(place.take_all().await.1, 2);
    assert_eq!((place.found(1).await.skipped, place.books().await.expect("books").dead), (2, 2));
}

#[tokio::test]
async fn one_endpoint_has_one_active_replay_and_who_is_refused_is_told_which() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    place.have_active("b", &[], &[]).await;
    let events = events(3);
    place.with_given_up(&events, |_| false).await;
    let first = place.have_begun(of_a(1, Scope::DeadLetters)).await;

    let refused = place.begin(of_a(2, Scope::GivenUp), NOW + MINUTE).await;
    let Err(StorageError::Conflict(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains(&first.id.to_string()), "{why}");
    // To another endpoint, and of another one, it may go on beside it.
    let to_b = NewReplay { to: Some(endpoint_id("b")), ..of_a(3, Scope::GivenUp) };
    place.have_begun(to_b).await;
    let to_b = of(replay_id(4), Scope::Missing, endpoint_id("b"), NOW);
    let refused = place.begin(to_b, NOW + MINUTE).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "b is taken by now: {refused:?}");
    let stranger = OrganisationId::derived(&[b"theirs"]);
    let theirs = NewReplay { organisation: stranger, ..of_a(5, Scope::Delivered) };
    let refused = place.begin(theirs, NOW + MINUTE).await;
    assert!(matches!(&refused, Err(StorageError::Conflict(why)) if why.contains("does not exist")));

    place.changed(Change::Cancel).await.expect("cancelled");
    place.have_begun(of_a(6, Scope::GivenUp)).await;
}

#[tokio::test]
async fn it_pauses_resumes_and_changes_its_rate_and_what_has_ended_stays_as_it_is() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    place.with_given_up(&events(30), |_| false).await;
    place.have_begun(of_a(1, Scope::DeadLetters)).await;
    let step = async |most| place.step(replay_id(1), most, NOW + MINUTE).await.expect("taken");
    assert_eq!(step(10).await, Stepped { offered: 10, skipped: 0, state: ReplayState::Running });

    let failing = "half of it fails";
    place.halt(replay_id(1), ReplayState::Paused, failing, NOW).await.expect("halted");
    assert_eq!(step(10).await.offered, 0);
    assert_eq!(place.running().await.expect("read"), []);
    let paused = place.changed(Change::Pause).await.expect("as it is").expect("there");
    assert_eq!((paused.state, paused.because.as_deref()), (ReplayState::Paused, Some(failing)));
    let fast = Rate::try_from(900).expect("a rate");
    assert_eq!(place.changed(Change::Rate(fast)).await.expect("set").expect("there").rate, fast);
    let resumed = place.changed(Change::Resume).await.expect("resumed").expect("there");
    assert_eq!((resumed.state, resumed.because), (ReplayState::Running, None));
    assert_eq!(step(15).await.offered, 15);

    let cancelled = place.changed(Change::Cancel).await.expect("cancelled").expect("there");
    assert_eq!((cancelled.state, cancelled.offered), (ReplayState::Cancelled, 25));
    assert!(cancelled.ended_at.is_some());
    assert!(place.changed(Change::Cancel).await.is_ok(), "it is that already");
    let refused = place.changed(Change::Resume).await;
    assert!(matches!(refused, Err(StorageError::Conflict(_))), "{refused:?}");
    let theirs = OrganisationId::derived(&[b"theirs"]);
    let foreign = place.change(theirs, replay_id(1), Change::Cancel, NOW).await;
    assert!(matches!(foreign, Ok(None)), "{foreign:?}");
    assert_eq!(place.books().await.expect("books").dead, 5);
    let page = Page::whole(Order::Descending);
    let listed = place.replays(OrganisationId::DEFAULT, Some(acme().application()), &page).await;
    assert_eq!(listed.expect("listed").len(), 1);
}

#[tokio::test]
async fn what_becomes_of_the_offered_is_counted_where_it_is_recorded() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let (events, live) = (events(5), event("live"));
    place.with_given_up(&events, |_| false).await;
    place.have_begun(of_a(1, Scope::DeadLetters)).await;
    place.take_all().await;
    place.accept(vec![owed(&live, &["a"])]).await.expect("accepted");
    let later = Settlement::Retry(Due::exactly(NOW + MINUTE));
    let no_leave = Settlement::Postpone(Due::exactly(NOW + MINUTE), Postponed::Busy);
    let failed =
        |number: usize, turn, end| settled(key(&events[number], "a"), turn, Some(FAILURE), end);

    // Delivered at once; failed and tried again; given up again; not even attempted; and no offer of ours.
    let batch = vec![
        delivered(key(&events[0], "a"), 2),
        failed(1, 2, later),
        failed(2, 2, Settlement::DeadLetter(DeathReason::Refused)),
        Settled { attempts: 0, ..settled(key(&events[3], "a"), 2, None, no_leave) },
        delivered(key(&live, "a"), 0),
    ];
    place.record(batch).await.expect("recorded");
    let pulse = async || place.pulse(replay_id(1), NOW + MINUTE).await.expect("read");
    let counted = Pulse { untried: 2, failed: 2, judged: 3, ..Pulse::default() };
    assert_eq!(pulse().await, counted);
    let replay = place.found(1).await;
    assert_eq!((replay.delivered, replay.dead), (1, 1));

    // A second attempt is no first one; a success counts as delivered whenever it comes.
    let then = Settled { attempts: 2, ..delivered(key(&events[1], "a"), 3) };
    place.record(vec![then, delivered(key(&events[3], "a"), 3)]).await.expect("recorded");
    assert_eq!(pulse().await, Pulse { untried: 1, judged: 4, ..counted });
    let replay = place.found(1).await;
    assert_eq!((replay.delivered, replay.dead), (3, 1));
    // What is recorded twice is counted once.
    place.record(vec![delivered(key(&events[3], "a"), 3)]).await.expect("recorded");
    assert_eq!(place.found(1).await.delivered, 3);
    assert_eq!(place.books().await.expect("books").unaccounted(), 0);
}

#[tokio::test]
async fn what_was_delivered_is_offered_again_when_that_is_asked_for() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(10);
    place.with_given_up(&events, |number| number % 2 == 0).await;
    place.expunge_payload(acme(), events[2].id).await.expect("forgotten");

    let begun = place.have_begun(of_a(1, Scope::Delivered)).await;
    let preview = place.preview(begun.organisation, &begun.selection, None, NOW).await;
    let preview = preview.expect("counted");
    assert_eq!(begun.matched, Some(5));
    assert_eq!(preview.not_replayable, [(Obstacle::PayloadForgotten, 1)]);
    assert_eq!((place.take_all().await.1, place.found(1).await.skipped), (4, 1));

    assert_eq!(place.stands(&events[4]).await, Some(offered(2)));
    let books = Books { owed: 10, waiting: 4, delivered: 1, dead: 5, ..Books::default() };
    assert_eq!(place.books().await, Ok(books));
    place.settle(delivered(key(&events[4], "a"), 2)).await;
    let books = place.books().await.expect("books");
    assert_eq!((books.delivered, books.unaccounted()), (2, 0));
}

#[tokio::test]
async fn to_another_endpoint_it_owes_the_events_and_leaves_the_dead_letters() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    place.have_active("b", &[], &[]).await;
    let events = events(4);
    place.with_given_up(&events, |_| false).await;
    place.accept(vec![owed(&event("had"), &["b"])]).await.expect("accepted");
    let to = Some(endpoint_id("b"));

    place.have_begun(NewReplay { to, ..of_a(1, Scope::DeadLetters) }).await;
    assert_eq!(place.take_all().await.1, 4);

    let books = Books { owed: 9, pending: 1, waiting: 4, dead: 4, ..Books::default() };
    assert_eq!(place.books().await, Ok(books));
    for event in &events {
        assert_eq!(place.stands(event).await.expect("owed").state, DeliveryState::Dead);
        let offers = place.offers(key(event, "b")).await.expect("read");
        assert_eq!(offers.iter().map(|one| one.turn).collect::<Vec<_>>(), [Turn::FIRST]);
    }
    place.have_begun(NewReplay { to, ..of_a(2, Scope::DeadLetters) }).await;
    let again = place.step(replay_id(2), MOST, NOW + MINUTE).await.expect("taken");
    assert_eq!((again.offered, again.skipped), (0, 4), "it is owed them now");
}

#[tokio::test]
async fn what_was_dropped_is_recovered_and_what_is_unknown_is_not() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(3);
    place.accept(events.iter().map(|one| owed(one, &["a"])).collect()).await.expect("accepted");
    let ends = [
        Settlement::Drop(DeathReason::Refused),
        Settlement::LetGo,
        Settlement::DeadLetter(DeathReason::Refused),
    ];
    for (event, end) in events.iter().zip(ends) {
        place.settle(settled(key(event, "a"), 0, Some(FAILURE), end)).await;
    }

    place.have_begun(of_a(1, Scope::GivenUp)).await;

    assert_eq!(place.take_all().await.1, 2);
    let stands = async |number: usize| place.stands(&events[number]).await.expect("owed");
    assert_eq!((stands(0).await, stands(2).await), (offered(2), offered(2)));
    assert_eq!(stands(1).await.state, DeliveryState::Unknown);
    let books = place.books().await.expect("books");
    assert_eq!((books.waiting, books.dropped, books.dead, books.unknown), (2, 0, 0, 1));
    assert_eq!(books.unaccounted(), 0);
}

#[tokio::test]
async fn a_list_says_how_many_deliveries_each_names_and_does_not_bring_them() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(3);
    place.with_given_up(&events, |_| false).await;
    let ids: Vec<_> = events[..2].iter().map(|event| key(event, "a").id()).collect();
    let begun = place.have_begun(dead(1, DeadLetterFilter { ids, ..Default::default() })).await;
    assert_eq!((begun.named, begun.selection.named(), begun.matched), (2, 2, Some(2)));

    let page = Page::whole(Order::Descending);
    let listed = place.replays(OrganisationId::DEFAULT, None, &page).await.expect("read");

    assert_eq!((listed.len(), listed[0].named, listed[0].selection.named()), (1, 2, 0));
    assert_eq!(place.take_all().await.1, 2, "and the replay knows them");
}

#[tokio::test]
async fn what_a_person_discarded_does_not_come_back_with_what_was_given_up() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(3);
    place.with_given_up(&events, |_| false).await;
    let first = DeadLetterFilter { ids: vec![key(&events[0], "a").id()], ..Default::default() };
    assert_eq!(place.discard(&first, 10).await.expect("discarded").discarded, 1);

    let begun = place.have_begun(of_a(1, Scope::GivenUp)).await;

    assert_eq!((begun.matched, place.take_all().await.1), (Some(2), 2));
    let stands = place.stands(&events[0]).await.expect("on record");
    assert_eq!((stands.state, stands.state.as_str()), (DeliveryState::Discarded, "discarded"));
    let books = Books { owed: 3, waiting: 2, discarded: 1, ..Books::default() };
    assert_eq!(place.books().await, Ok(books));
    let missing = of_a(2, Scope::Missing).selection;
    let missing = place.preview(OrganisationId::DEFAULT, &missing, None, NOW);
    assert_eq!(missing.await.expect("counted").matched, Some(0), "nor is it missed");
}

#[tokio::test]
async fn what_was_given_up_in_the_span_goes_on_as_if_it_were_new() {
    let place = Place::new();
    place.have_active("a", &[], &[]).await;
    let events = events(10);
    place.with_given_up(&events, |number| number == 4).await;

    let span = until(since(of_a(1, Scope::GivenUp), NOW + 2 * SECOND), NOW + 7 * SECOND);
    assert_eq!(place.have_begun(span).await.matched, Some(4));
    assert_eq!(place.take_all().await.1, 4);

    for (number, event) in events.iter().enumerate() {
        let stands = place.stands(event).await.expect("owed");
        match number {
            4 => assert_eq!(stands.state, DeliveryState::Delivered),
            2..7 => assert_eq!(stands, offered(2), "{number}"),
            _ => assert_eq!(stands.state, DeliveryState::Dead, "{number}"),
        }
    }
    let dead = place.count_dead_letters(&DeadLetterFilter::default()).await;
    let books = Books { owed: 10, waiting: 4, delivered: 1, dead: 5, ..Books::default() };
    assert_eq!((place.books().await, dead), (Ok(books), Ok(5)));
    assert_eq!(place.state_of(1).await, (ReplayState::Finished, 4));
}
