//! What is another tenant's is as if it never was, on every page and by every form of the portal; and what is another
//! organisation's, in the console.
//!
//! Each path is asked for with a neighbour's real ids and with ids that nothing ever had, by a session with
//! all rights: the two answers are the same to the letter but for the id that was asked for, and have nothing of the
//! neighbour in them. So are those of addresses that name a neighbour's things behind their question mark, and of forms that name
//! them in their fields. Afterwards the neighbour has what it had.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{Case, Visitor, nobodys};
use crate::paths::{Route, routes};
use crate::support::api::{Answer, Api};
use crate::support::operations::dead_letter;
use crate::support::receiver::{Receiver, Script};
use crate::support::{clock, eventually};

type Names = BTreeMap<&'static str, String>;

/// Fields of addresses that may hold a name of any kind.
const GENERAL: [&str; 5] = ["after", "before", "q", "ids", "id"];

/// Gives a tenant one of everything; the names in paths with the ids of it.
async fn furnished(api: &Api, receiver: &Receiver, app: &str) -> Names {
    let below = format!("/api/v1/app/{app}");
    let id = |answer: &Answer| {
        assert!((200..300).contains(&answer.status), "{answer:?}");
        answer.json()["id"].as_str().expect("an id").to_owned()
    };
    let see = async |path: &str| api.send("GET", path, &[], &[]).await.json();
    let application = see(&below).await["id"].as_str().expect("an id").to_owned();
    let url = receiver.endpoint(app, Script::Answer(200));
    let endpoint = json!({ "url": url, "uid": format!("{app}-endpoint") });
    let endpoint = id(&api.post_json(&format!("{below}/endpoint"), &endpoint).await);
    let event_type = format!("{app}.only");
    let known = json!({ "name": event_type, "description": app, "featureFlag": app });
    assert_eq!(api.post_json("/api/v1/event-type", &known).await.status, 201);
    let message = json!({ "eventType": "job.done", "eventId": format!("{app}-event"), "payload": { "of": app } });
    let event = id(&api.post_json(&format!("{below}/msg"), &message).await);
    let attempt = eventually("the attempt is recorded", async || {
        let list = see(&format!("{below}/attempt/msg/{event}")).await;
        list["data"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let dead = dead_letter(api, receiver, app).await;
    let since = json!({ "since": clock() - Duration::from_mins(5) });
    let recover = format!("{below}/endpoint/{endpoint}/recover"); // a replay with nothing to do
    let task = id(&api.post_json(&recover, &since).await);
    eventually("the replay is through", async || {
        let task = see(&format!("/api/v1/background-task/{task}")).await;
        (task["status"] == "finished").then_some(())
    })
    .await;
    let replay = see(&format!("{below}/replay")).await["data"][0]["id"].clone();
    let replay = replay.as_str().expect("what recovers is a replay").to_owned();
    BTreeMap::from([
        ("app", application.clone()),
        ("application", application),
        ("endpoint", endpoint),
        ("msg", event.clone()),
        ("event", event),
        ("delivery", dead.clone()),
        ("dead_letter", dead.clone()),
        ("letter", dead),
        ("attempt", attempt),
        ("replay", replay),
        ("event_type", event_type.clone()),
        ("type", event_type.clone()),
        ("name", event_type),
    ])
}

/// All that the API shows of a tenant.
async fn seen(case: &Case, app: &str, names: &Names) -> BTreeMap<String, Value> {
    let endpoint = &names["endpoint"];
    let mut all = BTreeMap::new();
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
        all.insert(path, answer.json());
    }
    all
}

/// An answer without the names that were asked for, and what each page has of its own.
fn bare(answer: &Answer, names: &[&String]) -> (u16, String, String) {
    let mut names = names.to_vec();
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

/// A name that differs from this one in its last letter.
fn beside(name: &str) -> String {
    let last = if name.ends_with('b') { 'c' } else { 'b' };
    format!("{}{last}", &name[..name.len() - 1])
}

/// A visitor, and whose things they ask for.
struct Matrix<'a> {
    visitor: &'a Visitor,
    own: &'a Names,
    theirs: &'a Names,
    never: Names,
    /// What the neighbour's own names begin with.
    neighbour: &'static str,
    asked: usize,
    leaks: Vec<String>,
}

impl Matrix<'_> {
    /// Asks for everything of the neighbour's by these: looks everywhere first, since what is done afterwards is seen.
    async fn ask(&mut self, routes: &[Route]) {
        for route in routes.iter().filter(|route| route.get) {
            let answer = self.visitor.get(&self.path(route, self.own)).await;
            self.silent(&route.path, &answer);
            for (real, nobody) in self.mixtures(route) {
                let (there, nowhere) = (self.path(route, &real), self.path(route, &nobody));
                self.look(&format!("GET {}", route.path), &there, &nowhere).await;
            }
            let own = self.path(route, self.own);
            let mut values = BTreeSet::new();
            for (kind, real) in self.theirs {
                // Some kinds have several names: what says nothing of the kind is asked for once.
                let general = if values.insert(real) { &GENERAL[..] } else { &[] };
                for field in [*kind].iter().chain(general) {
                    // A list goes on at a place, and an id has one, whosever it is: beside it lies nothing that ever was.
                    let is_place = ["after", "before"].contains(field);
                    let nobody = if is_place { beside(real) } else { self.never[kind].clone() };
                    let asked = |value: &str| format!("{own}?{field}={value}");
                    let what = format!("GET {}?{field}=", route.path);
                    self.look(&what, &asked(real), &asked(&nobody)).await;
                }
            }
        }
        for route in routes.iter().filter(|route| route.post) {
            for (real, nobody) in self.mixtures(route) {
                let (there, nowhere) = (self.path(route, &real), self.path(route, &nobody));
                let answers =
                    (self.visitor.deed(&there, &[]).await, self.visitor.deed(&nowhere, &[]).await);
                let what = format!("POST {}", route.path);
                self.count(&what, &answers.0);
                if let Some(difference) = self.difference(&answers) {
                    self.leaks.push(format!("{what}: {difference}"));
                }
            }
        }
        // What a form about one's own says of a neighbour's comes to nothing of the neighbour's: seen at the end. Last,
        // since one's own may have the neighbour's name then; and not where one ends the session that asks.
        let forms = routes.iter().filter(|route| route.post && !route.path.ends_with("/sessions"));
        for route in forms {
            for (kind, real) in self.theirs {
                let path = self.path(route, self.own);
                let answer = self.visitor.deed(&path, &[(kind, real)]).await;
                self.count(&format!("POST {} with {kind}", route.path), &answer);
            }
        }
    }

    /// Two pages that have to be the same, at one of three looks: figures of what goes on move by themselves.
    async fn look(&mut self, what: &str, there: &str, nowhere: &str) {
        let mut difference = None;
        for _ in 0..3 {
            let answers = (self.visitor.get(there).await, self.visitor.get(nowhere).await);
            self.count(what, &answers.0);
            difference = self.difference(&answers);
            if difference.is_none() {
                return;
            }
        }
        self.leaks.extend(difference.map(|it| format!("{what}: {it}")));
    }

    fn count(&mut self, what: &str, answer: &Answer) {
        self.asked += 1;
        if answer.status >= 500 {
            self.leaks.push(format!("{what}: {answer:?}"));
        }
    }

    /// Where the answers differ, if they do.
    fn difference(&self, (there, nowhere): &(Answer, Answer)) -> Option<String> {
        let real: Vec<_> = self.theirs.values().collect();
        let places: Vec<_> = real.iter().map(|name| beside(name)).collect();
        let never = self.theirs.keys().map(|kind| &self.never[kind]);
        let nobody: Vec<_> = never.chain(&places).collect();
        let (seen, expected) = (bare(there, &real), bare(nowhere, &nobody));
        if seen == expected {
            return None;
        }
        let lines = seen.2.lines().zip(expected.2.lines()).find(|(one, other)| one != other);
        Some(format!("{} {} and {} {}: {lines:?}", seen.0, seen.1, expected.0, expected.1))
    }

    fn path(&self, route: &Route, names: &Names) -> String {
        let mut all = self.never.clone(); // what is no tenant's kind of thing
        all.extend(names.clone());
        route.with(&all)
    }

    /// Names with one of them, or several, of somebody else.
    fn mixtures(&self, route: &Route) -> Vec<(Names, Names)> {
        let names: Vec<_> = route.names().collect();
        let mut found = Vec::new();
        for mask in 1_usize..1 << names.len() {
            let (mut real, mut nobody) = (self.own.clone(), self.own.clone());
            for (place, name) in names.iter().enumerate() {
                let found = self.theirs.iter().find(|(known, _)| *known == name);
                let Some((key, theirs)) = found else { continue };
                if mask & (1 << place) != 0 {
                    real.insert(*key, theirs.clone());
                    nobody.insert(*key, self.never[key].clone());
                }
            }
            if real != nobody {
                found.push((real, nobody));
            }
        }
        found
    }

    /// Nothing of the neighbour's is on a page that was not asked for it.
    fn silent(&mut self, path: &str, answer: &Answer) {
        let is_refused = answer.status == 404 || answer.status == 422; // says what was asked for
        for (kind, name) in self.theirs {
            if !is_refused && answer.body.contains(name.as_str()) {
                self.leaks.push(format!("{path} has the neighbour's {kind} {name}"));
            }
        }
        for name in ["endpoint", "event", "only"].map(|what| format!("{}-{what}", self.neighbour)) {
            if answer.body.contains(&name) {
                self.leaks.push(format!("{path} has the neighbour's {name}"));
            }
        }
    }

    /// The same paths with one's own ids are there: else none of them was tried.
    async fn own_are_there(&self, routes: &[Route]) {
        for route in routes.iter().filter(|route| route.get) {
            let answer = self.visitor.get(&self.path(route, self.own)).await;
            let tried = route.names().all(|name| self.own.contains_key(name));
            assert!(!tried || answer.status == 200, "{} for its owner: {answer:?}", route.path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_neighbours_things_are_not_there_on_any_page_or_by_any_form() {
    let case = Case::new().await;
    let receiver = Receiver::start().await;
    let own = furnished(&case.api, &receiver, "acme").await;
    let theirs = furnished(&case.api, &receiver, "other").await;
    let tenant = case.tenant("acme", &json!({ "featureFlags": ["acme"] })).await;
    let before = seen(&case, "other", &theirs).await;
    let sent_before = receiver.count("other");
    let mine: Vec<_> =
        routes().into_iter().filter(|route| route.is_portals() && !route.is_a_door()).collect();
    let mut matrix = Matrix {
        visitor: &tenant,
        own: &own,
        theirs: &theirs,
        never: nobodys(),
        neighbour: "other",
        asked: 0,
        leaks: Vec::new(),
    };

    matrix.own_are_there(&mine).await;
    matrix.ask(&mine).await;

    println!("{} paths, {} requests, {} leaks", mine.len(), matrix.asked, matrix.leaks.len());
    assert!(matrix.leaks.is_empty(), "{}", matrix.leaks.join("\n"));
    for (path, now) in seen(&case, "other", &theirs).await {
        assert_eq!(now, before[&path], "the neighbour has what it had: {path}");
    }
    assert_eq!(receiver.count("other"), sent_before, "and nothing was sent to it");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisations_things_are_not_there_in_the_console() {
    const ORGANISATION: &str = "org_2Mwk7aBcDeFgHiJkLmNoPqRsTuV";
    let case = Case::new().await;
    let receiver = Receiver::start().await;
    let theirs = furnished(&case.api, &receiver, "other").await;
    let token = case.posthaste.json(&["token", "create", "--org", ORGANISATION]);
    let stranger = case.api.with_token(token["token"].as_str().map(str::to_owned));
    let made = stranger.post_json("/api/v1/app", &json!({ "name": "Own", "uid": "own" })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let own = furnished(&stranger, &receiver, "own").await;
    let operator = case.operator(&["--org", ORGANISATION]).await;
    let before = seen(&case, "other", &theirs).await;
    let sent_before = receiver.count("other");
    let mine: Vec<_> =
        routes().into_iter().filter(|route| !route.is_portals() && !route.is_a_door()).collect();
    let mut matrix = Matrix {
        visitor: &operator,
        own: &own,
        theirs: &theirs,
        never: nobodys(),
        neighbour: "other",
        asked: 0,
        leaks: Vec::new(),
    };

    matrix.ask(&mine).await;

    println!("{} paths, {} requests, {} leaks", mine.len(), matrix.asked, matrix.leaks.len());
    assert!(matrix.leaks.is_empty(), "{}", matrix.leaks.join("\n"));
    for (path, now) in seen(&case, "other", &theirs).await {
        assert_eq!(now, before[&path], "the neighbour has what it had: {path}");
    }
    assert_eq!(receiver.count("other"), sent_before, "and nothing was sent to it");
}
