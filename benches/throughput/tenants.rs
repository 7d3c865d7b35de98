//! Endpoints in any number, made over the HTTP API once, and routers that begin with a copy of them.
//!
//! Each has one type of its own, `job.t<number>`: an event finds exactly one.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;

use super::PATIENCE;
use super::backlog::Place;
use super::embedded::{client, free_port, token};
use super::process::{API_SETTING, Router};

/// Requests to the API on the way at once.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(32).expect("it is not zero");

/// An endpoint that is to be made.
pub(super) struct Wish {
    pub(super) application: &'static str,
    pub(super) url: String,
    /// The type that it wants; everything where it is not said.
    pub(super) number: Option<usize>,
    pub(super) per_second: Option<u32>,
}

impl Wish {
    /// One of the application that all have, for the events of this number.
    pub(super) fn numbered(number: usize, url: String) -> Self {
        Self { application: "bench", url, number: Some(number), per_second: None }
    }
}

/// A data folder with these endpoints, for routers to begin with; further settings as environment.
pub(super) async fn laid(
    place: &Place,
    more: Vec<(&'static str, String)>,
    applications: &[&str],
    wishes: Vec<Wish>,
) -> Router {
    let port = free_port();
    let mut settings = vec![(API_SETTING, format!("127.0.0.1:{port}"))];
    settings.extend(more);
    let router = place.router(settings);
    let token = token(&router);
    let running = router.start();
    let (client, base) = (client(), format!("http://127.0.0.1:{port}/api/v1/app"));
    let make = async |url: String, body: serde_json::Value| {
        let body = body.to_string();
        let asking = async {
            loop {
                let request = client.post(&url).bearer_auth(&token).body(body.clone());
                match request.header("content-type", "application/json").send().await {
                    Ok(answer) if answer.status().is_success() => return,
                    Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text().await),
                    // Not yet listening.
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, asking).await.expect("the API answers");
    };
    for name in applications {
        make(base.clone(), json!({ "name": name, "uid": name })).await;
    }
    // A type has to be listed before an endpoint can ask for it by name.
    let types = wishes.iter().filter_map(|wish| wish.number).map(|number| {
        let body = json!({ "name": format!("job.t{number}"), "description": "measured" });
        make(format!("http://127.0.0.1:{port}/api/v1/event-type"), body)
    });
    let mut listing = futures_util::stream::iter(types).buffer_unordered(AT_ONCE.get());
    while listing.next().await.is_some() {}
    drop(listing);
    let making = wishes.into_iter().map(|wish| {
        let mut body = json!({ "url": wish.url });
        if let Some(number) = wish.number {
            body["filterTypes"] = json!([format!("job.t{number}")]);
        }
        if let Some(per_second) = wish.per_second {
            body["throttleRate"] = json!(per_second);
        }
        make(format!("{base}/{}/endpoint", wish.application), body)
    });
    let mut making = futures_util::stream::iter(making).buffer_unordered(AT_ONCE.get());
    while making.next().await.is_some() {}
    drop(making);
    running.end();
    router
}
