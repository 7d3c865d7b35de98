//! What payloads are held to, and what is refused before it could cost anything.

use serde_json::json;

use super::*;

fn faults(schema: &Value, payload: &Value) -> Vec<(String, String)> {
    let schemas = Schemas::of(&json!({ "1": schema }));
    let found = schemas.faults(payload.to_string().as_bytes(), None);
    found.into_iter().map(|fault| (fault.pointer, fault.why)).collect()
}

fn pointers(schema: &Value, payload: &Value) -> Vec<String> {
    faults(schema, payload).into_iter().map(|(pointer, _)| pointer).collect()
}

/// A schema that forks at each of `steps` steps: as many ways as two to that power.
fn forks(steps: usize, word: &str) -> Value {
    let fork = |step: usize| {
        let next = json!({ "$ref": format!("#/$defs/s{}", step + 1) });
        json!({ word: [next, next] })
    };
    let mut parts: serde_json::Map<_, _> =
        (0..steps).map(|step| (format!("s{step}"), fork(step))).collect();
    parts.insert(format!("s{steps}"), json!({ "type": "string" }));
    json!({ "$defs": parts, "$ref": "#/$defs/s0" })
}

#[test]
fn each_fault_is_told_with_its_place_and_without_the_value() {
    let schema = json!({
        "required": ["type", "data"],
        "properties": {
            "type": { "const": "job.completed" },
            "data": { "properties": { "a/b": { "type": "string", "maxLength": 3 } } },
        },
    });
    let payload = json!({ "type": "job.secret", "data": { "a/b": "secret" } });
    let told = faults(&schema, &payload);
    assert_eq!(
        told.iter().map(|(place, _)| place.as_str()).collect::<Vec<_>>(),
        ["/data/a~1b", "/type"]
    );
    assert!(told.iter().all(|(_, why)| !why.contains("secret")), "{told:?}");

    let missing = faults(&schema, &json!({ "type": "job.completed" }));
    assert_eq!(missing.len(), 1);
    assert_eq!(missing[0].0, "");
    assert!(missing[0].1.contains("\"data\""), "{missing:?}");
    assert!(faults(&schema, &json!({ "type": "job.completed", "data": {} })).is_empty());
}

#[test]
fn no_more_faults_are_told_than_anybody_reads() {
    let schema = json!({ "items": { "type": "string" } });
    assert_eq!(pointers(&schema, &Value::from(vec![1; 50])).len(), FAULTS_MAX);
    let large = Value::from(vec![1; 300_000]);
    assert_eq!(pointers(&schema, &large).len(), 1, "the first alone, of what is large");
}

#[test]
fn the_payload_says_its_version_or_its_schema_or_is_held_to_the_highest() {
    let id = "https://example.com/v2";
    let schemas = Schemas::of(&json!({
        "1": { "required": ["one"] },
        "2": { "$id": id, "required": ["two"] },
        "10": { "required": ["ten"] },
    }));
    let held_to = |payload: Value, dataschema: Option<&str>| {
        let found = schemas.faults(payload.to_string().as_bytes(), dataschema);
        found.first().map(|fault| fault.why.clone()).unwrap_or_default()
    };
    assert!(held_to(json!({}), None).contains("ten"));
    assert!(held_to(json!({ "schema_version": 1 }), Some(id)).contains("one"));
    assert!(held_to(json!({}), Some(id)).contains("two"));
    assert!(held_to(json!({}), Some("https://example.com/unknown")).contains("ten"));
    assert!(held_to(json!({ "schema_version": "1" }), None).contains("ten"), "a text is none");
    assert_eq!(held_to(json!({ "schema_version": 3 }), None), "3 is not listed: 1, 2, 10 is");
    assert!(Schemas::of(&json!({})).faults(b"{}", None).is_empty());
}

#[test]
fn the_draft_is_the_one_that_is_named() {
    let of = |draft: &str| json!({ "$schema": draft, "prefixItems": [{ "type": "string" }] });
    let payload = json!([7]);
    assert_eq!(pointers(&of("https://json-schema.org/draft/2020-12/schema"), &payload), ["/0"]);
    assert!(pointers(&of("http://json-schema.org/draft-07/schema#"), &payload).is_empty());
    assert!(check(&of("http://json-schema.org/draft-04/schema#")).is_err());
}

#[test]
fn a_schema_that_is_none_is_told_with_its_place() {
    for (schema, place) in [
        (json!({ "properties": { "a": { "type": "text" } } }), "/properties/a/type"),
        (json!({ "properties": { "a": { "pattern": "(" } } }), "/properties/a/pattern"),
        (json!({ "pattern": "(?=a)a" }), "/pattern"),
        (json!({ "pattern": "(a)\\1" }), "/pattern"),
    ] {
        let why = check(&schema).expect_err(place);
        assert!(why.starts_with(place), "{why}");
    }
}

#[test]
fn what_could_cost_any_time_is_refused_before_it_is_tried() {
    let id = json!({ "properties": { "a": { "$id": "https://example.com/a" } } });
    let patterns: serde_json::Map<_, _> =
        (0..=PATTERNS_MAX).map(|n| (format!("^a{n}"), json!({}))).collect();
    for (schema, wanted) in [
        (json!({ "$ref": "#" }), "refers to itself"),
        (json!({ "allOf": [{ "anyOf": [{ "$ref": "#" }, {}] }] }), "refers to itself"),
        (
            json!({ "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "not": { "$ref": "#/$defs/a" } } },
                 "$ref": "#/$defs/a" }),
            "refers to itself",
        ),
        (forks(40, "anyOf"), "times at one place"),
        (forks(40, "oneOf"), "times at one place"),
        (forks(400, "allOf"), "within one another"),
        // A tree whose every branch is looked at twice: two to the depth of the payload.
        (
            json!({ "properties": { "a": { "allOf": [{ "$ref": "#" }, { "$ref": "#" }] } } }),
            "times at one place",
        ),
        (json!({ "$ref": "https://attacker.example/schema.json" }), "a place in the same schema"),
        (json!({ "$ref": "file:///etc/passwd" }), "a place in the same schema"),
        (json!({ "$ref": "#/$defs/nothing" }), "leads nowhere"),
        // What is counted and what is gone to could be two.
        (
            json!({ "$ref": "#/$defs/a%2520b", "$defs": { "a b": {}, "a%20b": { "not": {} } } }),
            "a place in the same schema",
        ),
        (
            json!({ "$ref": "#x", "decoy": { "$anchor": "x" }, "$defs": { "y": { "$anchor": "x" } } }),
            "a place in the same schema",
        ),
        (id, "$id"),
        (json!({ "patternProperties": patterns }), "patterns"),
        (json!({ "pattern": "(a{1000}){1000}" }), "/pattern"),
    ] {
        let why = check(&schema).expect_err(wanted);
        assert!(why.contains(wanted), "{why}");
    }
    // What was counted on its own is no way round: each link of the chain is met before it is hung below another.
    let link = |step: usize| json!({ "not": { "$ref": format!("#/$defs/l{:04}", step + 1) } });
    let mut links: serde_json::Map<_, _> =
        (0..500).map(|step| (format!("l{step:04}"), link(step))).collect();
    links.insert("l0500".into(), json!({}));
    let firsts: Vec<_> =
        (0..=500).rev().map(|step| json!({ "$ref": format!("#/$defs/l{step:04}") })).collect();
    let chain = json!({ "allOf": firsts, "$defs": links });
    let why = check(&chain).expect_err("too high");
    assert!(why.contains("within one another"), "{why}");
}

#[test]
fn a_tree_and_a_handful_of_alternatives_are_no_trouble() {
    let tree = json!({
        "type": "object",
        "required": ["name"],
        "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" }, "name": {},
                        "more": { "items": { "$ref": "#" } } },
    });
    let payload = json!({ "name": 1, "left": { "name": 2, "more": [{ "name": 3 }, {}] } });
    assert_eq!(pointers(&tree, &payload), ["/left/more/1"]);
    assert_eq!(check(&forks(6, "anyOf")), Ok(()));
    let alternatives: Vec<_> = (0..50).map(|n| json!({ "const": n })).collect();
    assert!(faults(&json!({ "oneOf": alternatives }), &json!(49)).is_empty());
}

#[test]
fn the_costliest_that_is_accepted_ends() {
    // As many ways as are accepted, with a pattern that backtracking engines take ages for, on a payload that
    // fills the bound.
    let mut schema = forks(8, "anyOf");
    schema["$defs"]["s8"] = json!({ "pattern": "^(a|a|aa)+$" });
    assert_eq!(check(&schema), Ok(()));
    let schemas = Schemas::of(&json!({ "1": schema }));
    let text = |bytes: usize| json!("a".repeat(bytes) + "b").to_string();
    assert_eq!(schemas.faults(text(40_000).as_bytes(), None).len(), 1);
    let refused = schemas.faults(text(1_000_000).as_bytes(), None);
    assert!(refused[0].why.contains("its schema takes at most"), "{refused:?}");
}

#[test]
fn a_stored_schema_that_cannot_be_held_to_says_so() {
    let found = faults(&json!({ "$ref": "#/nowhere" }), &json!({}));
    assert!(found[0].1.contains("cannot be held to"), "{found:?}");
    assert_eq!(sentence(&[Fault::new("", "a"), Fault::new("/b", "c")]), "/: a; /b: c");
}
