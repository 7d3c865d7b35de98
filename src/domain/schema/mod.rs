//! Payloads held to the JSON schemas of their type.
//!
//! A type has schemas by version. A payload is held to the one that its `schema_version` names, else to
//! the one whose `$id` is its `dataschema`, else to the highest. Draft 7 and 2020-12 are known, by `$schema`; a
//! schema that names none is read as draft 7, as client libraries' pages say.
//!
//! What bounds the work, whoever wrote the schema and whoever sends the payload: the schema's bytes (64 KiB,
//! `control::schemas`); how often a place of a payload can be looked at, counted beforehand over all its
//! references ([`effort`]); that many times the payload's bytes, at most [`WORK_MAX`]; and patterns that are
//! matched in linear time, few, small ones, without looking around. Nothing is fetched.
//!
//! Values of payloads are not told: what is wrong is written into logs and headers that others read.

mod effort;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// Most faults that are told of one payload: more is not read.
pub const FAULTS_MAX: usize = 10;
/// Most that one payload may cost: its bytes times how often each can be looked at. A quarter of a second or
/// so at the worst: who takes events in waits for it.
const WORK_MAX: u64 = 1 << 24;
/// Most that it may cost where every fault is looked for: as many may be found as there are looks, and all of
/// them are in memory before the first is told. Above it, the first fault is told alone.
const WORK_FOR_ALL_FAULTS: u64 = 1 << 18;
/// Most bytes of a pattern when it is made ready: a name of 255 letters of any language does not fit, one of
/// ASCII does.
const PATTERN_BYTES_MAX: usize = 128 * 1_024;
/// Most patterns of one schema: 2 MiB of them at the worst.
const PATTERNS_MAX: usize = 16;
/// Longest pointer that is told, in characters: it has names of the payload in it, whatever they are.
const POINTER_MAX: usize = 200;
/// Longest sentence about a fault, in characters.
const SENTENCE_MAX: usize = 300;

/// One thing that is wrong with a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSON pointer into the payload; empty for the whole of it.
    pub pointer: String,
    /// What is wrong, without the value.
    pub why: String,
}

impl Fault {
    fn new(pointer: impl Into<String>, why: impl Into<String>) -> Self {
        let why: String = why.into().chars().take(SENTENCE_MAX).collect();
        let pointer: String = pointer.into();
        Self { pointer: pointer.chars().take(POINTER_MAX).collect(), why }
    }
}

/// The schemas of one event type, each made ready when it is first needed.
#[derive(Debug)]
pub struct Schemas {
    source: Value,
    versions: BTreeMap<u32, Version>,
}

#[derive(Debug)]
struct Version {
    schema: Value,
    ready: OnceLock<Result<Schema, String>>,
}

impl Schemas {
    /// Those of a catalogue's entry: `{"1": {…}}`.
    pub fn of(source: &Value) -> Self {
        let named = source.as_object().into_iter().flatten();
        let versions = named.filter_map(|(version, schema)| {
            let ready = OnceLock::new();
            Some((version.parse().ok()?, Version { schema: schema.clone(), ready }))
        });
        Self { versions: versions.collect(), source: source.clone() }
    }

    /// Whether they are made of this.
    pub fn are_of(&self, source: &Value) -> bool {
        self.source == *source
    }

    /// What is wrong with a payload, at most [`FAULTS_MAX`] things; nothing where no version is listed.
    pub fn faults(&self, payload: &[u8], dataschema: Option<&str>) -> Vec<Fault> {
        if self.versions.is_empty() {
            return Vec::new();
        }
        let Ok(value) = serde_json::from_slice::<Value>(payload) else {
            return vec![Fault::new("", "it is not JSON")];
        };
        let version = match self.named(&value, dataschema) {
            Ok(version) => version,
            Err(fault) => return vec![fault],
        };
        match version.ready.get_or_init(|| Schema::new(&version.schema)) {
            Ok(schema) => schema.faults(&value, payload.len()),
            Err(why) => vec![Fault::new("", format!("its schema cannot be held to: {why}"))],
        }
    }

    fn named(&self, payload: &Value, dataschema: Option<&str>) -> Result<&Version, Fault> {
        if let Some(number) = payload.get("schema_version").and_then(Value::as_u64) {
            let known = u32::try_from(number).ok().and_then(|number| self.versions.get(&number));
            return known.ok_or_else(|| {
                let listed: Vec<_> = self.versions.keys().map(ToString::to_string).collect();
                let listed = listed.join(", ");
                Fault::new("/schema_version", format!("{number} is not listed: {listed} is"))
            });
        }
        let is_named = |version: &&Version| {
            dataschema.is_some() && version.schema.get("$id").and_then(Value::as_str) == dataschema
        };
        let by_id = self.versions.values().find(is_named);
        Ok(by_id.or_else(|| self.versions.values().next_back()).expect("there is one"))
    }
}

/// A schema that payloads can be held to.
#[derive(Debug)]
pub struct Schema {
    validator: Validator,
    looks: u64,
}

impl Schema {
    /// Makes a schema ready.
    ///
    /// # Errors
    /// A sentence with the place in it: it is no schema, points out of itself, or could cost too much.
    pub fn new(schema: &Value) -> Result<Self, String> {
        let draft = draft(schema)?;
        let effort = effort::of(schema)?;
        if effort.patterns > PATTERNS_MAX {
            let count = effort.patterns;
            return Err(format!("{count} patterns are in it: at most {PATTERNS_MAX} are accepted"));
        }
        let patterns =
            PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX);
        let validator = jsonschema::options()
            .with_draft(draft)
            .offline()
            .with_pattern_options(patterns)
            .should_validate_formats(false) // as 2020-12 has it: a format tells, a pattern holds
            .build(schema)
            .map_err(|fault| {
                let place = fault.instance_path().to_string();
                let why: String = fault.to_string().chars().take(SENTENCE_MAX).collect();
                if place.is_empty() { why } else { format!("{place}: {why}") }
            })?;
        Ok(Self { validator, looks: effort.looks })
    }

    /// What is wrong with a payload of so many bytes.
    fn faults(&self, payload: &Value, bytes: usize) -> Vec<Fault> {
        let work = self.looks.saturating_mul(bytes as u64);
        if work > WORK_MAX {
            let most = WORK_MAX / self.looks;
            return vec![Fault::new(
                "",
                format!("it has {bytes} bytes: its schema takes at most {most}"),
            )];
        }
        if self.validator.is_valid(payload) {
            return Vec::new();
        }
        let told = |fault: jsonschema::ValidationError<'_>| {
            Fault::new(fault.instance_path().as_str(), fault.masked_with("the value").to_string())
        };
        if work > WORK_FOR_ALL_FAULTS {
            return self.validator.validate(payload).err().map(told).into_iter().collect();
        }
        self.validator.iter_errors(payload).take(FAULTS_MAX).map(told).collect()
    }
}

/// Checks that payloads can be held to a schema.
///
/// # Errors
/// As for [`Schema::new`].
pub fn check(schema: &Value) -> Result<(), String> {
    Schema::new(schema).map(drop)
}

/// Faults as one sentence: `/data/status: …; /data: …`.
pub fn sentence(faults: &[Fault]) -> String {
    let told = faults.iter().map(|Fault { pointer, why }| match pointer.as_str() {
        "" => format!("/: {why}"),
        pointer => format!("{pointer}: {why}"),
    });
    told.collect::<Vec<_>>().join("; ")
}

fn draft(schema: &Value) -> Result<Draft, String> {
    let Some(named) = schema.get("$schema").and_then(Value::as_str) else {
        return Ok(Draft::Draft7);
    };
    match named.trim_end_matches('#') {
        "http://json-schema.org/draft-07/schema" | "https://json-schema.org/draft-07/schema" => {
            Ok(Draft::Draft7)
        }
        "https://json-schema.org/draft/2020-12/schema" => Ok(Draft::Draft202012),
        _ => Err("/$schema: http://json-schema.org/draft-07/schema# or \
                  https://json-schema.org/draft/2020-12/schema is accepted"
            .into()),
    }
}

#[cfg(test)]
mod tests;
