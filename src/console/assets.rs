//! What pages load beside themselves: a stylesheet, a script, a mark. In the binary, each under a name with its hash in
//! it, so that a browser keeps it for ever and a new release is seen at once.
//!
//! The script adds comfort and nothing else: times in the reader's zone, copying, keys, what goes on while one looks.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/pages.js");
const ENTER: &str = include_str!("assets/enter.js");
const MARK: &str = include_str!("assets/mark.svg");

/// All of them: name, kind, text.
const ALL: [(&str, &str, &str); 4] = [
    ("style.css", "text/css; charset=utf-8", STYLE),
    ("pages.js", "text/javascript; charset=utf-8", SCRIPT),
    ("enter.js", "text/javascript; charset=utf-8", ENTER),
    ("mark.svg", "image/svg+xml", MARK),
];

/// Made of the texts of all of them: changes with each.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    ALL.iter().for_each(|(_, _, text)| hash.update(text));
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
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

fn path(name: &str) -> String {
    format!("/assets/{}/{name}", *HASH)
}

/// `GET /assets/{hash}/{name}`: also under an older hash, which a page that was open may ask for.
pub(super) async fn get(Path((_, name)): Path<(String, String)>) -> Response {
    let found = ALL.iter().find(|(known, _, _)| *known == name);
    found.map_or_else(
        || StatusCode::NOT_FOUND.into_response(),
        |(_, kind, text)| {
            let keep = "public, max-age=31536000, immutable";
            ([(CONTENT_TYPE, *kind), (CACHE_CONTROL, keep)], *text).into_response()
        },
    )
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
