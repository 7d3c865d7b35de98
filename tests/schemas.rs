//! The published schemas are current: what `schemas/` says is what the code does, and the other way
//! round.
//!
//! Exchanges, queues, bindings and their arguments are compared with the topology itself, words with
//! the types that spell them. Which headers a message has is nowhere but in the functions that write
//! and read it, so those are read as text, as `architecture` reads the `use` lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use posthaste::domain::event::{EventType, NotAnEventType, Rejection};
use posthaste::domain::settlement::DeathReason;
use posthaste::domain::tiding::Tiding;
use posthaste::storage::outlet::Verdict;
use posthaste::storage::rabbitmq::topology::{Argument, Declaration, Topology};
use serde_json::{Map, Value, json};

fn text_of(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the file is there")
}

fn schema(name: &str) -> Value {
    serde_json::from_str(&text_of(&format!("schemas/{name}"))).expect("JSON")
}

fn topology() -> Topology {
    Topology::new("posthaste").expect("the default prefix")
}

fn object<'a>(value: &'a Value, pointer: &str) -> &'a Map<String, Value> {
    value.pointer(pointer).and_then(Value::as_object).unwrap_or_else(|| panic!("no {pointer}"))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}"))
}

fn words(value: &Value, pointer: &str) -> BTreeSet<String> {
    let list = value.pointer(pointer).and_then(Value::as_array);
    let list = list.unwrap_or_else(|| panic!("no {pointer}"));
    list.iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

fn set<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

// ── What is declared ─────────────────────────────────────────────────────────────────────────────

/// Exchanges and queues with everything they are declared with, and the bindings, as the code says.
fn declared() -> BTreeSet<String> {
    let said = |declaration: Declaration| match declaration {
        Declaration::Exchange { name, kind, alternate } => {
            let alternate = alternate.map(|name| json!({ "alternate-exchange": name }));
            let arguments = alternate.unwrap_or_else(|| json!({}));
            format!("exchange {name} {} {arguments}", kind.as_str())
        }
        Declaration::Queue { name, arguments } => {
            let arguments: BTreeMap<_, Value> = arguments
                .into_iter()
                .map(|(name, value)| match value {
                    Argument::Text(text) => (name, text.into()),
                    Argument::Number(number) => (name, number.into()),
                })
                .collect();
            format!("queue {name} {}", json!(arguments))
        }
        Declaration::Binding { exchange, queue, key } => {
            format!("binding {exchange} {queue} `{key}`")
        }
    };
    topology().declarations().into_iter().map(said).collect()
}

/// The same, as the schema says.
fn published() -> BTreeSet<String> {
    let asyncapi = schema("asyncapi.json");
    let mut all = BTreeSet::new();
    for (name, channel) in object(&asyncapi, "/channels") {
        let arguments = channel.get("x-arguments").cloned().unwrap_or_else(|| json!({}));
        let arguments = sorted(&arguments);
        match text(channel, "/bindings/amqp/is") {
            "routingKey" => {
                let exchange = &channel["bindings"]["amqp"]["exchange"];
                let (name, kind) = (text(exchange, "/name"), text(exchange, "/type"));
                assert_eq!(exchange["durable"], true, "{name}");
                all.insert(format!("exchange {name} {kind} {arguments}"));
            }
            "queue" => {
                let queue = text(channel, "/bindings/amqp/queue/name");
                assert_eq!(channel["address"], queue, "{name}");
                let from = text(channel, "/x-bound-to/exchange");
                let key = text(channel, "/x-bound-to/routingKey");
                all.insert(format!("queue {queue} {arguments}"));
                all.insert(format!("binding {from} {queue} `{key}`"));
            }
            other => panic!("{name} is bound as `{other}`"),
        }
    }
    all
}

fn sorted(arguments: &Value) -> Value {
    json!(object(arguments, "").iter().collect::<BTreeMap<_, _>>())
}

#[test]
fn every_exchange_queue_and_binding_is_published_as_it_is_declared() {
    assert_eq!(published(), declared());
}

#[test]
fn a_difference_in_an_argument_would_be_noticed() {
    let inbox = |all: BTreeSet<String>| {
        all.into_iter().find(|line| line.starts_with("queue posthaste.v1.inbox")).expect("there")
    };
    assert!(inbox(declared()).contains(r#""x-delivery-limit":100"#));
    assert!(inbox(published()).contains(r#""x-dead-letter-exchange":"posthaste.poison""#));
}

// ── What messages carry ──────────────────────────────────────────────────────────────────────────

/// The code of one function, from its name to the brace that ends it.
fn function(path: &str, name: &str) -> String {
    let text = text_of(path);
    let start =
        text.find(&format!("fn {name}(")).unwrap_or_else(|| panic!("no fn {name} in {path}"));
    let end = text[start..].find("\n}\n").expect("a function ends");
    text[start..start + end].to_owned()
}

/// The string literals that follow one of these beginnings.
fn literals_behind(code: &str, beginnings: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for beginning in beginnings {
        for (position, _) in code.match_indices(&format!("{beginning}\"")) {
            let rest = &code[position + beginning.len() + 1..];
            found.insert(rest[..rest.find('"').expect("a literal ends")].to_owned());
        }
    }
    found
}

fn headers_of(message: &str) -> BTreeSet<String> {
    let asyncapi = schema("asyncapi.json");
    let pointer = format!("/components/messages/{message}/headers/properties");
    object(&asyncapi, &pointer).keys().cloned().collect()
}

const INCOMING: &str = "src/storage/rabbitmq/message/incoming.rs";
const OUTGOING: &str = "src/storage/rabbitmq/message/outgoing.rs";

#[test]
fn the_headers_of_an_event_are_those_that_are_read() {
    let all = text_of(INCOMING);
    let code = all.split("#[cfg(test)]").next().expect("code comes first");
    let mut read = literals_behind(
        code,
        &["header(&message.properties, ", "moment(message, ", "named(", "name: "],
    );
    // Properties, not headers: they have rejections of their own.
    for property in ["content_type", "timestamp"] {
        read.remove(property);
    }

    assert_eq!(headers_of("event"), read);
}

#[test]
fn the_headers_of_an_event_include_those_of_our_own_producer() {
    let code = function(OUTGOING, "published");
    let written = literals_behind(&code, &["text(", "moment(", "names("]);
    assert!(!written.is_empty());
    assert!(written.is_subset(&headers_of("event")), "{written:?}");
}

#[test]
fn the_headers_of_a_dead_letter_are_those_that_are_written() {
    let code = function(OUTGOING, "dead_letter");
    let written = literals_behind(&code, &["text(", "number(", "moment("]);
    assert_eq!(headers_of("deadLetter"), written);
}

#[test]
fn the_headers_of_what_is_quarantined_are_those_that_are_written() {
    let written = literals_behind(&function(OUTGOING, "quarantined"), &["("]);
    assert_eq!(headers_of("quarantined"), written);
    let required =
        words(&schema("asyncapi.json"), "/components/messages/quarantined/headers/required");
    assert_eq!(required, written);
}

#[test]
fn the_fields_of_a_result_are_those_that_are_written() {
    let text = text_of(OUTGOING);
    let (_, body) = text.split_once("struct ResultBody<'a> {").expect("its body is a struct");
    let body = body.split("\n}\n").next().expect("a struct ends");
    let mut written = BTreeSet::new();
    let mut required = BTreeSet::new();
    for line in body.lines().map(str::trim).filter(|line| !line.starts_with(['/', '#'])) {
        let Some((name, kind)) = line.split_once(':') else { continue };
        written.insert(name.to_owned());
        if !kind.trim().starts_with("Option<") {
            required.insert(name.to_owned());
        }
    }

    let asyncapi = schema("asyncapi.json");
    let published = object(&asyncapi, "/components/messages/result/payload/properties");
    assert_eq!(published.keys().cloned().collect::<BTreeSet<_>>(), written);
    assert_eq!(words(&asyncapi, "/components/messages/result/payload/required"), required);
}

// ── What words there are ─────────────────────────────────────────────────────────────────────────

#[test]
fn the_reasons_of_quarantine_are_those_of_a_rejection() {
    let reasons = every_rejection().iter().map(Rejection::reason).collect::<Vec<_>>();
    let published = words(
        &schema("asyncapi.json"),
        "/components/messages/quarantined/headers/properties/x-reason/enum",
    );
    assert_eq!(published, set(reasons));
}

/// One of each kind. A kind that is added does not compile until it is here.
fn every_rejection() -> Vec<Rejection> {
    let next = |rejection: &Rejection| match rejection {
        Rejection::EventType(NotAnEventType::Missing) => Some(NotAnEventType::TooLong(129).into()),
        Rejection::EventType(NotAnEventType::TooLong(_)) => {
            Some(NotAnEventType::Malformed("a b".into()).into())
        }
        Rejection::EventType(NotAnEventType::Malformed(_)) => {
            Some(Rejection::NoApplication(String::new()))
        }
        Rejection::NoApplication(_) => Some(Rejection::UnknownApplication("x".into())),
        Rejection::UnknownApplication(_) => Some(Rejection::NotUtf8(0)),
        Rejection::NotUtf8(_) => Some(Rejection::NotJson(String::new())),
        Rejection::NotJson(_) => Some(Rejection::TooLarge { size: 2, limit: 1 }),
        Rejection::TooLarge { .. } => {
            let (event_type, faults) = (String::new(), String::new());
            Some(Rejection::NotBySchema { event_type, faults })
        }
        Rejection::NotBySchema { .. } => Some(Rejection::NotACloudEvent(String::new())),
        Rejection::NotACloudEvent(_) => {
            Some(Rejection::BadField { name: "subject", found: String::new(), wanted: "" })
        }
        Rejection::BadField { .. } => None,
    };
    std::iter::successors(Some(NotAnEventType::Missing.into()), next).collect()
}

#[test]
fn the_reasons_and_outcomes_of_deliveries_are_those_of_the_code() {
    let asyncapi = schema("asyncapi.json");
    let reasons = set(DeathReason::ALL.map(DeathReason::as_str));
    for pointer in [
        "/components/messages/deadLetter/headers/properties/x-reason/enum",
        "/components/messages/result/payload/properties/reason/enum",
    ] {
        assert_eq!(words(&asyncapi, pointer), reasons, "{pointer}");
    }
    let next = |verdict: &Verdict| match verdict {
        Verdict::Succeeded => Some(Verdict::Failed),
        Verdict::Failed => Some(Verdict::Dead(DeathReason::Gone)),
        Verdict::Dead(why) => Some(Verdict::Dropped(*why)),
        Verdict::Dropped(_) => Some(Verdict::Cancelled),
        Verdict::Cancelled => Some(Verdict::Unknown),
        Verdict::Unknown => None,
    };
    let outcomes = std::iter::successors(Some(Verdict::Succeeded), next);
    let outcomes = set(outcomes.map(Verdict::as_str).collect::<Vec<_>>());
    for pointer in [
        "/channels/results/parameters/outcome/enum",
        "/components/messages/result/payload/properties/outcome/enum",
    ] {
        assert_eq!(words(&asyncapi, pointer), outcomes, "{pointer}");
    }
}

// ── References ──────────────────────────────────────────────────────────────────────────────────

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    for name in ["asyncapi.json"] {
        let whole = schema(name);
        let mut left = vec![&whole];
        while let Some(value) = left.pop() {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target}"));
                assert!(whole.pointer(pointer).is_some(), "{name}: {target} leads nowhere");
            }
            match value {
                Value::Object(fields) => left.extend(fields.values()),
                Value::Array(items) => left.extend(items),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}

#[test]
fn the_description_of_the_api_is_the_one_that_is_served() {
    let document = posthaste::api::openapi::document();
    let served = document.to_pretty_json().expect("a document is JSON") + "\n";
    let kept = text_of("schemas/openapi.json");
    assert!(kept == served, "schemas/openapi.json is not current: `make openapi` writes it anew");
}

// ── What operators are told ──────────────────────────────────────────────────────────────────────

#[test]
fn operators_are_told_in_the_words_of_the_schema() {
    let kinds = set(Tiding::ALL.map(Tiding::as_str));
    assert_eq!(words(&schema("operator-events.json"), "/properties/type/enum"), kinds);
    for kind in kinds {
        assert!(kind.parse::<EventType>().is_ok(), "{kind} can be the type of an event");
    }
}
