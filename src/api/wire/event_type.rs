//! Event types.
//!
//! One feature flag: client libraries of another age send a list of them (`featureFlags`), and a list of
//! one is that. More is refused and not passed over, for passing over would show to all what is for some.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::super::problem::Problem;
use super::patch::{change, given};
use crate::control::endpoints::Change;
use crate::control::event_types::{EventTypeEdit, NewEventType};
use crate::domain::event_type::EventTypeEntry;
use crate::domain::time::Timestamp;

/// An event type as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EventTypeIn {
    /// The dotted name.
    #[schema(min_length = 1, max_length = 128, example = "job.completed")]
    name: String,
    /// For people.
    description: String,
    /// Whether it is off the list from the beginning.
    #[serde(default)]
    archived: bool,
    /// Whether nobody should begin to use it.
    #[serde(default)]
    deprecated: bool,
    /// JSON schemas of its payloads (draft 7), by version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Value>,
    /// Only applications whose tokens have this flag are shown it.
    #[schema(min_length = 1, max_length = 256)]
    feature_flag: Option<String>,
    /// The same, as a list of one.
    #[schema(max_items = 1)]
    feature_flags: Option<Vec<String>>,
}

/// All of an event type anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EventTypeUpdate {
    /// For people.
    description: String,
    /// Whether it is off the list.
    #[serde(default)]
    archived: bool,
    /// Whether nobody should begin to use it.
    #[serde(default)]
    deprecated: bool,
    /// JSON schemas of its payloads (draft 7), by version.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Value>,
    /// Only applications whose tokens have this flag are shown it.
    #[schema(min_length = 1, max_length = 256)]
    feature_flag: Option<String>,
    /// The same, as a list of one.
    #[schema(max_items = 1)]
    feature_flags: Option<Vec<String>>,
}

/// What is to change about an event type: what is left out stays, `null` clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EventTypePatch {
    /// For people.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    description: Option<String>,
    /// Whether it is off the list.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    archived: Option<bool>,
    /// Whether nobody should begin to use it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    deprecated: Option<bool>,
    /// JSON schemas of its payloads (draft 7), by version: all anew.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<Object>)]
    schemas: Change<Value>,
    /// Only applications whose tokens have this flag are shown it.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    feature_flag: Change<String>,
    /// The same, as a list of one.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<Vec<String>>, max_items = 1)]
    feature_flags: Change<Vec<String>>,
}

/// An event type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EventTypeOut {
    /// The dotted name.
    #[schema(example = "job.completed")]
    name: String,
    /// For people.
    description: String,
    /// Whether it is off the list.
    archived: bool,
    /// Whether nobody should begin to use it.
    deprecated: bool,
    /// JSON schemas of its payloads, by version; null in a list that they were not asked for with.
    #[schema(value_type = Option<Object>)]
    schemas: Option<Value>,
    /// Only applications whose tokens have this flag are shown it.
    feature_flag: Option<String>,
    /// The same, as a list.
    feature_flags: Option<Vec<String>>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl EventTypeIn {
    /// What is asked for.
    ///
    /// # Errors
    /// For more than one feature flag.
    pub(in super::super) fn into_new(self) -> Result<NewEventType, Problem> {
        Ok(NewEventType {
            name: self.name,
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas,
            feature_flag: one_flag(self.feature_flag, self.feature_flags)?,
        })
    }
}

impl EventTypeUpdate {
    /// What is asked for, under this name.
    ///
    /// # Errors
    /// For more than one feature flag.
    pub(in super::super) fn into_new(self, name: String) -> Result<NewEventType, Problem> {
        Ok(NewEventType {
            name,
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas,
            feature_flag: one_flag(self.feature_flag, self.feature_flags)?,
        })
    }
}

impl EventTypePatch {
    /// What is to change.
    ///
    /// # Errors
    /// For more than one feature flag.
    pub(in super::super) fn into_edit(self) -> Result<EventTypeEdit, Problem> {
        let feature_flag = match (self.feature_flag.wanted(), self.feature_flags.wanted()) {
            (None, None) => Change::Keep,
            (flag, flags) => {
                one_flag(flag.flatten(), flags.flatten())?.map_or(Change::Clear, Change::Set)
            }
        };
        Ok(EventTypeEdit {
            description: self.description,
            archived: self.archived,
            deprecated: self.deprecated,
            schemas: self.schemas,
            feature_flag,
        })
    }
}

/// The flag, by either name.
fn one_flag(flag: Option<String>, flags: Option<Vec<String>>) -> Result<Option<String>, Problem> {
    let mut all: Vec<_> = flag.into_iter().chain(flags.into_iter().flatten()).collect();
    all.dedup();
    if all.len() > 1 {
        let why = format!("{} flags are given: one is accepted", all.len());
        return Err(Problem::of_field("featureFlags", why));
    }
    Ok(all.pop())
}

/// Of which type an example is wanted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct EventExampleIn {
    /// Its name.
    #[schema(max_length = 128, example = "job.completed")]
    pub(in super::super) event_type: String,
}

impl From<EventTypeEntry> for EventTypeOut {
    fn from(known: EventTypeEntry) -> Self {
        Self {
            name: known.name,
            description: known.description,
            archived: known.archived,
            deprecated: known.deprecated,
            schemas: known.schemas,
            feature_flags: known.feature_flag.clone().map(|flag| vec![flag]),
            feature_flag: known.feature_flag,
            created_at: known.created_at,
            updated_at: known.updated_at,
        }
    }
}

impl EventTypeOut {
    /// The same without its schemas.
    pub(in super::super) fn without_schemas(self) -> Self {
        Self { schemas: None, ..self }
    }
}
