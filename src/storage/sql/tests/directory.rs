//! The endpoints of all applications, page by page.

use super::super::directory::walk;
use super::*;
use crate::storage::directory::{Directory, DirectoryEntry, DirectoryFilter};
use crate::storage::page::{Listed, Order, Page, Place as InList};

fn page(limit: usize, place: InList<EndpointId>) -> Page<EndpointId> {
    Page { limit, place, order: Order::Descending }
}

fn names(listed: &Listed<DirectoryEntry, EndpointId>) -> Vec<&str> {
    let mut names: Vec<_> =
        listed.rows.iter().map(|row| row.uid.as_deref().expect("named")).collect();
    names.sort_unstable();
    names
}

/// `acme` has three endpoints, of which one fails and one is active; `globex` has one; another organisation has one.
async fn everybody() -> (Place, OrganisationId) {
    let place = Place::new();
    for name in ["good", "bad", "active"] {
        place.have_endpoint(name).await;
    }
    place
        .set_endpoint_state(acme(), endpoint_id("active"), EndpointState::Active, None, NOW)
        .await
        .expect("set");
    let event = place.owe("run-7", &["bad"]).await;
    place.settle(failed(key(&event, "bad"), 0)).await;
    let theirs = OrganisationId::derived(&[b"theirs"]);
    for (uid, organisation) in [("globex", OrganisationId::DEFAULT), ("their-app", theirs)] {
        let owner = Application { organisation, ..application(uid) };
        place.add_application(&owner).await.expect("added");
        let name = format!("of-{uid}");
        let own = Endpoint { application: owner.id, ..endpoint(&name) };
        place.add_endpoint(&own).await.expect("added");
    }
    (place, theirs)
}

#[tokio::test]
async fn an_organisation_sees_the_endpoints_of_all_its_applications_and_nobody_elses() {
    let (place, theirs) = everybody().await;
    let all = DirectoryFilter::default();
    let list = async |organisation| {
        place.everywhere(organisation, &all, &page(50, InList::Beginning)).await.expect("read")
    };

    let ours = list(OrganisationId::DEFAULT).await;
    assert_eq!(names(&ours), ["active", "bad", "good", "of-globex"]);
    assert_eq!(ours.beyond, None);
    assert_eq!(names(&list(theirs).await), ["of-their-app"]);
    let bad = ours.rows.iter().find(|row| row.uid.as_deref() == Some("bad")).expect("listed");
    assert_eq!((bad.failing_since, bad.failures), (Some(NOW), 1));
    assert_eq!((&*bad.application_name, bad.application), ("ACME", application("acme").id));
    assert_eq!(bad.throttle_rate.map(std::num::NonZeroU32::get), Some(5));

    place.delete_endpoint(acme(), endpoint_id("bad"), NOW).await.expect("deleted");
    assert_eq!(names(&list(OrganisationId::DEFAULT).await), ["active", "good", "of-globex"]);
    place.delete_application(application("globex").tenant(), NOW).await.expect("deleted");
    assert_eq!(names(&list(OrganisationId::DEFAULT).await), ["active", "good"]);
}

#[tokio::test]
async fn they_are_found_by_state_by_failing_and_by_what_is_written_about_them() {
    let (place, _) = everybody().await;
    let found = async |filter: DirectoryFilter| {
        let whole = page(50, InList::Beginning);
        let listed = place.everywhere(OrganisationId::DEFAULT, &filter, &whole).await;
        let listed = listed.expect("read");
        names(&listed).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let text = |text: &str| DirectoryFilter { text: Some(text.into()), ..Default::default() };
    let state = |state| DirectoryFilter { state: Some(state), ..DirectoryFilter::default() };

    assert_eq!(found(state(EndpointState::Active)).await, ["active"]);
    assert_eq!(found(state(EndpointState::Disabled)).await, [""; 0]);
    assert_eq!(found(DirectoryFilter { failing: true, ..Default::default() }).await, ["bad"]);
    assert_eq!(found(text("GOOD.example")).await, ["good"], "its URL, in either case");
    assert_eq!(found(text("globex")).await, ["of-globex"], "its application");
    assert_eq!(found(text(&endpoint_id("bad").to_string())).await, ["bad"], "its id");
    assert_eq!(found(text("nobody")).await, [""; 0]);
    let both = DirectoryFilter { failing: true, ..text("good") };
    assert_eq!(found(both).await, [""; 0], "all that is given holds together");
}

#[tokio::test]
async fn the_list_is_walked_page_by_page_and_back_by_its_key() {
    let (place, _) = everybody().await;
    let ours = OrganisationId::DEFAULT;
    let all = DirectoryFilter::default();
    let list =
        async |page: Page<EndpointId>| place.everywhere(ours, &all, &page).await.expect("read");

    let first = list(page(3, InList::Beginning)).await;
    let beyond = first.beyond.expect("there is more");
    assert_eq!(first.rows.last().map(|row| row.id), Some(beyond));
    let second = list(page(3, InList::Behind(beyond))).await;
    assert_eq!((second.rows.len(), second.beyond), (1, None));
    let back = list(page(3, InList::InFrontOf(second.rows[0].id))).await;
    assert_eq!(back.rows, first.rows);

    let file = Place::on_file();
    let connection = file.file();
    for (place, wanted) in [
        (InList::Beginning, "SCAN p"),
        (InList::Behind(beyond), "SEARCH p USING PRIMARY KEY (id<?)"),
    ] {
        let plan = long_history::plan(&connection, &walk(&page(3, place)).sql(3));
        assert_eq!(plan[0], wanted, "{plan:#?}");
        assert!(plan[1..].iter().all(|step| step.starts_with("SEARCH")), "{plan:#?}");
    }
}
