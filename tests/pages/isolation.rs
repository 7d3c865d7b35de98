//! What is another tenant's is as if it never was, on every page and by every form of the portal.
//!
//! Each path of the portal is asked for with a neighbour's real ids and with ids that nothing ever had, by a session with
//! all rights: the two answers are the same to the letter but for the id that was asked for, and have nothing of the
//! neighbour in them. So are those of addresses that name a neighbour's things behind their question mark, and of forms that name
//! them in their fields. Afterwards the neighbour has what it had.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Case, Visitor, nobodys};
use crate::paths::routes;
use crate::support::api::Answer;
use crate::support::operations::dead_letter;
use crate::support::receiver::{Receiver, Script};
use crate::support::{eventually, until};

type Names = BTreeMap<&'static str, String>;

const SOON: Duration = Duration::from_secs(30);

/// Gives a tenant one of everything; the names in paths with the ids of it.
async fn furnished(case: &Case, receiver: &Receiver, app: &str) -> Names {
    let below = format!("/api/v1/app/{app}");
    let id = |answer: &Answer| {
        assert!((200..300).contains(&answer.status), "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let see = async |path: &str| case.api.send("GET", path, &[], &[]).await.json();
    let application = see(&below).await["id"].as_str().expect("an id").to_owned();
    let url = receiver.endpoint(app, Script::Answer(200));
    let endpoint = json!({ "url": url, "uid": format!("{app}-endpoint") });
    let endpoint = id(&case.api.post_json(&format!("{below}/endpoint"), &endpoint).await);
    let event_type = format!("{app}.only");
    let known = json!({ "name": event_type, "description": app, "featureFlag": app });
    assert_eq!(case.api.post_json("/api/v1/event-type", &known).await.status, 201);
    let message = json!({ "eventType": "job.done", "eventId": format!("{app}-event"), "payload": { "of": app } });
    let event = id(&case.api.post_json(&format!("{below}/msg"), &message).await);
    let attempt = eventually("the attempt is recorded", async || {
        let list = see(&format!("{below}/attempt/msg/{event}")).await;
        list["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let dead = dead_letter(&case.api, receiver, app).await;
    let replay = json!({ "all": true });
    let replay = id(&case.api.post_json(&format!("{below}/replay"), &replay).await);
    until("the replay is through, and what it sent has come back", SOON, async || {
        let open = see(&format!("{below}/delivery?state=pending")).await;
        let replay = see(&format!("{below}/replay/{replay}")).await;
        replay["status"] != "running" && open["data"] == json!([])
    })
    .await;
    BTreeMap::from([
        ("app", application.clone()),
        ("application", application),
        ("endpoint", endpoint),
        ("msg", event.clone()),
        ("event", event),
        ("delivery", dead.clone()),
        ("dead_letter", dead),
        ("attempt", attempt),
        ("replay", replay),
        ("event_type", event_type.clone()),
        ("type", event_type.clone()),
        ("name", event_type),
    ])
}

/// All that the API shows of a tenant.
async fn seen(case: &Case, app: &str, names: &Names) -> Vec<Value> {
    let endpoint = &names["endpoint"];
    let mut all = Vec::new();
    for path in [
        String::new(),
        "/settings".into(),
        "/endpoint".into(),
        format!("/endpoint/{endpoint}"),
        format!("/endpoint/{endpoint}/secret"),
        format!("/endpoint/{endpoint}/headers"),
        "/msg".into(),
        "/delivery".into(),
        "/dead-letter".into(),
        "/replay".into(),
        format!("/attempt/endpoint/{endpoint}"),
    ] {
        let path = format!("/api/v1/app/{app}{path}");
        let answer = case.api.send("GET", &path, &[], &[]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        all.push(answer.json());
    }
    all
}

/// An answer without the names that were asked for, and what each page has of its own.
fn bare(answer: &Answer, names: &Names) -> (u16, String, String) {
    let mut names: Vec<_> = names.values().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let without = |text: &str| {
        let mut text = text.to_owned();
        for name in &names {
            text = text.replace(name.as_str(), "<name>");
        }
        text
    };
    let to = answer.header("location").map(&without).unwrap_or_default();
    (answer.status, to, moments_out(&without(&answer.body)))
}

/// A text without moments: two pages are made at two of them.
fn moments_out(text: &str) -> String {
    let digits = |word: &str| word.bytes().filter(u8::is_ascii_digit).count() >= 3;
    let parts = text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "-:.".contains(c)));
    parts
        .map(|word| if word.contains([':', '-']) && digits(word) { "<moment>" } else { word })
        .collect()
}

struct Matrix<'a> {
    tenant: &'a Visitor,
    own: &'a Names,
    theirs: &'a Names,
    never: Names,
    asked: usize,
    leaks: Vec<String>,
}

impl Matrix<'_> {
    /// Two answers that have to be the same.
    fn compare(&mut self, what: &str, there: &Answer, nowhere: &Answer) {
        self.asked += 2;
        let (seen, expected) = (bare(there, self.theirs), bare(nowhere, &self.never));
        if seen != expected {
            self.leaks.push(format!("{what}: {seen:?}, and about nothing: {expected:?}"));
        }
        if there.status >= 500 {
            self.leaks.push(format!("{what}: {there:?}"));
        }
    }

    /// Names with one of them, or all, of somebody else.
    fn mixtures(&self, names: &[String]) -> Vec<(Names, Names)> {
        let mut found = Vec::new();
        for mask in 1_usize..1 << names.len() {
            let (mut real, mut nobody) = (self.own.clone(), self.own.clone());
            for (place, name) in names.iter().enumerate() {
                let Some((key, theirs)) = self.theirs.get_key_value(name.as_str()) else {
                    continue;
                };
                if mask & (1 << place) != 0 {
                    real.insert(key, theirs.clone());
                    nobody.insert(key, self.never[key].clone());
                }
            }
            if real != nobody {
                found.push((real, nobody));
            }
        }
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbours_things_are_not_there_on_any_page_or_by_any_form() {
    let case = Case::new().await;
    let receiver = Receiver::start().await;
    let own = furnished(&case, &receiver, "acme").await;
    let theirs = furnished(&case, &receiver, "other").await;
    let tenant = case.tenant("acme", &json!({ "featureFlags": ["acme"] })).await;
    let before = seen(&case, "other", &theirs).await;
    let sent_before = receiver.count("other");
    let mut matrix = Matrix {
        tenant: &tenant,
        own: &own,
        theirs: &theirs,
        never: nobodys(),
        asked: 0,
        leaks: Vec::new(),
    };
    let mine: Vec<_> =
        routes().into_iter().filter(|route| route.is_portals() && !route.is_a_door()).collect();
    let kinds: Vec<_> = theirs.keys().copied().collect();

    for route in &mine {
        let names: Vec<_> = route.names().map(str::to_owned).collect();
        let with = |names: &Names| {
            let mut all = matrix.never.clone(); // what is no tenant's kind of thing
            all.extend(names.clone());
            route.with(&all)
        };
        let own_path = with(&own);
        let pairs: Vec<_> = matrix
            .mixtures(&names)
            .iter()
            .map(|(real, nobody)| (with(real), with(nobody)))
            .collect();
        for (there, nowhere) in pairs {
            if route.get {
                let (there, nowhere) = (tenant.get(&there).await, tenant.get(&nowhere).await);
                matrix.compare(&format!("GET {}", route.path), &there, &nowhere);
                silent(&mut matrix, &route.path, &there);
            }
            if route.post {
                let (there, nowhere) =
                    (tenant.deed(&there, &[]).await, tenant.deed(&nowhere, &[]).await);
                matrix.compare(&format!("POST {}", route.path), &there, &nowhere);
            }
        }
        // Behind the question mark, and in a form's fields.
        for kind in &kinds {
            let (real, nobody) = (theirs[kind].clone(), matrix.never[kind].clone());
            for field in [*kind, "after", "before", "q", "ids", "id"] {
                if route.get {
                    let asked = |value: &str| format!("{own_path}?{field}={value}");
                    let (there, nowhere) =
                        (tenant.get(&asked(&real)).await, tenant.get(&asked(&nobody)).await);
                    matrix.compare(&format!("GET {}?{field}=", route.path), &there, &nowhere);
                }
            }
            // A form about nothing of one's own, so that nothing of one's own is changed by it.
            if route.post && !names.iter().any(|name| theirs.contains_key(name.as_str())) {
                let (there, nowhere) = (
                    tenant.deed(&own_path, &[(kind, &real)]).await,
                    tenant.deed(&own_path, &[(kind, &nobody)]).await,
                );
                matrix.compare(&format!("POST {} with {kind}", route.path), &there, &nowhere);
            }
        }
        if route.get {
            let answer = tenant.get(&own_path).await;
            silent(&mut matrix, &route.path, &answer);
        }
    }

    println!("{} paths, {} requests, {} leaks", mine.len(), matrix.asked, matrix.leaks.len());
    assert!(matrix.leaks.is_empty(), "{}", matrix.leaks.join("\n"));
    assert_eq!(seen(&case, "other", &theirs).await, before, "the neighbour has what it had");
    assert_eq!(receiver.count("other"), sent_before, "and nothing was sent to it");
    // The same paths with one's own ids are there: else none of them was tried.
    for route in mine.iter().filter(|route| route.get) {
        let mut all = nobodys();
        all.extend(own.clone());
        let answer = tenant.get(&route.with(&all)).await;
        let tried = route.names().all(|name| own.contains_key(name));
        assert!(!tried || answer.status == 200, "{} for its owner: {answer:?}", route.path);
    }
}

/// Nothing of the neighbour's is on a page that was not asked for it.
fn silent(matrix: &mut Matrix<'_>, path: &str, answer: &Answer) {
    for (kind, name) in matrix.theirs {
        let asked_for = answer.status == 404 || answer.status == 422;
        if !asked_for && answer.body.contains(name.as_str()) {
            matrix.leaks.push(format!("{path} has the neighbour's {kind} {name}"));
        }
    }
    if answer.body.contains("other-endpoint") || answer.body.contains("other-event") {
        matrix.leaks.push(format!("{path} has the neighbour's own names"));
    }
}
