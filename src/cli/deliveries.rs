//! `posthaste deliveries`: what became of deliveries, by what their events are about.

use clap::Args;
use serde_json::json;

use super::output::{Output, note, or_dash};
use crate::control::Control;
use crate::domain::delivery::DeliveryState;
use crate::storage::history::{DeliveryFilter, EventFilter};
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
    #[arg(long, value_parser = DeliveryState::WORDS)]
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
    let state = DeliveryState::WORDS.into_iter().find(|word| args.state.as_deref() == Some(word));
    let filter = DeliveryFilter { events, endpoint, state };
    let page = Page { limit: args.limit.into(), place: Place::Beginning, order: Order::Descending };
    let listed = control.deliveries(tenant, &filter, &page).await?;
    let columns = ["event", "type", "subject", "state", "attempts", "last", "status", "url"];
    let rows: Vec<_> = listed
        .rows
        .iter()
        .map(|row| {
            let last = row.last.as_ref();
            json!({
                "id": row.key.id(), "eventId": row.key.event, "endpointId": row.key.endpoint,
                "eventType": row.event_type, "subject": row.subject, "url": row.url,
                "state": row.standing.state.as_str(), "attemptCount": row.standing.attempts,
                "firstAttemptAt": row.first_attempt_at,
                "lastAttemptAt": last.map(|last| last.started_at),
                "lastResponseStatus": last.map(|last| last.status),
                "lastOutcome": last.map(|last| &last.outcome),
                "createdAt": row.created_at,
            })
        })
        .collect();
    output.list(&columns, &rows, |row| {
        let fields = [
            "eventId",
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
