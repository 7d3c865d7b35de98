//! What the catalogue promises to who routes by it.

use posthaste::domain::event_type::EventTypeEntry;
use posthaste::domain::id::OrganisationId;
use posthaste::domain::settings::{SchemaMode, Settings};
use posthaste::storage::StorageError;
use serde_json::json;

use crate::bench::{Bench, acme};
use crate::breach::{Kept, hold, same};
use crate::support::clock;

fn listed(name: &str, schema: &str) -> EventTypeEntry {
    EventTypeEntry {
        organisation: acme().organisation,
        name: name.into(),
        description: String::new(),
        archived: false,
        deprecated: false,
        schemas: Some(json!({ "1": { "title": schema } })),
        feature_flag: None,
        created_at: clock(),
        updated_at: clock(),
    }
}

pub(crate) async fn schemas_are_there_for_who_has_its_events_held_to_them_and_edits_are_noticed(
    bench: &mut Bench,
) -> Kept {
    let catalogue = bench.ports().catalogue.clone();
    let names = async || -> Kept<Vec<String>> {
        let snapshot = catalogue.snapshot().await?;
        let titles = snapshot.schemas.iter().map(|one| {
            let title = one.schemas.as_ref().map(|schemas| schemas["1"]["title"].clone());
            format!("{} {}", one.name, title.unwrap_or_default())
        });
        Ok(titles.collect())
    };
    let archived = EventTypeEntry { archived: true, ..listed("job.archived", "x") };
    let bare = EventTypeEntry { schemas: None, ..listed("job.bare", "x") };
    let theirs = OrganisationId::derived(&[b"theirs"]);
    let strange = EventTypeEntry { organisation: theirs, ..listed("job.strange", "x") };
    for entry in [listed("job.done", "first"), archived, bare, strange] {
        catalogue.put_event_type(&entry).await?;
    }
    same!(names().await?, Vec::<String>::new(), "nobody is held to anything");

    for mode in [SchemaMode::Warn, SchemaMode::Enforce] {
        let known = catalogue.settings(acme().tenant()).await?;
        let settings = Settings { schema_mode: mode, ..known.clone() };
        catalogue.put_settings(&settings).await?;
        let revision = catalogue.settings(acme().tenant()).await?.revision;
        same!(revision, known.revision + 1, "each write counts");
        let late =
            catalogue.put_settings(&Settings { schema_mode: SchemaMode::Off, ..known }).await;
        let refused = matches!(late, Err(StorageError::Conflict(_)));
        hold!(refused, "what was not read is not written over: {late:?}");
        same!(names().await?, vec!["job.done \"first\"".to_owned()], "held to the listed type's");
    }
    let before = catalogue.version().await?;
    catalogue.put_event_type(&listed("job.done", "second")).await?;
    let edited = catalogue.version().await?;
    hold!(edited > before, "an edited schema moved the version from {before} to {edited}");
    same!(names().await?, vec!["job.done \"second\"".to_owned()], "the edited one");
    hold!(catalogue.delete_event_type(acme().organisation, "job.done").await?, "it was there");
    let deleted = catalogue.version().await?;
    hold!(deleted > edited, "a deleted type moved the version from {edited} to {deleted}");
    same!(names().await?, Vec::<String>::new(), "nothing is left to be held to");
    Ok(())
}
