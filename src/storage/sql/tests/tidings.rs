//! What operators are to be told of is written with what it tells, once, and only when they want it.

use super::*;
use crate::storage::tidings::{Tidings, Untold};

impl Place {
    async fn kinds(&self) -> Vec<String> {
        self.untold(10).await.expect("read").into_iter().map(|one| one.kind).collect()
    }
}

fn told(settled: Settled) -> Settled {
    Settled { tells: true, ..settled }
}

#[tokio::test]
async fn a_delivery_that_is_given_up_is_told_of_with_all_that_is_known() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    let settled = told(given_up(key(&event, "a"), 0));

    place.settle(settled.clone()).await;
    assert_eq!(place.settle(settled.clone()).await, Recorded::Stale, "and once");

    let untold = place.untold(10).await.expect("read");
    let attempt = settled.attempt.expect("one").id;
    let data = format!(
        r#"{{"appId":"{}","appUid":"acme","endpointId":"{}","endpointUid":"a","msgId":"{}","msgEventId":"run-7","lastAttempt":{{"id":"{attempt}","responseStatusCode":500,"timestamp":"{NOW}"}}}}"#,
        application("acme").id,
        endpoint_id("a"),
        event.id
    );
    let kind = "message.attempt.exhausted".to_owned();
    assert_eq!(untold, [Untold { number: 1, kind, data, at: NOW }]);
    place.told(vec![1]).await.expect("taken away");
    assert!(place.kinds().await.is_empty());
}

#[tokio::test]
async fn a_delivery_that_fails_four_times_and_recovers_is_told_of_twice() {
    let place = Place::new();
    let key = key(place.owe("run-7", &["a"]).await.as_ref(), "a");
    for turn in 0..5 {
        place.settle(told(failed(key, turn))).await;
    }
    place.settle(told(delivered(key, 5))).await;
    assert_eq!(place.kinds().await, ["message.attempt.failing", "message.attempt.recovered"]);
}

#[tokio::test]
async fn an_endpoint_that_says_it_is_gone_is_told_of_once() {
    let place = Place::new();
    for name in ["run-7", "run-8"] {
        let event = place.owe(name, &["a"]).await;
        let gone = Outcome::Answered { status: 410, retry_after: None };
        let dead = Settlement::DeadLetter(DeathReason::Gone);
        place.settle(told(settled(key(&event, "a"), 0, Some(gone), dead))).await;
    }
    let kinds = place.kinds().await;
    let count = |kind| kinds.iter().filter(|one| *one == kind).count();
    assert_eq!((count("endpoint.disabled"), count("message.attempt.exhausted")), (1, 2));
}

#[tokio::test]
async fn nobody_is_told_who_did_not_ask() {
    let place = Place::new();
    let event = place.owe("run-7", &["a"]).await;
    place.settle(given_up(key(&event, "a"), 0)).await;
    assert!(place.kinds().await.is_empty());
}
