//! Endpoints that do nothing but fail are counted, named once, and disabled when it lasts.

use super::*;
use crate::domain::endpoint::DisabledBecause;
use crate::storage::failing::{Failing, FailingEndpoints, Patience, Tells};
use crate::storage::tidings::Tidings as _;

const HOUR: Duration = Duration::from_hours(1);
const LITTLE: Patience = Patience { lasting: HOUR, attempts: 4 };
const MUCH: Patience = Patience { lasting: Duration::from_hours(120), attempts: 20 };

impl Place {
    /// An active endpoint that has failed so often, from its first failure to its last in this time.
    async fn failing(&self, name: &str, attempts: u32, lasting: Duration) {
        self.have_endpoint(name).await;
        self.activate(name).await;
        let mut batch = Vec::new();
        for number in 0..attempts {
            let event = self.owe(&format!("{name}-{number}"), &[name]).await;
            let at = NOW + lasting * number / (attempts - 1);
            batch.push(Settled { at, ..failed(key(&event, name), 0) });
        }
        self.record(batch).await.expect("recorded");
    }

    async fn activate(&self, name: &str) {
        let active = EndpointState::Active;
        let set = self.set_endpoint_state(acme(), endpoint_id(name), active, None, NOW).await;
        assert_eq!(set, Ok(true));
    }

    async fn named(&self, patience: Patience) -> Vec<EndpointId> {
        let found = self.newly_failing(patience, None, NOW).await.expect("asked");
        found.into_iter().map(|one| one.endpoint).collect()
    }

    async fn state(&self, name: &str) -> (EndpointState, Option<DisabledBecause>) {
        let found = self.any_endpoint(endpoint_id(name)).await.expect("read").expect("there");
        (found.state, found.disabled_because)
    }
}

#[tokio::test]
async fn who_has_failed_long_and_often_enough_is_named_once() {
    let place = Place::new();
    place.failing("long", 4, HOUR).await;
    place.failing("not-long", 9, 59 * 60 * SECOND).await;
    place.failing("not-often", 3, 9 * HOUR).await;

    let found = place.newly_failing(LITTLE, None, NOW).await.expect("asked");

    let wanted = Failing {
        endpoint: endpoint_id("long"),
        application: application("acme").id,
        since: NOW,
        last_at: NOW + HOUR,
        attempts: 4,
    };
    assert_eq!(found, [wanted]);
    assert_eq!(place.named(LITTLE).await, []);
    assert_eq!(place.named(Patience { attempts: 3, ..LITTLE }).await, [endpoint_id("not-often")]);
}

#[tokio::test]
async fn a_success_forgets_all_failures_before_it_also_one_by_hand() {
    for by_hand in [false, true] {
        let place = Place::new();
        place.failing("a", 9, 9 * HOUR).await;
        let event = place.owe("last", &["a"]).await;
        let trigger = if by_hand { Trigger::ByHand(1) } else { Trigger::Turn };
        let failed_first = Settled { at: NOW, ..failed(key(&event, "a"), 0) };
        let success = Settled { trigger, ..delivered(key(&event, "a"), 1) };

        place.record(vec![failed_first, success]).await.expect("recorded");

        assert_eq!(place.named(LITTLE).await, [], "by hand: {by_hand}");
    }
}

#[tokio::test]
async fn what_is_not_the_endpoints_failure_does_not_count() {
    let place = Place::new();
    place.have_endpoint("a").await;
    place.activate("a").await;
    let patience = Patience { lasting: Duration::ZERO, attempts: 1 };
    let outcomes = [
        (Outcome::Interrupted, Trigger::Turn),
        (Outcome::Internal, Trigger::Turn),
        (Outcome::TargetNotAllowed, Trigger::Turn),
        (FAILURE, Trigger::ByHand(1)),
    ];
    for (number, (outcome, trigger)) in outcomes.into_iter().enumerate() {
        let event = place.owe(&format!("run-{number}"), &["a"]).await;
        let due = Settlement::Retry(Due::exactly(NOW + SECOND));
        place.settle(Settled { trigger, ..settled(key(&event, "a"), 0, Some(outcome), due) }).await;
    }
    assert_eq!(place.named(patience).await, []);
    let event = place.owe("run-9", &["a"]).await;
    place.settle(failed(key(&event, "a"), 0)).await;
    assert_eq!(place.named(patience).await, [endpoint_id("a")]);
}

#[tokio::test]
async fn who_was_named_and_goes_on_failing_for_days_is_disabled() {
    let place = Place::new();
    place.failing("a", 20, MUCH.lasting).await;
    let version = place.version().await.expect("read");
    let disable = async || place.disable_failing(MUCH, None, NOW).await.expect("asked").len();
    assert_eq!(disable().await, 0, "not without a warning");
    assert_eq!(place.named(LITTLE).await.len(), 1);

    assert_eq!(disable().await, 1);

    assert_eq!(place.state("a").await, (EndpointState::Disabled, Some(DisabledBecause::Failing)));
    assert!(place.version().await.expect("read") > version);
    assert_eq!(disable().await, 0, "once");
}

#[tokio::test]
async fn a_person_who_enables_or_pauses_an_endpoint_has_it_begin_anew() {
    let place = Place::new();
    place.failing("a", 20, MUCH.lasting).await;
    assert_eq!(place.named(LITTLE).await.len(), 1);

    place.activate("a").await;

    assert_eq!(place.disable_failing(MUCH, None, NOW).await, Ok(Vec::new()));
    assert_eq!(place.named(LITTLE).await, []);
}

#[tokio::test]
async fn operators_are_told_of_each_but_not_of_their_own() {
    for (own, told) in [("operator", 2), ("acme", 0)] {
        let place = Place::new();
        place.failing("a", 20, MUCH.lasting).await;
        let tells = Some(Tells { but_of: application(own).id });

        place.newly_failing(LITTLE, tells, NOW).await.expect("asked");
        place.disable_failing(MUCH, tells, NOW).await.expect("asked");

        let untold = place.untold(10).await.expect("read");
        let kinds: Vec<_> = untold.iter().map(|one| one.kind.as_str()).collect();
        assert_eq!(kinds, &["endpoint.failing", "endpoint.disabled"][..told], "{own}");
        let data = format!(
            r#"{{"appId":"{}","appUid":"acme","endpointId":"{}","endpointUid":"a","failSince":"{NOW}"}}"#,
            application("acme").id,
            endpoint_id("a")
        );
        assert!(untold.iter().all(|one| one.data == data), "{untold:?}, {data}");
    }
}
