//! Arrivals held to the schemas of their types, where their application wants it.
//!
//! The schemas come with the catalogue and are made ready by the first event that needs them; reading the
//! catalogue again keeps what has not changed. In memory is what the organisations list that have such an
//! application: 64 KiB of text for a type at most, and a few MiB where its patterns are as large as they may be.
//!
//! What was published over HTTP was held to them before its request was answered, and is accepted: it is never
//! quarantined here. Nor is what is on record already, whatever the schema says since: it is owed.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::debug;

use super::ingest::Ingest;
use super::route::Table;
use super::until_taken;
use crate::domain::event::{Event, Rejection};
use crate::domain::id::{ApplicationId, OrganisationId};
use crate::domain::schema::{self, Fault, Schemas};
use crate::domain::settings::SchemaMode;
use crate::storage::catalogue::Snapshot;

/// Who wants their events held to schemas, and the schemas.
#[derive(Debug, Default)]
pub struct BySchema {
    modes: HashMap<ApplicationId, (SchemaMode, OrganisationId)>,
    types: HashMap<(OrganisationId, String), Arc<Schemas>>,
}

impl BySchema {
    /// Those of a snapshot; what is ready in `before` and has not changed stays ready.
    pub fn of(snapshot: &Snapshot, before: &Self) -> Self {
        let wanting = snapshot.settings.iter().filter(|one| one.schema_mode != SchemaMode::Off);
        let wanting: HashMap<_, _> =
            wanting.map(|one| (one.application, one.schema_mode)).collect();
        let modes = snapshot
            .applications
            .iter()
            .filter_map(|one| wanting.get(&one.id).map(|mode| (one.id, (*mode, one.organisation))));
        let types = snapshot.schemas.iter().filter_map(|entry| {
            let source = entry.schemas.as_ref()?;
            let name = (entry.organisation, entry.name.clone());
            let known = before.types.get(&name).filter(|known| known.are_of(source)).cloned();
            Some((name, known.unwrap_or_else(|| Arc::new(Schemas::of(source)))))
        });
        Self { modes: modes.collect(), types: types.collect() }
    }

    /// What an event's application makes of payloads that are not by their schemas.
    fn mode(&self, event: &Event) -> SchemaMode {
        self.modes.get(&event.application).map_or(SchemaMode::Off, |(mode, _)| *mode)
    }

    /// What is wrong with an event, if anything is and its application wants to know.
    fn faults(&self, event: &Event) -> Option<(SchemaMode, Vec<Fault>)> {
        let (mode, organisation) = self.modes.get(&event.application)?;
        let schemas = self.types.get(&(*organisation, event.event_type.as_str().to_owned()))?;
        let dataschema = event.attributes.iter().find(|(name, _)| &**name == "dataschema");
        let faults = schemas.faults(&event.payload, dataschema.map(|(_, text)| &**text));
        (!faults.is_empty()).then_some((*mode, faults))
    }
}

/// How an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// It was stored by whoever published it.
    Stored,
    /// It was published, and may be on record: by the request that published it, or from its first coming.
    Published,
}

impl Ingest {
    /// Why an event goes to quarantine, if its schema says so and its application wants that.
    pub(super) async fn breach(
        &self,
        table: &Table,
        event: &Event,
        came: Came,
    ) -> Option<Rejection> {
        if came == Came::Stored && table.by_schema().mode(event) == SchemaMode::Enforce {
            return None; // it was held to them when it was taken, and cannot be refused any more
        }
        let (mode, faults) = table.by_schema().faults(event)?;
        self.metrics.schema_fault(mode);
        let faults = schema::sentence(&faults);
        let let_through = match mode {
            SchemaMode::Off | SchemaMode::Warn => true,
            SchemaMode::Enforce => match came {
                Came::Stored => true,
                Came::Published => self.is_on_record(event).await,
            },
        };
        debug!(event_id = %event.id, let_through, "payload is not by its schema: {faults}");
        let event_type = event.event_type.to_string();
        (!let_through).then_some(Rejection::NotBySchema { event_type, faults })
    }

    /// Whether somebody was told already that it is accepted: it came before, or a request published it.
    async fn is_on_record(&self, event: &Event) -> bool {
        let away = |away| self.metrics.journal_away(away);
        let ask = || self.journal.has_events(vec![event.id]);
        until_taken("looking for an event", ask, &away).await.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::application::Application;
    use crate::domain::event_type::EventTypeEntry;
    use crate::domain::settings::Settings;
    use crate::domain::time::Timestamp;

    fn snapshot(version: u64, mode: SchemaMode, schema: &serde_json::Value) -> Snapshot {
        let id = ApplicationId::derived(&[b"acme"]);
        let now = Timestamp::default();
        let application = Application {
            id,
            organisation: OrganisationId::DEFAULT,
            uid: Some("acme".into()),
            name: "Acme".into(),
            throttle_rate: None,
            metadata: std::collections::BTreeMap::new(),
            created_at: now,
            updated_at: now,
        };
        let entry = EventTypeEntry {
            organisation: OrganisationId::DEFAULT,
            name: "job.completed".into(),
            description: String::new(),
            archived: false,
            deprecated: false,
            schemas: Some(json!({ "1": schema })),
            feature_flag: None,
            created_at: now,
            updated_at: now,
        };
        Snapshot {
            version,
            applications: vec![application],
            settings: vec![Settings { schema_mode: mode, ..Settings::unset(id) }],
            schemas: vec![entry],
            ..Snapshot::default()
        }
    }

    fn event(event_type: &str, payload: &'static str) -> Event {
        crate::domain::event::NewEvent {
            application: "acme".into(),
            event_type: event_type.parse().expect("a type"),
            identity: crate::domain::event::Identity::Given("run-7".into()),
            subject: None,
            occurred_at: None,
            received_at: None,
            deliver_at: None,
            expires_at: None,
            content_type: None,
            traceparent: None,
            channels: Box::default(),
            webhook: None,
            attributes: Box::default(),
            payload: bytes::Bytes::from_static(payload.as_bytes()),
        }
        .of(ApplicationId::derived(&[b"acme"]), Timestamp::default())
    }

    #[test]
    fn only_listed_types_of_applications_that_want_it_are_held_to_schemas() {
        let schema = json!({ "required": ["status"] });
        let held = |mode| BySchema::of(&snapshot(1, mode, &schema), &BySchema::default());
        let (broken, good) =
            (event("job.completed", "{}"), event("job.completed", "{\"status\":1}"));
        for mode in [SchemaMode::Warn, SchemaMode::Enforce] {
            let (told, faults) = held(mode).faults(&broken).expect("a fault");
            assert_eq!((told, faults.len()), (mode, 1));
            assert!(held(mode).faults(&good).is_none());
            assert!(held(mode).faults(&event("job.unlisted", "{}")).is_none());
        }
        assert!(held(SchemaMode::Off).faults(&broken).is_none());
    }

    #[test]
    fn a_schema_that_has_not_changed_stays_ready() {
        let of = |before: &BySchema, schema: &serde_json::Value| {
            BySchema::of(&snapshot(1, SchemaMode::Warn, schema), before)
        };
        let first = of(&BySchema::default(), &json!({}));
        let only = |all: &BySchema| Arc::clone(all.types.values().next().expect("one"));
        assert!(Arc::ptr_eq(&only(&first), &only(&of(&first, &json!({})))));
        assert!(!Arc::ptr_eq(&only(&first), &only(&of(&first, &json!({ "type": "object" })))));
    }
}
