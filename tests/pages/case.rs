//! A router with tenants, and visitors who ask as a browser would.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use url::form_urlencoded::Serializer;

use crate::support::api::{Answer, Api};
use crate::support::router::{Posthaste, Running};

/// A router and its API.
pub(crate) struct Case {
    pub(crate) posthaste: Posthaste,
    pub(crate) router: Running,
    /// With the organisation's token.
    pub(crate) api: Api,
}

/// One with a cookie, or without.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    api: Api,
    /// What the server is called by, as a browser says where a form comes from.
    origin: String,
    /// `name=secret`; empty for none.
    pub(crate) cookie: String,
}

/// The header of a form that is sent from a page of the same site.
pub(crate) const FROM_HERE: (&str, &str) = ("sec-fetch-site", "same-origin");

/// A path's names with ids that nothing ever had: KSUIDs of the year 2014.
pub(crate) fn nobodys() -> BTreeMap<&'static str, String> {
    let never = "000000000000000000000000001";
    let id = |prefix: &str| format!("{prefix}_{never}");
    BTreeMap::from([
        ("app", id("app")),
        ("application", id("app")),
        ("endpoint", id("ep")),
        ("msg", id("msg")),
        ("event", id("msg")),
        ("delivery", id("dlv")),
        ("dead_letter", id("dlv")),
        ("letter", id("dlv")),
        ("attempt", id("atmpt")),
        ("replay", id("rpl")),
        ("event_type", "never.was".to_owned()),
        ("type", "never.was".to_owned()),
        ("name", "never.was".to_owned()),
        ("id", "1000000007".to_owned()),
        ("number", "1000000007".to_owned()),
        ("deed", "pause".to_owned()),
        ("shelf", "quarantine".to_owned()),
        ("message", "1000000007".to_owned()),
    ])
}

impl Case {
    /// With the applications `acme` and `other`.
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// The same under these further settings.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let mut posthaste = Posthaste::embedded().with_application();
        posthaste.json(&["app", "create", "Other", "--uid", "other"]);
        posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0"); // we ask as fast as we can
        for (name, value) in settings {
            posthaste.set(name, value);
        }
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, router, api }
    }

    /// The same data, so long after they were made.
    pub(crate) async fn later(mut self, ahead: Duration) -> Self {
        self.router.kill_9();
        self.posthaste.set("FAILPOINT_CLOCK_AHEAD_MS", &ahead.as_millis().to_string());
        self.router = self.posthaste.serve().await;
        self.api.address.clone_from(&self.router.api);
        self
    }

    /// The code of a new link.
    pub(crate) async fn link(&self, app: &str, wish: &Value) -> String {
        self.way_in(app, wish).await.0
    }

    /// The code of a new link, and the token beside it.
    pub(crate) async fn way_in(&self, app: &str, wish: &Value) -> (String, String) {
        let path = format!("/api/v1/auth/app-portal-access/{app}");
        let answer = self.api.post_json(&path, wish).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |name: &str| answer.json()[name].as_str().expect("a text").to_owned();
        let code = text("url").split_once("#t=").expect("a code").1.to_owned();
        (code, text("token"))
    }

    /// Somebody without a session.
    pub(crate) fn nobody(&self) -> Visitor {
        let api = self.api.with_token(None);
        Visitor { origin: format!("http://{}", api.address), api, cookie: String::new() }
    }

    /// The same visitor, at the router of now.
    pub(crate) fn again(&self, visitor: &Visitor) -> Visitor {
        Visitor { cookie: visitor.cookie.clone(), ..self.nobody() }
    }

    /// Whoever opens this link.
    pub(crate) async fn enter(&self, code: &str) -> Visitor {
        self.nobody().logged_in("/portal/enter", code).await
    }

    /// A tenant in the portal.
    pub(crate) async fn tenant(&self, app: &str, wish: &Value) -> Visitor {
        self.enter(&self.link(app, wish).await).await
    }

    /// An operator in the console, with a token made so.
    pub(crate) async fn operator(&self, more: &[&str]) -> Visitor {
        let made = self.posthaste.json(&[&["token", "create"], more].concat());
        let token = made["token"].as_str().expect("a token");
        self.nobody().logged_in("/console/login", token).await
    }

    /// An operator in the console, with this token.
    pub(crate) async fn operator_with(&self, token: &str) -> Visitor {
        self.nobody().logged_in("/console/login", token).await
    }

    /// How many entries of the audit log there are with this action.
    pub(crate) async fn entries(&self, action: &str) -> Vec<Value> {
        let log = self.api.send("GET", "/api/v1/audit?limit=250", &[], &[]).await.json();
        let entries = log["data"].as_array().expect("entries").clone();
        entries.into_iter().filter(|entry| entry["action"] == json!(action)).collect()
    }
}

impl Visitor {
    /// The same with another cookie.
    pub(crate) fn with(&self, cookie: String) -> Self {
        Self { cookie, ..self.clone() }
    }

    async fn logged_in(self, path: &str, token: &str) -> Self {
        let answer = self.post(path, &[FROM_HERE], &[("token", token)]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let given = answer.header("set-cookie").expect("a cookie");
        let cookie = given.split(';').next().expect("a name and a secret").to_owned();
        Self { cookie, ..self }
    }

    /// Looks at a page.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// As the pages' script does while nobody clicks.
    pub(crate) async fn get_again(&self, path: &str) -> Answer {
        self.send("GET", path, &[("x-posthaste-again", "1")], "").await
    }

    /// Sends a form with exactly these fields, and with these headers beside the cookie.
    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.send("POST", path, &[&form, headers].concat(), &body).await
    }

    /// Sends a form as a page of the session does.
    pub(crate) async fn deed(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token().await;
        let own = [("form_token", token.as_str())];
        self.post(path, &[FROM_HERE], &[&own, fields].concat()).await
    }

    /// What forms of this session carry, as its first page has it.
    pub(crate) async fn form_token(&self) -> String {
        let home = if self.cookie.contains("console") { "/console" } else { "/portal" };
        let page = self.get(home).await;
        assert_eq!(page.status, 200, "{page:?}");
        let (_, behind) = page.body.split_once("name=\"form_token\" value=\"").expect("a form");
        behind.split('"').next().expect("its end").to_owned()
    }

    /// Whether the session goes on.
    pub(crate) async fn is_in(&self) -> bool {
        let home = if self.cookie.contains("console") { "/console" } else { "/portal" };
        let answer = self.get(home).await;
        match answer.status {
            200 => true,
            401 => {
                assert!(answer.body.contains("This session is over"), "{answer:?}");
                false
            }
            303 => {
                assert_eq!(answer.header("location"), Some("/console/login"));
                false
            }
            _ => panic!("neither in nor out: {answer:?}"),
        }
    }

    /// What the server is called by.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut all = headers.to_vec();
        if !self.cookie.is_empty() {
            all.push(("cookie", &self.cookie));
        }
        self.api.send(method, path, &all, body.as_bytes()).await
    }
}
