//! What an edit left undone, because whoever made it was cut off behind its first step.

use super::*;
use crate::storage::catalogue::Catalogue;
use crate::storage::journal::{Journal, Ledger};
use crate::storage::upkeep::{Undone, Upkeep};

async fn undone(place: &Place) -> Vec<Undone> {
    place.left_undone(10).await.expect("read")
}

#[tokio::test]
async fn an_endpoint_that_is_active_again_and_was_not_recalled_is_found() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    place.settle(paused(key(&event, "a"), 0)).await;
    place.settle(paused(key(&event, "b"), 0)).await;
    assert_eq!(undone(&place).await, [], "both are paused");

    let (a, active) = (endpoint_id("a"), EndpointState::Active);
    place.set_endpoint_state(acme(), a, active, None, NOW).await.expect("set");
    assert_eq!(undone(&place).await, [Undone::Activated(a)]);
    place.recall(a, NOW).await.expect("recalled");
    assert_eq!(undone(&place).await, []);
}

#[tokio::test]
async fn an_endpoint_that_is_deleted_and_still_owed_something_is_found() {
    let place = Place::new();
    let event = place.owe("run-7", &["a", "b"]).await;
    place.settle(delivered(key(&event, "b"), 0)).await;
    for name in ["a", "b"] {
        place.delete_endpoint(acme(), endpoint_id(name), NOW).await.expect("deleted");
    }

    assert_eq!(undone(&place).await, [Undone::Deleted(endpoint_id("a"))]);
    place.cancel(endpoint_id("a"), NOW).await.expect("cancelled");
    assert_eq!(undone(&place).await, []);
    let books = place.books().await.expect("read");
    assert_eq!((books.cancelled, books.delivered, books.unaccounted()), (1, 1, 0));
}
