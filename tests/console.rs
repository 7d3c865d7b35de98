//! The operators' console over plain HTTP, as a browser without a script uses it: the real binary, embedded, a cookie, and
//! forms that carry what their page gave them.

mod support;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::json;
use support::api::{Answer, Api};
use support::eventually;
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use url::form_urlencoded;

/// A body of JSON.
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];
/// One attempt and no more.
/// Tried once, and however many have failed before.
const ONCE: [&str; 4] = ["--retry", "none", "--circuit-breaker", "false"];

/// An embedded router with the application `acme`, a receiver, and an operator who is logged in.
struct Case {
    posthaste: Posthaste,
    _router: Running,
    receiver: Receiver,
    api: Api,
    operator: Operator,
}

/// A browser that is logged in to the console.
struct Operator {
    api: Api,
    cookie: String,
}

impl Case {
    async fn new() -> Self {
        Self::of(Posthaste::embedded().with_application()).await
    }

    async fn of(posthaste: Posthaste) -> Self {
        let router = posthaste.serve().await;
        let api = Api::of(&posthaste, &router);
        let operator = Operator::log_in(&api, &api.token).await;
        Self { posthaste, _router: router, receiver: Receiver::start().await, api, operator }
    }

    /// Who may look alone.
    async fn reader(&self) -> Operator {
        let made = self.posthaste.json(&["token", "create", "--read-only"]);
        Operator::log_in(&self.api, made["token"].as_str().expect("a token")).await
    }

    async fn publish(&self, event_type: &str, id: &str) {
        let message = json!({ "eventType": event_type, "eventId": id, "payload": { "of": id } });
        let answer = self.api.post_json("/api/v1/app/acme/msg", &message).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// So many dead letters of an endpoint that answers 503; its id.
    async fn with_dead(&self, count: usize) -> String {
        let url = self.receiver.endpoint("hook", Script::Answer(503));
        let (id, _) = self.posthaste.endpoint("hook", &url, &ONCE);
        for number in 0..count {
            self.publish("job.failed", &format!("run-{number}")).await;
        }
        self.operator.until("/console/dead-letters", &format!(">{count}</a></th>")).await;
        id
    }
}

impl Operator {
    async fn log_in(api: &Api, token: &str) -> Self {
        let nobody = Self { api: api.with_token(None), cookie: String::new() };
        let answer = nobody.send("/console/login", &[("token", token)]).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let given = answer.header("set-cookie").expect("a cookie").to_owned();
        let cookie = given.split(';').next().expect("a pair").to_owned();
        Self { cookie, ..nobody }
    }

    async fn get(&self, path: &str) -> Answer {
        self.api.send("GET", path, &[("cookie", &self.cookie)], b"").await
    }

    /// A page that is there.
    async fn see(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let length = answer.body.len();
        assert!(length < 100_000, "{path} has {length} bytes");
        answer.body
    }

    /// Looks again and again until a page says this.
    async fn until(&self, path: &str, says: &str) -> String {
        eventually(&format!("{path} says {says}"), async || {
            let page = self.see(path).await;
            page.contains(says).then_some(page)
        })
        .await
    }

    /// Sends a form as it is.
    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let headers = [
            ("cookie", self.cookie.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("sec-fetch-site", "same-origin"),
        ];
        self.api.post(path, &headers, form.finish().as_bytes()).await
    }

    /// Fills in the form of a page that leads to `action`, with what is hidden in it, and sends it; where that leads.
    async fn fill(&self, page: &str, action: &str, typed: &[(&str, &str)]) -> String {
        let answer = self.filled(page, action, typed).await;
        assert_eq!(answer.status, 303, "{action}: {answer:?}");
        answer.header("location").expect("a place").to_owned()
    }

    /// The same, whatever is answered.
    async fn filled(&self, page: &str, action: &str, typed: &[(&str, &str)]) -> Answer {
        let page = self.see(page).await;
        let form = form_of(&page, action);
        let hidden = hidden_in(form);
        let mut fields: Vec<_> = hidden.iter().map(|(name, value)| (&**name, &**value)).collect();
        fields.extend(typed);
        self.send(action, &fields).await
    }
}

/// The form of a page that leads there.
fn form_of<'a>(page: &'a str, action: &str) -> &'a str {
    let begin = format!("<form method=\"post\" action=\"{action}\"");
    let at = page.find(&begin).unwrap_or_else(|| panic!("no form to {action}: {page}"));
    page[at..].split("</form>").next().expect("a form")
}

/// What a form carries unseen.
fn hidden_in(form: &str) -> Vec<(String, String)> {
    let inputs = form.split("<input type=\"hidden\"").skip(1);
    let attribute = |input: &str, name: &str| {
        let value = input.split(&format!("{name}=\"")).nth(1).expect("is there");
        let value = value.split('"').next().expect("a value");
        value.replace("&#38;", "&").replace("&#34;", "\"").replace("&#60;", "<")
    };
    inputs.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect()
}

/// The first link of a page that begins so.
fn link(page: &str, begins: &str) -> String {
    let at = page.find(&format!("href=\"{begins}"));
    let at = at.unwrap_or_else(|| panic!("no link to {begins}: {page}"));
    let href = page[at + 6..].split('"').next().expect("an address");
    href.replace("&#38;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_a_group_of_dead_letters_replays_it_and_watches_it_end() {
    let case = Case::new().await;
    let hook = case.with_dead(3).await;
    let operator = &case.operator;
    let groups = operator.see("/console/dead-letters").await;
    assert!(groups.contains("all attempts failed") && groups.contains("503"), "{groups}");
    let list = operator.see(&link(&groups, "/console/dead-letters/list?application=")).await;
    let letter = operator.see(&link(&list, "/console/dead-letters/dlv_")).await;
    assert!(letter.contains("run-") && letter.contains("Attempt 1"), "{letter}");

    case.receiver.endpoint("hook", Script::Answer(200));
    let preview = link(&groups, "/console/dead-letters/replay?");
    let says = operator.see(&preview).await;
    assert!(says.contains("Replay 3</button>"), "{says}");
    let typed = [("rate", "100"), ("reason", "the receiver is well again")];
    let at = operator.fill(&preview, "/console/dead-letters/replay", &typed).await;

    assert!(at.starts_with("/console/replays/rpl_") && at.ends_with("?done=begun"), "{at}");
    let page = operator.until(&at, "finished").await;
    assert!(page.contains("3 of 3") && page.contains("well again"), "{page}");
    operator.until("/console/dead-letters", "No dead letters").await;
    operator.until(at.split('?').next().expect("a path"), "<dt>✓ Delivered</dt><dd>3</dd>").await;
    let replay = at.split('?').next().expect("a path");
    assert!(!operator.see(&at).await.contains("goes on by itself"), "it has ended");
    assert_eq!(operator.get(&format!("{replay}/cancel")).await.status, 422);
    let audit = operator.see("/console/audit").await;
    for says in ["well again", "POST /console/dead-letters/replay", &hook] {
        assert!(audit.contains(says), "{says}: {audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_discarded_with_a_reason_and_their_number_typed() {
    let case = Case::new().await;
    case.with_dead(2).await;
    let operator = &case.operator;
    let groups = operator.see("/console/dead-letters").await;
    let ask = link(&groups, "/console/dead-letters/discard?");
    let action = "/console/dead-letters/discard";
    for (typed, fault) in [
        ([("typed", "3"), ("reason", "a test")], "fewer dead letters match"),
        ([("typed", "two"), ("reason", "a test")], "That is no number"),
        ([("typed", "2"), ("reason", "")], "why they are put away is wanted"),
    ] {
        let answer = operator.filled(&ask, action, &typed).await;
        assert_eq!(answer.status, 422, "{answer:?}");
        assert!(answer.body.contains(fault), "{fault}: {}", answer.body);
    }
    operator.until("/console/dead-letters", ">2</a></th>").await;

    let list = operator.see("/console/dead-letters/list").await;
    let letter = link(&list, "/console/dead-letters/dlv_");
    let shown = operator.see(&letter).await;
    assert!(shown.contains("the receiver answered 503") && shown.contains(">hook</a>"), "{shown}");

    let typed = [("typed", "2"), ("reason", "it was a test")];
    let at = operator.fill(&ask, action, &typed).await;

    let page = operator.see(&at).await;
    assert!(page.contains("Put away for good") && page.contains("No dead letters"), "{page}");
    assert!(operator.see("/console/audit").await.contains("it was a test"));
    let gone = operator.get(&letter).await;
    let at = gone.header("location").expect("its delivery").to_owned();
    assert!(operator.see(&at).await.contains("discarded"), "{at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_look_alone_is_offered_no_deed_and_refused_each() {
    let case = Case::new().await;
    let hook = case.with_dead(1).await;
    let reader = case.reader().await;
    let groups = reader.see("/console/dead-letters").await;
    let letter = link(&groups, "/console/dead-letters/dlv_");
    let application = link(&groups, "/console/applications/app_");
    let endpoint = format!("{application}/endpoints/{hook}");
    let event = link(&reader.see(&letter).await, "/console/events/msg_");
    let event = event.rsplit('/').next().expect("an id").to_owned();
    let delivery = format!("/console/deliveries/acme/{event}/{hook}");

    for page in [
        "/console",
        "/console/applications",
        &application,
        "/console/endpoints",
        &endpoint,
        "/console/deliveries?application=acme",
        &delivery,
        &format!("/console/events/{event}"),
        "/console/dead-letters",
        "/console/dead-letters/list",
        &letter,
        "/console/quarantine",
        "/console/replays",
        "/console/queues",
        "/console/egress",
        "/console/event-types",
        "/console/audit",
        "/console/configuration",
    ] {
        let shown = reader.see(page).await;
        let forms: Vec<_> = shown.split("<form method=\"post\"").skip(1).collect();
        let deeds = forms.iter().filter(|form| {
            !form.contains("action=\"/console/logout\"")
                && !form.contains("action=\"/console/egress\"")
        });
        assert_eq!(deeds.count(), 0, "{page}: {shown}");
        for word in ["…</a>", ">Delete", "New application", "Replay …"] {
            assert!(!shown.contains(word), "{page} offers {word}: {shown}");
        }
    }
    let token = hidden_in(form_of(&groups, "/console/logout"))[0].1.clone();
    for (deed, asks) in [
        ("/console/dead-letters/replay".to_owned(), true),
        ("/console/dead-letters/discard".to_owned(), true),
        ("/console/applications".to_owned(), false),
        (format!("{application}/link"), false),
        (format!("{application}/sessions"), true),
        (format!("{application}/delivery"), true),
        (format!("{application}/delete"), true),
        (format!("{endpoint}/pause"), true),
        (format!("{endpoint}/disable"), true),
        (format!("{delivery}/retry"), false),
        (format!("{delivery}/cancel"), true),
        ("/console/event-types".to_owned(), false),
        ("/console/quarantine/record/held_x".to_owned(), false),
        ("/console/replays/rpl_x/pause".to_owned(), false),
    ] {
        let fields = [("form_token", &*token), ("typed", "acme"), ("switch", "off")];
        let answer = reader.send(&deed, &fields).await;
        assert_eq!(answer.status, 403, "{deed}: {answer:?}");
        if asks {
            let answer = reader.get(&format!("{deed}?switch=off")).await;
            assert_eq!(answer.status, 403, "{deed}: {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_without_logging_in_and_a_tenants_token_lets_nobody_in() {
    let case = Case::new().await;
    let nobody = Operator { api: case.operator.api.clone(), cookie: String::new() };
    for page in ["/console", "/console/dead-letters", "/console/applications/acme"] {
        let answer = nobody.get(page).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/console/login")));
    }
    let tenant = case.posthaste.json(&["token", "create", "--app", "acme"]);
    let token = tenant["token"].as_str().expect("a token");
    let answer = nobody.send("/console/login", &[("token", token)]).await;
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_can_route_is_corrected_and_arrives() {
    let posthaste = Posthaste::embedded().with_application();
    // Published before its application goes, and looked at by a router behind that.
    let published =
        posthaste.run(&["publish", "--app", "acme", "--type", "job.made", "--id", "run-7"]);
    assert!(published.status.success(), "{published:?}");
    posthaste.json(&["app", "delete", "acme"]);
    posthaste.json(&["app", "create", "Heir", "--uid", "heir"]);
    let case = Case::of(posthaste).await;
    let url = case.receiver.endpoint("heir", Script::Answer(200));
    case.posthaste.json(&["endpoint", "create", "--app", "heir", "--url", &url]);
    let operator = &case.operator;
    let list = operator.until("/console/quarantine", "/console/quarantine/record/held_").await;
    let held = link(&list, "/console/quarantine/record/held_");
    let shown = operator.see(&held).await;
    assert!(shown.contains("job.made"), "{shown}");

    let wrong = [("routingKey", "nobody.job.made"), ("eventType", ""), ("body", "{\"n\": 7}")];
    let answer = operator.filled(&held, &held, &wrong).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert!(answer.body.contains("no application is called"), "{}", answer.body);
    assert!(answer.body.contains("{&#34;n&#34;: 7}"), "what was typed stays: {}", answer.body);
    let right = [("routingKey", "heir.job.made"), ("eventType", ""), ("body", "{\"n\": 7}")];
    let at = operator.fill(&held, &held, &right).await;

    let page = operator.see(&at).await;
    assert!(page.contains("Taken in again") && page.contains("Nothing here"), "{page}");
    eventually("it has arrived", async || (case.receiver.count("heir") == 1).then_some(())).await;
    let body = case.receiver.arrived("heir")[0].body.clone();
    assert_eq!(&*body, br#"{"n": 7}"#);
    assert!(operator.see("/console/audit").await.contains("heir.job.made"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_receivers_answer_is_text_wherever_an_operator_meets_it() {
    const HOSTILE: &str =
        "<script>alert(1)</script>\u{202e}<img src=x onerror=alert(1)>\u{1b}[31m\"'&{{7*7}}";
    let answer = || async { (StatusCode::INTERNAL_SERVER_ERROR, HOSTILE.repeat(400)) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/hook?<b>=\"", listener.local_addr().expect("bound"));
    let routes = Router::new().route("/hook", post(answer));
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    let case = Case::new().await;
    let name = "</title><script>alert(2)</script>\u{202e}";
    case.api.post_json("/api/v1/app", &json!({ "name": name, "uid": "hostile" })).await;
    let more = ["--retry", "none", "--description", "<script>alert(3)</script>"];
    let (hook, _) = case.posthaste.endpoint("hook", &url, &more);
    let message = json!({
        "eventType": "job.failed", "eventId": "run-1", "subject": "<b>\u{202e}</b>",
        "payload": { "<script>": "</pre><script>alert(4)</script>\u{200b}" },
    });
    let published = case.api.post_json("/api/v1/app/acme/msg", &message).await;
    let event = published.json()["id"].as_str().expect("an id").to_owned();
    let operator = &case.operator;
    let groups = operator.until("/console/dead-letters", ">1</a></th>").await;
    let letter = link(&groups, "/console/dead-letters/dlv_");

    for page in [
        "/console",
        "/console/applications",
        "/console/applications/hostile",
        "/console/endpoints?text=%3Cscript%3E",
        &format!("/console/applications/acme/endpoints/{hook}"),
        "/console/dead-letters?endpoint=%22%3E%3Cscript%3E&application=acme",
        "/console/dead-letters/list",
        &letter,
        &format!("/console/events/{event}"),
        &format!("/console/deliveries/acme/{event}/{hook}"),
        "/console/deliveries?application=acme&subject=%3Cscript%3E",
        "/console/deliveries?q=%3Cscript%3E",
        "/console/audit?text=%22%3E%3Cscript%3E",
    ] {
        let answer = operator.get(page).await;
        let shown = &answer.body;
        let scripts: Vec<_> = shown.split("<script").skip(1).collect();
        assert!(scripts.iter().all(|one| one.starts_with(" src=\"/assets/")), "{page}: {shown}");
        for part in ["<img src=x", "<b>", "\u{202e}", "\u{200b}", "\u{1b}"] {
            assert!(!shown.contains(part), "{page} has {part:?}: {shown}");
        }
        assert!(shown.len() < 100_000, "{page} has {} bytes", shown.len());
    }
    let shown = operator.see(&letter).await;
    assert!(shown.contains("&#60;script&#62;alert(1)") && shown.contains("\\u{202e}"), "{shown}");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_is_made_held_back_let_in_and_deleted_by_its_name() {
    let case = Case::new().await;
    let operator = &case.operator;
    let refused = operator
        .filled("/console/applications/new", "/console/applications", &[("uid", "n")])
        .await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let typed = [("name", "New one"), ("uid", "new-one")];
    let at = operator.fill("/console/applications/new", "/console/applications", &typed).await;
    let at = at.split('?').next().expect("a path").to_owned();
    let found = operator.get("/console/applications?q=new-one").await;
    assert_eq!(found.header("location"), Some(&*at));
    let found = operator.see("/console/applications?q=EW+O").await;
    assert!(found.contains(&format!("href=\"{at}\"")), "by its name: {found}");

    let switch = format!("{at}/delivery");
    operator.fill(&format!("{switch}?switch=hold"), &switch, &[]).await;
    assert!(operator.see(&at).await.contains("on hold"));
    let shown = operator.filled(&at, &format!("{at}/link"), &[("may", "view")]).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let code = shown.body.split("/portal/enter#t=").nth(1).expect("a link");
    let code = code.split('"').next().expect("a code");
    let tenant = Operator { api: operator.api.clone(), cookie: String::new() };
    let entered = tenant.send("/portal/enter", &[("token", code)]).await;
    assert_eq!(entered.status, 303, "{entered:?}");
    let again = tenant.send("/portal/enter", &[("token", code)]).await;
    assert_eq!(again.status, 401, "once: {again:?}");

    let end = format!("{at}/sessions");
    let question = operator.see(&end).await;
    assert!(
        question.contains("End all its sessions?") && question.contains("New one"),
        "{question}"
    );
    operator.fill(&end, &end, &[]).await;
    assert!(operator.see("/console/audit?text=/sessions").await.contains("ended"));

    let by_uid = json!({ "name": "New one", "uid": "new-one" });
    case.api.send("PUT", "/api/v1/app/new-one", &JSON, by_uid.to_string().as_bytes()).await;
    let about = operator.see(&link(&operator.see(&at).await, "/console/audit?of=")).await;
    for says in ["/api/v1/app/new-one", "/delivery", "POST /console/applications/{app}/link"] {
        assert!(about.contains(says), "{says}: {about}");
    }

    let delete = format!("{at}/delete");
    let wrong = operator.filled(&delete, &delete, &[("typed", "acme")]).await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    operator.fill(&delete, &delete, &[("typed", "new-one")]).await;
    assert_eq!(operator.get(&at).await.status, 404);
    let audit = operator.see("/console/audit").await;
    for says in ["/delivery", "/link", "/delete", "new-one"] {
        assert!(audit.contains(says), "{says}: {audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_paused_its_delivery_tried_once_more_and_cancelled() {
    let case = Case::new().await;
    let operator = &case.operator;
    let url = case.receiver.endpoint("slow", Script::Answer(503));
    let (hook, _) = case.posthaste.endpoint("slow", &url, &[]);
    case.publish("job.failed", "run-1").await;
    let list = "/console/deliveries?application=acme&state=waiting";
    let page = operator.until(list, "job.failed").await;
    let delivery = link(&page, "/console/deliveries/app_");
    let story = operator.see(&delivery).await;
    assert!(story.contains("was answered 503: the receiver could not do it"), "{story}");

    operator.fill(&delivery, &format!("{delivery}/retry"), &[]).await;
    eventually("it was asked for", async || (case.receiver.count("slow") > 1).then_some(())).await;
    let cancel = format!("{delivery}/cancel");
    operator.fill(&cancel, &cancel, &[("reason", "of no use")]).await;
    operator.until(&delivery, "cancelled").await;

    let application = delivery.split('/').nth(3).expect("an id");
    let at = format!("/console/applications/{application}/endpoints/{hook}");
    operator.fill(&format!("{at}/pause"), &format!("{at}/pause"), &[]).await;
    assert!(operator.see("/console/endpoints?state=paused").await.contains("paused"));
    operator.fill(&format!("{at}/resume"), &format!("{at}/resume"), &[]).await;
    operator.fill(&format!("{at}/disable"), &format!("{at}/disable"), &[]).await;
    assert!(operator.see(&at).await.contains("somebody has asked for it"));
    operator.fill(&format!("{at}/enable"), &format!("{at}/enable"), &[]).await;
    assert!(operator.see(&at).await.contains("active"));
    assert!(operator.see("/console/audit?text=cancel").await.contains("of no use"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_type_is_listed_edited_and_archived() {
    let case = Case::new().await;
    let operator = &case.operator;
    let (new, at) = ("/console/new-event-type", "/console/event-types/job.done");
    let no_json = [("name", "job.done"), ("schemas", "{")];
    let wrong = operator.filled(new, "/console/event-types", &no_json).await;
    assert_eq!(wrong.status, 422, "{wrong:?}");
    assert!(wrong.body.contains("this is not JSON"), "{}", wrong.body);
    let schemas = r#"{"1": {"type": "object", "properties": {"n": {"type": "integer"}}}}"#;
    let typed = [("name", "job.done"), ("description", "A job is done."), ("schemas", schemas)];
    operator.fill(new, "/console/event-types", &typed).await;
    assert!(operator.see(at).await.contains("integer"));

    let edit = format!("{at}/edit");
    let typed = [("description", "Done."), ("schemas", schemas), ("deprecated", "yes")];
    operator.fill(&edit, &edit, &typed).await;
    assert!(operator.see("/console/event-types").await.contains("deprecated"));
    operator.fill(&format!("{at}/archive"), &format!("{at}/archive"), &[]).await;
    assert!(!operator.see("/console/event-types").await.contains("job.done"));
    assert!(operator.see("/console/event-types?archived=1").await.contains("job.done"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_tried_step_by_step_and_the_settings_say_where_they_come_from() {
    let case = Case::new().await;
    let operator = &case.operator;
    let typed = [("url", "https://169.254.169.254/latest/meta-data")];
    let tried = operator.filled("/console/egress", "/console/egress", &typed).await;
    assert_eq!(tried.status, 200, "{tried:?}");
    for says in ["would not be called", "refused", "passes", "not looked at"] {
        assert!(tried.body.contains(says), "{says}: {}", tried.body);
    }
    let audit = operator.see("/console/audit").await;
    assert!(audit.contains("169.254.169.254") && !audit.contains("meta-data"), "{audit}");
    let page = operator.see("/console/configuration").await;
    assert!(page.contains("environment:POSTHASTE_DATA_DIR"), "{page}");
    assert!(page.contains("not safe outside a developer"), "{page}");
    let queues = operator.see("/console/queues").await;
    assert!(queues.contains("due already") && queues.contains("nothing is late"), "{queues}");
    let health = operator.see("/console").await;
    assert!(health.contains("ready") && health.contains("there is none"), "{health}");
}
