//! What is published, held to the schemas of its types before it is taken.
//!
//! Asked of the catalogue for each request, so that an edit holds from the next one on; what the schemas were
//! made ready into is kept. Only where an application wants broken events refused: those that are to be
//! let through and counted are counted where events are taken in, whichever way they came (`pipeline`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::{Checked, Fault, Field, Intake, PublishError};
use crate::control::{Answer, Control};
use crate::domain::application::Application;
use crate::domain::event::EventType;
use crate::domain::event_type::EventTypeEntry;
use crate::domain::id::OrganisationId;
use crate::domain::schema::{self, Schemas};
use crate::domain::settings::SchemaMode;

/// Most event types whose schemas are kept ready. Beyond it they are forgotten, all at once: an organisation
/// with more makes some of them ready again.
const KEPT_MAX: usize = 512;

/// Schemas that were made ready, by organisation and type.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<Mutex<HashMap<Name, Arc<Schemas>>>>);

/// Whose type it is, and what it is called.
type Name = (OrganisationId, String);

impl Held {
    /// The schemas of an entry, ready as far as they ever were.
    fn of(&self, entry: &EventTypeEntry) -> Option<Arc<Schemas>> {
        let source = entry.schemas.as_ref()?;
        let name = (entry.organisation, entry.name.clone());
        let mut kept = self.0.lock().expect("nothing panics while it is held");
        if let Some(known) = kept.get(&name).filter(|known| known.are_of(source)) {
            return Some(Arc::clone(known));
        }
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let schemas = Arc::new(Schemas::of(source));
        kept.insert(name, Arc::clone(&schemas));
        Some(schemas)
    }
}

impl Intake {
    /// Refuses payloads that are not as their types' schemas want them, if the application wants that. A type
    /// that nobody lists, or not any more, has none.
    ///
    /// # Errors
    /// `Refused`, with the first ten faults of each payload; `Unavailable`.
    pub(super) async fn hold_to_schemas(
        &self,
        application: &Application,
        checked: &[Checked],
    ) -> Result<(), PublishError> {
        if !self.control.enforces_schemas(application).await? {
            return Ok(());
        }
        let mut schemas: HashMap<&str, Option<Arc<Schemas>>> = HashMap::new();
        let mut faults = Vec::new();
        for (place, one) in checked.iter().enumerate() {
            let name = one.accepted.event_type.as_str();
            if !schemas.contains_key(name) {
                let entry = self.control.entry_in_use(application, name).await?;
                schemas.insert(name, entry.and_then(|entry| self.held.of(&entry)));
            }
            let Some(Some(schemas)) = schemas.get(name) else { continue };
            let attributes = &one.publication.attributes;
            let dataschema = attributes.iter().find(|(name, _)| &**name == "dataschema");
            let dataschema = dataschema.map(|(_, text)| &**text);
            for fault in schemas.faults(&one.accepted.payload, dataschema) {
                let why = schema::sentence(&[fault]);
                faults.push(Fault { place, field: Field::Payload, why });
            }
            if faults.len() >= FAULTS_MAX {
                break;
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(PublishError::Refused(faults)) }
    }
}

impl Control {
    /// What is wrong with a payload by its type's schemas, where the application wants broken events refused;
    /// nothing where it does not.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn faults_by_schema(
        &self,
        application: &Application,
        event_type: &EventType,
        payload: &[u8],
    ) -> Answer<Vec<schema::Fault>> {
        if !self.enforces_schemas(application).await? {
            return Ok(Vec::new());
        }
        let entry = self.entry_in_use(application, event_type.as_str()).await?;
        let schemas = entry.and_then(|entry| Some(Schemas::of(entry.schemas.as_ref()?)));
        Ok(schemas.map_or_else(Vec::new, |schemas| schemas.faults(payload, None)))
    }

    async fn enforces_schemas(&self, application: &Application) -> Answer<bool> {
        Ok(match self.catalogue.schema_mode(application.tenant()).await? {
            SchemaMode::Off | SchemaMode::Warn => false,
            SchemaMode::Enforce => true,
        })
    }

    /// What is listed of a type, unless it is not any more.
    async fn entry_in_use(
        &self,
        application: &Application,
        name: &str,
    ) -> Answer<Option<EventTypeEntry>> {
        let entry = self.catalogue.event_type(application.organisation, name).await?;
        Ok(entry.filter(|entry| !entry.archived))
    }
}

/// As many faults of a batch as are read; those of one payload are fewer.
const FAULTS_MAX: usize = 100;
