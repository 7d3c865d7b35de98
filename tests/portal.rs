//! The tenants' portal over plain HTTP, as a browser without a script uses it: a link, a cookie, forms. The real binary,
//! embedded.

mod support;

use std::time::Duration;

use posthaste::domain::signature::{ReceiverKey, verify};
use serde_json::{Value, json};
use support::api::{Answer, Api};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::{clock, until};
use url::form_urlencoded;

const SOON: Duration = Duration::from_mins(2);

/// An embedded router with the application `acme`, and a receiver.
struct Case {
    receiver: Receiver,
    _router: Running,
    _posthaste: Posthaste,
    api: Api,
}

/// Somebody whom a link has let in.
struct Visitor {
    pages: Api,
    cookie: String,
    form_token: String,
}

impl Case {
    async fn new() -> Self {
        let posthaste = Posthaste::embedded().with_application();
        let receiver = Receiver::start().await;
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        Self { receiver, _router: router, _posthaste: posthaste, api }
    }

    /// Lets somebody in by a link that is asked for so.
    async fn visitor(&self, wish: &Value) -> Visitor {
        self.visitor_of("acme", wish).await
    }

    /// Lets somebody of another application in.
    async fn visitor_of(&self, app: &str, wish: &Value) -> Visitor {
        let path = format!("/api/v1/auth/app-portal-access/{app}");
        let made = self.api.post_json(&path, wish).await;
        let url = made.json()["url"].as_str().expect("a link").to_owned();
        let (_, code) = url.split_once("#t=").expect("a code");
        let pages = self.api.with_token(None);
        let form = format!("token={code}");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
        ];
        let answer = pages.post("/portal/enter", &headers, form.as_bytes()).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie").expect("a session");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        let mut visitor = Visitor { pages, cookie, form_token: String::new() };
        let page = visitor.get("/portal").await;
        between(&page, "name=\"form_token\" value=\"", "\"").clone_into(&mut visitor.form_token);
        visitor
    }

    async fn publish(&self, job: &str) {
        let message =
            json!({ "eventType": "job.completed", "subject": job, "payload": { "job": job } });
        let answer = self.api.post_json("/api/v1/app/acme/msg", &message).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
}

impl Visitor {
    async fn ask(&self, path: &str) -> Answer {
        self.pages.send("GET", path, &[("cookie", &self.cookie)], b"").await
    }

    /// A page that has to be there.
    async fn get(&self, path: &str) -> String {
        let answer = self.ask(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    /// Sends a form of this session.
    async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("form_token", &self.form_token).extend_pairs(fields);
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.pages.post(path, &headers, form.finish().as_bytes()).await
    }

    /// Sends a form whose deed leads to another page; where.
    async fn done(&self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        assert_eq!(answer.status, 303, "{path}: {answer:?}");
        answer.header("location").expect("a page").to_owned()
    }

    /// Adds an endpoint; its id and its secret.
    async fn endpoint(&self, fields: &[(&str, &str)]) -> (String, String) {
        let signing = self.done("/portal/endpoints/new", fields).await;
        let (signing, done) = signing.split_once('?').expect("what was done");
        assert_eq!(done, "done=endpoint-made");
        let id = between(signing, "/portal/endpoints/", "/signing");
        (id.to_owned(), self.newest_key(signing).await)
    }

    /// An endpoint's newest key, by the form that shows it.
    async fn newest_key(&self, signing: &str) -> String {
        let revealed = self.post(signing, &[]).await;
        assert_eq!(revealed.status, 200, "{revealed:?}");
        format!("whsec_{}", between(&revealed.body, "whsec_", "<"))
    }

    /// The path of the one delivery to an endpoint, once it stands so.
    async fn delivery(&self, endpoint: &str, state: &str) -> String {
        let list = format!("/portal/deliveries?endpoint={endpoint}&state={state}");
        let mut page = String::new();
        until("the delivery stands so", SOON, async || {
            page = self.get(&list).await;
            page.contains("/portal/deliveries/msg_")
        })
        .await;
        let path = between(&page, "/portal/deliveries/msg_", "?");
        format!("/portal/deliveries/msg_{path}")
    }
}

/// What stands between two texts, behind the first of the one and before the first of the other.
fn between<'a>(text: &'a str, before: &str, behind: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before} in {text}"));
    rest.split_once(behind).expect("an end").0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_comes_by_link_adds_an_endpoint_breaks_it_rotates_and_replays() {
    let case = Case::new().await;
    let url = case.receiver.endpoint("hook", Script::Answer(200));
    let tenant = case.visitor(&json!({})).await;
    assert!(tenant.get("/portal").await.contains("Three steps"), "nothing is there yet");
    assert!(tenant.get("/portal/endpoints").await.contains("No endpoints"));

    let fields = [("url", url.as_str()), ("description", "Jobs"), ("retry", "none")];
    let (id, secret) = tenant.endpoint(&fields).await;
    let here = format!("/portal/endpoints/{id}");
    let signing = tenant.get(&format!("{here}/signing")).await;
    assert!(!signing.contains(&secret), "shown to whoever asks for it, and to nobody else");
    let made = tenant.get(&format!("{here}/signing?done=endpoint-made")).await;
    assert!(made.contains("The endpoint is made") && !made.contains(&secret), "{made}");

    // A test, and an event: the receiver has both, signed.
    let tested = tenant.post(&format!("{here}/test"), &[]).await;
    assert!(tested.body.contains("It answered 200"), "{tested:?}");
    case.publish("job-1").await;
    let delivered = tenant.get(&tenant.delivery(&id, "delivered").await).await;
    assert!(delivered.contains("was answered 200"), "{delivered}");
    assert!(delivered.contains("job-1"), "the payload: {delivered}");
    for header in ["webhook-id", "webhook-signature", "content-type"] {
        assert!(delivered.contains(header), "{header} of the request: {delivered}");
    }
    let key: ReceiverKey = secret.parse().expect("a key");
    let request = case.receiver.arrived("hook").pop().expect("a request");
    let now_s = clock().as_seconds();
    let (stamp, signature) = (&request.timestamp, &request.signature);
    assert_eq!(verify([&key], &request.id, stamp, signature, &request.body, now_s), Ok(()));

    // What can be copied is what was published, to the byte: not what is shown with lines of its own.
    let path = tenant.delivery(&id, "delivered").await;
    let event = between(&path, "/portal/deliveries/", "/ep_").to_owned();
    for path in [path, format!("/portal/events/{event}")] {
        let body =
            |page: String| between(&page, "class=\"foreign\" data-json", "</pre>").to_owned();
        let raw = body(tenant.get(&format!("{path}?body=raw")).await);
        assert!(raw.starts_with(" data-copy>{"), "{path}: {raw}");
        let indented = body(tenant.get(&path).await);
        assert!(indented.starts_with(">{"), "{path}: {indented}");
    }

    // The checker says the same, and which part differs of one that was changed.
    let mut pasted = vec![
        ("endpoint", id.as_str()),
        ("id", &request.id),
        ("timestamp", stamp),
        ("signature", signature),
        ("body", std::str::from_utf8(&request.body).expect("text")),
    ];
    let checked = tenant.post("/portal/signature", &pasted).await;
    assert!(checked.body.contains("</span> verified"), "{checked:?}");
    pasted[4].1 = r#"{ "job": "job-1" }"#;
    let checked = tenant.post("/portal/signature", &pasted).await;
    assert!(checked.body.contains("read and written again"), "{checked:?}");
    let long = "x".repeat(70_000);
    pasted[4].1 = &long;
    let refused = tenant.post("/portal/signature", &pasted).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("64 KiB are checked here at the most"), "{refused:?}");
    assert!(!refused.body.contains(&long), "it is not sent back");

    // It breaks, and the page says how.
    case.receiver.endpoint("hook", Script::Answer(503));
    case.publish("job-2").await;
    let broken = tenant.delivery(&id, "dead").await;
    let page = tenant.get(&broken).await;
    assert!(page.contains("was answered 503: the receiver could not do it"), "{page}");
    assert!(page.contains("all its attempts have failed"), "{page}");
    assert!(tenant.get("/portal/deliveries?state=waiting").await.contains("is like this"));

    // Another key, beside the older one.
    let rotated = tenant.done(&format!("{here}/rotate"), &[("overlap_s", "3600")]).await;
    let shown = tenant.get(&rotated).await;
    let fresh = tenant.newest_key(&format!("{here}/signing")).await;
    assert_ne!(fresh, secret);
    assert!(shown.contains("Rotated.") && !shown.contains(&fresh), "{shown}");

    // Counted, begun, delivered, with both signatures.
    case.receiver.endpoint("hook", Script::Answer(200));
    let counted =
        tenant.get(&format!("/portal/replays/new?count=1&scope=given_up&endpoint={id}")).await;
    assert!(counted.contains("1 delivery matches"), "{counted}");
    let fields = [("scope", "given_up"), ("endpoint", id.as_str()), ("expect", "1")];
    let replay = tenant.done("/portal/replays/new", &fields).await;
    until("the replay has delivered it", SOON, async || {
        let page = tenant.get(&replay).await;
        page.contains("finished") && page.contains("<dt>✓ Delivered</dt><dd>1</dd>")
    })
    .await;
    let last = case.receiver.arrived("hook").pop().expect("a request");
    assert_eq!(last.signature.split(' ').count(), 2, "{last:?}");
    assert!(tenant.get(&broken).await.contains("Offered again by replay"));
    assert!(tenant.get(&format!("{here}/history")).await.contains("/rotate"), "it is on record");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_form_stands_beside_its_fields_and_what_was_typed_stays() {
    let case = Case::new().await;
    let tenant = case.visitor(&json!({})).await;
    let fields = [
        ("url", "ftp://nowhere.example/<b>"),
        ("description", "Kept & <shown>"),
        ("throttle_rate", "fast"),
        ("auth", "basic"),
        ("auth_secret", "open sesame"),
    ];
    let refused = tenant.post("/portal/endpoints/new", &fields).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.body.contains("id=\"throttle_rate-fault\""), "{refused:?}");
    assert!(refused.body.contains("2 things are"), "{refused:?}");
    assert!(refused.body.contains("Kept &#38; &#60;shown&#62;"), "typed, and kept: {refused:?}");
    assert!(!refused.body.contains("open sesame"), "a secret is not written back");

    let of_the_guard = tenant.post("/portal/endpoints/new", &fields[..2]).await;
    assert_eq!(of_the_guard.status, 422, "{of_the_guard:?}");
    assert!(of_the_guard.body.contains("id=\"url-fault\""), "{of_the_guard:?}");
    assert!(tenant.get("/portal/endpoints").await.contains("No endpoints"), "nothing was made");

    let url = case.receiver.endpoint("hook", Script::Answer(200));
    let headers =
        [("url", url.as_str()), ("header_name_0", "x-key"), ("header_value_0", "swordfish")];
    let (id, _) = tenant.endpoint(&headers).await;
    let form = tenant.get(&format!("/portal/endpoints/{id}/edit")).await;
    assert!(form.contains("value=\"x-key\"") && !form.contains("swordfish"), "{form}");
    let kept = [("url", url.as_str()), ("header_name_0", "X-Key"), ("timeout_ms", "2000")];
    tenant.done(&format!("/portal/endpoints/{id}/edit"), &kept).await;
    // Whoever had the form open before does not undo that.
    let stale = ("version", between(&form, "name=\"version\" value=\"", "\""));
    let undone = tenant.post(&format!("/portal/endpoints/{id}/edit"), &[kept[0], stale]).await;
    assert_eq!(undone.status, 422, "{undone:?}");
    assert!(undone.body.contains("Somebody has changed this endpoint"), "{undone:?}");
    case.publish("job-1").await;
    until("the receiver has it", SOON, async || case.receiver.count("hook") > 0).await;
    let request = &case.receiver.arrived("hook")[0];
    assert_eq!(request.headers["x-key"], "swordfish", "kept without being typed again");

    // A value that is typed is not written back: it is asked for again, and the old one is not kept in silence.
    let edit = format!("/portal/endpoints/{id}/edit");
    let typed = [
        ("url", url.as_str()),
        ("header_name_0", "x-key"),
        ("header_value_0", "marlin"),
        ("check", "url"),
    ];
    let checked = tenant.post(&edit, &typed).await;
    assert_eq!(checked.status, 200, "{checked:?}");
    assert!(
        checked.body.contains("may be called") && !checked.body.contains("marlin"),
        "{checked:?}"
    );
    let mark = ("typed_header_value_0", "yes");
    let marked = format!("name=\"{}\" value=\"{}\"", mark.0, mark.1);
    assert!(checked.body.contains(&marked), "{checked:?}");
    let lost = tenant.post(&edit, &[typed[0], typed[1], mark]).await;
    assert_eq!(lost.status, 422, "{lost:?}");
    assert!(lost.body.contains("type it once more") && lost.body.contains(&marked), "{lost:?}");
    tenant.done(&edit, &[typed[0], typed[1], typed[2], mark]).await;
    case.publish("job-2").await;
    until("the receiver has it", SOON, async || case.receiver.count("hook") > 1).await;
    assert_eq!(case.receiver.arrived("hook")[1].headers["x-key"], "marlin");
    // Enter presses the first button of a form: it is the one that saves.
    let before = |page: &str, word: &str| page.find(word).expect("a button");
    let save = before(&checked.body, ">Save</button>");
    assert!(save < before(&checked.body, ">Check the URL</button>"), "{checked:?}");

    // To leave the older keys at once is asked about first, and makes nothing else of it.
    let rotate = format!("/portal/endpoints/{id}/rotate");
    let unasked = tenant.post(&rotate, &[("overlap_s", "0")]).await;
    assert_eq!(unasked.status, 422, "{unasked:?}");
    let asked = tenant.get(&rotate).await;
    assert!(asked.contains("The key that signs now signs") && asked.contains(&url), "{asked}");
    tenant.done(&rotate, &[("overlap_s", "0"), ("sure", "yes")]).await;
    let signing = tenant.get(&format!("/portal/endpoints/{id}/signing")).await;
    assert_eq!(signing.matches("</span> newest").count(), 1, "{signing}");
    assert!(!signing.contains("being left"), "{signing}");

    // Deleting wants its name typed.
    let delete = format!("/portal/endpoints/{id}/delete");
    let refused = tenant.post(&delete, &[("typed", "yes")]).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    assert_eq!(tenant.done(&delete, &[("typed", &id)]).await, "/portal/endpoints?done=deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_is_offered_nothing_else_and_refused_it() {
    let case = Case::new().await;
    let tenant = case.visitor(&json!({})).await;
    let url = case.receiver.endpoint("hook", Script::Answer(503));
    let (id, secret) = tenant.endpoint(&[("url", &url), ("retry", "none")]).await;
    case.publish("job-1").await;
    let delivery = tenant.delivery(&id, "dead").await;
    let viewer = case.visitor(&json!({ "capabilities": ["ViewBase"] })).await;

    let here = format!("/portal/endpoints/{id}");
    for path in [
        "/portal",
        "/portal/endpoints",
        &here,
        &format!("{here}/settings"),
        &format!("{here}/signing"),
        &format!("{here}/health"),
        &format!("{here}/history"),
        "/portal/deliveries",
        &delivery,
        "/portal/replays",
        "/portal/event-types",
        "/portal/signature",
        "/portal/settings",
    ] {
        let page = viewer.get(path).await;
        assert!(!page.contains(&secret), "{path}");
        for offered in ["/retry\"", "/rotate\"", "/pause\"", "/edit\"", "/delete\"", "/replays/new"]
        {
            assert!(!page.contains(offered), "{path} offers {offered}");
        }
    }
    for path in [format!("{here}/edit"), format!("{here}/test"), "/portal/replays/new".into()] {
        assert_eq!(viewer.ask(&path).await.status, 403, "{path}");
    }
    for path in ["/pause", "/delete", "/signing", "/rotate", "/test", "/example"] {
        let refused = viewer.post(&format!("{here}{path}"), &[("typed", &id)]).await;
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
    }
    let refused = viewer.post(&format!("{delivery}/retry"), &[]).await;
    assert_eq!(refused.status, 403, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_answers_is_shown_as_text_alone() {
    let case = Case::new().await;
    let tenant = case.visitor(&json!({})).await;
    let url = case.receiver.endpoint("hook", Script::Answer(200));
    let name = "<script>alert(1)</script>\u{202e}";
    let (id, _) = tenant.endpoint(&[("url", &url), ("description", name)]).await;
    let message =
        json!({ "eventType": "job.completed", "subject": name, "payload": { "x": name } });
    let answer = case.api.post_json("/api/v1/app/acme/msg", &message).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let delivery = tenant.delivery(&id, "delivered").await;
    let event = between(&delivery, "/portal/deliveries/", "/ep_");
    for path in
        ["/portal/endpoints", "/portal/deliveries", &delivery, &format!("/portal/events/{event}")]
    {
        let page = tenant.get(path).await;
        assert!(!page.contains("<script>alert") && !page.contains('\u{202e}'), "{path}: {page}");
        assert!(page.len() < 100_000, "{path}: {} bytes", page.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_has_what_its_own_application_and_its_operators_did() {
    let case = Case::new().await;
    let other = json!({ "name": "other", "uid": "other" });
    assert_eq!(case.api.post_json("/api/v1/app", &other).await.status, 201);
    let tenant = case.visitor(&json!({})).await;
    let url = case.receiver.endpoint("hook", Script::Answer(200));
    let (id, _) = tenant.endpoint(&[("url", &url), ("uid", "hook")]).await;
    let neighbour = case.visitor_of("other", &json!({})).await;
    let tried = neighbour.post(&format!("/portal/endpoints/{id}/resume"), &[]).await;
    assert_eq!(tried.status, 404, "{tried:?}");
    tenant.done("/portal/endpoints/hook/pause", &[]).await;
    let path = format!("/api/v1/app/acme/endpoint/{id}");
    let patched =
        case.api.send("PATCH", &path, &[("content-type", "application/json")], b"{}").await;
    assert_eq!(patched.status, 200, "{patched:?}");

    let page = tenant.get(&format!("/portal/endpoints/{id}/history")).await;

    assert!(page.contains("/pause</code>"), "by the name that it was given: {page}");
    assert!(page.contains("the platform") && page.contains("PATCH"), "{page}");
    assert!(!page.contains("/resume</"), "a neighbour's: {page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deed_whose_answer_nobody_waits_for_has_an_end_on_record() {
    let case = Case::new().await;
    let tenant = case.visitor(&json!({})).await;
    let url = case.receiver.endpoint("hook", Script::Hang);
    let (id, _) = tenant.endpoint(&[("url", &url)]).await;
    let test = format!("/portal/endpoints/{id}/test");
    tokio::select! {
        answer = tenant.post(&test, &[]) => panic!("the receiver never answers: {answer:?}"),
        () = until("it is called", SOON, async || case.receiver.count("hook") > 0) => {}
    }
    // The one who asked is gone.
    until("the entry has an end", SOON, async || {
        let log = case.api.send("GET", "/api/v1/audit", &[], b"").await.json();
        let entries = log["data"].as_array().expect("entries").clone();
        entries.iter().any(|entry| entry["object"] == json!(test) && entry["status"] == json!(503))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_older_than_a_list_to_choose_from_is_chosen_all_the_same() {
    const LISTED: usize = 250;
    let case = Case::new().await;
    let tenant = case.visitor(&json!({})).await;
    let url = case.receiver.endpoint("hook", Script::Answer(200));
    let add = async |name: &str| {
        let new = json!({ "url": url, "description": name });
        let made = case.api.post_json("/api/v1/app/acme/endpoint", &new).await;
        assert_eq!(made.status, 201, "{made:?}");
        made.json()["id"].as_str().expect("an id").to_owned()
    };
    let oldest = add("The first of all").await;
    tenant.done(&format!("/portal/endpoints/{oldest}/pause"), &[]).await;
    for _ in 0..LISTED {
        add("another").await;
    }
    let chosen = format!("value=\"{oldest}\" selected>The first of all<");
    for page in ["/portal/deliveries", "/portal/replays/new", "/portal/signature"] {
        let shown = tenant.get(&format!("{page}?endpoint={oldest}")).await;
        assert!(shown.contains(&chosen) && shown.contains("Of the newest 250"), "{page}: {shown}");
        assert!(!tenant.get(page).await.contains(&oldest), "{page}");
    }
    let overview = tenant.get("/portal").await;
    assert!(overview.contains("The first of all</a>: It is paused"), "{overview}");
    // One that is gone stays chosen as well: its deliveries are what one looks at.
    let gone = "ep_000000000000000000000000001";
    let shown = tenant.get(&format!("/portal/deliveries?endpoint={gone}")).await;
    assert!(shown.contains(&format!("value=\"{gone}\" selected")), "{shown}");
}
