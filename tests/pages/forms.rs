//! What a form needs before anything is done, what cookies are like, what every answer says to a browser, and that every
//! deed is written down.

use serde_json::json;

use crate::case::{Case, FROM_HERE, Visitor, nobodys};
use crate::paths::{Route, routes};

/// Says who it is, and that the page of nothing was done.
fn refused_as_foreign(answer: &crate::support::api::Answer, what: &str) {
    assert_eq!(answer.status, 403, "{what}: {answer:?}");
    let why = "The request did not come from a page of this session.";
    assert!(answer.body.contains(why), "{what}: {answer:?}");
    assert_eq!(answer.header("set-cookie"), None, "{what}");
}

/// Every way to send a form from elsewhere: headers beside the cookie, and what it is.
fn from_elsewhere(origin: &str) -> Vec<(Vec<(&'static str, String)>, &'static str)> {
    let site = |word: &str| ("sec-fetch-site", word.to_owned());
    let from = |origin: &str| ("origin", origin.to_owned());
    vec![
        (vec![], "neither Sec-Fetch-Site nor Origin"),
        (vec![site("cross-site")], "another site"),
        (vec![site("same-site")], "a sister"),
        (vec![site("none")], "the address bar"),
        (vec![site("SAME-ORIGIN")], "no word of a browser's"),
        (vec![site("cross-site"), from(origin)], "the word counts, and not the origin"),
        (vec![from("https://evil.example")], "another origin"),
        (vec![from("null")], "an origin that is none"),
        (vec![from(&format!("{origin}.evil.example"))], "an origin that begins like ours"),
        (vec![from(&origin.replace("http://", "https://"))], "another scheme"),
    ]
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_from_elsewhere_does_nothing() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await;
    let operator = case.operator(&[]).await;
    for (visitor, leave, login) in [
        (&tenant, "/portal/leave", "/portal/enter"),
        (&operator, "/console/logout", "/console/login"),
    ] {
        let token = visitor.form_token().await;
        for (headers, what) in from_elsewhere(visitor.origin()) {
            let headers = borrowed(&headers);
            let answer = visitor.post(leave, &headers, &[("form_token", &token)]).await;
            refused_as_foreign(&answer, what);
            let answer = case.nobody().post(login, &headers, &[("token", "x")]).await;
            refused_as_foreign(&answer, what);
        }
        assert!(visitor.is_in().await, "nothing was done");
    }
    // Where a browser has no such word, its origin is the sign.
    let token = tenant.form_token().await;
    let here = [("origin", tenant.origin())];
    let answer = tenant.post("/portal/leave", &here, &[("form_token", &token)]).await;
    assert_eq!((answer.status, tenant.is_in().await), (401, false), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_from_elsewhere_is_not_used_up() {
    let case = Case::new().await;
    let code = case.link("acme", &json!({})).await;
    let nobody = case.nobody();
    for (headers, what) in from_elsewhere(nobody.origin()) {
        let answer = nobody.post("/portal/enter", &borrowed(&headers), &[("token", &code)]).await;
        refused_as_foreign(&answer, what);
    }
    assert!(case.enter(&code).await.is_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_carries_the_token_of_its_own_session() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await;
    let operator = case.operator(&[]).await;
    let others = case.tenant("acme", &json!({})).await;
    let another = case.operator(&[]).await;
    let never = nobodys();
    for route in routes().iter().filter(|route| route.post) {
        if matches!(route.path.as_str(), "/portal/enter" | "/console/login") {
            continue; // there is no session yet
        }
        let (visitor, stranger) =
            if route.is_portals() { (&tenant, &others) } else { (&operator, &another) };
        let path = route.with(&never);
        let theirs = stranger.form_token().await;
        let own = visitor.form_token().await;
        for (token, what) in [
            (None, "no token"),
            (Some(""), "an empty one"),
            (Some("x"), "something"),
            (Some(theirs.as_str()), "another session's"),
            (Some(&own[1..]), "a part"),
        ] {
            let fields: Vec<_> = token.map(|token| ("form_token", token)).into_iter().collect();
            let answer = visitor.post(&path, &[FROM_HERE], &fields).await;
            refused_as_foreign(&answer, &format!("{path} with {what}"));
        }
        // The session's own secret is not it, nor does a look at the address do it.
        let (_, secret) = visitor.cookie.split_once('=').expect("a secret");
        let answer = visitor.post(&path, &[FROM_HERE], &[("form_token", secret)]).await;
        refused_as_foreign(&answer, &path);
        let answer = visitor.post(&format!("{path}?form_token={own}"), &[FROM_HERE], &[]).await;
        refused_as_foreign(&answer, &path);
    }
    assert!(tenant.is_in().await && operator.is_in().await, "nothing was done");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_form_does_nothing() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await;
    let own = tenant.form_token().await;
    let api = case.api.with_token(None);
    let json = json!({ "form_token": own }).to_string();
    let long = format!("form_token={own}&more={}", "x".repeat(300_000));
    for (kind, body, why) in [
        ("application/json", json.as_str(), "A form is wanted."),
        ("text/plain", &format!("form_token={own}"), "A form is wanted."),
        ("multipart/form-data; boundary=x", "--x--", "A form is wanted."),
        ("application/x-www-form-urlencoded", &long, "A form has at most 256 KiB."),
    ] {
        let headers = [("content-type", kind), FROM_HERE, ("cookie", tenant.cookie.as_str())];
        let answer = api.send("POST", "/portal/leave", &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 422, "{kind}: {answer:?}");
        assert!(answer.body.contains(why), "{kind}: {answer:?}");
    }
    for method in ["PUT", "DELETE", "PATCH"] {
        let headers = [("cookie", tenant.cookie.as_str()), FROM_HERE];
        let answer = api.send(method, "/portal/leave", &headers, b"").await;
        assert!(matches!(answer.status, 404 | 405 | 422), "{method}: {answer:?}");
    }
    assert!(tenant.is_in().await, "nothing was done");
}

/// Sends the head of a form and the beginning of it, and nothing more.
async fn drip(address: &str, path: &str) -> tokio::net::TcpStream {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.expect("it listens");
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: api\r\nsec-fetch-site: same-origin\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: 1000\r\n\
         expect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("written");
    let mut answer = [0; 21];
    stream.read_exact(&mut answer).await.expect("it waits for the form");
    assert_eq!(std::str::from_utf8(&answer), Ok("HTTP/1.1 100 Continue"), "{path}");
    stream.write_all(b"token=").await.expect("written");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_drip_keep_nobody_out_and_are_not_waited_for() {
    use tokio::io::AsyncReadExt as _;
    let case = Case::new().await;
    let (tenant, operator) = (case.tenant("acme", &json!({})).await, case.operator(&[]).await);
    let code = case.link("acme", &json!({})).await;
    let mut dripping = Vec::new();
    for path in ["/portal/enter", "/console/login", "/portal/leave", "/console/logout"] {
        for _ in 0..40 {
            dripping.push(drip(&case.api.address, path).await);
        }
    }

    assert!(tenant.is_in().await && operator.is_in().await);
    assert!(case.enter(&code).await.is_in().await);

    for mut stream in dripping {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an end");
        assert!(answer.contains("The form did not come whole within 5 s."), "{answer:.200}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_opens_the_doors_of_its_own_area_alone() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await;
    let operator = case.operator(&[]).await;
    let secret = |visitor: &Visitor| visitor.cookie.split_once('=').expect("one").1.to_owned();
    // As they are, and under the other's name.
    for cookie in [tenant.cookie.clone(), format!("posthaste-console={}", secret(&tenant))] {
        let stray = case.nobody().with(cookie);
        for route in routes().iter().filter(|one| one.get && !one.is_portals() && !one.is_a_door())
        {
            let answer = stray.get(&route.with(&nobodys())).await;
            let (to, status) = (answer.header("location"), answer.status);
            assert_eq!((status, to), (303, Some("/console/login")), "{}", route.path);
        }
    }
    for cookie in [operator.cookie.clone(), format!("posthaste-portal={}", secret(&operator))] {
        let stray = case.nobody().with(cookie);
        for route in routes().iter().filter(|one| one.get && one.is_portals() && !one.is_a_door()) {
            let answer = stray.get(&route.with(&nobodys())).await;
            assert_eq!(answer.status, 401, "{}", route.path);
            assert!(answer.body.contains("This session is over"), "{answer:?}");
        }
    }
    // Nor is a session a token of the API, or the reverse.
    let api = case.api.with_token(Some(secret(&operator)));
    assert_eq!(api.send("GET", "/api/v1/app", &[], &[]).await.status, 401);
    let (_, token) = case.way_in("acme", &json!({})).await;
    for wrong in [token.as_str(), case.api.token.as_str()] {
        let stray = case.nobody().with(format!("posthaste-portal={wrong}"));
        assert!(!stray.is_in().await);
    }
    let answer = case.nobody().post("/console/login", &[FROM_HERE], &[("token", &token)]).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (401, None), "a tenant's token");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_kept_from_scripts_and_from_other_sites() {
    const SITE: &str = "https://platform.example";
    let secure = [("POSTHASTE_API__PUBLIC_URL", "https://hooks.example")];
    let framed = [secure[0], ("POSTHASTE_PORTAL__EMBED_ORIGINS", SITE)];
    let plain_framed = [framed[1]];
    let portal = "posthaste-portal=<secret>; HttpOnly; SameSite=Lax; Path=/";
    let console = "posthaste-console=<secret>; HttpOnly; SameSite=Lax; Path=/";
    let portal_tls = "__Host-posthaste-portal=<secret>; HttpOnly; SameSite=Lax; Secure; Path=/";
    let console_tls = "__Host-posthaste-console=<secret>; HttpOnly; SameSite=Lax; Secure; Path=/";
    let portal_framed =
        "__Host-posthaste-portal=<secret>; HttpOnly; SameSite=None; Partitioned; Secure; Path=/";
    for (settings, of_portal, of_console) in [
        (&[][..], portal, console),
        (&secure[..], portal_tls, console_tls),
        (&framed[..], portal_framed, console_tls),
        (&plain_framed[..], portal, console), // without TLS no browser keeps it in a frame
    ] {
        let case = Case::with(settings).await;
        let code = case.link("acme", &json!({})).await;
        for (path, token, expected) in [
            ("/portal/enter", code.as_str(), of_portal),
            ("/console/login", case.api.token.as_str(), of_console),
        ] {
            let answer = case.nobody().post(path, &[FROM_HERE], &[("token", token)]).await;
            let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
            let (name, rest) = cookie.split_once('=').expect("a name");
            let (secret, attributes) = rest.split_once(';').expect("attributes");
            assert_eq!(secret.len(), 43, "32 bytes of chance");
            assert_eq!(format!("{name}=<secret>;{attributes}"), expected, "{settings:?}");
        }
    }
}

/// Where a router is called over TLS, a form comes from there.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_the_origin_is_the_public_one() {
    let case = Case::with(&[("POSTHASTE_API__PUBLIC_URL", "https://hooks.example/base")]).await;
    let code = case.link("acme", &json!({})).await;
    let nobody = case.nobody();
    let own = nobody.origin().to_owned();
    for (origin, status) in [(own.as_str(), 403), ("https://hooks.example", 303)] {
        let from = [("origin", origin)];
        let answer = nobody.post("/portal/enter", &from, &[("token", &code)]).await;
        assert_eq!(answer.status, status, "{origin}: {answer:?}");
    }
    // A cookie without the prefix is nobody's there.
    let tenant = case.tenant("acme", &json!({})).await;
    assert!(tenant.cookie.starts_with("__Host-"), "{}", tenant.cookie);
    let bare = tenant.cookie.trim_start_matches("__Host-").to_owned();
    assert!(!case.nobody().with(bare).is_in().await);
}

/// What every answer says to a browser, whatever it is.
fn is_shielded(answer: &crate::support::api::Answer, what: &str, ancestors: &str, tls: bool) {
    let policy = answer.header("content-security-policy").unwrap_or_default();
    let mut rules: Vec<_> = policy.split("; ").collect();
    rules.sort_unstable();
    let ancestors = format!("frame-ancestors {ancestors}");
    let mut expected = vec![
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        &ancestors,
        "require-trusted-types-for 'script'",
        "trusted-types pages",
    ];
    expected.sort_unstable();
    assert_eq!(rules, expected, "{what}");
    for (name, value) in [
        ("x-content-type-options", Some("nosniff")),
        ("referrer-policy", Some("no-referrer")),
        ("cross-origin-opener-policy", Some("same-origin")),
        ("cross-origin-resource-policy", Some("same-origin")),
        ("permissions-policy", Some("clipboard-write=(self)")),
        ("cache-control", Some("no-store")),
        ("strict-transport-security", tls.then_some("max-age=31536000")),
    ] {
        assert_eq!(answer.header(name), value, "{what}: {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_the_browser_what_it_may() {
    let framed = [
        ("POSTHASTE_API__PUBLIC_URL", "https://hooks.example"),
        ("POSTHASTE_PORTAL__EMBED_ORIGINS", "https://one.example,https://two.example"),
    ];
    let both = "https://one.example https://two.example";
    for (settings, portal, tls) in [(&[][..], "'none'", false), (&framed[..], both, true)] {
        let case = Case::with(settings).await;
        let tenant = case.tenant("acme", &json!({})).await;
        let operator = case.operator(&[]).await;
        let more = ["/portal/no/such/page", "/console/no/such/page"];
        let more = more.map(|path| Route { path: path.into(), get: true, post: false });
        for route in routes().iter().chain(&more) {
            let path = route.with(&nobodys());
            let (who, ancestors) =
                if route.is_portals() { (&tenant, portal) } else { (&operator, "'none'") };
            for visitor in [who, &case.nobody()] {
                let answer = if route.get {
                    visitor.get(&path).await
                } else {
                    visitor.post(&path, &[], &[]).await
                };
                assert!(answer.status < 500, "{path}: {answer:?}");
                is_shielded(&answer, &path, ancestors, tls);
            }
        }
        // What is loaded beside a page is kept by browsers, and says nothing about anybody.
        let page = tenant.get("/portal").await.body;
        let (_, style) = page.split_once("href=\"/assets/").expect("a stylesheet");
        let style = format!("/assets/{}", style.split('"').next().expect("its end"));
        let answer = case.nobody().get(&style).await;
        assert_eq!(answer.status, 200, "{style}");
        let kept = Some("public, max-age=31536000, immutable");
        assert_eq!(answer.header("cache-control"), kept);
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_deed_of_a_session_is_written_down() {
    let case = Case::new().await;
    let never = nobodys();
    let acme = case.api.send("GET", "/api/v1/app/acme", &[], &[]).await.json()["id"].clone();
    let mut deeds: Vec<_> = routes().into_iter().filter(|route| route.post).collect();
    deeds.retain(|route| !matches!(route.path.as_str(), "/portal/enter" | "/console/login"));
    for route in &deeds {
        let visitor = if route.is_portals() {
            case.tenant("acme", &json!({ "sessionId": "who-it-was" })).await
        } else {
            case.operator(&[]).await
        };
        let action = format!("POST {}", route.path);
        let before = case.entries(&action).await.len();
        let path = route.with(&never);

        let answer = visitor.deed(&path, &[]).await;

        assert!(answer.status < 500, "{path}: {answer:?}");
        let entries = case.entries(&action).await;
        assert_eq!(entries.len(), before + 1, "{action} is written down once");
        let entry = &entries[0];
        assert_eq!(entry["object"], json!(path));
        assert_eq!(entry["status"], json!(answer.status), "{entry}");
        if route.is_portals() {
            assert_eq!(entry["actor"], acme, "{entry}");
            assert_eq!(entry["details"]["session"], "who-it-was", "{entry}");
        } else {
            assert!(entry["actor"].as_str().expect("who").starts_with("org_"), "{entry}");
        }
    }
    // What was refused before it was a session's is nobody's deed.
    let tenant = case.tenant("acme", &json!({})).await;
    let before = case.entries("POST /portal/leave").await.len();
    assert_eq!(tenant.post("/portal/leave", &[FROM_HERE], &[]).await.status, 403);
    assert_eq!(case.entries("POST /portal/leave").await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_down_is_short_and_where_there_is_nothing_nothing_is() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await;
    let long = "x".repeat(9_000);

    let answer = tenant.deed(&format!("/portal/endpoints/{long}/edit"), &[]).await;

    assert!(answer.status < 500, "{answer:?}");
    let entries = case.entries("POST /portal/endpoints/{endpoint}/edit").await;
    assert_eq!(entries[0]["object"].as_str().map(str::len), Some(1_024));
    let answer = tenant.deed(&format!("/portal/no/such/{long}"), &[]).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(case.entries("POST /portal/{*rest}").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_takes_nothing_along() {
    let case = Case::new().await;
    let tenant = case.tenant("acme", &json!({})).await;
    let operator = case.operator(&[]).await;
    let stranded = case.tenant("other", &json!({})).await;
    let token = stranded.form_token().await;
    let gone = case.api.send("DELETE", "/api/v1/app/other", &[], &[]).await;
    assert_eq!(gone.status, 204);
    let left = stranded.post("/portal/leave", &[FROM_HERE], &[("form_token", &token)]).await;
    for answer in
        [tenant.deed("/portal/leave", &[]).await, operator.deed("/console/logout", &[]).await, left]
    {
        assert_eq!(answer.header("clear-site-data"), Some("\"cache\""), "{answer:?}");
        let cookie = answer.header("set-cookie").expect("the cookie is taken away");
        assert!(cookie.contains("Max-Age=0"), "{cookie}");
    }
    let again = stranded.post("/portal/leave", &[FROM_HERE], &[("form_token", "x")]).await;
    assert_eq!(again.status, 401, "the session of an application that is gone is over: {again:?}");
}
