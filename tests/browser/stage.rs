//! What the pages are about in these tests: a router, a receiver that answers as it is told, a tenant, an operator.

use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::browser::{Browser, Scripts};
use crate::support::eventually;
use crate::support::receiver::{Receiver, Script};
use crate::support::router::{Posthaste, Running};
use crate::support::walk;

/// What somebody writes who means harm: markup that runs, a template's marks, a text that turns around, a letter without width,
/// a terminal's colours, and a formula.
pub(crate) const HOSTILE: &str = "=1+1\"><img src=x onerror=\"window.hit=1\"><script>window.hit=1</script>' onmouseover='window.hit=1' {{7*7}} \u{202e}exe.gnp\u{200b} \u{1b}[31m&lt;";
/// One attempt and no more.
const ONCE: &str = r#"{"retry":{"kind":"schedule","delaysMs":[],"jitter":0.0}}"#;
/// Two, with an hour between them: as long as a test looks, the second is still to come.
const TWICE: &str = r#"{"retry":{"kind":"schedule","delaysMs":[3600000],"jitter":0.0}}"#;

/// The router with its receiver.
pub(crate) struct Stage {
    pub(crate) posthaste: Posthaste,
    pub(crate) receiver: Receiver,
    pub(crate) router: Running,
    pub(crate) api: Api,
}

impl Stage {
    /// With the application `acme` and nothing else.
    pub(crate) async fn new() -> Self {
        let mut posthaste = Posthaste::embedded().with_application();
        posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0");
        let receiver = Receiver::start().await;
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, receiver, router, api }
    }

    /// A browser of a tenant who has come by a link.
    pub(crate) async fn tenant(&self, scripts: Scripts) -> Browser {
        let browser = Browser::open(&self.router.api, scripts).await;
        let link = walk::link(&self.api, "acme").await;
        match scripts {
            Scripts::Run => browser.goto(&link).await,
            Scripts::Off => {
                let (page, code) = link.split_once("#t=").expect("a code");
                browser.goto(page).await;
                browser.fill("Code of the link", code).await;
            }
        }
        browser.press("Continue").await;
        browser.sees("Overview").await;
        browser
    }

    /// A browser of an operator who has logged in.
    pub(crate) async fn operator(&self, scripts: Scripts) -> Browser {
        let browser = Browser::open(&self.router.api, scripts).await;
        browser.goto("/console").await;
        browser.fill("Operator's token", &walk::token(&self.posthaste)).await;
        browser.press("Log in").await;
        browser.sees("Health").await;
        browser
    }

    /// Does something by the API.
    pub(crate) async fn done(&self, method: &str, path: &str, body: &Value) -> Value {
        let path = format!("/api/v1{path}");
        let answer = self.api.send(method, &path, &[], body.to_string().as_bytes()).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// An endpoint of `acme` that answers so; `policy` as JSON.
    pub(crate) async fn endpoint(
        &self,
        uid: &str,
        script: Script,
        description: &str,
        policy: &str,
    ) {
        let policy: Value = serde_json::from_str(policy).expect("JSON");
        let url = self.receiver.endpoint(uid, script);
        let wish = json!({ "url": url, "uid": uid, "description": description, "policy": policy });
        self.done("POST", "/app/acme/endpoint", &wish).await;
    }

    /// Publishes an event of `acme`.
    pub(crate) async fn publish(&self, event_type: &str, subject: &str, payload: &Value) {
        let event = json!({ "eventType": event_type, "subject": subject, "payload": payload });
        self.done("POST", "/app/acme/msg", &event).await;
    }

    /// Waits until there are so many dead letters.
    pub(crate) async fn has_dead(&self, count: usize) {
        eventually(&format!("{count} dead letters"), async || {
            let list = self.done("GET", "/app/acme/dead-letter", &Value::Null).await;
            (list["data"].as_array()?.len() >= count).then_some(())
        })
        .await;
    }

    /// Waits until so many deliveries have come and are on record.
    pub(crate) async fn has_delivered(&self, count: usize) {
        eventually(&format!("{count} deliveries"), async || {
            let list = self.done("GET", "/app/acme/delivery?state=delivered", &Value::Null).await;
            (list["data"].as_array()?.len() >= count).then_some(())
        })
        .await;
    }

    /// A tenant whom things happen to, in plain words: endpoints that do well, fail and are paused, types with schemas, deliveries
    /// of each kind.
    pub(crate) async fn filled(&self) {
        let schema = json!({ "1": {
            "title": "A job has ended", "type": "object", "required": ["job"],
            "properties": {
                "job": { "type": "string", "description": "The job's id", "maxLength": 40 },
                "seconds": { "type": "number", "minimum": 0 },
            },
            "examples": [{ "job": "run-7", "seconds": 2.5 }],
        } });
        let kind = json!({ "name": "job.completed", "description": "A job has ended well", "schemas": schema });
        self.done("POST", "/event-type", &kind).await;
        let kind = json!({ "name": "job.failed", "description": "A job has ended in an error" });
        self.done("POST", "/event-type", &kind).await;
        self.endpoint("billing", Script::Answer(200), "Billing", "{}").await;
        let refusal = "{\"error\":\"unknown signature\"}".to_owned();
        self.endpoint("warehouse", Script::Saying(401, refusal), "Warehouse", ONCE).await;
        self.endpoint("reports", Script::Answer(503), "Reports", TWICE).await;
        for number in 1..=6 {
            let payload = json!({ "job": format!("run-{number}"), "seconds": 1.5, "big": 12_345_678_901_234_567_890_u64 });
            let event_type = if number % 3 == 0 { "job.failed" } else { "job.completed" };
            self.publish(event_type, &format!("run-{number}"), &payload).await;
        }
        self.has_dead(6).await;
    }

    /// A tenant, a producer and a receiver who mean harm.
    pub(crate) async fn hostile(&self) {
        let line = format!("{HOSTILE} {}", "W".repeat(1_000_000));
        let plain: String = HOSTILE.chars().filter(|c| !c.is_control()).collect();
        let rename = json!({ "name": plain, "uid": "acme" });
        self.done("PUT", "/app/acme", &rename).await;
        let kind = json!({
            "name": "job.completed", "description": HOSTILE,
            "schemas": { "1": { "type": "object", "description": HOSTILE, "properties": { HOSTILE: { "description": HOSTILE } },
                "examples": [{ "text": HOSTILE }] } },
        });
        self.done("POST", "/event-type", &kind).await;
        let said = Script::Saying(400, line.clone());
        self.endpoint("liar", said, HOSTILE, ONCE).await;
        self.endpoint("waits", Script::Saying(503, HOSTILE.into()), HOSTILE, TWICE).await;
        let headers = json!({ "headers": { "X-Own": "\"><img src=x onerror=window.hit=1>" } });
        self.done("PUT", "/app/acme/endpoint/liar/headers", &headers).await;
        let payload =
            json!({ "text": HOSTILE, HOSTILE: { "list": [HOSTILE, line.get(..200_000)] } });
        self.publish("job.completed", &plain, &payload).await;
        self.publish("job.completed", "run-2", &json!({ HOSTILE: [HOSTILE] })).await;
        self.has_dead(2).await;
    }
}
