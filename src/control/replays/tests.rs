//! What is refused before anything is replayed, and what a desk finds.

use super::*;
use crate::control::applications::NewApplication;
use crate::control::fake::{NOW, World};
use crate::control::fake_replays::FakeReplays;
use crate::domain::dead_letter::StatusIs;
use crate::domain::id::OrganisationId;
use crate::domain::replay::{RATE_DEFAULT, RATE_MAX};
use crate::storage::page::Order;

const DAY: Duration = Duration::from_hours(24);

/// A desk at which so many match, whatever is asked for.
async fn desk(matched: Option<u64>) -> (ReplayDesk, Control, Tenant) {
    let control = World::new().control;
    let desk = ReplayDesk::new(Arc::new(FakeReplays::matching(matched)), control.context);
    let made = control.create_application(NewApplication::named("Acme", Some("acme"))).await;
    let tenant = made.expect("made").tenant();
    (desk, control, tenant)
}

fn everything() -> Wish {
    Wish { all: true, ..Wish::default() }
}

fn of_type(event_type: &str) -> Which {
    Which { event_type: Some(event_type.into()), ..Which::default() }
}

#[track_caller]
fn names_field<T: std::fmt::Debug>(answer: Answer<T>, wanted: &str) {
    match answer {
        Err(ControlError::InvalidField { field, .. }) => assert_eq!(field, wanted),
        other => panic!("{other:?} does not name {wanted}"),
    }
}

#[tokio::test]
async fn above_ten_thousand_a_reason_is_wanted_and_for_what_cannot_be_counted() {
    for (matched, wants_one) in [(Some(10_000), false), (Some(10_001), true), (None, true)] {
        let (desk, control, _) = desk(matched).await;
        let without = desk.begin(&control, None, &everything(), "ada").await;
        if wants_one {
            names_field(without, "reason");
        } else {
            assert_eq!(without.expect("begun").reason, None);
        }
        let with = Wish { reason: Some(" the outage of May ".into()), ..everything() };
        let begun = desk.begin(&control, None, &with, "ada").await.expect("begun");
        assert_eq!(
            (begun.reason.as_deref(), begun.actor.as_str()),
            (Some("the outage of May"), "ada")
        );
    }
}

#[tokio::test]
async fn everything_is_replayed_only_by_who_says_so() {
    let (desk, control, tenant) = desk(Some(3)).await;

    names_field(desk.begin(&control, None, &Wish::default(), "ada").await, "filter");
    // Whose they are is no choice among them.
    let own = Which { application: Some("acme".into()), ..Which::default() };
    let own = Wish { which: own, ..Wish::default() };
    names_field(desk.begin(&control, None, &own, "ada").await, "filter");
    names_field(desk.preview(&control, Some(tenant), &Wish::default()).await, "filter");

    let some = Wish { which: of_type("job.*"), ..Wish::default() };
    let begun = desk.begin(&control, Some(tenant), &some, "ada").await.expect("begun");
    assert_eq!(begun.application, Some(tenant.application()));
}

#[tokio::test]
async fn a_rate_and_a_reason_have_bounds() {
    let (desk, control, _) = desk(Some(3)).await;
    let at = |rate| Wish { rate, ..everything() };

    names_field(desk.begin(&control, None, &at(Some(0)), "ada").await, "rate");
    names_field(desk.begin(&control, None, &at(Some(RATE_MAX + 1)), "ada").await, "rate");
    let gentle = desk.begin(&control, None, &at(None), "ada").await.expect("begun");
    assert_eq!(gentle.rate.per_second(), RATE_DEFAULT);
    let novel = Wish { reason: Some("x".repeat(1_001)), ..everything() };
    names_field(desk.begin(&control, None, &novel, "ada").await, "reason");
}

#[tokio::test]
async fn what_one_scope_is_chosen_by_is_refused_for_another() {
    let (desk, control, tenant) = desk(Some(3)).await;
    let missing = Wish { scope: Scope::Missing, ..Wish::default() };

    let since = Wish { since: Some(NOW - DAY), ..everything() };
    names_field(desk.begin(&control, None, &since, "ada").await, "scope");
    names_field(desk.begin(&control, Some(tenant), &missing, "ada").await, "endpointId");
    let by_status = Which { status: Some(StatusIs::Code(503)), ..Which::default() };
    let by_status = Wish { which: by_status, endpoint: Some("hook".into()), ..missing.clone() };
    names_field(desk.begin(&control, Some(tenant), &by_status, "ada").await, "filter");
    let backwards = Wish {
        endpoint: Some("hook".into()),
        since: Some(NOW),
        until: Some(NOW - DAY),
        ..missing.clone()
    };
    let refused = desk.begin(&control, Some(tenant), &backwards, "ada").await;
    assert!(matches!(refused, Err(ControlError::Invalid(_))), "{refused:?}");
    let nobody = Wish { endpoint: Some("nobody".into()), ..missing };
    let refused = desk.begin(&control, Some(tenant), &nobody, "ada").await;
    assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
}

#[tokio::test]
async fn catching_up_over_a_span_that_is_empty_or_begins_too_long_ago_is_refused() {
    let (desk, control, tenant) = desk(None).await;
    let endpoint = EndpointId::derived(&[b"endpoint"]);
    let over = |since, until| {
        desk.catch_up(&control, tenant, endpoint, Scope::GivenUp, (since, until), "ada")
    };

    for (since, until) in [(NOW - 15 * DAY, None), (NOW - DAY, Some(NOW - DAY))] {
        let refused = over(since, until).await;
        assert!(matches!(refused, Err(ControlError::Invalid(_))), "{refused:?}");
    }
    let begun = over(NOW - 14 * DAY, Some(NOW)).await.expect("begun");
    assert_eq!((begun.application, begun.endpoint), (Some(tenant.application()), Some(endpoint)));
    assert_eq!(begun.rate.per_second(), CATCH_UP_RATE);
}

#[tokio::test]
async fn a_replay_is_found_within_its_organisation_and_by_its_tenant_alone() {
    let (desk, control, tenant) = desk(Some(3)).await;
    let theirs = control.within(OrganisationId::derived(&[b"theirs"]));
    let some = Wish { which: of_type("job.*"), ..Wish::default() };
    let own = desk.begin(&control, Some(tenant), &some, "ada").await.expect("begun");
    let all = desk.begin(&control, None, &everything(), "op").await.expect("begun");
    let finds = async |control: &Control, tenant, name: String| match desk
        .replay(control, tenant, &name)
        .await
    {
        Ok(_) => true,
        Err(ControlError::NotFound(_)) => false,
        Err(other) => panic!("{other}"),
    };

    assert!(finds(&control, Some(tenant), own.id.to_string()).await);
    assert!(finds(&control, None, own.id.to_string()).await);
    assert!(finds(&control, None, all.id.to_string()).await);
    assert!(
        !finds(&control, Some(tenant), all.id.to_string()).await,
        "it is over all applications"
    );
    assert!(!finds(&theirs, None, own.id.to_string()).await);
    assert!(!finds(&control, None, "nothing".into()).await);
    let name = all.id.to_string();
    let refused = desk.change(&control, Some(tenant), &name, Change::Cancel).await;
    assert!(matches!(refused, Err(ControlError::NotFound(_))), "{refused:?}");
    let page = Page::whole(Order::Ascending);
    let listed = async |tenant| {
        let listed = desk.replays(&control, tenant, &page).await.expect("listed");
        listed.len()
    };
    assert_eq!((listed(None).await, listed(Some(tenant)).await), (2, 1));
}

#[test]
fn the_time_it_takes_is_that_of_what_can_be_replayed() {
    let endpoint = EndpointId::derived(&[b"endpoint"]);
    let preview = Preview {
        matched: Some(1_000),
        by_endpoint: vec![(endpoint, None, 101)],
        ..Preview::default()
    };
    let rate = rate(50).expect("a rate");
    assert_eq!(Previewed { preview, rate }.estimated_seconds(), 3);
}
