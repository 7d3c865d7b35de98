//! How often a place of a payload can be looked at when it is held to a schema.
//!
//! A schema of a few bytes can cost any time: two ways to the same part, in each of which there are two ways to
//! the next, double with each step; a part that refers to itself without going down in the payload never
//! ends. So ways are counted before a schema is taken. Words that look at the same place (`allOf`, `$ref`,
//! `if`) add up there; words that go down (`properties`, `items`) count for the place below, and of several
//! named properties only one can be at a place. Counting goes as deep as payloads are nested, so a schema
//! of a tree, which refers to itself one step further down, costs what it costs.
//!
//! Too much is counted rather than too little: an `items` and a `properties` beside each other are never both
//! used, and both count.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::domain::event::PAYLOAD_DEPTH_MAX;

/// Most looks at one place. A job's schema needs ten, and one with fifty alternatives some hundreds.
const LOOKS_MAX: u64 = 2_000;
/// Most parts of a schema, each counted at each depth: what 64 KiB of `{},` have, a few times over.
const STEPS_MAX: usize = 500_000;
/// Most parts on one way from the whole schema to the deepest place: each takes a piece of the stack, in whoever
/// goes that way. Six for each step down in a payload, as a tree of references needs.
const HEIGHT_MAX: usize = 6 * PAYLOAD_DEPTH_MAX;

/// Words with one schema for the same place.
const HERE: [&str; 5] = ["not", "if", "then", "else", "contentSchema"];
/// Words with a list of schemas for the same place.
const HERE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Words with schemas for the same place, by name.
const HERE_NAMED: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Words with one schema for places below, or a list of them.
const BELOW: [&str; 8] = [
    "items",
    "prefixItems",
    "additionalItems",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Words that look once more at what those beside them have looked at.
const AGAIN: [&str; 2] = ["unevaluatedItems", "unevaluatedProperties"];
/// Words that point to another part.
const POINTERS: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// What holding payloads to a schema costs.
pub(super) struct Effort {
    /// Most looks at one place.
    pub(super) looks: u64,
    /// Patterns in it.
    pub(super) patterns: usize,
}

/// Counts a schema's effort.
///
/// # Errors
/// A sentence with the place: it points out of itself or to nothing, in a circle, or there are too many ways.
pub(super) fn of(schema: &Value) -> Result<Effort, String> {
    let mut count = Count { root: schema, known: HashMap::new(), steps: 0 };
    let (mut most, mut patterns) = (1, 0);
    for depth in 0..=PAYLOAD_DEPTH_MAX {
        let looks = count.ways(schema, depth, 0)?.looks;
        if looks > LOOKS_MAX {
            return Err(format!(
                "it could look {looks} times at one place of a payload: at most {LOOKS_MAX} are accepted"
            ));
        }
        most = most.max(looks);
    }
    scan(schema, true, &mut patterns)?;
    Ok(Effort { looks: most, patterns })
}

struct Count<'a> {
    root: &'a Value,
    /// The ways from a part to a place so deep below where it is applied; nothing while they are being counted.
    known: HashMap<(*const Value, usize), Option<Ways>>,
    steps: usize,
}

/// Ways from a part of a schema to a place of a payload.
#[derive(Debug, Clone, Copy, Default)]
struct Ways {
    /// How many looks at the place.
    looks: u64,
    /// Parts on the longest of them.
    height: usize,
}

impl Ways {
    /// Those and these.
    fn add(&mut self, more: Self) {
        self.looks = self.looks.saturating_add(more.looks);
        self.height = self.height.max(more.height);
    }

    /// Those or these, whichever are more.
    fn or(&mut self, other: Self) {
        self.looks = self.looks.max(other.looks);
        self.height = self.height.max(other.height);
    }
}

fn too_high() -> String {
    format!(
        "its parts stand within one another: {HEIGHT_MAX} of them are accepted, references included"
    )
}

impl<'a> Count<'a> {
    fn ways(&mut self, part: &'a Value, depth: usize, above: usize) -> Result<Ways, String> {
        let Value::Object(words) = part else {
            return Ok(Ways { looks: u64::from(depth == 0), height: 1 });
        };
        let key = (std::ptr::from_ref(part), depth);
        match self.known.get(&key) {
            Some(Some(known)) => return Ok(*known),
            Some(None) => {
                return Err("it refers to itself without going down in the payload".into());
            }
            None => {}
        }
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(format!("it has too many parts: {STEPS_MAX} steps do not count its ways"));
        }
        if above > HEIGHT_MAX {
            return Err(too_high());
        }
        self.known.insert(key, None);
        let mut ways = Ways { looks: if depth == 0 { own(words) } else { 0 }, height: 0 };
        for word in POINTERS {
            if let Some(pointer) = words.get(word).and_then(Value::as_str) {
                let target = self.target(pointer)?;
                ways.add(self.ways(target, depth, above + 1)?);
            }
        }
        for (word, value) in words {
            let word = word.as_str();
            let named = || value.as_object().into_iter().flatten().map(|(_, part)| part);
            let listed = || match value.as_array() {
                Some(list) => list.as_slice(),
                None => std::slice::from_ref(value),
            };
            if HERE.contains(&word) {
                ways.add(self.ways(value, depth, above + 1)?);
            } else if HERE_LISTS.contains(&word) {
                for part in listed() {
                    ways.add(self.ways(part, depth, above + 1)?);
                }
            } else if HERE_NAMED.contains(&word) {
                for part in named().filter(|part| part.is_object()) {
                    ways.add(self.ways(part, depth, above + 1)?);
                }
            } else if depth == 0 {
                // What is below does not look here.
            } else if BELOW.contains(&word) {
                for part in listed() {
                    ways.add(self.ways(part, depth - 1, above + 1)?);
                }
            } else if word == "patternProperties" {
                for part in named() {
                    ways.add(self.ways(part, depth - 1, above + 1)?);
                }
            } else if word == "properties" {
                let mut most = Ways::default();
                for part in named() {
                    most.or(self.ways(part, depth - 1, above + 1)?);
                }
                ways.add(most);
            }
        }
        if AGAIN.iter().any(|word| words.contains_key(*word)) {
            ways.looks = ways.looks.saturating_mul(2);
        }
        ways.height += 1;
        if ways.height > HEIGHT_MAX {
            return Err(too_high());
        }
        self.known.insert(key, Some(ways));
        Ok(ways)
    }

    /// Only plain pointers: where one is written in two ways, or a place is named by an anchor, what is
    /// counted here and what is gone to there could be two.
    fn target(&self, pointer: &str) -> Result<&'a Value, String> {
        let place = pointer.strip_prefix('#').ok_or_else(|| outside(pointer))?;
        if place.contains('%') || !(place.is_empty() || place.starts_with('/')) {
            return Err(outside(pointer));
        }
        self.root.pointer(place).ok_or_else(|| {
            format!("`{}` leads nowhere", pointer.chars().take(64).collect::<String>())
        })
    }
}

fn outside(pointer: &str) -> String {
    let pointer: String = pointer.chars().take(64).collect();
    format!("`{pointer}`: a place in the same schema, as #/definitions/job is accepted")
}

/// What the words of one part cost by themselves: a list is gone through.
fn own(words: &Map<String, Value>) -> u64 {
    let listed = ["enum", "required"].iter().filter_map(|word| words.get(*word)?.as_array());
    1 + listed.map(|list| list.len() as u64).sum::<u64>() / 16
}

/// Counts patterns, and refuses a part with an `$id` of its own: places in it would be counted from there.
fn scan(value: &Value, at_root: bool, patterns: &mut usize) -> Result<(), String> {
    match value {
        Value::Object(words) => {
            if !at_root && words.get("$id").is_some_and(Value::is_string) {
                return Err("a part of it has an `$id`: the whole may have one".into());
            }
            *patterns += usize::from(words.get("pattern").is_some_and(Value::is_string));
            let named = words.get("patternProperties").and_then(Value::as_object);
            *patterns += named.map_or(0, Map::len);
            words.values().try_for_each(|value| scan(value, false, patterns))
        }
        Value::Array(list) => list.iter().try_for_each(|value| scan(value, false, patterns)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}
