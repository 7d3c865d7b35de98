//! An event type for people: what it says, its payload property by property, and an example.
//!
//! Properties are read out of the newest version of its JSON schema, down to a depth and a number that stay readable. A schema says more than
//! a table can: it is shown as it is, too.

use std::collections::HashSet;

use askama::Template;
use askama::filters::HtmlSafe;
use serde_json::{Map, Value};

use super::json::{BYTES_MAX as SHOWN_MAX, indented};
use crate::console::parts::{Badge, Tone};
use crate::console::text::Text;
use crate::domain::event_type::EventTypeEntry;

/// Rows of the table of properties: more nobody reads.
const ROWS_MAX: usize = 200;
/// How deep properties are followed.
const DEPTH_MAX: usize = 5;

/// An event type.
#[derive(Template)]
#[template(path = "views/event_type.html")]
pub(in crate::console) struct EventTypeView {
    name: Text,
    badge: Option<Badge>,
    description: Text,
    version: Option<Text>,
    versions: Vec<Text>,
    rows: Vec<Property>,
    example: Option<Written>,
    schema: Option<Written>,
}

/// JSON of ours with lines, and whether it is shown whole and can be copied.
struct Written {
    text: Text,
    exact: bool,
}

impl Written {
    fn of(json: &str) -> Self {
        let written = indented(json);
        let text = Text::block(&written);
        Self { exact: text.is(written.as_bytes()) && json.len() <= SHOWN_MAX, text }
    }
}

impl HtmlSafe for EventTypeView {}

/// A row of the table.
#[derive(Debug, PartialEq, Eq)]
struct Property {
    path: Text,
    kind: Text,
    required: bool,
    description: Text,
    limits: Text,
}

impl EventTypeView {
    /// By its entry in the catalogue.
    pub(in crate::console) fn of(entry: &EventTypeEntry) -> Self {
        let none = Map::new();
        let all = entry.schemas.as_ref().and_then(Value::as_object).unwrap_or(&none);
        let mut versions: Vec<&String> = all.keys().collect();
        versions.sort_by_key(|version| version.parse::<u32>().unwrap_or(0));
        let newest = versions.last().and_then(|version| all.get(*version));
        Self {
            name: Text::line(&entry.name),
            badge: badge(entry),
            description: Text::block(&entry.description),
            version: versions.last().map(|version| Text::line(version)),
            versions: versions.iter().map(|version| Text::line(version)).collect(),
            rows: newest.map(properties).unwrap_or_default(),
            example: newest.and_then(example).map(|text| Written::of(&text)),
            schema: newest.map(|schema| Written::of(&schema.to_string())),
        }
    }
}

/// What one should know before using it.
pub(in crate::console) const fn badge(entry: &EventTypeEntry) -> Option<Badge> {
    if entry.archived {
        return Some(Badge::new(Tone::Plain, "archived"));
    }
    if entry.deprecated { Some(Badge::new(Tone::Warn, "deprecated")) } else { None }
}

/// The first example of a schema, as text.
fn example(schema: &Value) -> Option<String> {
    schema.pointer("/examples/0").map(ToString::to_string)
}

/// Its properties, parents before their children.
fn properties(schema: &Value) -> Vec<Property> {
    let mut rows = Vec::new();
    let mut above = HashSet::new();
    walk(schema, schema, "", 0, &mut above, &mut rows);
    rows
}

fn walk<'a>(
    root: &'a Value,
    schema: &'a Value,
    path: &str,
    depth: usize,
    above: &mut HashSet<&'a str>,
    rows: &mut Vec<Property>,
) {
    let Some(of) = schema.get("properties").and_then(Value::as_object) else { return };
    let required: Vec<&str> = texts(schema.get("required"));
    for (name, property) in of {
        if rows.len() == ROWS_MAX || depth == DEPTH_MAX {
            return;
        }
        let (property, named) = resolved(root, property);
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        rows.push(Property {
            path: Text::line(&path),
            kind: Text::line(&kind(property)),
            required: required.contains(&name.as_str()),
            description: Text::line(property["description"].as_str().unwrap_or_default()),
            limits: Text::line(&limits(property)),
        });
        // One that is made of itself is told once.
        if named.is_some_and(|name| !above.insert(name)) {
            continue;
        }
        walk(root, property, &path, depth + 1, above, rows);
        if let Some(items) = property.get("items") {
            let (items, _) = resolved(root, items);
            walk(root, items, &format!("{path}[]"), depth + 1, above, rows);
        }
        if let Some(name) = named {
            above.remove(name);
        }
    }
}

/// What stands behind a reference within the same schema, and its name. Any other stays as it is.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> (&'a Value, Option<&'a str>) {
    let named = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
    named.and_then(|name| Some((root.pointer(name)?, Some(name)))).unwrap_or((schema, None))
}

fn texts(value: Option<&Value>) -> Vec<&str> {
    let list = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

fn kind(schema: &Value) -> String {
    let kind = match schema.get("type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(_)) => texts(schema.get("type")).join(" or "),
        _ if schema.get("properties").is_some() => "object".into(),
        _ => "any".into(),
    };
    match schema.get("items").map(|items| &items["type"]) {
        Some(Value::String(of)) if kind == "array" => format!("array of {of}"),
        _ => kind,
    }
}

/// What else it has to be.
fn limits(schema: &Value) -> String {
    const LIMITS: [(&str, &str); 9] = [
        ("const", "always"),
        ("format", "format"),
        ("pattern", "matches"),
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("minLength", "characters, at least"),
        ("maxLength", "characters, at most"),
        ("minItems", "items, at least"),
        ("maxItems", "items, at most"),
    ];
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let said = |(name, words): &(&str, &str)| Some(format!("{words} {}", plain(schema.get(name)?)));
    let mut all: Vec<String> = LIMITS.iter().filter_map(said).collect();
    if let Some(Value::Array(words)) = schema.get("enum") {
        all.push(format!("one of {}", words.iter().map(plain).collect::<Vec<_>>().join(", ")));
    }
    all.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(schema: &Value) -> Vec<(String, String, bool, String)> {
        let text = |text: Text| text.to_string();
        let rows = properties(schema).into_iter();
        rows.map(|row| (text(row.path), text(row.kind), row.required, text(row.limits))).collect()
    }

    #[test]
    fn properties_are_told_with_their_parents_kinds_and_limits() {
        let schema = json!({
            "type": "object", "required": ["data"],
            "properties": { "data": { "$ref": "#/$defs/job" } },
            "$defs": { "job": { "type": "object", "required": ["id"], "properties": {
                "id": { "type": "string", "maxLength": 36 },
                "files": { "type": "array", "items": { "type": "object", "properties": {
                    "name": { "type": ["string", "null"] } } } },
                "state": { "enum": ["done", "failed"] },
            } } },
        });
        let row = |path: &str, kind: &str, required, limits: &str| {
            (path.to_owned(), kind.to_owned(), required, limits.to_owned())
        };
        assert_eq!(
            told(&schema),
            [
                row("data", "object", true, ""),
                row("data.files", "array of object", false, ""),
                row("data.files[].name", "string or null", false, ""),
                row("data.id", "string", true, "characters, at most 36"),
                row("data.state", "any", false, "one of done, failed"),
            ]
        );
    }

    #[test]
    fn a_schema_that_is_made_of_itself_ends() {
        let schema = json!({
            "properties": { "tree": { "$ref": "#/$defs/node" } },
            "$defs": { "node": { "properties": { "left": { "$ref": "#/$defs/node" } } } },
        });
        let paths: Vec<_> = told(&schema).into_iter().map(|(path, ..)| path).collect();
        assert_eq!(paths, ["tree", "tree.left"]);
        assert!(told(&json!(true)).is_empty());
        let wide: Map<_, _> = (0..1_000).map(|n| (n.to_string(), json!({}))).collect();
        assert_eq!(told(&json!({ "properties": wide })).len(), ROWS_MAX);
    }
}
