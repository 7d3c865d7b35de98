//! The catalogue of event types: documentation for tenants, not a gate. An event whose type nobody
//! has listed is delivered all the same.
//!
//! One rule looks like a gate and is none: over the API, an endpoint can only ask for types by name that
//! are listed ([`Control::check_event_types`]). It catches a name that was mistyped, and clients of the
//! compatible API count on it.
//!
//! A type may be for some tenants alone, by a feature flag: to the others it is not there, in lists and
//! by name.

use serde_json::Value;

use super::applications::Put;
use super::endpoints::{Change, checked_filter};
use super::names::{check_description, is_plain};
use super::schemas::check_schemas;
use super::tokens::Caller;
use super::{Answer, Control, ControlError};
use crate::domain::event::EventType;
use crate::domain::event_type::EventTypeEntry;
use crate::domain::filter::Pattern;
use crate::storage::catalogue::EventTypeFilter;
use crate::storage::page::{Order, Page};

/// Longest feature flag, in characters: as other names in the API.
const FLAG_MAX: usize = 256;

/// An event type as it is asked for.
#[derive(Debug, Clone, Default)]
pub struct NewEventType {
    /// The dotted name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether it is off the list from the beginning.
    pub archived: bool,
    /// Whether nobody should begin to use it.
    pub deprecated: bool,
    /// JSON schemas of its payloads, by version.
    pub schemas: Option<Value>,
    /// Only tenants with this flag are shown it.
    pub feature_flag: Option<String>,
}

/// What is to change about an event type.
#[derive(Debug, Clone, Default)]
pub struct EventTypeEdit {
    /// For people.
    pub description: Option<String>,
    /// Whether it is off the list.
    pub archived: Option<bool>,
    /// Whether nobody should begin to use it.
    pub deprecated: Option<bool>,
    /// JSON schemas of its payloads, by version: all anew.
    pub schemas: Change<Value>,
    /// Only tenants with this flag are shown it.
    pub feature_flag: Change<String>,
}

/// One version of an event type's schemas, as a file has it.
#[derive(Debug, Clone)]
pub struct SchemaFile {
    /// The dotted name.
    pub name: String,
    /// For people.
    pub description: String,
    /// The version that it is.
    pub version: u32,
    /// The schema.
    pub schema: Value,
}

/// What importing a schema came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// Its type was not listed before.
    Listed,
    /// Its type is described by it now.
    Changed,
    /// It was there already.
    Same,
}

impl Control {
    /// Takes a schema in: lists its type, or gives the type that is listed this description and version. The
    /// type's other versions stay, and so does whether it is archived, deprecated or for a flag.
    ///
    /// # Errors
    /// `InvalidField` for anything about it.
    pub async fn import_schema(&self, file: SchemaFile) -> Answer<Imported> {
        let name = check_name(&file.name)?;
        let known = self.catalogue.event_type(self.organisation, name.as_str()).await?;
        let schemas = known.as_ref().and_then(|known| known.schemas.as_ref()?.as_object().cloned());
        let mut schemas = schemas.unwrap_or_default();
        schemas.insert(file.version.to_string(), file.schema);
        let schemas = Some(Value::Object(schemas));
        let Some(known) = known else {
            let description = file.description;
            let new = NewEventType { name: file.name, description, schemas, ..Default::default() };
            return self.write(None, new).await.map(|_| Imported::Listed);
        };
        if known.schemas == schemas && known.description == file.description {
            return Ok(Imported::Same);
        }
        let new = NewEventType {
            name: file.name,
            description: file.description,
            archived: known.archived,
            deprecated: known.deprecated,
            schemas,
            feature_flag: known.feature_flag.clone(),
        };
        self.write(Some(known), new).await.map(|_| Imported::Changed)
    }

    /// Lists an event type. One that was archived is listed again, as it is asked for now.
    ///
    /// # Errors
    /// `InvalidField` for anything about it; `Conflict` when it is listed already.
    pub async fn create_event_type(&self, new: NewEventType) -> Answer<EventTypeEntry> {
        let name = check_name(&new.name)?;
        match self.catalogue.event_type(self.organisation, name.as_str()).await? {
            Some(known) if known.archived => self.write(Some(known), new).await,
            Some(_) => Err(ControlError::Conflict(format!("event type `{name}` is there already"))),
            None => self.write(None, new).await,
        }
    }

    /// Writes all of an event type anew, or lists it.
    ///
    /// # Errors
    /// `InvalidField` for anything about it.
    pub async fn put_event_type(&self, new: NewEventType) -> Answer<Put<EventTypeEntry>> {
        let name = check_name(&new.name)?;
        match self.catalogue.event_type(self.organisation, name.as_str()).await? {
            Some(known) => self.write(Some(known), new).await.map(Put::Known),
            None => self.write(None, new).await.map(Put::Made),
        }
    }

    async fn write(
        &self,
        known: Option<EventTypeEntry>,
        new: NewEventType,
    ) -> Answer<EventTypeEntry> {
        let now = (self.context.now)();
        let entry = EventTypeEntry {
            organisation: self.organisation,
            name: new.name,
            description: check_description(new.description)?,
            archived: new.archived,
            deprecated: new.deprecated,
            schemas: check_schemas(new.schemas)?,
            feature_flag: check_flag(new.feature_flag)?,
            created_at: known.map_or(now, |known| known.created_at),
            updated_at: now,
        };
        self.catalogue.put_event_type(&entry).await?;
        Ok(entry)
    }

    /// Changes an event type.
    ///
    /// # Errors
    /// `NotFound`; `InvalidField` for anything about it.
    pub async fn edit_event_type(&self, name: &str, edit: EventTypeEdit) -> Answer<EventTypeEntry> {
        let mut entry = self.event_type(name).await?;
        if let Some(description) = edit.description {
            entry.description = check_description(description)?;
        }
        if let Some(schemas) = edit.schemas.wanted() {
            entry.schemas = check_schemas(schemas)?;
        }
        if let Some(flag) = edit.feature_flag.wanted() {
            entry.feature_flag = check_flag(flag)?;
        }
        entry.archived = edit.archived.unwrap_or(entry.archived);
        entry.deprecated = edit.deprecated.unwrap_or(entry.deprecated);
        entry.updated_at = (self.context.now)();
        self.catalogue.put_event_type(&entry).await?;
        Ok(entry)
    }

    /// The event type of that name, archived or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn event_type(&self, name: &str) -> Answer<EventTypeEntry> {
        let known = self.catalogue.event_type(self.organisation, name).await?;
        known.ok_or_else(|| no_event_type(name))
    }

    /// The same, if the caller is shown it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn event_type_for(&self, caller: &Caller, name: &str) -> Answer<EventTypeEntry> {
        let known = self.event_type(name).await?;
        if caller.is_shown(known.feature_flag.as_deref()) {
            Ok(known)
        } else {
            Err(no_event_type(name)) // in the words of one that is not there
        }
    }

    /// A part of the list of event types, by name: of those that the caller is shown.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn event_type_page(
        &self,
        caller: &Caller,
        archived_too: bool,
        page: &Page<String>,
    ) -> Answer<Vec<EventTypeEntry>> {
        let shown_with = match caller {
            Caller::Organisation(_) => None,
            Caller::Application { feature_flags, .. } => Some(feature_flags.clone()),
        };
        let filter = EventTypeFilter { archived_too, shown_with };
        Ok(self.catalogue.event_types(self.organisation, &filter, page).await?)
    }

    /// Every listed event type, by name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn event_types(&self) -> Answer<Vec<EventTypeEntry>> {
        let (whole, filter) = (Page::whole(Order::Ascending), EventTypeFilter::default());
        Ok(self.catalogue.event_types(self.organisation, &filter, &whole).await?)
    }

    /// Takes an event type off the list, and keeps it for those who still refer to it.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn archive_event_type(&self, name: &str) -> Answer<()> {
        let edit = EventTypeEdit { archived: Some(true), ..EventTypeEdit::default() };
        self.edit_event_type(name, edit).await.map(drop)
    }

    /// Takes an event type off the list for good.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_event_type(&self, name: &str) -> Answer<()> {
        if self.catalogue.delete_event_type(self.organisation, name).await? {
            Ok(())
        } else {
            Err(no_event_type(name))
        }
    }

    /// Checks what somebody wants their endpoint to want: each type that is named in full is listed, not
    /// archived, and shown to them. What is named by its beginning may be for types to come.
    ///
    /// # Errors
    /// `InvalidField`, naming the type.
    pub async fn check_event_types(&self, caller: &Caller, patterns: &[String]) -> Answer<()> {
        for pattern in checked_filter(patterns)?.patterns() {
            let name = match pattern {
                Pattern::All | Pattern::Prefix(_) => continue,
                Pattern::Exact(name) => name.as_str(),
            };
            let known = self.catalogue.event_type(self.organisation, name).await?;
            let is_listed =
                |one: EventTypeEntry| !one.archived && caller.is_shown(one.feature_flag.as_deref());
            if !known.is_some_and(is_listed) {
                let why = format!(
                    "no event type is called `{name}`: one that is listed and not archived is \
                     accepted, a prefix as job.* or *"
                );
                return Err(ControlError::field("eventTypes", why));
            }
        }
        Ok(())
    }
}

fn no_event_type(name: &str) -> ControlError {
    ControlError::NotFound(format!("no event type is called `{name}`"))
}

fn check_name(name: &str) -> Answer<EventType> {
    if name.starts_with('-') {
        // A list could not be walked beyond it: `-` in front turns an iterator round.
        let why = format!("`{name}` cannot be listed: it may not begin with `-`");
        return Err(ControlError::field("name", why));
    }
    name.parse().map_err(|fault| ControlError::field("name", format!("{fault}")))
}

fn check_flag(flag: Option<String>) -> Answer<Option<String>> {
    match flag {
        Some(flag) if !is_plain(&flag, FLAG_MAX) => {
            let accepted =
                format!("1 to {FLAG_MAX} letters, digits, `-`, `_` and `.` are accepted");
            let why = format!("`{flag}` is not a feature flag: {accepted}");
            Err(ControlError::field("featureFlag", why))
        }
        flag => Ok(flag),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::fake::{NOW, World};
    use crate::domain::id::{ApplicationId, OrganisationId};

    const OURS: Caller = Caller::Organisation(OrganisationId::DEFAULT);

    fn tenant(flags: &[&str]) -> Caller {
        Caller::Application {
            organisation: OrganisationId::DEFAULT,
            application: ApplicationId::derived(&[b"acme"]),
            feature_flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        }
    }

    fn named(name: &str) -> NewEventType {
        NewEventType { name: name.into(), ..NewEventType::default() }
    }

    /// `job.listed`, `job.archived`, and `job.beta` for those with the flag.
    async fn three_types() -> Control {
        let control = World::new().control;
        let beta = Some("beta".to_owned());
        for new in [
            named("job.listed"),
            NewEventType { archived: true, ..named("job.archived") },
            NewEventType { feature_flag: beta, ..named("job.beta") },
        ] {
            control.create_event_type(new).await.expect("listed");
        }
        control
    }

    #[tokio::test]
    async fn an_event_type_is_listed_once_and_again_when_it_was_archived() {
        let control = three_types().await;

        let again = control.create_event_type(named("job.listed")).await;
        assert!(matches!(again, Err(ControlError::Conflict(_))), "{again:?}");
        control.archive_event_type("job.listed").await.expect("archived");
        assert_eq!(control.event_types().await.expect("read").len(), 1);
        let new = NewEventType { description: "new".into(), ..named("job.listed") };
        let again = control.create_event_type(new).await.expect("listed again");
        assert_eq!((again.description.as_str(), again.archived), ("new", false));
        assert_eq!(again.created_at, NOW);

        assert_eq!(control.delete_event_type("job.listed").await, Ok(()));
        let gone = control.delete_event_type("job.listed").await;
        assert!(matches!(gone, Err(ControlError::NotFound(_))), "{gone:?}");
    }

    #[tokio::test]
    async fn a_schema_is_imported_beside_the_other_versions_and_leaves_the_rest_as_it_was() {
        let control = three_types().await;
        let file = |name: &str, version, schema| SchemaFile {
            name: name.into(),
            description: "new".into(),
            version,
            schema,
        };
        let import = async |file| control.import_schema(file).await.expect("imported");
        assert_eq!(import(file("job.new", 1, json!({}))).await, Imported::Listed);
        assert_eq!(import(file("job.new", 1, json!({}))).await, Imported::Same);
        assert_eq!(import(file("job.new", 2, json!({ "title": "2" }))).await, Imported::Changed);
        let entry = control.event_type("job.new").await.expect("listed");
        assert_eq!(entry.schemas, Some(json!({ "1": {}, "2": { "title": "2" } })));
        assert_eq!(entry.description, "new");

        assert_eq!(import(file("job.archived", 1, json!({}))).await, Imported::Changed);
        assert!(control.event_type("job.archived").await.expect("kept").archived);
        let broken = control.import_schema(file("job.new", 3, json!({ "type": 7 }))).await;
        assert!(matches!(broken, Err(ControlError::InvalidField { .. })), "{broken:?}");
    }

    #[tokio::test]
    async fn what_is_wrong_with_an_event_type_is_told_with_its_field() {
        let control = World::new().control;
        for (new, wrong) in [
            (named("job.*"), "name"),
            (named("-job"), "name"),
            (NewEventType { description: "x".repeat(4_097), ..named("a") }, "description"),
            (NewEventType { schemas: Some(json!([])), ..named("a") }, "schemas"),
            (NewEventType { feature_flag: Some("a b".into()), ..named("a") }, "featureFlag"),
        ] {
            let refused = control.create_event_type(new).await;
            let Err(ControlError::InvalidField { field, .. }) = refused else {
                panic!("{wrong}: {refused:?}")
            };
            assert_eq!(field, wrong);
        }
    }

    #[tokio::test]
    async fn an_endpoint_may_want_by_name_what_is_listed_and_shown_and_by_beginning_whatever_comes()
    {
        let control = three_types().await;
        for (caller, pattern, accepted) in [
            (&OURS, "job.listed", true),
            (&OURS, "job.beta", true),
            (&OURS, "job.archived", false),
            (&OURS, "job.unknown", false),
            (&OURS, "unknown.*", true),
            (&OURS, "*", true),
            (&OURS, "job*", false),
            (&tenant(&[]), "job.beta", false),
            (&tenant(&["beta"]), "job.beta", true),
        ] {
            let judged = control.check_event_types(caller, &[pattern.to_owned()]).await;
            assert_eq!(judged.is_ok(), accepted, "{caller:?} {pattern}: {judged:?}");
        }
    }

    #[tokio::test]
    async fn a_type_for_a_flag_is_not_there_for_others() {
        let control = three_types().await;
        for (caller, shown) in [(&OURS, true), (&tenant(&[]), false), (&tenant(&["beta"]), true)] {
            let found = control.event_type_for(caller, "job.beta").await;
            assert_eq!(found.is_ok(), shown, "{caller:?}");
            let list = control.event_type_page(caller, false, &Page::whole(Order::Ascending)).await;
            let is_listed = list.expect("read").iter().any(|entry| entry.name == "job.beta");
            assert_eq!(is_listed, shown, "{caller:?}");
        }
    }
}
