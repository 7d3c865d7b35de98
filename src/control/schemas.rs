//! JSON schemas of payloads: whether somebody's text can be one.
//!
//! Kept and shown, and held to where an application's settings want it (`schemaMode`). So what is checked is
//! what a reader could stumble over: that each version is an object, that the words of JSON Schema
//! have values of their kind, that it is no larger than a page can show, and that nothing in it points
//! out of it. A schema that has to be fetched from somewhere would make every tool that reads it a client of
//! whoever wrote it. And last, that payloads can be held to it, at a bounded cost (`domain::schema`).
//!
//! The words first and by a table: what a library says of a schema that is none names its own rules and not
//! what is accepted.

use serde_json::{Map, Value};

use super::{Answer, ControlError};
use crate::domain::schema;

/// Most bytes of all versions together, written as JSON: what a page can show, and a hundred times a
/// usual schema.
const BYTES_MAX: usize = 64 * 1_024;

/// Longest name of a version, in digits.
const VERSION_MAX: usize = 5;

/// Words of draft 7, and `$defs`, which is `definitions` since; what kind of value each has. Others are passed over, as the draft says.
const WORDS: [(&str, Kind); 45] = [
    ("$comment", Kind::Text),
    ("$defs", Kind::NamedSchemas),
    ("$id", Kind::Text),
    ("$ref", Kind::Text),
    ("$schema", Kind::Text),
    ("additionalItems", Kind::Schema),
    ("additionalProperties", Kind::Schema),
    ("allOf", Kind::Schemas),
    ("anyOf", Kind::Schemas),
    ("contains", Kind::Schema),
    ("contentEncoding", Kind::Text),
    ("contentMediaType", Kind::Text),
    ("definitions", Kind::NamedSchemas),
    ("dependencies", Kind::Dependencies),
    ("description", Kind::Text),
    ("else", Kind::Schema),
    ("enum", Kind::List),
    ("examples", Kind::List),
    ("exclusiveMaximum", Kind::Number),
    ("exclusiveMinimum", Kind::Number),
    ("format", Kind::Text),
    ("if", Kind::Schema),
    ("items", Kind::SchemaOrSchemas),
    ("maxItems", Kind::Count),
    ("maxLength", Kind::Count),
    ("maxProperties", Kind::Count),
    ("maximum", Kind::Number),
    ("minItems", Kind::Count),
    ("minLength", Kind::Count),
    ("minProperties", Kind::Count),
    ("minimum", Kind::Number),
    ("multipleOf", Kind::Number),
    ("not", Kind::Schema),
    ("oneOf", Kind::Schemas),
    ("pattern", Kind::Text),
    ("patternProperties", Kind::NamedSchemas),
    ("properties", Kind::NamedSchemas),
    ("propertyNames", Kind::Schema),
    ("readOnly", Kind::Flag),
    ("required", Kind::Texts),
    ("then", Kind::Schema),
    ("title", Kind::Text),
    ("type", Kind::Types),
    ("uniqueItems", Kind::Flag),
    ("writeOnly", Kind::Flag),
];

/// Words that point to another schema, of this draft and of later ones.
const POINTERS: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// The types of JSON.
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// What kind of value a word has.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Number,
    Count,
    Flag,
    List,
    Types,
    Schema,
    Schemas,
    SchemaOrSchemas,
    NamedSchemas,
    Dependencies,
}

/// Checks the schemas of an event type: an object of them by version, as `{"1": {…}}`.
///
/// # Errors
/// `InvalidField`, with the place in it and what is accepted there.
pub(super) fn check_schemas(schemas: Option<Value>) -> Answer<Option<Value>> {
    let Some(schemas) = schemas else { return Ok(None) };
    let fault = fault_of_versions(&schemas)
        .or_else(|| fault_of_pointers(&schemas, ""))
        .or_else(|| fault_of_use(&schemas));
    match fault {
        Some(why) => Err(ControlError::field("schemas", why)),
        None => Ok(Some(schemas)),
    }
}

fn fault_of_versions(schemas: &Value) -> Option<String> {
    let Value::Object(versions) = schemas else {
        return Some("an object of schemas by their version is accepted, as {\"1\": {…}}".into());
    };
    let bytes = schemas.to_string().len();
    if bytes > BYTES_MAX {
        return Some(format!(
            "the schemas have {bytes} bytes as JSON: at most {BYTES_MAX} are accepted"
        ));
    }
    versions.iter().find_map(|(version, schema)| {
        let digits = version.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || !(1..=VERSION_MAX).contains(&version.len()) {
            return Some(format!("`{version}` is not a version: a number is accepted, as 1"));
        }
        if !schema.is_object() {
            return Some(format!("/{version}: a JSON schema that is an object is accepted"));
        }
        fault_of_schema(schema, &format!("/{version}"))
    })
}

/// Why payloads cannot be held to one of them.
fn fault_of_use(schemas: &Value) -> Option<String> {
    let mut versions = schemas.as_object().into_iter().flatten();
    versions.find_map(|(version, schema)| {
        let why = schema::check(schema).err()?;
        let between = if why.starts_with('/') { "" } else { ": " };
        Some(format!("/{version}{between}{why}"))
    })
}

/// What is wrong with a schema, its parts included. As deep as JSON that we read can be.
fn fault_of_schema(schema: &Value, place: &str) -> Option<String> {
    match schema {
        Value::Bool(_) => None,
        Value::Object(words) => words.iter().find_map(|(word, value)| {
            let (_, kind) = WORDS.iter().find(|(known, _)| known == word)?;
            fault_of_value(*kind, value, &format!("{place}/{word}"))
        }),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Some(wanted(place, "a schema: an object, true or false"))
        }
    }
}

fn fault_of_value(kind: Kind, value: &Value, place: &str) -> Option<String> {
    let texts = |list: &Vec<Value>| list.iter().all(Value::is_string);
    let (fits, accepted) = match kind {
        Kind::Text => (value.is_string(), "a text"),
        Kind::Texts => (value.as_array().is_some_and(texts), "a list of texts"),
        Kind::Number => (value.is_number(), "a number"),
        Kind::Count => {
            let whole = |number: f64| number >= 0.0 && number.fract() == 0.0;
            (value.as_f64().is_some_and(whole), "a whole number from 0 on")
        }
        Kind::Flag => (value.is_boolean(), "true or false"),
        Kind::List => (value.is_array(), "a list"),
        Kind::Types => (are_types(value), "a type of JSON, or a list of them each once"),
        Kind::Schema => return fault_of_schema(value, place),
        Kind::Schemas => return fault_of_list(value, place),
        Kind::SchemaOrSchemas if value.is_array() => return fault_of_list(value, place),
        Kind::SchemaOrSchemas => return fault_of_schema(value, place),
        Kind::NamedSchemas => return fault_of_named(value, place, fault_of_schema),
        Kind::Dependencies => {
            return fault_of_named(value, place, |value, place| {
                let kind = if value.is_array() { Kind::Texts } else { Kind::Schema };
                fault_of_value(kind, value, place)
            });
        }
    };
    (!fits).then(|| wanted(place, accepted))
}

fn fault_of_list(value: &Value, place: &str) -> Option<String> {
    let Some(schemas) = value.as_array().filter(|list| !list.is_empty()) else {
        return Some(wanted(place, "a list with at least one schema"));
    };
    let mut schemas = schemas.iter().enumerate();
    schemas.find_map(|(number, schema)| fault_of_schema(schema, &format!("{place}/{number}")))
}

fn fault_of_named(
    value: &Value,
    place: &str,
    fault: impl Fn(&Value, &str) -> Option<String>,
) -> Option<String> {
    let Value::Object(named) = value else { return Some(wanted(place, "an object")) };
    named.iter().find_map(|(name, value)| fault(value, &format!("{place}/{name}")))
}

fn are_types(value: &Value) -> bool {
    let is_type = |value: &Value| value.as_str().is_some_and(|word| TYPES.contains(&word));
    let Some(list) = value.as_array() else { return is_type(value) };
    let once = |place: usize| !list[..place].contains(&list[place]);
    !list.is_empty() && list.iter().all(is_type) && (0..list.len()).all(once)
}

/// Refuses what points out of the schema, wherever it stands: also where the draft would not follow it, for
/// others may.
fn fault_of_pointers(value: &Value, place: &str) -> Option<String> {
    let below =
        |(name, value): (String, &Value)| fault_of_pointers(value, &format!("{place}/{name}"));
    match value {
        Value::Object(words) => fault_of_pointer(words, place)
            .or_else(|| words.iter().map(|(name, value)| (name.clone(), value)).find_map(below)),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(number, value)| (number.to_string(), value))
            .find_map(below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn fault_of_pointer(words: &Map<String, Value>, place: &str) -> Option<String> {
    POINTERS.iter().find_map(|word| {
        let target = words.get(*word)?.as_str()?;
        if target.starts_with('#') {
            return None;
        }
        let place = format!("{place}/{word}");
        Some(wanted(&place, "a place in the same schema, as #/definitions/job"))
    })
}

fn wanted(place: &str, accepted: &str) -> String {
    format!("{place}: {accepted} is accepted")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fault(schema: &Value) -> Option<String> {
        check_schemas(Some(json!({ "1": schema }))).err().map(|error| error.to_string())
    }

    #[test]
    fn a_schema_of_draft_7_is_accepted_with_words_that_nobody_knows() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": "A job",
            "type": ["object", "null"],
            "properties": {
                "id": { "type": "string", "minLength": 1, "x-shown": 7 },
                "parent": { "$ref": "#/definitions/job" },
                "$ref": { "type": "string" },
                "any": true,
            },
            "required": ["id"],
            "additionalProperties": false,
            "dependencies": { "id": ["any"], "any": { "not": {} } },
            "definitions": { "job": { "items": [{ "enum": [1, null] }, true], "maxItems": 2.0 } },
            "if": {}, "then": { "allOf": [{ "multipleOf": 0.5 }] },
            "examples": [{ "id": "7" }],
            "contentSchema": "whatever",
        });
        assert_eq!(fault(&schema), None);
        assert_eq!(fault(&json!({})), None);
        assert_eq!(check_schemas(None), Ok(None));
    }

    #[test]
    fn a_word_with_a_value_of_another_kind_is_told_with_its_place() {
        for (schema, place) in [
            (json!({ "type": "text" }), "/1/type"),
            (json!({ "type": [] }), "/1/type"),
            (json!({ "type": ["null", "null"] }), "/1/type"),
            (json!({ "properties": { "a": { "minLength": -1 } } }), "/1/properties/a/minLength"),
            (json!({ "properties": [] }), "/1/properties"),
            (json!({ "properties": { "a": "string" } }), "/1/properties/a"),
            (json!({ "required": "id" }), "/1/required"),
            (json!({ "anyOf": [] }), "/1/anyOf"),
            (json!({ "oneOf": [{}, { "not": 7 }] }), "/1/oneOf/1/not"),
            (json!({ "items": [{ "uniqueItems": 1 }] }), "/1/items/0/uniqueItems"),
            (json!({ "dependencies": { "a": [7] } }), "/1/dependencies/a"),
            (json!({ "definitions": { "a": { "maximum": "7" } } }), "/1/definitions/a/maximum"),
            (json!({ "examples": {} }), "/1/examples"),
        ] {
            let why = fault(&schema).expect(place);
            assert!(why.starts_with(&format!("{place}: ")), "{why}");
        }
    }

    #[test]
    fn nothing_points_out_of_it_wherever_it_stands() {
        for schema in [
            json!({ "$ref": "https://attacker.example/schema.json" }),
            json!({ "properties": { "a": { "$ref": "job.json#/a" } } }),
            json!({ "whatever": [{ "$dynamicRef": "file:///etc/passwd" }] }),
            json!({ "allOf": [{ "$recursiveRef": "" }] }),
        ] {
            let why = fault(&schema).expect("refused");
            assert!(why.contains("a place in the same schema"), "{why}");
        }
        assert_eq!(fault(&json!({ "properties": { "a": { "$ref": "#" } } })), None);
    }

    #[test]
    fn a_schema_that_payloads_cannot_be_held_to_is_told_with_its_version() {
        for (schema, beginning) in [
            (json!({ "pattern": "(?=a)" }), "/1/pattern: "),
            (json!({ "$ref": "#" }), "/1: it refers to itself"),
            (json!({ "$schema": "http://json-schema.org/draft-04/schema#" }), "/1/$schema: "),
        ] {
            let why = fault(&schema).expect("refused");
            assert!(why.starts_with(beginning), "{why}");
        }
    }

    #[test]
    fn there_is_an_object_for_each_version_and_no_more_than_64_kib() {
        for wrong in
            [json!([]), json!("{}"), json!({ "v1": {} }), json!({ "": {} }), json!({ "1": true })]
        {
            assert!(check_schemas(Some(wrong.clone())).is_err(), "{wrong}");
        }
        let of = |bytes: usize| Some(json!({ "1": { "title": "x".repeat(bytes) }, "2": {} }));
        assert!(check_schemas(of(65_000)).is_ok());
        assert!(check_schemas(of(65_536)).is_err());
    }
}
