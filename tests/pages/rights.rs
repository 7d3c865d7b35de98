//! What one may: the rights that a link or a token was made with hold for every operation of the API and every form of the
//! pages, and nobody gives more than they have.

use std::time::Duration;

use posthaste::control::tokens::{Caller, TokenKey};
use posthaste::domain::capability::{Capabilities, Capability};
use posthaste::domain::id::OrganisationId;
use secrecy::SecretBox;
use serde_json::{Value, json};

use crate::case::{Case, nobodys};
use crate::paths::routes;
use crate::support::api::{Answer, Api};
use crate::support::clock;
use crate::support::operations::{description, operations};

/// Forms that only look: at what would become of a URL, and at a signature.
const LOOKS: [&str; 2] = ["/console/egress", "/portal/signature"];

/// What an answer says when a right is missing: which.
fn lacks(answer: &Answer) -> Option<String> {
    if answer.status != 403 {
        return None;
    }
    let detail = answer.json()["detail"].as_str()?.to_owned();
    let (_, behind) = detail.split_once("made without the capability `")?;
    Some(behind.split('`').next()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_looking_alone_looks_and_does_nothing_else() {
    let case = Case::new().await;
    let made = case.posthaste.json(&["token", "create", "--read-only"]);
    assert_eq!(made["readOnly"], true);
    let operator = case.api.with_token(made["token"].as_str().map(str::to_owned));
    let (_, tenants) = case.way_in("acme", &json!({ "readOnly": true })).await;
    let tenant = case.api.with_token(Some(tenants));
    let mut never = nobodys();
    never.insert("app", "acme".into());
    never.insert("task", never["replay"].clone());
    let (mut read, mut refused) = (0, 0);
    for operation in operations(&description(&case.api).await) {
        let name = operation.name();
        let (by_operator, by_tenant) =
            (operation.ask(&operator, &never, "").await, operation.ask(&tenant, &never, "").await);
        let has_secrets = name.ends_with("/secret") || name.ends_with("/headers");
        if operation.method == "GET" && !has_secrets {
            assert!(!matches!(by_operator.status, 401 | 403), "{name}: {by_operator:?}");
            assert_eq!(lacks(&by_tenant), None, "{name}");
            read += 1;
        } else if name.ends_with("/auth/logout") {
            assert_eq!(by_operator.status, 204);
        } else {
            assert!(lacks(&by_operator).is_some(), "{name}: {by_operator:?}");
            assert!(lacks(&by_tenant).is_some(), "{name}: {by_tenant:?}");
            refused += 1;
        }
    }
    assert!(read > 30 && refused > 40, "{read} were read and {refused} refused");
    let endpoints = case.api.send("GET", "/api/v1/app/acme/endpoint", &[], &[]).await.json();
    assert_eq!(endpoints["data"], json!([]), "nothing was done");
    let tried = case.entries("POST /app/{app}/endpoint").await;
    assert_eq!((tried.len(), &tried[0]["status"]), (2, &json!(403)), "and who tried is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_is_for_its_own_operations() {
    let case = Case::new().await;
    let url = json!({ "url": "http://127.0.0.1:1024/one", "uid": "one" });
    let made = case.api.post_json("/api/v1/app/acme/endpoint", &url).await;
    assert_eq!(made.status, 201, "{made:?}");
    let below = "/api/v1/app/acme/endpoint/one";
    for (right, method, path, body) in [
        ("ViewEndpointSecret", "GET", format!("{below}/secret"), json!(null)),
        ("ViewEndpointSecret", "GET", format!("{below}/headers"), json!(null)),
        ("ManageEndpointSecret", "POST", format!("{below}/secret/rotate"), json!({})),
        (
            "CreateAttempts",
            "POST",
            "/api/v1/app/acme/replay/preview".into(),
            json!({ "all": true }),
        ),
        ("ManageEndpoint", "PATCH", below.to_owned(), json!({ "description": "changed" })),
    ] {
        let asked = async |rights: Vec<&str>| {
            let (_, token) = case.way_in("acme", &json!({ "capabilities": rights })).await;
            let api = case.api.with_token(Some(token));
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let kind = [("content-type", "application/json")];
            api.send(method, &path, &kind, body.as_bytes()).await
        };
        let with = asked(vec!["ViewBase", right]).await;
        assert!((200..300).contains(&with.status), "{right}: {method} {path}: {with:?}");
        let others: Vec<_> = Capability::ALL.map(Capability::as_str).into();
        let others = others.into_iter().filter(|one| *one != right).collect();
        let without = asked(others).await;
        assert_eq!(lacks(&without).as_deref(), Some(right), "{method} {path}: {without:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_what_its_link_says() {
    let case = Case::new().await;
    let never = nobodys();
    let may_not = |answer: &Answer| answer.status == 403 && answer.body.contains("may not");
    for (is_portal, visitor) in [
        (true, case.tenant("acme", &json!({ "capabilities": ["ViewBase"] })).await),
        (true, case.tenant("acme", &json!({ "readOnly": true })).await),
        (false, case.operator(&["--read-only"]).await),
    ] {
        let own = routes().into_iter().filter(|route| route.is_portals() == is_portal);
        for route in own.filter(|route| !route.is_a_door()) {
            let path = route.with(&never);
            if route.post && !LOOKS.contains(&route.path.as_str()) {
                let answer = visitor.deed(&path, &[]).await;
                assert!(may_not(&answer), "POST {path}: {answer:?}");
            }
        }
        assert!(visitor.is_in().await);
        let leave = if is_portal { "/portal/leave" } else { "/console/logout" };
        visitor.deed(leave, &[]).await;
        assert!(!visitor.is_in().await, "whoever is in may leave");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_form_wants_the_rights_that_the_api_wants_for_the_same_deed() {
    let case = Case::new().await;
    let never = nobodys();
    let (attempts, manage) = (Capability::CreateAttempts, Capability::ManageEndpoint);
    let (discard, resubmit) =
        ("/console/dead-letters/discard", "/console/quarantine/{shelf}/{message}");
    for (rights, may_discard, may_resubmit) in [
        (vec![attempts], true, false),
        (vec![manage], false, false),
        (vec![attempts, manage], true, true),
    ] {
        let rights = [vec![Capability::ViewBase], rights].concat();
        let visitor = case.operator_with(&organisations(&case, &rights).token).await;
        for (path, may) in [(discard, may_discard), (resubmit, may_resubmit)] {
            let route = routes().into_iter().find(|route| route.path == path).expect("a form");
            let answer = visitor.deed(&route.with(&never), &[]).await;
            let refused = answer.status == 403 && answer.body.contains("may not");
            assert_eq!(!refused, may, "{rights:?}: {path}: {answer:?}");
        }
    }
}

/// The API for an organisation's token with these rights, signed with the router's own key.
fn organisations(case: &Case, rights: &[Capability]) -> Api {
    use base64::Engine as _;
    let text = std::fs::read_to_string(case.posthaste.folder().join("token.key")).expect("a key");
    let bytes = base64::engine::general_purpose::STANDARD.decode(text.trim()).expect("base64");
    let key = TokenKey::new(SecretBox::new(Box::new(bytes.try_into().expect("32 bytes"))));
    let caller = Caller::Organisation(OrganisationId::DEFAULT);
    let rights: Capabilities = rights.iter().copied().collect();
    let token = key.token_with(&caller, rights, clock(), Duration::from_mins(5));
    case.api.with_token(Some(token))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_lets_others_in_with_more_than_they_have() {
    let case = Case::new().await;
    let path = "/api/v1/auth/app-portal-access/acme";
    let half = organisations(&case, &[Capability::ViewBase, Capability::ManageEndpoint]);

    for wish in [json!({}), json!({ "capabilities": Capability::ALL })] {
        let answer = half.post_json(path, &wish).await;

        assert_eq!(answer.status, 200, "{answer:?}");
        let given = answer.json();
        let text = |name: &str| given[name].as_str().expect("a text").to_owned();
        let tenant = case.api.with_token(Some(text("token")));
        let made = json!({ "url": "http://127.0.0.1:1024/one" });
        let endpoint = tenant.post_json("/api/v1/app/acme/endpoint", &made).await;
        assert_eq!(endpoint.status, 201, "{endpoint:?}");
        let id = endpoint.json()["id"].as_str().expect("an id").to_owned();
        let secret = format!("/api/v1/app/acme/endpoint/{id}/secret");
        let answer = tenant.send("GET", &secret, &[], &[]).await;
        assert_eq!(lacks(&answer).as_deref(), Some("ViewEndpointSecret"));
        let code = text("url").split_once("#t=").expect("a code").1.to_owned();
        assert!(case.enter(&code).await.is_in().await);
        let database = rusqlite::Connection::open(case.posthaste.folder().join("posthaste.db"));
        let bits: u8 = database
            .expect("opens")
            .query_row("SELECT capabilities FROM sessions ORDER BY seen_at DESC", [], |row| {
                row.get(0)
            })
            .expect("a session");
        let expected = [Capability::ViewBase, Capability::ManageEndpoint];
        assert_eq!(bits, expected.into_iter().collect::<Capabilities>().bits());
    }
    let reader = organisations(&case, &[Capability::ViewBase]);
    let answer = reader.post_json(path, &json!({ "readOnly": true })).await;
    assert_eq!(lacks(&answer).as_deref(), Some("ManageEndpoint"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_kept_is_not_for_those_who_may_less() {
    let case = Case::new().await;
    let reader = organisations(&case, &[Capability::ViewBase]);
    let wish: Value = json!({ "url": "http://127.0.0.1:1024/one" });
    let ask = async |api: &Api| {
        let headers = [("content-type", "application/json"), ("idempotency-key", "one")];
        api.post("/api/v1/app/acme/endpoint", &headers, wish.to_string().as_bytes()).await
    };

    let first = ask(&case.api).await;

    assert_eq!(first.status, 201, "{first:?}");
    assert_eq!(ask(&case.api).await.body, first.body, "the same answer for the same caller");
    assert_eq!(lacks(&ask(&reader).await).as_deref(), Some("ManageEndpoint"));
}
