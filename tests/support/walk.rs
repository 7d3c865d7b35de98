//! Finds pages as a person would: from the first one on, by what it links to. Plain requests, no browser.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;

use super::api::{Answer, Api};
use super::router::Posthaste;

/// Most pages of one walk: more than there are kinds of pages, twice over.
const PAGES_MAX: usize = 400;

/// Somebody with a session.
#[derive(Debug, Clone)]
pub(crate) struct Walker {
    api: Api,
    cookie: String,
    area: &'static str,
}

/// A page that was found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Its address.
    pub(crate) path: String,
    /// The same with what differs from one to the next as a star.
    pub(crate) kind: String,
    /// Its size, in bytes.
    pub(crate) bytes: usize,
}

/// The address of a new link to the portal of this application.
pub(crate) async fn link(api: &Api, application: &str) -> String {
    let path = format!("/api/v1/auth/app-portal-access/{application}");
    let made = api.post_json(&path, &json!({})).await.json();
    made["url"].as_str().expect("a link").to_owned()
}

/// A token of the organisation.
pub(crate) fn token(posthaste: &Posthaste) -> String {
    posthaste.json(&["token", "create"])["token"].as_str().expect("a token").to_owned()
}

impl Walker {
    /// A tenant, by a link.
    pub(crate) async fn tenant(api: &Api, application: &str) -> Self {
        let link = link(api, application).await;
        let (_, code) = link.split_once("#t=").expect("a code");
        Self::enter(api, "/portal", "/portal/enter", code).await
    }

    /// An operator, by a token.
    pub(crate) async fn operator(posthaste: &Posthaste, api: &Api) -> Self {
        Self::enter(api, "/console", "/console/login", &token(posthaste)).await
    }

    async fn enter(api: &Api, area: &'static str, entrance: &str, code: &str) -> Self {
        let headers = [
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        let api = api.with_token(None);
        let answer = api.post(entrance, &headers, format!("token={code}").as_bytes()).await;
        let cookie = answer.header("set-cookie").unwrap_or_else(|| panic!("{answer:?}"));
        let cookie = cookie.split(';').next().expect("its beginning").to_owned();
        Self { api, cookie, area }
    }

    /// Asks for a page.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.api.send("GET", path, &[("cookie", &self.cookie)], b"").await
    }

    /// Every page that is linked to, from the first one on: one of each kind, and of those that differ in what is
    /// behind their question marks `queries` at the most. What answers with something else than a page is not one.
    ///
    /// # Panics
    /// When a page links to one that is not there, or that has failed.
    pub(crate) async fn pages(&self, queries: usize) -> Vec<Found> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut ahead = VecDeque::from([(self.area.to_owned(), "nowhere".to_owned())]);
        let mut found: Vec<Found> = Vec::new();
        while let Some((path, from)) = ahead.pop_front() {
            if found.iter().any(|page| page.path == path) {
                continue;
            }
            let kind = kind(&path);
            let plain = kind.split('?').next().unwrap_or_default().to_owned();
            let count = seen.entry(plain).or_default();
            if *count > queries || found.iter().any(|page| page.kind == kind) {
                continue;
            }
            *count += 1;
            let answer = self.get(&path).await;
            if let (301..=308, Some(place)) = (answer.status, answer.header("location")) {
                ahead.push_back((place.to_owned(), path));
                continue;
            }
            assert_eq!(answer.status, 200, "{from} links to {path}: {answer:?}");
            if !answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")) {
                continue;
            }
            for link in links(&answer.body, &path) {
                if link.starts_with(self.area) {
                    ahead.push_back((link, path.clone()));
                }
            }
            found.push(Found { path, kind, bytes: answer.body.len() });
            assert!(found.len() <= PAGES_MAX, "more than {PAGES_MAX} pages");
        }
        found.sort_by(|a, b| a.kind.cmp(&b.kind));
        found
    }
}

/// An address with a star for each id, number and value in it.
fn kind(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let star = |part: &str| {
        let is_id = part.contains('_')
            && part.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        is_id
            || part.contains('.')
            || part.contains('%')
            || part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts = path.split('/').map(|part| if !part.is_empty() && star(part) { "*" } else { part });
    let mut kind = parts.collect::<Vec<_>>().join("/");
    let mut names: Vec<_> = query.split('&').filter_map(|pair| pair.split('=').next()).collect();
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        kind = format!("{kind}?{}", names.join("&"));
    }
    kind
}

/// Where a page's links lead, on this server; and the forms that only look.
fn links(page: &str, here: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (name, rest) in [("href=\"", page), ("<form method=\"get\" action=\"", page)] {
        for piece in rest.split(name).skip(1) {
            let raw = piece.split('"').next().unwrap_or_default();
            let link = raw
                .replace("&amp;", "&")
                .replace("&#38;", "&")
                .replace("&#x26;", "&")
                .replace("&#61;", "=");
            let link = link.split('#').next().unwrap_or_default();
            if link.starts_with('?') {
                all.push(format!("{}{link}", here.split('?').next().unwrap_or_default()));
            } else if link.starts_with('/') {
                all.push(link.to_owned());
            }
        }
    }
    all
}
