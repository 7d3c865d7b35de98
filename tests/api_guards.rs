//! What holds around every operation of the API, and applications as the plainest of them: the real
//! binary, embedded, and a client that writes its requests byte for byte.

mod support;

use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::router::{Posthaste, Running};

const OTHER: &str = "org_2rWc8cS9ZqMT0qIzpgGwdXfHirM";

/// An embedded router, with a token of the default organisation.
struct Case {
    posthaste: Posthaste,
    _router: Running,
    api: Api,
}

impl Case {
    async fn new() -> Self {
        Self::of(Posthaste::embedded()).await
    }

    async fn of(posthaste: Posthaste) -> Self {
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { posthaste, _router: router, api }
    }

    /// The API for whoever these arguments of `token create` are for.
    fn caller(&self, arguments: &[&str]) -> Api {
        let made = self.posthaste.json(&[&["token", "create"], arguments].concat());
        self.api.with_token(made["token"].as_str().map(str::to_owned))
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.api.send(method, path, &[], body.to_string().as_bytes()).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.api.send("GET", path, &[], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_made_found_changed_and_deleted() {
    let case = Case::new().await;
    let new = json!({ "name": "Acme", "uid": "acme", "throttleRate": 7, "metadata": { "a": "b" } });

    let made = case.send("POST", "/api/v1/app", &new).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert!(text(&made["id"]).starts_with("app_"));
    assert_eq!((&made["rateLimit"], &made["metadata"]), (&json!(7), &json!({ "a": "b" })));

    assert_eq!(case.send("POST", "/api/v1/app", &new).await.status, 409);
    let again = case.send("POST", "/api/v1/app?get_if_exists=true", &new).await;
    assert_eq!((again.status, again.json()), (200, made.clone()));
    for name in ["acme", text(&made["id"])] {
        assert_eq!(case.get(&format!("/api/v1/app/{name}")).await, made);
        assert_eq!(case.get(&format!("/api/v1/app/{name}/")).await, made, "with a slash behind");
    }

    let patch = json!({ "name": "Acme 2", "throttleRate": null });
    let patched = case.send("PATCH", "/api/v1/app/acme", &patch).await.json();
    assert_eq!((&patched["name"], &patched["uid"]), (&json!("Acme 2"), &json!("acme")));
    assert_eq!(patched["throttleRate"], Value::Null);
    let put = case.send("PUT", "/api/v1/app/acme", &json!({ "name": "Acme 3" })).await;
    assert_eq!((put.status, &put.json()["uid"]), (200, &json!("acme")), "named by it, it keeps it");
    assert_eq!(put.json()["metadata"], json!({}), "all else anew");
    let put = case.send("PUT", "/api/v1/app/beta", &json!({ "name": "Another" })).await;
    assert_eq!((put.status, &put.json()["uid"]), (201, &json!("beta")), "the uid was free");
    let back = case.send("PUT", "/api/v1/app/beta", &put.json()).await;
    assert_eq!(back.status, 200, "what was answered can be sent back: {back:?}");

    let gone = case.send("DELETE", "/api/v1/app/acme", &Value::Null).await;
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    assert_eq!(case.send("GET", "/api/v1/app/acme", &Value::Null).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_walked_to_its_end_and_back() {
    let case = Case::new().await;
    for number in 0..5 {
        let new = json!({ "name": format!("{number}") });
        assert_eq!(case.send("POST", "/api/v1/app", &new).await.status, 201);
    }
    let names = |list: &Value| -> Vec<String> {
        let rows = list["data"].as_array().expect("a list");
        rows.iter().map(|row| text(&row["name"]).to_owned()).collect()
    };
    let whole = case.get("/api/v1/app").await;
    let all = names(&whole);
    assert_eq!((all.len(), &whole["done"]), (5, &json!(true)));

    let mut walked = Vec::new();
    let mut list = case.get("/api/v1/app?limit=2").await;
    loop {
        walked.extend(names(&list));
        if list["done"] == json!(true) {
            break;
        }
        let iterator = text(&list["iterator"]).to_owned();
        list = case.get(&format!("/api/v1/app?limit=2&iterator={iterator}")).await;
    }
    assert_eq!(walked, all);
    let back = text(&list["prevIterator"]).to_owned();
    let list = case.get(&format!("/api/v1/app?limit=2&iterator={back}")).await;
    assert_eq!(names(&list), all[2..4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_body_is_told_with_its_place() {
    let case = Case::new().await;
    for (method, path, body, loc) in [
        ("POST", "/api/v1/app", json!({}), json!(["body", "name"])),
        ("POST", "/api/v1/app", json!({ "name": 7 }), json!(["body", "name"])),
        ("POST", "/api/v1/app", json!({ "name": "a", "uid": "a b" }), json!(["body", "uid"])),
        (
            "POST",
            "/api/v1/app",
            json!({ "name": "a", "throttleRate": 0 }),
            json!(["body", "throttleRate"]),
        ),
        ("GET", "/api/v1/app?limit=251", Value::Null, json!(["query", "limit"])),
        ("GET", "/api/v1/app?iterator=x", Value::Null, json!(["query", "iterator"])),
    ] {
        let answer = case.send(method, path, &body).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert_eq!(answer.json()["detail"][0]["loc"], loc, "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_organisation_and_each_application_is_alone() {
    let case = Case::new().await;
    let id = |made: &Answer| text(&made.json()["id"]).to_owned();
    let acme = id(&case.send("POST", "/api/v1/app", &json!({ "name": "A", "uid": "acme" })).await);
    let beta = id(&case.send("POST", "/api/v1/app", &json!({ "name": "B", "uid": "beta" })).await);

    let theirs = case.caller(&["--org", OTHER]);
    let get = async |api: &Api, path: &str| api.send("GET", path, &[], b"").await;
    assert_eq!(get(&theirs, "/api/v1/app").await.json()["data"], json!([]));
    for name in ["acme", &acme] {
        assert_eq!(get(&theirs, &format!("/api/v1/app/{name}")).await.status, 404);
    }
    let same = theirs.post_json("/api/v1/app", &json!({ "name": "A", "uid": "acme" })).await;
    assert_eq!(same.status, 201, "a uid is taken within its organisation only");

    let tenant = case.caller(&["--app", "acme"]);
    assert_eq!(get(&tenant, "/api/v1/app/acme").await.json()["id"], json!(acme));
    assert_eq!(get(&tenant, "/api/v1/app").await.status, 403);
    assert_eq!(tenant.send("DELETE", "/api/v1/app/acme", &[], b"").await.status, 403);
    let other = get(&tenant, &format!("/api/v1/app/{beta}")).await;
    let nobody = get(&tenant, "/api/v1/app/nobody").await;
    assert_eq!(other.status, 404);
    assert_eq!(other.body.replace(&beta, "nobody"), nobody.body, "as if it was not there");
    assert_eq!(get(&case.api.with_token(None), "/api/v1/app/acme").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_done_once() {
    let case = Case::new().await;
    let post = async |key: &str, body: &Value| {
        let headers = [("idempotency-key", key)];
        case.api.post("/api/v1/app", &headers, body.to_string().as_bytes()).await
    };
    let new = json!({ "name": "Acme" });

    let first = post("k", &new).await;
    let again = post("k", &new).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json(), "the same application");
    assert_eq!(again.header("content-type"), Some("application/json"));
    let another = post("k", &json!({ "name": "Other" })).await;
    assert_eq!(another.status, 409, "another request by the same key is a mistake: {another:?}");
    assert_ne!(post("l", &new).await.json()["id"], first.json()["id"], "each key its own");
    let theirs = case.caller(&["--org", OTHER]);
    let body = new.to_string();
    let theirs = theirs.post("/api/v1/app", &[("idempotency-key", "k")], body.as_bytes()).await;
    assert_ne!(theirs.json()["id"], first.json()["id"], "each caller its own");
    let refused = post("m", &json!({ "name": "" })).await;
    assert_eq!((refused.status, post("m", &new).await.status), (422, 201), "what failed is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_many_times_at_once_is_done_once_and_stops_nobody() {
    let case = Case::new().await;
    let body = json!({ "name": "Acme" }).to_string();
    let post = || case.api.post("/api/v1/app", &[("idempotency-key", "k")], body.as_bytes());

    let answers = futures_util::future::join_all((0..8).map(|_| post())).await;

    // Whoever came while it was being done is told to ask again, and then gets the same.
    assert!(answers.iter().all(|one| matches!(one.status, 201 | 409)), "{answers:?}");
    let made = post().await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(case.get("/api/v1/app").await["data"], json!([made.json()]), "and it is one");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_did_what_is_written_down() {
    let case = Case::new().await;
    case.send("POST", "/api/v1/app", &json!({ "name": "Acme", "uid": "acme" })).await;
    case.send("DELETE", "/api/v1/app/nobody?reason=secret", &Value::Null).await;
    case.get("/api/v1/app").await;

    let log = case.get("/api/v1/audit").await;

    let told: Vec<_> = log["data"].as_array().expect("a list").iter().collect();
    let of = |entry: &Value| {
        (
            text(&entry["action"]).to_owned(),
            text(&entry["object"]).to_owned(),
            entry["status"].clone(),
        )
    };
    assert_eq!(
        told.iter().map(|entry| of(entry)).collect::<Vec<_>>(),
        [
            ("DELETE /app/{app}".into(), "/api/v1/app/nobody".into(), json!(404)),
            ("POST /app".into(), "/api/v1/app".into(), json!(201)),
        ],
        "newest first, without queries and without what only reads"
    );
    assert!(text(&told[0]["actor"]).starts_with("org_"));
    let theirs = case.caller(&["--org", OTHER]).send("GET", "/api/v1/audit", &[], b"").await;
    assert_eq!(theirs.json()["data"], json!([]), "each organisation its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_fast_is_told_when_to_come_back() {
    let mut posthaste = Posthaste::embedded();
    posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "1");
    let case = Case::of(posthaste).await;

    let mut refused = None;
    for _ in 0..20 {
        let answer = case.api.send("GET", "/api/v1/app", &[], b"").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("twenty at once are too many");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.json()["code"], "rate_limit_exceeded");

    let forger = case.api.with_token(Some("x.y.z".into()));
    let mut answers: Vec<u16> = Vec::new();
    // One more a second is let through: which of them is refused first is the machine's matter.
    while !answers.contains(&429) && answers.len() < 1_000 {
        answers.push(forger.send("GET", "/api/v1/app", &[], b"").await.status);
    }
    assert_eq!((answers[0], answers.last()), (401, Some(&429)), "guessing is slowed down");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_describes_itself_and_its_page_needs_nothing_from_elsewhere() {
    let case = Case::new().await;
    let document = case.get("/api/v1/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let page = case.api.with_token(None).send("GET", "/api/v1/docs/", &[], b"").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(!page.body.contains("https://"), "nothing is loaded from elsewhere: {}", page.body);
    let script = case.api.send("GET", "/api/v1/docs/swagger-initializer.js", &[], b"").await;
    assert!(script.body.contains("/api/v1/openapi.json"), "{script:?}");
}
