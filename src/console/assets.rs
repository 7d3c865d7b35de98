//! What pages load beside themselves: a stylesheet, a script, a mark. In the binary, each under a name with its hash in
//! it, so that a browser keeps it for ever and a new release is seen at once.
//!
//! A platform's own colour and logo are served beside them (`brand`). The script adds comfort and nothing else: times in the reader's zone, copying, keys, what goes on while one looks.

use std::sync::{Arc, LazyLock};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

use super::site::Site;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/pages.js");
const ENTER: &str = include_str!("assets/enter.js");
const MARK: &str = include_str!("assets/mark.svg");

const STYLESHEET: &str = "text/css; charset=utf-8";

/// All of them: name, kind, text.
const ALL: [(&str, &str, &str); 4] = [
    ("style.css", STYLESHEET, STYLE),
    ("pages.js", "text/javascript; charset=utf-8", SCRIPT),
    ("enter.js", "text/javascript; charset=utf-8", ENTER),
    ("mark.svg", "image/svg+xml", MARK),
];

/// Made of the texts of all of them: changes with each.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    for (_, _, text) in &ALL {
        hash.update(text);
    }
    let bytes = hash.finalize();
    let number = bytes.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:012x}")
});

/// The path of the stylesheet.
pub(super) fn style() -> String {
    path("style.css")
}

/// The path of the pages' script.
pub(super) fn script() -> String {
    path("pages.js")
}

/// The path of the script that opens a link.
pub(super) fn enter() -> String {
    path("enter.js")
}

/// The path of our mark.
pub(super) fn mark() -> String {
    path("mark.svg")
}

/// The path of the logo that a platform gives its portal, if it gives one.
pub(super) fn logo(site: &Site) -> Option<String> {
    site.brand().logo.as_ref().map(|_| branded(site, "logo.png"))
}

/// The path of the stylesheet of its colour, if it gives one.
pub(super) fn accent(site: &Site) -> Option<String> {
    site.brand().accent.map(|_| branded(site, "accent.css"))
}

fn branded(site: &Site, name: &str) -> String {
    format!("/assets/{}/{name}", site.brand().hash())
}

fn path(name: &str) -> String {
    format!("/assets/{}/{name}", *HASH)
}

/// `GET /assets/{hash}/{name}`: also under an older hash, which a page that was open may ask for.
pub(super) async fn get(
    State(site): State<Arc<Site>>,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    let headers = |kind: &'static str| {
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, "public, max-age=31536000, immutable")]
    };
    let brand = site.brand();
    let found = match name.as_str() {
        "accent.css" => brand.stylesheet().map(|text| (headers(STYLESHEET), text).into_response()),
        "logo.png" => brand.logo.clone().map(|logo| (headers("image/png"), logo).into_response()),
        _ => {
            let found = ALL.iter().find(|(known, _, _)| *known == name);
            found.map(|(_, kind, text)| (headers(kind), *text).into_response())
        }
    };
    found.unwrap_or_else(|| StatusCode::NOT_FOUND.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_small_and_writes_no_markup() {
        assert!(SCRIPT.len() < 15_000, "{} bytes", SCRIPT.len());
        for sink in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "setAttribute(\"on",
        ] {
            assert!(!SCRIPT.contains(sink) && !ENTER.contains(sink), "{sink}");
        }
    }
}
