//! Where an event goes, on the whole product: a URL that it names, its application's default one, and an
//! application that holds back what it sends or sends nothing. Once without a broker, and once with one.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::api::Api;
use support::broker::Broker;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{unique_prefix, until};

const SOON: Duration = Duration::from_mins(2);
const SETTINGS: &str = "/api/v1/app/acme/settings";

struct Scene {
    posthaste: Posthaste,
    receiver: Receiver,
    router: Running,
    api: Api,
}

impl Scene {
    /// An endpoint for jobs, and a default URL for the rest.
    async fn of(posthaste: Posthaste) -> Self {
        let receiver = Receiver::start().await;
        let jobs = receiver.endpoint("jobs", Script::Answer(200));
        posthaste.endpoint("jobs", &jobs, &["--events", "job.*"]);
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        let scene = Self { posthaste, receiver, router, api };
        let default = scene.receiver.endpoint("default", Script::Answer(200));
        scene.set(&json!({ "defaultUrl": default })).await;
        scene
    }

    async fn set(&self, settings: &Value) {
        let body = settings.to_string();
        let json = [("content-type", "application/json")];
        let answer = self.api.send("PATCH", SETTINGS, &json, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Publishes over HTTP; the event's id.
    async fn publish(&self, event_type: &str, more: &Value) -> String {
        let mut message = json!({ "eventType": event_type, "payload": {} });
        let fields = message.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let answer = self.api.post_json("/api/v1/app/acme/msg", &message).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    async fn ledger(&self, state: &str) -> i64 {
        let series = format!("posthaste_ledger_deliveries{{state=\"{state}\"}}");
        self.router.metric(&series).await.unwrap_or(-1)
    }

    /// Waits until so many are owed, and all of them are over.
    async fn all_over(&self, owed: i64) {
        until("all that is owed is over", SOON, async || {
            self.ledger("owed").await == owed
                && self.ledger("pending").await + self.ledger("waiting").await == 0
        })
        .await;
        assert_eq!(self.router.metric("posthaste_ledger_unaccounted_deliveries").await, Some(0));
    }

    fn counts(&self) -> [usize; 3] {
        ["jobs", "default", "own"].map(|name| self.receiver.count(name))
    }
}

/// Override, add, default by either rule; what is refused.
async fn goes_where_it_should(scene: &Scene) {
    let own = scene.receiver.endpoint("own", Script::Answer(200));
    let event = scene.publish("job.done", &json!({ "webhookUrl": own })).await;
    scene.all_over(1).await;
    assert_eq!(scene.counts(), [0, 0, 1], "that URL alone");
    let arrived = &scene.receiver.arrived("own")[0];
    assert!(arrived.id == event && arrived.signature.starts_with("v1,"), "{arrived:?}");

    let add = ["--webhook-url", &own, "--webhook-mode", "add", "--expires-at", "1h"];
    let command = ["publish", "--app", "acme", "--type", "job.done"];
    scene.posthaste.json(&[&command[..], &add[..]].concat());
    scene.all_over(3).await;
    assert_eq!(scene.counts(), [1, 0, 2], "by the command line: that URL as well");

    scene.publish("job.done", &json!({})).await;
    scene.publish("document.ready", &json!({})).await;
    scene.all_over(5).await;
    assert_eq!(scene.counts(), [2, 1, 2], "the default URL gets what nobody else wants");
    scene.set(&json!({ "defaultUrlWhen": "no_override" })).await;
    scene.publish("job.done", &json!({})).await;
    scene.publish("job.done", &json!({ "webhookUrl": own })).await;
    scene.all_over(8).await;
    assert_eq!(scene.counts(), [3, 2, 3], "and, when it is to, what names no URL");

    let wrong = json!({ "eventType": "a", "payload": {}, "webhookUrl": "http://10.0.0.1/" });
    let refused = scene.api.post_json("/api/v1/app/acme/msg", &wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert_eq!(refused.json()["detail"][0]["loc"], json!(["body", "webhookUrl"]));
}

/// Hold, on and off; behind what [`goes_where_it_should`] did.
async fn waits_while_it_is_held(scene: &Scene) {
    let own = scene.receiver.endpoint("own", Script::Answer(200));
    let before = scene.counts();
    scene.set(&json!({ "delivery": "hold", "defaultUrlWhen": "no_match" })).await;
    scene.publish("job.done", &json!({ "webhookUrl": own, "webhookMode": "add" })).await;
    scene.publish("document.ready", &json!({})).await;
    until("three are held", SOON, async || {
        scene.ledger("waiting").await == 3 && scene.ledger("pending").await == 0
    })
    .await;
    assert_eq!(scene.counts(), before, "nothing leaves");

    scene.set(&json!({ "delivery": "on" })).await;
    scene.all_over(11).await;
    assert_eq!(scene.counts(), before.map(|count| count + 1), "what was held is offered at once");

    scene.set(&json!({ "delivery": "off" })).await;
    let event = scene.publish("job.done", &json!({ "webhookUrl": own })).await;
    until("it is routed to nobody", SOON, async || {
        scene.router.metric("posthaste_events_filtered_total").await == Some(1)
    })
    .await;
    scene.set(&json!({ "delivery": "on" })).await;
    scene.publish("job.done", &json!({})).await;
    scene.all_over(12).await;
    let [jobs, default, named] = before;
    assert_eq!(scene.counts(), [jobs + 2, default + 1, named + 1], "the one went to nobody");
    let found = scene.api.send("GET", &format!("/api/v1/app/acme/msg/{event}"), &[], b"").await;
    assert_eq!(found.json()["webhookMode"], "override", "and is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broker_events_go_where_they_say_and_wait_while_they_are_held() {
    let scene = Scene::of(Posthaste::embedded().with_application()).await;
    goes_where_it_should(&scene).await;
    waits_while_it_is_held(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_rabbitmq_events_go_where_they_say_and_wait_while_they_are_held() {
    let broker = Broker::shared().await.url();
    let scene = Scene::of(Posthaste::new(&broker, &unique_prefix()).with_application()).await;
    goes_where_it_should(&scene).await;
    waits_while_it_is_held(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_no_use_any_more_is_given_up_and_can_be_sent_again_to_its_url() {
    let scene = Scene::of(Posthaste::embedded().with_application()).await;
    let own = scene.receiver.endpoint("own", Script::Answer(200));
    let past = json!({ "webhookUrl": own, "expiresAt": "2020-01-01T00:00:00Z" });
    let event = scene.publish("job.done", &past).await;
    scene.all_over(1).await;
    assert_eq!((scene.ledger("dead").await, scene.counts()), (1, [0, 0, 0]));

    let path = format!("/api/v1/app/acme/msg/{event}/endpoint");
    let listed = scene.api.send("GET", &path, &[], b"").await.json();
    let to = &listed["data"][0];
    assert_eq!((&to["url"], &to["listed"]), (&json!(own), &json!(false)), "{listed}");
    let id = to["id"].as_str().expect("an id");
    let again = scene.api.post_json(&format!("{path}/{id}/resend"), &json!({})).await;
    assert_eq!(again.status, 202, "{}", again.body);
    until("it is sent again", SOON, async || scene.receiver.accepted("own").len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_default_url_that_is_cleared_is_taken_back() {
    let scene = Scene::of(Posthaste::embedded().with_application()).await;
    scene.set(&json!({ "delivery": "hold" })).await;
    scene.publish("document.ready", &json!({})).await;
    until("it is held", SOON, async || scene.ledger("waiting").await == 1).await;

    scene.set(&json!({ "defaultUrl": null })).await;
    scene.set(&json!({ "delivery": "on" })).await;

    scene.all_over(1).await;
    assert_eq!((scene.ledger("cancelled").await, scene.counts()), (1, [0, 0, 0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_at_a_host_that_hangs_do_not_keep_another_host_waiting() {
    let mut posthaste = Posthaste::embedded().with_application();
    posthaste.set("POSTHASTE_LIMITS__MAX_IN_FLIGHT_PER_HOST", "3");
    let scene = Scene::of(posthaste).await;
    // None of those that hang is given up, and makes room for another, before all have been counted.
    scene.set(&json!({ "policy": { "timeoutMs": 60_000 } })).await;
    let slow = ["slow-1", "slow-2"].map(|name| scene.receiver.endpoint(name, Script::Hang));
    let quick = scene.receiver.endpoint("quick", Script::Answer(200));
    let quick = quick.replace("127.0.0.1", "localhost"); // another host, as far as anybody can tell
    let at_the_slow =
        || ["slow-1", "slow-2"].map(|n| scene.receiver.count(n)).iter().sum::<usize>();
    for url in slow.iter().cycle().take(8) {
        scene.publish("job.done", &json!({ "webhookUrl": url })).await;
    }
    until("the slow host has what it may have", SOON, async || at_the_slow() == 3).await;

    for _ in 0..5 {
        scene.publish("job.done", &json!({ "webhookUrl": quick })).await;
    }

    until("the other host has all", SOON, async || scene.receiver.accepted("quick").len() == 5)
        .await;
    assert_eq!(at_the_slow(), 3);
}
