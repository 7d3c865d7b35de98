//! Links that open once, and sessions that end: by their time, by nobody's using them, and when somebody says so.

use std::time::Duration;

use serde_json::json;

use crate::case::{Case, FROM_HERE};

const MINUTE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_link_opens_once_and_looking_at_it_uses_nothing_up() {
    let case = Case::new().await;
    let code = case.link("acme", &json!({})).await;
    let nobody = case.nobody();
    for _ in 0..3 {
        let page = nobody.get("/portal/enter").await;
        assert_eq!((page.status, page.header("set-cookie")), (200, None), "what mail scanners do");
    }

    let send = async || nobody.post("/portal/enter", &[FROM_HERE], &[("token", &code)]).await;
    let many = futures_util::future::join_all((0..8).map(|_| send())).await;

    let mut statuses: Vec<_> = many.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 401, 401, 401, 401, 401, 401, 401], "one of eight at once");
    for refused in many.iter().filter(|answer| answer.status == 401) {
        assert_eq!(refused.header("set-cookie"), None);
        assert!(refused.body.contains("This link does not open"), "{refused:?}");
    }
    for wrong in ["", "x", &code[1..], &"A".repeat(200_000)] {
        let answer = nobody.post("/portal/enter", &[FROM_HERE], &[("token", wrong)]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "{wrong:.20}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_and_sessions_end_by_their_time() {
    let case = Case::new().await;
    let [first, second, short] = [json!({}), json!({}), json!({ "expiry": 600 })];
    let (first, second) = (case.link("acme", &first).await, case.link("acme", &second).await);
    let short = case.link("acme", &short).await;
    let (used, unused) =
        (case.tenant("acme", &json!({})).await, case.tenant("acme", &json!({})).await);
    let bounded = case.tenant("acme", &json!({ "expiry": 2_400 })).await; // 40 minutes
    let operator = case.operator(&["--expires", "35m"]).await;

    // Minutes from every limit: three routers start meanwhile, and a slow machine takes its time for that.
    let case = case.later(12 * MINUTE).await;
    let opened = case.enter(&first).await;
    assert!(opened.is_in().await);
    let answer = case.nobody().post("/portal/enter", &[FROM_HERE], &[("token", &short)]).await;
    assert_eq!(answer.status, 401, "a link does not outlive what it gives");

    let case = case.later(16 * MINUTE).await;
    let answer = case.nobody().post("/portal/enter", &[FROM_HERE], &[("token", &second)]).await;
    assert_eq!(answer.status, 401, "over after a quarter of an hour");

    let case = case.later(26 * MINUTE).await;
    for visitor in [&used, &bounded, &operator] {
        assert!(case.again(visitor).is_in().await, "used within half an hour");
    }
    let database = rusqlite::Connection::open(case.posthaste.folder().join("posthaste.db"));
    let database = database.expect("opens");
    let clicked = (crate::support::clock() + 20 * MINUTE).as_millis();
    crate::support::until("the clicks are noted", crate::support::PATIENCE, async || {
        let noted = "SELECT count(*) FROM sessions WHERE seen_at > ?1";
        database.query_row(noted, [clicked], |row| row.get::<_, i64>(0)).ok() == Some(3)
    })
    .await;

    let case = case.later(36 * MINUTE).await;
    assert!(!case.again(&operator).is_in().await, "not longer than the token");
    assert!(case.again(&bounded).is_in().await);
    assert!(!case.again(&unused).is_in().await, "half an hour without a click");

    let case = case.later(41 * MINUTE).await;
    assert!(!case.again(&bounded).is_in().await, "not longer than it was to be, whatever they do");

    let case = case.later(52 * MINUTE).await;
    assert!(case.again(&used).is_in().await, "26 minutes behind the last click");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_looks_by_itself_keeps_no_session() {
    let case = Case::new().await;
    let (left, used) =
        (case.tenant("acme", &json!({})).await, case.tenant("acme", &json!({})).await);

    let case = case.later(20 * MINUTE).await;
    let answer = case.again(&left).get_again("/portal").await;
    assert_eq!(answer.status, 200, "it is let in: {answer:?}");
    assert!(case.again(&used).is_in().await);

    let case = case.later(27 * MINUTE).await;
    assert_eq!(case.again(&left).get_again("/portal").await.status, 200);
    assert!(case.again(&used).is_in().await);
    let database = rusqlite::Connection::open(case.posthaste.folder().join("posthaste.db"));
    let database = database.expect("opens");
    let clicked = (crate::support::clock() + 25 * MINUTE).as_millis();
    crate::support::until("the click is noted", crate::support::PATIENCE, async || {
        let noted = "SELECT count(*) FROM sessions WHERE seen_at > ?1";
        database.query_row(noted, [clicked], |row| row.get::<_, i64>(0)).ok() == Some(1)
    })
    .await;

    let case = case.later(31 * MINUTE).await;
    assert_eq!(case.again(&left).get_again("/portal").await.status, 401, "nobody has clicked");
    assert!(case.again(&used).is_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lasts_for_a_working_day_at_the_most() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await; // a token for seven days
    let operator = case.operator(&[]).await; // and one for ten years
    let database = rusqlite::Connection::open(case.posthaste.folder().join("posthaste.db"));
    let database = database.expect("opens");
    let used_until = async |case: Case, ahead: Duration| {
        let case = case.later(ahead).await;
        let at = (crate::support::clock() + ahead).as_millis();
        database.execute("UPDATE sessions SET seen_at = ?1", [at]).expect("as by clicks");
        case
    };

    let case = used_until(case, Duration::from_mins(12 * 60 - 5)).await;
    assert!(case.again(&tenant).is_in().await && case.again(&operator).is_in().await);

    let case = used_until(case, Duration::from_hours(12) + MINUTE).await;
    assert!(!case.again(&tenant).is_in().await && !case.again(&operator).is_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_left_is_over_from_the_next_request_on() {
    let case = Case::new().await;
    for (visitor, leave, name) in [
        (case.tenant("acme", &json!({})).await, "/portal/leave", "posthaste-portal="),
        (case.operator(&[]).await, "/console/logout", "posthaste-console="),
    ] {
        let other = if leave.starts_with("/portal") {
            case.tenant("acme", &json!({})).await
        } else {
            case.operator(&[]).await
        };
        let answer = visitor.deed(leave, &[]).await;
        let taken = answer.header("set-cookie").expect("the cookie is taken away");
        assert!(taken.starts_with(&format!("{name};")) && taken.contains("Max-Age=0"), "{taken}");
        assert!(!visitor.is_in().await, "whoever still has the cookie");
        assert!(other.is_in().await, "that session alone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_ends_its_tenants_sessions() {
    let case = Case::new().await;
    let named = |name: &str| json!({ "sessionId": name });
    let (one, two) = (named("one"), named("two"));
    let (first, second) = (case.tenant("acme", &one).await, case.tenant("acme", &two).await);
    let unnamed = case.tenant("acme", &json!({})).await;
    let not_opened = case.link("acme", &one).await;
    let others = case.tenant("other", &one).await;
    let operator = case.operator(&[]).await;
    let path = "/api/v1/auth/app/acme/expire-all";
    let end = async |wish| {
        let answer = case.api.post_json(path, &wish).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer:?}");
    };

    end(json!({ "sessionIds": ["one", "unheard-of"] })).await;

    assert!(!first.is_in().await, "from the next request on");
    let answer = case.nobody().post("/portal/enter", &[FROM_HERE], &[("token", &not_opened)]).await;
    assert_eq!(answer.status, 401, "nor does its link open");
    assert!(second.is_in().await && unnamed.is_in().await);
    assert!(others.is_in().await && operator.is_in().await);

    end(json!({ "sessionIds": ["two"], "expiry": 600 })).await;
    assert!(second.is_in().await, "in ten minutes");

    end(json!({})).await;
    assert!(!second.is_in().await && !unnamed.is_in().await);
    assert!(others.is_in().await && operator.is_in().await);

    for (wrong, field) in [
        (json!({ "expiry": 3_601 }), "expiry"),
        (json!({ "sessionIds": ["a b"] }), "sessionIds"),
        (json!({ "sessionIds": vec!["x"; 101] }), "sessionIds"),
    ] {
        let answer = case.api.post_json(path, &wrong).await;
        assert_eq!((answer.status, &answer.json()["detail"][0]["loc"][1]), (422, &json!(field)));
    }
    let (_, tenants) = case.way_in("acme", &json!({})).await;
    let tenant = case.api.with_token(Some(tenants));
    assert_eq!(tenant.post_json(path, &json!({})).await.status, 403, "its organisation does");

    let late = case.tenant("acme", &named("late")).await;
    let answer = case.api.post_json(path, &json!({ "expiry": 600 })).await;
    assert_eq!(answer.status, 204);
    assert!(late.is_in().await);
    let case = case.later(11 * MINUTE).await;
    assert!(!case.again(&late).is_in().await, "when its time has come");
    assert!(case.again(&others).is_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_deleted_shows_its_sessions_nothing() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await;
    let code = case.link("acme", &json!({})).await;

    assert_eq!(case.api.send("DELETE", "/api/v1/app/acme", &[], &[]).await.status, 204);

    assert!(!tenant.is_in().await);
    assert!(!case.enter(&code).await.is_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_in_is_written_down_and_so_is_who_was_not_let_in() {
    let case = Case::new().await;
    let id = async |app: &str| {
        let path = format!("/api/v1/app/{app}");
        case.api.send("GET", &path, &[], &[]).await.json()["id"].clone()
    };
    let acme = id("acme").await;
    let others = case.tenant("other", &json!({})).await;
    let (code, token) = case.way_in("acme", &json!({ "sessionId": "who-it-was" })).await;

    // With the cookie of somebody else, whose deed it is not.
    let fields = [("token", code.as_str())];
    let answer = others.post("/portal/enter", &[FROM_HERE], &fields).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let nobody = case.nobody();
    let invented = nobody.post("/portal/enter", &[FROM_HERE], &[("token", "invented")]).await;
    assert_eq!(invented.status, 401);

    let entries = case.entries("POST /portal/enter").await;
    assert_eq!(entries.len(), 2, "an invented code is nobody's: {entries:?}");
    let entry = &entries[0];
    assert_eq!((&entry["actor"], &entry["status"]), (&acme, &json!(303)), "{entry}");
    assert_eq!(entry["details"], json!({ "session": "who-it-was", "from": "127.0.0.1" }));

    case.operator(&[]).await;
    for wrong in [token.as_str(), "invented"] {
        let answer = nobody.post("/console/login", &[FROM_HERE], &[("token", wrong)]).await;
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let entries = case.entries("POST /console/login").await;
    let told = |place: usize| {
        let entry = &entries[place];
        (entry["actor"].as_str().expect("who").to_owned(), entry["status"].clone())
    };
    assert_eq!(entries.len(), 3, "{entries:?}");
    assert_eq!(told(0), ("stranger".to_owned(), json!(401)));
    assert_eq!(told(1), (acme.as_str().expect("an id").to_owned(), json!(401)));
    let (operator, status) = told(2);
    assert!(operator.starts_with("org_") && status == json!(303), "{entries:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_at_the_doors_is_slowed_down_and_keeps_nobody_out() {
    let case = Case::new().await;
    let nobody = case.nobody();
    let guess = async |door: &str| nobody.post(door, &[FROM_HERE], &[("token", "x")]).await;
    let mut refused = None;
    for _ in 0..300 {
        let answer = guess("/portal/enter").await;
        assert_eq!(answer.header("set-cookie"), None);
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    let refused = refused.expect("sixty a minute");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(refused.body.contains("Too fast"), "{refused:?}");
    assert!(case.tenant("acme", &json!({})).await.is_in().await, "from the same address");
    assert!(case.operator(&[]).await.is_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_asks_too_fast_is_told_so_and_keeps_no_other_waiting() {
    let case = Case::with(&[("POSTHASTE_API__REQUESTS_PER_SECOND", "1")]).await;
    let (one, other) = (case.tenant("acme", &json!({})).await, case.operator(&[]).await);

    let many = futures_util::future::join_all((0..30).map(|_| one.get("/portal"))).await;

    assert!(many.iter().any(|answer| answer.status == 200));
    let refused = many.iter().find(|answer| answer.status == 429).expect("two at once");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    assert!(other.is_in().await);
}
