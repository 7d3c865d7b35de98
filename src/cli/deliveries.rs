//! `posthaste deliveries`: what became of deliveries, by what their events are about.

use clap::Args;
use serde_json::json;

use super::output::{Output, note, or_dash};
use crate::control::Control;
use crate::control::tracking::last_error;
use crate::storage::history::{DeliveryEntry, DeliveryFilter, EventFilter};
use crate::storage::page::{Order, Page, Place};

#[derive(Debug, Args)]
pub(super) struct DeliveriesArgs {
    /// Their application (id or uid)
    #[arg(long)]
    app: String,
    /// About this, as a job's id
    #[arg(long)]
    subject: Option<String>,
    /// Of events of these types, as 'job.completed,job.failed'
    #[arg(long = "type", value_name = "TYPES", value_delimiter = ',')]
    types: Vec<String>,
    /// To this endpoint (id or uid)
    #[arg(long)]
    endpoint: Option<String>,
    /// That stand so
    #[arg(long, value_parser = DeliveryEntry::WORDS)]
    state: Option<String>,
    /// Most rows, the newest
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=250))]
    limit: u16,
}

pub(super) async fn run(
    args: DeliveriesArgs,
    control: &Control,
    output: Output,
) -> anyhow::Result<()> {
    let tenant = control.application(&args.app).await?.tenant();
    let endpoint = match &args.endpoint {
        Some(name) => Some(control.owed_endpoint(tenant, name).await?),
        None => None,
    };
    let events =
        EventFilter { subject: args.subject, event_types: args.types, ..EventFilter::default() };
    let state = DeliveryEntry::WORDS.into_iter().find(|word| args.state.as_deref() == Some(word));
    let filter = DeliveryFilter { events, endpoint, state, ..DeliveryFilter::default() };
    let page = Page { limit: args.limit.into(), place: Place::Beginning, order: Order::Descending };
    let listed = control.deliveries(tenant, &filter, &page).await?;
    let columns = ["message", "type", "subject", "state", "attempts", "last", "status", "url"];
    let rows: Vec<_> = listed
        .rows
        .iter()
        .map(|row| {
            // A row as `GET …/delivery` has it.
            json!({
                "id": row.key.id(), "msgId": row.key.event, "eventId": row.event_id,
                "eventType": row.event_type, "subject": row.subject,
                "endpointId": row.key.endpoint, "url": row.url,
                "state": row.state(), "attemptCount": row.attempts(),
                "firstAttemptAt": row.first_attempt_at,
                "lastAttemptAt": row.last.as_ref().map(|last| last.started_at),
                "lastResponseStatus": row.ended().map(|last| last.status),
                "lastErrorCode": last_error(row),
                "nextAttemptAt": row.standing.state.next_attempt(),
                "policyVersion": row.policy.map(|version| version.0.to_string()),
                "createdAt": row.created_at,
            })
        })
        .collect();
    output.list(&columns, &rows, |row| {
        let fields = [
            "msgId",
            "eventType",
            "subject",
            "state",
            "attemptCount",
            "lastAttemptAt",
            "lastResponseStatus",
            "url",
        ];
        let told = |field: &str| {
            let value = &row[field];
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            or_dash((!value.is_null()).then_some(&text))
        };
        fields.map(told).to_vec()
    })?;
    if listed.beyond.is_some() {
        note(
            "note: there may be more, and older ones: name what they are about, or a larger --limit",
        );
    }
    Ok(())
}
