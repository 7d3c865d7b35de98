//! What the pages' script adds, on a page of the test's own under the headers of real ones: moments, copying, folding, choosing,
//! following, keys, the theme. Whatever it shows is built of nodes: hostile text in it stays text.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use crate::support::browser::{Browser, Scripts};

const SCRIPT: &str = include_str!("../../src/console/assets/pages.js");
const STYLE: &str = include_str!("../../src/console/assets/style.css");
/// As `console::shield` has it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types pages";

/// What the server is to show.
#[derive(Default)]
struct Shown {
    rows: AtomicUsize,
    done: AtomicUsize,
    /// Whether it answers 503.
    away: AtomicUsize,
    asked: AtomicUsize,
}

struct Server {
    shown: Arc<Shown>,
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let shown = Arc::new(Shown::default());
        shown.rows.store(4, Ordering::Relaxed);
        let script = async || ([(CONTENT_TYPE, "text/javascript")], SCRIPT);
        let style = async || ([(CONTENT_TYPE, "text/css")], STYLE);
        let routes = Router::new()
            .route("/pages.js", get(script))
            .route("/style.css", get(style))
            .route("/other", get(async || Html("<h1>The other page</h1>")))
            .route("/row/{number}", get(async || Html("<h1>A row</h1>")))
            .route("/", get(page))
            .with_state(Arc::clone(&shown));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("serves until it is dropped");
        });
        Self { shown, address, task }
    }

    async fn browser(&self) -> Browser {
        let browser = Browser::open(&self.address.to_string(), Scripts::Run).await;
        let zone = json!({ "timezoneId": "Asia/Tokyo" });
        browser.devtools("Emulation.setTimezoneOverride", zone).await;
        browser.goto("/").await;
        browser.sees("Theme:").await;
        browser
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(State(shown): State<Arc<Shown>>) -> Response {
    shown.asked.fetch_add(1, Ordering::Relaxed);
    if shown.away.load(Ordering::Relaxed) == 1 {
        return axum::http::StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let rows: Vec<_> = (1..=shown.rows.load(Ordering::Relaxed))
        .rev()
        .map(|row| {
            format!(
                r#"<tr><td><input type="checkbox" name="id" value="{row}" aria-label="Row {row}"></td>
                <td><a href="/row/{row}">row {row}</a></td><td>&lt;img src=x onerror="window.hit=1"&gt;</td></tr>"#
            )
        })
        .collect();
    let rows = rows.concat();
    let done = shown.done.load(Ordering::Relaxed);
    let state = if done == 100 { "" } else { "data-progress" };
    let text = format!(
        r#"<!doctype html><html lang="en"><head><title>Page</title><link rel="stylesheet" href="/style.css">
        <script src="/pages.js" defer></script></head><body>
        <header class="top"><nav><ul><li><a href="/other" data-key="o">Other</a></li></ul></nav><form><button>Log out</button></form></header>
        <main><h1>Page</h1>
        <p>At <time datetime="2026-08-21T10:11:12.345Z">2026-08-21 10:11:12 UTC</time></p>
        <p><code data-copy aria-label="id">msg_1</code></p>
        <input type="search" aria-label="Search">
        <pre data-json aria-label="Payload">{{"big": 12345678901234567890, "text": "&lt;img src=x onerror='window.hit=1'&gt; \u202e", "list": [1, {{"deep": null}}], "none": {{}}}}</pre>
        <pre data-json>{{"cut": "off</pre>
        <div {state}><p>{done} of 100</p></div>
        <p data-selected="rows"></p>
        <div data-live><table id="rows" data-select><thead><tr><th></th><th>Row</th><th>Text</th></tr></thead><tbody>{rows}</tbody></table></div>
        <p><a href="/other" data-press="r">Replay</a></p>
        </main></body></html>"#
    );
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.parse().expect("a header"));
    (headers, Html(text)).into_response()
}

async fn harmless(browser: &Browser) {
    assert_eq!(browser.script("return window.hit ?? null", &[]).await, json!(null));
    let complaints = browser.complaints().await;
    let refused: Vec<_> =
        complaints.iter().filter(|line| line.contains("Content Security")).collect();
    assert_eq!(refused, Vec::<&String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn moments_are_told_in_the_readers_zone_and_json_is_folded_as_it_is_written() {
    let server = Server::start().await;
    let browser = server.browser().await;

    browser.sees("21 Aug 2026, 19:11:12").await;
    let title = browser.script("return document.querySelector('time').title", &[]).await;
    assert!(
        title.as_str().is_some_and(|title| title.ends_with("2026-08-21 10:11:12 UTC")),
        "{title}"
    );

    let folded = browser.script("return document.querySelector('.json').innerText", &[]).await;
    let folded = folded.as_str().expect("text");
    for kept in
        ["12345678901234567890", "<img src=x onerror='window.hit=1'>", "\\u202e", "none: {}"]
    {
        assert!(folded.replace('"', "").contains(kept), "{kept} in {folded}");
    }
    browser.sees("{\"cut\": \"off").await; // what is no JSON stays as it came
    browser.press("As it came").await;
    browser.sees("{\"big\": 12345678901234567890,").await;
    harmless(&browser).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_copied_and_the_theme_is_kept() {
    let server = Server::start().await;
    let browser = server.browser().await;
    let origin = format!("http://{}", server.address);
    let leave = json!({ "origin": origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", leave).await;

    // "Copied" stands there for a moment: for as long as this test looks for it.
    let stays = "const later = window.setTimeout; \
        window.setTimeout = (what, ms, ...more) => (ms === 1500 ? 0 : later(what, ms, ...more))";
    browser.script(stays, &[]).await;
    browser.press("Copy id").await;
    browser.sees("Copied").await;
    let read = "const done = arguments[0]; navigator.clipboard.readText().then(done, done)";
    assert_eq!(browser.script_until_done(read, &[]).await, json!("msg_1"));

    let theme = "return document.documentElement.dataset.theme ?? ''";
    browser.keys("tt").await;
    browser.sees("Theme: dark").await;
    browser.goto("/").await;
    browser.sees("Theme: dark").await;
    assert_eq!(browser.script(theme, &[]).await, json!("dark"));
    browser.press("Theme: dark").await;
    browser.sees("Theme: system").await;
    assert_eq!(browser.script(theme, &[]).await, json!(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_walk_choose_and_go_and_are_letters_in_a_field() {
    let server = Server::start().await;
    let browser = server.browser().await;
    let at = "return document.activeElement.textContent";

    browser.keys("jj").await;
    assert_eq!(browser.script(at, &[]).await, json!("row 3"));
    browser.keys("k").await;
    assert_eq!(browser.script(at, &[]).await, json!("row 4"));
    browser.keys("xjj").await;
    browser.keys("X").await;
    browser.sees("3 selected").await;
    browser.press_in("thead", "Select all on this page").await;
    browser.sees("4 selected").await;

    browser.keys("/jtg").await;
    let typed = browser.script("return document.querySelector('[type=search]').value", &[]).await;
    assert_eq!(typed, json!("jtg"));
    browser.script("document.activeElement.blur()", &[]).await;

    browser.keys("?").await;
    browser.sees("previous row").await;
    browser.press("Close").await;
    // Two keys belong together when they come within a moment: here they do, however slow the machine is.
    browser.script("const now = Date.now(); Date.now = () => now", &[]).await;
    browser.keys("go").await;
    browser.sees("The other page").await;
    browser.goto("/").await;
    browser.sees("Theme:").await;
    browser.keys("r").await;
    browser.sees("The other page").await;
    browser.goto("/").await;
    browser.sees("Theme:").await;
    browser.keys("j\u{e007}").await; // Enter
    browser.sees("A row").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_followed_until_somebody_looks_away_or_chooses() {
    let server = Server::start().await;
    let browser = server.browser().await;

    server.shown.done.store(40, Ordering::Relaxed);
    browser.sees("40 of 100").await; // what goes on is told by itself
    server.shown.done.store(100, Ordering::Relaxed);
    browser.sees("100 of 100").await;

    browser.keys("l").await;
    server.shown.rows.store(5, Ordering::Relaxed);
    browser.sees("row 5").await;
    harmless(&browser).await;

    browser.script("document.hasFocus = () => false", &[]).await;
    browser.sees("Live: paused").await;
    browser.script("delete document.hasFocus", &[]).await;
    browser.sees("Live: on").await;

    server.shown.away.store(1, Ordering::Relaxed);
    browser.sees("Live: no answer, again in").await;
    server.shown.away.store(0, Ordering::Relaxed);
    server.shown.rows.store(6, Ordering::Relaxed);
    browser.sees("row 6").await;

    browser.press("Row 6").await;
    browser.sees("Live: paused, rows are selected").await;
    browser.keys("l").await;
    browser.sees("Live: off").await;
    let asked = server.shown.asked.load(Ordering::Relaxed);
    browser.goto("/other").await;
    assert!(server.shown.asked.load(Ordering::Relaxed) <= asked + 1, "it has stopped asking");
}
