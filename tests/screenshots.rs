//! Takes the pictures of the pages that the documents show: `make screenshots`.
//!
//! Not run by `cargo test`: it judges nothing. With a folder behind `--`, every page goes there as PNG, filled, empty, narrow and dark,
//! to be looked at; the documents' own are small ones of a few pages.

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it is told by its arguments and prints what it did"
)]

#[path = "browser/stage.rs"]
#[expect(dead_code, reason = "the tests use the rest of it")]
mod stage;
mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stage::Stage;
use support::browser::{Browser, Scripts};
use support::eventually;
use support::laid;
use support::walk::{Found, Walker};

/// Deliveries behind the pictures: enough for charts to have a shape.
const DELIVERIES: i64 = 20_000;

/// The documents' pictures: a name, a kind of page, what the person likes, how wide the screen is.
const SHOWN: [(&str, &str, &str, u32); 12] = [
    ("portal-overview", "/portal", "light", 1280),
    ("portal-endpoints", "/portal/endpoints", "light", 1280),
    ("portal-endpoint", "/portal/endpoints/*", "light", 1280),
    ("portal-deliveries", "/portal/deliveries", "light", 1280),
    ("portal-delivery-failing", "/portal/deliveries?state=dead&subject=run-118", "light", 1280),
    ("portal-event-type", "/portal/event-types/*", "light", 1280),
    ("portal-narrow", "/portal/deliveries", "light", 360),
    ("console-health-dark", "/console", "dark", 1280),
    ("console-dead-letters", "/console/dead-letters", "light", 1280),
    ("portal-signing-dark", "/portal/endpoints/*/signing", "dark", 1280),
    ("console-queues", "/console/queues", "light", 1280),
    ("console-narrow", "/console", "light", 360),
];

async fn save(browser: &Browser, path: &Path, format: &str, whole: bool) {
    let picture = browser.picture(format, whole).await;
    println!("{} {} KiB", path.display(), picture.len() / 1024);
    std::fs::write(path, picture).expect("the folder can be written");
}

async fn every(browser: &Browser, pages: &[Found], folder: &Path, word: &str) {
    for page in pages {
        browser.screen(1280, 900).await;
        browser.likes("light").await;
        browser.goto(&page.path).await;
        let name = page.kind.trim_matches('/').replace(['/', '?', '&'], "-").replace('*', "x");
        for (how, width, scheme) in
            [("", 1280, "light"), ("-dark", 1280, "dark"), ("-narrow", 360, "light")]
        {
            browser.screen(width, 900).await;
            browser.likes(scheme).await;
            let path = folder.join(format!("{name}-{word}{how}.png"));
            save(browser, &path, "png", how != "-dark").await;
        }
    }
}

async fn shown(browser: &Browser, pages: &[Found], folder: &Path) {
    for (name, kind, scheme, width) in SHOWN {
        let area = pages.first().map_or("", |page| page.path.as_str());
        let found = pages.iter().find(|page| page.kind == kind).map(|page| page.path.as_str());
        let Some(path) =
            found.or_else(|| Some(kind).filter(|_| kind.contains('=') && kind.starts_with(area)))
        else {
            continue;
        };
        browser.screen(width, if width < 500 { 760 } else { 800 }).await;
        browser.likes(scheme).await;
        browser.goto(path).await;
        if path.contains('=') {
            browser.press_in("main table tbody", "job.").await; // the first of what is listed
            browser.sees("What has happened").await;
        }
        save(browser, &folder.join(format!("{name}.webp")), "webp", false).await;
    }
}

/// The same router, stopped for a while in which a history is laid into its file.
async fn with_history(mut stage: Stage) -> Stage {
    stage.router.signal("TERM");
    stage.router.end().await;
    laid::lay(&stage.posthaste, DELIVERIES);
    stage.router = stage.posthaste.serve().await;
    stage.api.address.clone_from(&stage.router.api);
    stage
}

/// Both areas of a stage: their pages and who looks at them.
async fn areas(stage: &Stage) -> [(Browser, Vec<Found>); 2] {
    let tenant = stage.tenant(Scripts::Run).await;
    let operator = stage.operator(Scripts::Run).await;
    [
        (tenant, Walker::tenant(&stage.api, "acme").await.pages(1).await),
        (operator, Walker::operator(&stage.posthaste, &stage.api).await.pages(1).await),
    ]
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map(PathBuf::from);
    let stage = Stage::new().await;
    stage.filled().await;
    let stage = with_history(stage).await;
    // The newest of all: a receiver that says why it refuses.
    let payload =
        json!({ "job": "run-118", "seconds": 2.5, "output": { "pages": 12, "warnings": [] } });
    stage.publish("job.completed", "run-118", &payload).await;
    let newest = "/app/acme/dead-letter?subject=run-118";
    eventually("it is given up", async || {
        let found = stage.done("GET", newest, &Value::Null).await;
        found["data"].as_array().filter(|rows| !rows.is_empty()).map(drop)
    })
    .await;
    for (browser, pages) in areas(&stage).await {
        if let Some(folder) = &folder {
            every(&browser, &pages, folder, "filled").await;
        } else {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots");
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            shown(&browser, &pages, &folder).await;
        }
    }
    if let Some(folder) = &folder {
        let empty = Stage::new().await;
        for (browser, pages) in areas(&empty).await {
            every(&browser, &pages, folder, "empty").await;
        }
    }
}
