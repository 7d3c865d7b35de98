//! Tenants are kept apart: every operation of the API, asked by everybody who may not.
//!
//! The operations come from the description that the API serves of itself, so that tomorrow's are tried,
//! too. What belongs to one tenant is asked for by its real ids: with the token of another application,
//! with the token of another organisation, and below the path of another application. The answer has to
//! be the one about something that never was, to the letter (but for the name that was asked for), and
//! nothing of the owner's may be another afterwards. That the matrix tries what it says is seen from the
//! other side: its owner is answered.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use support::api::{Answer, Api};
use support::operations::{Names, Operation, dead_letter, description, operations};
use support::receiver::{Receiver, Script};
use support::router::{Posthaste, Running};
use support::until;

const SOON: Duration = Duration::from_mins(2);
/// Another organisation than the one that everybody begins with.
const OTHER_ORGANISATION: &str = "org_2Mwk7aBcDeFgHiJkLmNoPqRsTuV";
/// Digits of an id that nothing ever had: KSUIDs of the year 2014.
const NEVER: &str = "000000000000000000000000001";

/// What a name in a path stands for.
fn kind(name: &str) -> &'static str {
    match name {
        "app" => "application",
        "endpoint" => "endpoint",
        "msg" => "message",
        "attempt" => "attempt",
        "event_type" => "event type",
        "task" => "task",
        "replay" => "replay",
        "dead_letter" => "dead letter",
        _ => panic!("what is {{{name}}}? Tell the matrix, and what an id of it looks like"),
    }
}

/// Names of the kinds that were never given to anything.
fn nobodys() -> Names {
    BTreeMap::from([
        ("app", format!("app_{NEVER}")),
        ("endpoint", format!("ep_{NEVER}")),
        ("msg", format!("msg_{NEVER}")),
        ("attempt", format!("atmpt_{NEVER}")),
        ("event_type", "never.was".to_owned()),
        ("task", format!("rpl_{NEVER}")),
        ("replay", format!("rpl_{NEVER}")),
        ("dead_letter", format!("dlv_{NEVER}")),
    ])
}

/// The same for names that their owners choose.
fn nobodys_own() -> Names {
    let mut names = nobodys();
    for name in ["app", "endpoint", "msg"] {
        names.insert(name, format!("never-was-{name}"));
    }
    names
}

/// A tenant with one of everything.
struct Owner {
    /// Its organisation's.
    organisation: Api,
    /// Its own.
    application: Api,
    /// What it has, by id.
    names: Names,
    /// The same by the names that it chose, where it may choose.
    own_names: Names,
}

/// Two tenants of one organisation, and one of another.
struct Case {
    _posthaste: Posthaste,
    receiver: Receiver,
    _router: Running,
    operations: Vec<Operation>,
    a: Owner,
    b: Owner,
    stranger: Owner,
}

/// What came out.
#[derive(Debug, Default)]
struct Findings {
    requests: usize,
    /// Operation and kind of object, each once.
    tried: BTreeSet<(String, &'static str)>,
    leaks: Vec<String>,
}

impl Case {
    async fn new(sabotage: &str) -> Self {
        let mut posthaste = Posthaste::embedded();
        posthaste.set("FAILPOINT_SABOTAGE", sabotage);
        posthaste.set("POSTHASTE_API__REQUESTS_PER_SECOND", "0"); // we ask as fast as we can
        let receiver = Receiver::start().await;
        let router = posthaste.serve().await;
        let default = Api::of(&posthaste, &router);
        let token = posthaste.json(&["token", "create", "--org", OTHER_ORGANISATION]);
        let other = default.with_token(token["token"].as_str().map(str::to_owned));
        let operations = operations(&description(&default).await);
        let make = async |api: &Api, name: &'static str, more: &[&str]| {
            Owner::new(&posthaste, api, &receiver, name, more).await
        };
        let a = make(&default, "first", &[]).await;
        let b = make(&default, "second", &[]).await;
        let stranger = make(&other, "stranger", &["--org", OTHER_ORGANISATION]).await;
        Self { _posthaste: posthaste, receiver, _router: router, operations, a, b, stranger }
    }
}

fn made(answer: &Answer) -> String {
    assert!((200..300).contains(&answer.status), "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

impl Owner {
    async fn new(
        posthaste: &Posthaste,
        organisation: &Api,
        receiver: &Receiver,
        name: &'static str,
        more: &[&str],
    ) -> Self {
        let post = async |path: &str, body| organisation.post_json(path, &body).await;
        let app = made(&post("/api/v1/app", json!({ "name": name, "uid": name })).await);
        let below = format!("/api/v1/app/{app}");
        let url = receiver.endpoint(name, Script::Answer(200));
        let endpoint = json!({ "url": url, "uid": format!("{name}-endpoint") });
        let endpoint = made(&post(&format!("{below}/endpoint"), endpoint).await);
        let (uid, event_id) = (format!("{name}-endpoint"), format!("{name}-event"));
        let message = json!({
            "eventType": "job.completed", "eventId": event_id, "payload": { "of": name }
        });
        let msg = made(&post(&format!("{below}/msg"), message).await);
        let own = json!({ "attributes": { "of": name } }).to_string();
        let set = organisation.send("PUT", &format!("{below}/settings"), &[], own.as_bytes()).await;
        assert_eq!(set.status, 200, "{set:?}");
        // Shown to nobody but its organisation, and applications with the flag.
        let event_type = format!("{name}.only");
        let body = json!({ "name": event_type, "description": name, "featureFlag": name });
        let answer = post("/api/v1/event-type", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let since = support::clock() - Duration::from_mins(5);
        let recover = json!({ "since": since });
        let task = made(&post(&format!("{below}/endpoint/{endpoint}/recover"), recover).await);

        let attempts = format!("{below}/attempt/msg/{msg}");
        let mut attempt = None;
        until("the attempt is recorded", SOON, async || {
            let list = organisation.send("GET", &attempts, &[], &[]).await.json();
            attempt = list["data"][0]["id"].as_str().map(str::to_owned);
            attempt.is_some()
        })
        .await;
        until("the task is through", SOON, async || {
            let task = format!("/api/v1/background-task/{task}");
            organisation.send("GET", &task, &[], &[]).await.json()["status"] == "finished"
        })
        .await;
        let dead_letter = dead_letter(organisation, receiver, &app).await;
        let list = organisation.send("GET", &format!("{below}/replay"), &[], &[]).await.json();
        let replay = list["data"][0]["id"].as_str().expect("what recovers is a replay").to_owned();
        let token = [&["token", "create", "--app", name], more].concat();
        let token = posthaste.json(&token)["token"].as_str().map(str::to_owned);
        let names = BTreeMap::from([
            ("app", app),
            ("endpoint", endpoint),
            ("msg", msg),
            ("attempt", attempt.expect("an attempt")),
            ("event_type", event_type),
            ("replay", replay),
            ("task", task),
            ("dead_letter", dead_letter),
        ]);
        let mut own_names = names.clone();
        own_names.extend([("app", name.to_owned()), ("endpoint", uid), ("msg", event_id)]);
        let application = organisation.with_token(token);
        Self { organisation: organisation.clone(), application, names, own_names }
    }

    /// Everything of it that can be read, and how.
    async fn read(&self, operations: &[Operation]) -> BTreeMap<String, String> {
        let mut read = BTreeMap::new();
        for operation in operations.iter().filter(|one| one.method == "GET") {
            if operation.names.is_empty() {
                continue; // what others have is in there, too
            }
            let answer = operation.ask(&self.organisation, &self.names, "").await;
            assert_eq!(answer.status, 200, "{} for its owner: {answer:?}", operation.name());
            read.insert(operation.name(), answer.body);
        }
        read
    }
}

/// An answer without what differs between any two: the names asked for, ids and times that are made.
fn bare(answer: &Answer, names: &Names) -> (u16, String) {
    let mut text = answer.body.clone();
    let mut names: Vec<_> = names.values().collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len())); // some stand in others
    for name in names {
        text = text.replace(name.as_str(), "<name>");
    }
    let mut words = Vec::new();
    for word in text.split_inclusive(|c: char| !(c.is_ascii_alphanumeric() || "_-:.+".contains(c)))
    {
        let id = word.split_once('_').is_some_and(|(_, digits)| digits.len() >= 27);
        let time = word.len() > 20 && word.as_bytes().get(10) == Some(&b'T');
        words.push(if id || time { "<made>" } else { word });
    }
    (answer.status, words.concat())
}

/// Every way to put names of the owner among those of another: all but none of them.
fn mixtures(names: &[String], own: &Names, others: &Names, never: &Names) -> Vec<(Names, Names)> {
    let inner: Vec<_> = names.iter().filter(|name| *name != "app").collect();
    let mut found = Vec::new();
    for mask in 1_usize..1 << inner.len() {
        let (mut real, mut nobody) = (own.clone(), own.clone());
        for (place, name) in inner.iter().enumerate() {
            if mask & (1 << place) != 0 {
                let key = *own.keys().find(|key| *key == name).expect("a name we know");
                real.insert(key, others[key].clone());
                nobody.insert(key, never[key].clone());
            }
        }
        found.push((real, nobody));
    }
    found
}

impl Findings {
    /// Asks for what is the owner's and for what never was, and compares.
    async fn compare(
        &mut self,
        who: &str,
        api: &Api,
        operation: &Operation,
        (real, never): (&Names, &Names),
        query: impl Fn(&Names) -> String,
    ) {
        let there = operation.ask(api, real, &query(real)).await;
        let nowhere = operation.ask(api, never, &query(never)).await;
        self.requests += 2;
        self.tried.extend(operation.names.iter().map(|name| (operation.name(), kind(name))));
        let (seen, expected) = (bare(&there, real), bare(&nowhere, never));
        if seen != expected {
            self.leaks.push(format!(
                "{who}: {} with {real:?}: {seen:?}, and about nothing: {expected:?}",
                operation.name()
            ));
        }
        // Writing what is not there makes it, or fails at its name, which is none for a new thing.
        let refused = matches!(there.status, 403 | 404);
        let made_anew = operation.method == "PUT" && matches!(there.status, 201 | 422);
        // Who asks for a list of its own is answered, whatever the query names.
        let own_list = !query(real).is_empty() && matches!(there.status, 200 | 404 | 422);
        if !(refused || made_anew || own_list) {
            self.leaks.push(format!("{who}: {} is answered {}", operation.name(), there.status));
        }
    }

    /// Nothing of the owner's is in this answer.
    fn silent(&mut self, who: &str, operation: &Operation, answer: &Answer, owner: &Owner) {
        for name in owner.names.values() {
            if answer.body.contains(name.as_str()) {
                self.leaks.push(format!("{who}: {} has {name}: {}", operation.name(), answer.body));
            }
        }
    }
}

/// The whole matrix: what is A's, asked for by everybody else.
async fn tried(case: &Case) -> Findings {
    let Case { a, b, stranger, .. } = case;
    let (mut findings, never, never_own) = (Findings::default(), nobodys(), nobodys_own());
    let outsiders = [
        ("another application", &b.application),
        ("another organisation", &stranger.organisation),
        ("another organisation's application", &stranger.application),
    ];
    let insiders = [
        ("its organisation below another application", &b.organisation, b),
        ("another application below itself", &b.application, b),
        ("another organisation below its own", &stranger.organisation, stranger),
    ];
    // Before the others have asked for what is A's: what they did is theirs to read.
    listed(case, &mut findings).await;
    // What is written anew by its name is their own from then on: that goes last.
    let mut operations: Vec<_> = case.operations.iter().collect();
    operations.sort_by_key(|one| one.method == "PUT");
    for operation in operations {
        // What is written by a name of one's own choice is made: there is nothing to compare.
        let by_own_name = (&a.own_names, &never_own);
        let ways = [(&a.names, &never), by_own_name];
        let ways = &ways[..if operation.method == "PUT" { 1 } else { 2 }];
        for (who, api) in outsiders.iter().filter(|_| !operation.names.is_empty()) {
            for way in ways {
                findings.compare(who, api, operation, *way, |_| String::new()).await;
            }
        }
        let in_application = operation.names.first().is_some_and(|name| name == "app");
        for (who, api, owner) in insiders.iter().filter(|_| in_application) {
            for (real, nobody) in ways
                .iter()
                .flat_map(|(real, never)| mixtures(&operation.names, &owner.names, real, never))
            {
                findings.compare(who, api, operation, (&real, &nobody), |_| String::new()).await;
            }
            // An endpoint may be named in the query, too.
            if operation.query.iter().any(|name| name == "endpoint_id") {
                let mut real = owner.names.clone();
                real.insert("endpoint", a.names["endpoint"].clone());
                let mut nobody = owner.names.clone();
                nobody.insert("endpoint", never["endpoint"].clone());
                let query = |names: &Names| format!("?endpoint_id={}", names["endpoint"]);
                findings.compare(who, api, operation, (&real, &nobody), query).await;
            }
        }
    }
    findings
}

/// What others may read of their own has nothing of A in it, wherever in a list they begin.
async fn listed(case: &Case, findings: &mut Findings) {
    let readers = [
        ("another application", &case.b.application, &case.b),
        ("another organisation", &case.stranger.organisation, &case.stranger),
    ];
    let never = nobodys();
    for operation in case.operations.iter().filter(|one| one.method == "GET") {
        for (who, api, owner) in readers {
            let answer = operation.ask(api, &owner.names, "").await;
            findings.requests += 1;
            findings.silent(who, operation, &answer, &case.a);
            if !operation.query.iter().any(|name| name == "iterator") {
                continue;
            }
            for (kind, of_a) in &case.a.names {
                // Beside a row of A there is no other page than beside one that never was.
                let (mut real, mut nobody) = (owner.names.clone(), owner.names.clone());
                real.insert("iterator", of_a.clone());
                nobody.insert("iterator", never[kind].clone());
                for back in ["", "-"] {
                    let query = |names: &Names| format!("?iterator={back}{}", names["iterator"]);
                    findings.compare(who, api, operation, (&real, &nobody), query).await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_tenants_is_as_if_it_never_was() {
    let case = Case::new("none").await;
    let before = case.a.read(&case.operations).await;
    let before_it = case.receiver.count("first");

    let findings = tried(&case).await;

    let operations: BTreeSet<_> = findings.tried.iter().map(|(operation, _)| operation).collect();
    let kinds: BTreeSet<_> = findings.tried.iter().map(|(_, kind)| kind).collect();
    println!(
        "{} operations, {} kinds of objects, {} pairs of both, {} requests, {} leaks",
        operations.len(),
        kinds.len(),
        findings.tried.len(),
        findings.requests,
        findings.leaks.len()
    );
    assert!(findings.leaks.is_empty(), "{}", findings.leaks.join("\n"));
    let after = case.a.read(&case.operations).await;
    for (operation, was) in &before {
        assert_eq!(&after[operation], was, "{operation} for its owner, before and after");
    }
    assert_eq!(case.receiver.count("first"), before_it, "nothing was sent to the owner's endpoint");
    owner_is_answered(&case).await;
}

/// The same requests find what they are about when their owner asks: else none of them was tried.
async fn owner_is_answered(case: &Case) {
    let mut writes: Vec<_> = case.operations.iter().filter(|one| one.method != "GET").collect();
    writes.retain(|one| !one.names.is_empty());
    // What is around others goes last.
    writes.sort_by_key(|one| (one.method == "DELETE", std::cmp::Reverse(one.path.len())));
    for operation in writes {
        let answer = operation.ask(&case.a.organisation, &case.a.names, "").await;
        let found = !matches!(answer.status, 401 | 403 | 404 | 405);
        assert!(found, "{} for its owner: {answer:?}", operation.name());
    }
}

#[cfg(feature = "failpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_forgets_whose_it_is_is_caught() {
    let case = Case::new("leak").await;

    let findings = tried(&case).await;

    assert!(!findings.leaks.is_empty(), "the leak that was built in is not noticed");
    println!("{} leaks noticed, the first: {}", findings.leaks.len(), findings.leaks[0]);
}
