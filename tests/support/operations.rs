//! Every operation of the API, out of the description that it serves of itself: so that a test of all of
//! them has those of tomorrow, too.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::{Answer, Api};
use super::receiver::{Receiver, Script};

/// One operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Its method, in capitals.
    pub(crate) method: String,
    /// Its path, with `{names}` in it.
    pub(crate) path: String,
    /// Those names, in their order.
    pub(crate) names: Vec<String>,
    /// What may stand in its query.
    pub(crate) query: Vec<String>,
}

/// What to put into paths, by name.
pub(crate) type Names = BTreeMap<&'static str, String>;

/// What the API says of itself.
pub(crate) async fn description(api: &Api) -> Value {
    let answer = api.send("GET", "/api/v1/openapi.json", &[], &[]).await;
    assert_eq!(answer.status, 200, "the description is served: {answer:?}");
    answer.json()
}

/// Every operation that there is.
pub(crate) fn operations(description: &Value) -> Vec<Operation> {
    let paths = description["paths"].as_object().expect("paths");
    let mut found = Vec::new();
    for (path, methods) in paths {
        for method in ["get", "post", "put", "patch", "delete"] {
            let Some(told) = methods.get(method) else { continue };
            let parameters = told["parameters"].as_array().cloned().unwrap_or_default();
            let of = |place: &str| {
                let here = parameters.iter().filter(|one| one["in"] == place);
                here.map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
            };
            let names = names_in(path);
            found.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                names,
                query: of("query"),
            });
        }
    }
    found
}

fn names_in(path: &str) -> Vec<String> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(str::to_owned)
        .collect()
}

/// A body that every operation finds its own in: what a body has besides is passed over.
pub(crate) fn body_for_all() -> Value {
    json!({
        "name": "changed.by-another",
        "description": "changed by another",
        "url": "http://127.0.0.1:1024/changed-by-another",
        "headers": { "x-changed": "by another" },
        "metadata": { "changed": "by another" },
        "eventType": "svix.ping", // the one type that needs no example of its own
        "payload": { "changed": "by another" },
        "since": super::clock() - std::time::Duration::from_mins(10),
    })
}

/// Gives an application a dead letter: an endpoint that refuses one kind of event, and one of that kind. The
/// delivery's id, when everybody else has it.
pub(crate) async fn dead_letter(api: &Api, receiver: &Receiver, app: &str) -> String {
    let below = format!("/api/v1/app/{app}");
    let url = receiver.endpoint(&format!("refuses-{app}"), Script::Answer(404));
    let refuses = json!({
        "url": url, "filterTypes": ["refused.*"], "policy": { "giveUpStatus": ["4xx"] },
    });
    let made = api.post_json(&format!("{below}/endpoint"), &refuses).await;
    assert_eq!(made.status, 201, "{made:?}");
    let event = json!({ "eventType": "refused.job", "payload": { "of": app } });
    let sent = api.post_json(&format!("{below}/msg"), &event).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    super::eventually("it is dead, and delivered to everybody else", async || {
        let see = async |path: &str| {
            let list = api.send("GET", &format!("{below}/{path}"), &[], &[]).await.json();
            list["data"].as_array().expect("rows").clone()
        };
        let open =
            see("delivery?state=pending").await.len() + see("delivery?state=waiting").await.len();
        let id = see("dead-letter").await.first()?["id"].as_str().map(str::to_owned);
        id.filter(|_| open == 0)
    })
    .await
}

impl Operation {
    /// How it is called in a report.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Its path with these in it.
    ///
    /// # Panics
    /// When a name of the path is not among them: whoever adds one tells here what it is.
    pub(crate) fn path_with(&self, names: &Names) -> String {
        let mut path = self.path.clone();
        for name in &self.names {
            let value = names.get(name.as_str());
            let value = value.unwrap_or_else(|| panic!("what is {{{name}}} of {}?", self.name()));
            path = path.replace(&format!("{{{name}}}"), value);
        }
        path
    }

    /// What it is sent: the body for all, but where a field that it does not know is refused before it looks
    /// whose the thing is.
    fn body(&self) -> Value {
        let all = body_for_all();
        let only = |fields: &[&str]| fields.iter().map(|name| (*name, all[name].clone())).collect();
        if self.path.ends_with("/test") {
            only(&["eventType", "payload"])
        } else if self.path.ends_with("/settings") {
            json!({ "policy": { "timeoutMs": 7_000 } })
        } else if ["/settings/secret/rotate", "/retry", "/cancel", "/recover"]
            .iter()
            .any(|end| self.path.ends_with(end) && !self.path.ends_with("}/recover"))
        {
            json!({})
        } else if self.path.ends_with("/dead-letter/discard") {
            json!({ "all": true, "reason": "by another" })
        } else {
            all
        }
    }

    /// Asks for it.
    pub(crate) async fn ask(&self, api: &Api, names: &Names, query: &str) -> Answer {
        let path = format!("{}{query}", self.path_with(names));
        let body = match self.method.as_str() {
            "GET" | "DELETE" => String::new(),
            _ => self.body().to_string(),
        };
        let headers = [("content-type", "application/json")];
        api.send(&self.method, &path, &headers, body.as_bytes()).await
    }
}
