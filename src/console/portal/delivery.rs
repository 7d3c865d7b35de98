//! One delivery, what can be done to it, and its neighbours within the filters that one came with.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};

use super::deliveries::{filter, path};
use crate::console::form::{Asked, Fields};
use crate::console::frame::{Frame, Section};
use crate::console::refusal::{Refusal, shown};
use crate::console::rights::{MakeAttempts, TenantMay, View};
use crate::console::site::Site;
use crate::console::text::Text;
use crate::console::views::confirm::Confirm;
use crate::console::views::delivery::{ATTEMPTS_SHOWN, DeliveryView, Ways};
use crate::control::ControlError;
use crate::control::history::ResendError;
use crate::domain::delivery::DeliveryKey;
use crate::storage::history::{AttemptFilter, DeliveryFilter};
use crate::storage::page::{Order, Page, Place};

#[derive(Template)]
#[template(path = "portal/delivery.html")]
struct Delivery {
    frame: Frame,
    delivery: DeliveryView,
}

impl From<ResendError> for Refusal {
    fn from(error: ResendError) -> Self {
        match error {
            ResendError::MissingPayload(_) | ResendError::NotActive(..) => {
                Self::Invalid(error.to_string())
            }
            ResendError::Control(error) => error.into(),
        }
    }
}

/// `GET /portal/deliveries/{event}/{endpoint}`
pub(super) async fn page(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<View>,
    Asked(asked): Asked,
    Path((event, endpoint)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let (control, whose) = (&tenant.control, tenant.tenant());
    let story = control.story_of(whose, &event, &endpoint).await?;
    let key = story.tracked.delivery.key;
    let event = control.event_of(whose, &event).await?;
    let to_it = AttemptFilter { endpoint: Some(key.endpoint), ..AttemptFilter::default() };
    let last = Page { limit: ATTEMPTS_SHOWN, place: Place::Beginning, order: Order::Descending };
    let attempts = control.attempts_for(whose, event.id, &to_it, &last, true).await?;
    let listed = match control.endpoint_of(whose, &key.endpoint.to_string()).await {
        Ok(endpoint) => Some(format!("/portal/endpoints/{}", endpoint.id)),
        Err(ControlError::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let filters = asked.without(&["attempt", "body", "done"]);
    let among = filter(&tenant, &filters, site.now()).await?;
    let query = filters.with("", "");
    let ways = Ways {
        this: path(key),
        event: Some(format!("/portal/events/{}", key.event)),
        endpoint: listed,
        list: format!("/portal/deliveries?{query}"),
        newer: beside(&tenant, &among, Place::InFrontOf(key), &query).await?,
        older: beside(&tenant, &among, Place::Behind(key), &query).await?,
    };
    let title = format!("{} to {}", event.event_type, key.endpoint);
    let frame = tenant.frame(&site, &title, Section::Deliveries, &asked);
    let delivery = DeliveryView::of(story, &event, &attempts, ways, &asked, &frame);
    shown(&Delivery { frame, delivery })
}

/// The delivery next to one, if a look finds it.
async fn beside(
    tenant: &TenantMay<View>,
    among: &DeliveryFilter,
    place: Place<DeliveryKey>,
    query: &str,
) -> Result<Option<String>, Refusal> {
    let page = Page { limit: 1, place, order: Order::Descending };
    let listed = tenant.control.deliveries(tenant.tenant(), among, &page).await?;
    Ok(listed.rows.first().map(|row| format!("{}?{query}", path(row.key))))
}

/// `POST /portal/deliveries/{event}/{endpoint}/retry`
pub(super) async fn retry(
    tenant: TenantMay<MakeAttempts>,
    Path((event, endpoint)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    tenant.control.resend(tenant.tenant(), &event, &endpoint).await?;
    let key = tenant.control.delivery_of(tenant.tenant(), &event, &endpoint).await?.delivery.key;
    Ok(Redirect::to(&format!("{}?done=sent", path(key))).into_response())
}

/// `GET /portal/deliveries/{event}/{endpoint}/cancel`
pub(super) async fn ask_cancel(
    State(site): State<Arc<Site>>,
    tenant: TenantMay<MakeAttempts>,
    Path((event, endpoint)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let tracked = tenant.control.delivery_of(tenant.tenant(), &event, &endpoint).await?.delivery;
    let here = path(tracked.key);
    let object = format!("1 delivery: {} {}", tracked.event_type, tracked.key.id());
    let title = "Cancel the retries of this delivery?";
    shown(&Confirm {
        frame: tenant.frame(&site, title, Section::Deliveries, &Fields::default()),
        object: Text::line(&object),
        effects: [
            "It is not tried by itself any more.",
            "A request that is on its way ends as it would.",
            "It can still be sent by hand, from its page.",
        ]
        .map(Text::line)
        .to_vec(),
        action: format!("{here}/cancel"),
        button: "Cancel its retries",
        back: here,
        typed: None,
        wrong: false,
        fields: Vec::new(),
    })
}

/// `POST /portal/deliveries/{event}/{endpoint}/cancel`
pub(super) async fn cancel(
    tenant: TenantMay<MakeAttempts>,
    Path((event, endpoint)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let story = tenant.control.cancel_delivery(tenant.tenant(), &event, &endpoint).await?;
    let here = path(story.tracked.delivery.key);
    Ok(Redirect::to(&format!("{here}?done=cancelled")).into_response())
}
