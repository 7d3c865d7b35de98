//! Routers say which version of the catalogue they go by, and whoever waits hears who does not.

use super::*;
use crate::domain::id::RouterId;
use crate::storage::routers::Routers;

fn router(name: &str) -> RouterId {
    RouterId::derived(&[name.as_bytes()])
}

#[tokio::test]
async fn who_goes_by_an_older_version_is_named_as_long_as_it_is_heard() {
    let place = Place::new();
    let elsewhere = place.elsewhere();
    place.joined(router("a"), 7, NOW).await.expect("said");

    let behind = async |version, since| elsewhere.behind(version, since).await.expect("read");
    assert_eq!(behind(7, NOW).await, []);
    assert_eq!(behind(8, NOW).await, [router("a")]);
    assert_eq!(behind(8, NOW + SECOND).await, [], "it has been silent since");

    place.adopted(router("a"), 8, NOW + 2 * SECOND).await.expect("said");
    assert_eq!(behind(8, NOW).await, []);
    assert_eq!(behind(9, NOW + SECOND).await, [router("a")], "it lives");
    place.left(router("a")).await.expect("said");
    assert_eq!(behind(9, NOW).await, [], "nobody waits for one that has ended");
}

#[tokio::test]
async fn a_router_that_begins_finds_only_those_that_have_ended() {
    let place = Place::on_file();
    place.joined(router("killed"), 7, NOW).await.expect("said");

    place.joined(router("b"), 9, NOW + SECOND).await.expect("said");

    assert_eq!(place.behind(9, NOW).await, Ok(Vec::new()));
    assert_eq!(place.behind(10, NOW).await, Ok(vec![router("b")]));
}
