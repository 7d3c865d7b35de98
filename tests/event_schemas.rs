//! The schemas of the usual events: each example is by its own, for our validator and for the official ones; and
//! what makes them good for others: descriptions, examples, room for fields to come.

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use posthaste::domain::event::{
    EVENT_TYPE_MAX, EventType, PAYLOAD_DEPTH_MAX, SHORT_TEXT_MAX, check_payload,
};
use posthaste::domain::schema::{Schemas, check};
use posthaste::domain::time::Timestamp;
use serde_json::{Map, Value, json};
use support::outside::{node_modules, python};

/// The default of `limits.max_payload_bytes`.
const LIMIT: usize = 1_048_576;
/// What there is.
const TYPES: [&str; 8] = [
    "document.ready",
    "job.cancelled",
    "job.completed",
    "job.created",
    "job.failed",
    "job.processing",
    "job.rejected",
    "process.completed",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn schema(name: &str) -> Value {
    let path = folder().join("events").join(format!("{name}.json"));
    let text = std::fs::read_to_string(path).expect("a schema");
    serde_json::from_str(&text).expect("JSON")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer}"))
}

fn examples(schema: &Value) -> &[Value] {
    schema["examples"].as_array().expect("examples")
}

/// Where an event breaks the schema.
fn breaks(schema: &Value, event: &Value) -> Vec<String> {
    let schemas = Schemas::of(&json!({ "1": schema }));
    let faults = schemas.faults(event.to_string().as_bytes(), None);
    faults.into_iter().map(|fault| fault.pointer).collect()
}

#[test]
fn there_is_a_file_for_each_type() {
    let files = std::fs::read_dir(folder().join("events")).expect("a folder");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
    let expected: BTreeSet<_> = TYPES.iter().map(|name| format!("{name}.json")).collect();
    assert_eq!(names.collect::<BTreeSet<_>>(), expected);
}

#[test]
fn each_says_what_it_is_of_and_which_version() {
    for name in TYPES {
        let schema = schema(name);
        assert_eq!(text(&schema, "/x-event-type"), name);
        assert_eq!(text(&schema, "/title"), name);
        assert_eq!(text(&schema, "/properties/type/const"), name);
        assert_eq!(schema["x-version"], 1);
        assert_eq!(text(&schema, "/$id"), format!("urn:posthaste:event:{name}:1"));
        assert_eq!(text(&schema, "/$schema"), "https://json-schema.org/draft/2020-12/schema");
        let status = name.strip_prefix("job.").unwrap_or_default();
        if !status.is_empty() {
            assert_eq!(text(&schema, "/properties/data/properties/status/const"), status);
        }
        assert_eq!(schema.get("x-status").is_some(), name == "document.ready", "{name}");
        assert_eq!(check(&schema), Ok(()), "{name}");
    }
}

#[test]
fn each_example_is_an_event_and_by_its_own_schema() {
    for name in TYPES {
        let schema = schema(name);
        assert!(!examples(&schema).is_empty());
        for event in examples(&schema) {
            assert_eq!(breaks(&schema, event), Vec::<String>::new(), "{name}");
            assert!(text(event, "/type").parse::<EventType>().is_ok(), "{name}");
            assert!(text(event, "/timestamp").parse::<Timestamp>().is_ok(), "{name}");
            let payload = serde_json::to_vec(event).expect("JSON");
            assert_eq!(check_payload(&payload, LIMIT), Ok(()), "{name}");
        }
    }
}

#[test]
fn a_field_that_is_wrong_or_missing_is_told_and_one_that_is_new_is_not() {
    for name in TYPES {
        let schema = schema(name);
        let good = &examples(&schema)[0];
        let with = |pointer: &str, value: Value| {
            let mut event = good.clone();
            *event.pointer_mut(pointer).expect("there") = value;
            breaks(&schema, &event)
        };
        assert_eq!(with("/type", json!("job.other")), ["/type"], "{name}");
        assert_eq!(with("/timestamp", json!("2026-08-21T10:11:12")), ["/timestamp"], "{name}");
        assert_eq!(with("/schema_version", json!(2)), ["/schema_version"], "{name}");
        for field in schema["required"].as_array().expect("a list") {
            let mut event = good.clone();
            event.as_object_mut().expect("an object").remove(field.as_str().expect("a name"));
            assert_eq!(breaks(&schema, &event), [""], "{name} without {field}");
        }
        for field in schema["properties"]["data"]["required"].as_array().expect("a list") {
            let mut event = good.clone();
            let data = event["data"].as_object_mut().expect("an object");
            data.remove(field.as_str().expect("a name"));
            assert_eq!(breaks(&schema, &event), ["/data"], "{name} without {field}");
        }
        let mut event = good.clone();
        event["data"]["invented_later"] = json!({ "any": 1 });
        event["too"] = json!(true);
        assert_eq!(breaks(&schema, &event), Vec::<String>::new(), "{name}");
    }
}

/// Every object of properties in a schema, with its place.
fn all_properties<'a>(schema: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    for (name, part) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("{place}/{name}");
        all_properties(part, &place, found);
        found.push((place, part));
    }
}

#[test]
fn every_property_is_described_and_shown_and_nothing_shuts_out_what_may_come() {
    for name in TYPES {
        let schema = schema(name);
        let mut found = Vec::new();
        all_properties(&schema, "", &mut found);
        let parts = schema["$defs"].as_object().into_iter().flatten();
        parts.for_each(|(part, schema)| all_properties(schema, part, &mut found));
        assert!(found.len() > 7, "{name}");
        for (place, property) in found {
            assert!(
                property["description"].as_str().is_some_and(|t| t.len() > 5),
                "{name} {place}"
            );
            assert!(
                property["examples"].as_array().is_some_and(|e| !e.is_empty()),
                "{name} {place}"
            );
        }
        assert!(!schema.to_string().contains(r#""additionalProperties":false"#), "{name}");
    }
}

#[test]
fn each_stands_alone_and_is_not_deeper_than_a_payload() {
    for name in TYPES {
        let schema = schema(name);
        let mut left = vec![(&schema, 0)];
        while let Some((value, depth)) = left.pop() {
            assert!(depth < PAYLOAD_DEPTH_MAX, "{name}");
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target}"));
                assert!(schema.pointer(pointer).is_some(), "{name}: {target} leads nowhere");
            }
            match value {
                Value::Object(fields) => left.extend(fields.values().map(|v| (v, depth + 1))),
                Value::Array(items) => left.extend(items.iter().map(|v| (v, depth + 1))),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
    }
}

#[test]
fn what_several_have_in_common_is_the_same_in_each() {
    let mut shared: Map<String, Value> = Map::new();
    for name in TYPES {
        let parts = schema(name)["$defs"].as_object().expect("parts").clone();
        for (part, value) in parts {
            let known = shared.entry(&part).or_insert_with(|| value.clone());
            assert_eq!(*known, value, "`{part}` of {name} is another than elsewhere");
        }
    }
}

#[test]
fn the_lengths_in_the_envelope_are_those_that_are_accepted() {
    for name in TYPES {
        assert!(name.len() <= EVENT_TYPE_MAX);
        for field in ["id", "subject"] {
            let most = schema(name)["properties"][field]["maxLength"].clone();
            assert_eq!(most, json!(SHORT_TEXT_MAX), "{name} {field}");
        }
    }
}

fn validated(folder: &Path) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/validate_schemas.py");
    Command::new(python())
        .arg(script)
        .arg(folder)
        .arg(node_modules().join("@asyncapi/specs"))
        .output()
        .expect("python runs")
}

#[test]
fn the_official_validators_accept_every_example_and_the_document_of_the_broker_side() {
    let output = validated(&folder());
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    let said: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    assert_eq!((&said["types"], &said["asyncapi"]), (&json!(8), &json!("3.0.0")));
    assert!(said["examples"].as_u64().is_some_and(|count| count >= 8), "{said}");
    assert!(said["properties"].as_u64().is_some_and(|count| count > 100), "{said}");
}

#[test]
fn the_official_validators_would_notice() {
    let copy = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(copy.path().join("events")).expect("a folder");
    let mut broken = schema("job.failed");
    broken["examples"][0]["data"]["status"] = json!("broke");
    let events = copy.path().join("events/job.failed.json");
    std::fs::write(events, broken.to_string()).expect("written");
    let document = std::fs::read_to_string(folder().join("asyncapi.json")).expect("there");
    let document = document.replacen("\"action\": \"receive\"", "\"action\": \"take\"", 1);
    std::fs::write(copy.path().join("asyncapi.json"), document).expect("written");

    let output = validated(copy.path());

    assert_eq!(output.status.code(), Some(1));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(complaints.contains("job.failed.json: /data/status"), "{complaints}");
    assert!(complaints.contains("asyncapi.json: /"), "{complaints}");
}
