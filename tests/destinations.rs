//! Many endpoints at one host, whole: the real binary, embedded, and a receiver that never answers.

mod support;

use std::time::Duration;

use serde_json::json;
use support::api::Api;
use support::receiver::{Receiver, Script};
use support::router::Posthaste;
use support::until;

const SOON: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn many_endpoints_at_one_host_get_no_more_than_it_may_have_and_other_hosts_go_on() {
    let mut posthaste = Posthaste::embedded().with_application();
    posthaste.set("POSTHASTE_LIMITS__MAX_IN_FLIGHT_PER_HOST", "3");
    let receiver = Receiver::start().await;
    let aimed = ["a", "b", "c", "d", "e"];
    // None of those that hang is given up, and makes room for another, before all have been counted.
    let long = ["--timeout-ms", "60000"];
    for name in aimed {
        posthaste.endpoint(name, &receiver.endpoint(name, Script::Hang), &long);
    }
    let beside = receiver.endpoint("beside", Script::Answer(200));
    posthaste.endpoint("beside", &beside.replace("127.0.0.1", "localhost"), &[]);
    let router = posthaste.serve().await;
    let api = Api::of(&posthaste, &router);
    let at_the_host = || aimed.map(|name| receiver.count(name)).iter().sum::<usize>();

    for number in 0..5 {
        let message = json!({ "eventType": "job.completed", "payload": { "n": number } });
        let path = "/api/v1/app/acme/msg";
        assert_eq!(api.post(path, &[], message.to_string().as_bytes()).await.status, 202);
    }

    until("the host has what it may have", SOON, async || at_the_host() >= 3).await;
    until("the other host has all", SOON, async || receiver.accepted("beside").len() == 5).await;
    assert_eq!(at_the_host(), 3, "of 25 that are owed to it");
}
