//! Deliveries to URLs that nobody lists as endpoints, and applications that hold back what they send.

use super::*;
use crate::domain::endpoint::{default_of, named_at};
use crate::domain::event::Webhook;
use crate::domain::settings::{self, DeliverySwitch};
use crate::storage::dead_letters::DeadLetterFilter;
use crate::storage::failing::{FailingEndpoints as _, Patience};
use crate::storage::history::History as _;
use crate::storage::journal::Ledger as _;
use crate::storage::page::{Order, Page};
use crate::storage::tidings::Tidings as _;
use crate::storage::upkeep::{Undone, Upkeep as _};

const OWN: &str = "https://own.example/a";
const DEFAULT: &str = "https://default.example/";

/// An application without endpoints, with a default URL and this switch.
async fn acme_with(place: &Place, delivery: DeliverySwitch) -> ApplicationId {
    let acme = application("acme");
    let known = place.application(OrganisationId::DEFAULT, &"acme".into()).await.expect("read");
    if known.is_none() {
        place.add_application(&acme).await.expect("added");
    }
    set(place, |settings| settings.delivery = delivery).await;
    acme.id
}

async fn set(place: &Place, change: impl FnOnce(&mut settings::Settings)) {
    let acme = application("acme");
    let known = place.settings(acme.tenant()).await.expect("read");
    let mut settings = settings::Settings {
        default_url: Some(DEFAULT.parse().expect("a URL")),
        revision: known.revision,
        ..settings::Settings::unset(acme.id)
    };
    change(&mut settings);
    place.put_settings(&settings).await.expect("written");
}

/// An event that names a URL, owed to that and to the default one; the keys of both.
async fn owe_both(place: &Place, name: &str) -> [DeliveryKey; 2] {
    let webhook = Webhook::parse(OWN, "add").expect("a URL");
    let event = Arc::new(Event { webhook, ..event(name).as_ref().clone() });
    let url = &event.webhook.as_ref().expect("one").url;
    let to = [named_at(event.application, url), default_of(event.application)];
    let owed = Owed { event: Arc::clone(&event), endpoints: to.to_vec() };
    place.accept(vec![owed]).await.expect("accepted");
    to.map(|endpoint| DeliveryKey { event: event.id, endpoint })
}

fn held(key: DeliveryKey, turn: u32) -> Settled {
    let never = Due::exactly(Timestamp::NEVER);
    settled(key, turn, None, Settlement::Postpone(never, Postponed::Held))
}

fn waits(due_at: Timestamp) -> DeliveryState {
    DeliveryState::Waiting { due_at, held_by: Holder::Journal }
}

#[tokio::test]
async fn what_is_held_back_waits_until_it_is_let_go_and_is_offered_then() {
    let place = Place::new();
    let acme = acme_with(&place, DeliverySwitch::Hold).await;
    let [named, default] = owe_both(&place, "run-7").await;
    let other = place.owe("run-8", &["paused"]).await;
    let listed = key(&other, "paused");
    for key in [named, default, listed] {
        place.settle(held(key, 0)).await;
        assert_eq!(place.standing(key).await.state, waits(Timestamp::NEVER));
    }
    assert!(place.claim_due(NOW + 9_999 * SECOND).await.is_empty(), "nobody takes them");
    assert_eq!(place.left_undone(10).await, Ok(vec![]));

    acme_with(&place, DeliverySwitch::On).await;
    assert_eq!(place.left_undone(10).await, Ok(vec![Undone::LetsGo(acme)]), "should we die here");
    assert_eq!(place.recall_held(acme, NOW).await, Ok(2));

    assert_eq!(place.left_undone(10).await, Ok(vec![]));
    for key in [named, default] {
        assert_eq!(place.standing(key).await, standing(2, 0, waits(NOW)));
    }
    let still = place.standing(listed).await.state;
    assert_eq!(still, waits(Timestamp::NEVER), "its endpoint is paused");
    assert_eq!(place.claim_due(NOW).await.len(), 2);
    assert_eq!(place.books().await.expect("read").unaccounted(), 0);
}

#[tokio::test]
async fn a_hold_that_a_router_saw_and_that_is_over_holds_nothing() {
    let place = Place::new();
    acme_with(&place, DeliverySwitch::On).await;
    let [named, _] = owe_both(&place, "run-7").await;

    place.settle(held(named, 0)).await;

    assert_eq!(place.standing(named).await.state, waits(NOW));
}

#[tokio::test]
async fn an_endpoint_that_is_resumed_while_its_application_holds_is_not_left_undone() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    place.settle(paused(key(&event, "a"), 0)).await;
    acme_with(&place, DeliverySwitch::Hold).await;
    let (a, active) = (endpoint_id("a"), EndpointState::Active);
    place.set_endpoint_state(acme(), a, active, None, NOW).await.expect("set");

    assert_eq!(place.left_undone(10).await, Ok(vec![]));
    acme_with(&place, DeliverySwitch::On).await;
    let undone = place.left_undone(10).await.expect("read");
    assert_eq!(undone, [Undone::Activated(a), Undone::LetsGo(acme().application())]);
}

#[tokio::test]
async fn what_is_held_back_again_is_not_offered_by_itself() {
    let place = Place::new();
    let acme = acme_with(&place, DeliverySwitch::Hold).await;
    acme_with(&place, DeliverySwitch::On).await;
    acme_with(&place, DeliverySwitch::Hold).await;
    assert_eq!(place.left_undone(10).await, Ok(vec![]));

    place.delete_application(self::acme(), NOW).await.expect("deleted");
    let undone = place.left_undone(10).await;
    assert_eq!(undone, Ok(vec![Undone::LetsGo(acme)]), "to be taken back at its turn");
}

#[tokio::test]
async fn dead_letters_of_urls_are_replayed_while_the_application_and_the_url_are_there() {
    let place = Place::new();
    acme_with(&place, DeliverySwitch::On).await;
    let all = DeadLetterFilter::default();
    let both = owe_both(&place, "run-7").await;
    let [named, default] = both;
    let die = async |turn| {
        for key in both {
            place.settle(given_up(key, turn)).await;
        }
    };
    die(0).await;
    assert_eq!(place.count_replay(&all).await.expect("counted").total(), 2);
    assert_eq!(place.replay(&all, NOW).await, Ok(2));
    assert_eq!(place.standing(named).await.state, waits(NOW));

    die(2).await;
    set(&place, |settings| settings.default_url = None).await;
    let counted = place.count_replay(&all).await.expect("counted");
    assert_eq!((counted.total(), counted.without_endpoint), (1, 1));
    assert_eq!(place.replay(&all, NOW).await, Ok(1));
    assert_eq!(place.standing(default).await.state, DeliveryState::Dead);

    place.settle(given_up(named, 4)).await;
    place.delete_application(acme(), NOW).await.expect("deleted");
    assert_eq!(place.replay(&all, NOW).await, Ok(0));
    assert_eq!(place.books().await.expect("read").unaccounted(), 0);
}

#[tokio::test]
async fn a_person_may_have_an_event_sent_to_such_a_url_again() {
    let place = Place::new();
    acme_with(&place, DeliverySwitch::On).await;
    let both = owe_both(&place, "run-7").await;
    let [named, default] = both;
    for key in both {
        place.settle(given_up(key, 0)).await;
        assert_eq!(place.resend(acme(), key, NOW).await, Ok(true));
    }
    assert_eq!(place.claim_resends(NOW, NOW + SECOND, 9).await.expect("claimed").len(), 2);

    let elsewhere = named_at(acme().application(), &"https://else.example/".parse().expect("one"));
    let other = DeliveryKey { endpoint: elsewhere, ..named };
    assert_eq!(place.resend(acme(), other, NOW).await, Ok(false), "it names another");
    set(&place, |settings| settings.default_url = None).await;
    assert_eq!(place.resend(acme(), default, NOW).await, Ok(false), "there is none any more");
}

#[tokio::test]
async fn nobody_keeps_count_of_what_nobody_could_find() {
    let place = Place::new();
    acme_with(&place, DeliverySwitch::On).await;
    let [named, default] = owe_both(&place, "run-7").await;
    let gone = Some(Outcome::Answered { status: 410, retry_after: None });
    let dies = Settlement::DeadLetter(DeathReason::Gone);
    place.settle(failed(named, 0)).await;
    place.settle(Settled { tells: true, ..settled(default, 0, gone, dies) }).await;

    let rows = place.read(|connection| {
        Ok(connection.query_row("SELECT count(*) FROM failing", [], |row| row.get::<_, i64>(0))?)
    });
    assert_eq!(rows.await, Ok(0));
    let little = Patience { lasting: Duration::ZERO, attempts: 1 };
    assert_eq!(place.newly_failing(little, None, NOW).await, Ok(vec![]));
    let told = place.untold(10).await.expect("read");
    let about = format!("\"endpointId\":\"{}\"", default.endpoint);
    assert!(told.iter().all(|one| one.data.contains(&about)), "{told:?}");
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn an_event_shows_the_urls_that_it_is_owed_to_beside_its_endpoints() {
    let place = Place::new();
    acme_with(&place, DeliverySwitch::On).await;
    let [named, default] = owe_both(&place, "run-7").await;
    let page = Page::whole(Order::Ascending);
    let shown = async || {
        let listed = place.deliveries_of(acme(), named.event, &page).await.expect("read");
        let rows = listed.rows.into_iter().map(|one| one.endpoint);
        let mut rows: Vec<_> = rows.map(|one| (one.id, one.listed, one.url.to_string())).collect();
        rows.sort_by_key(|(id, ..)| *id == default.endpoint);
        rows
    };
    let wanted = |url: &str| {
        [(named.endpoint, false, OWN.to_owned()), (default.endpoint, false, url.to_owned())]
    };
    assert_eq!(shown().await, wanted(DEFAULT));

    set(&place, |settings| settings.default_url = None).await;
    assert_eq!(shown().await, wanted("about:blank"), "nothing is left of it");
    place.settle(delivered(default, 0)).await;
    assert_eq!(shown().await, wanted("https://a.example/hook"), "where it went");
}
