//! What an application's endpoints are called on its pages: by the name that their owner gave them, or where they are.

use std::collections::HashMap;

use crate::console::refusal::Refusal;
use crate::console::rights::TenantMay;
use crate::console::text::Text;
use crate::domain::endpoint::Endpoint;
use crate::domain::id::EndpointId;
use crate::storage::page::{Order, Page, Place};

/// Endpoints whose names are looked up for a page, and that a list offers to choose from: a larger list nobody chooses from.
const NAMED_MAX: usize = 250;

/// Names of the application's newest endpoints.
pub(super) struct Names {
    endpoints: Vec<Endpoint>,
    places: HashMap<EndpointId, usize>,
}

/// An entry of a list to choose from.
pub(super) struct Choice {
    /// What the form says.
    pub(super) value: String,
    /// What a person reads.
    pub(super) words: Text,
    /// Whether it is chosen.
    pub(super) chosen: bool,
}

impl Names {
    /// Those of this tenant.
    pub(super) async fn of<R>(tenant: &TenantMay<R>) -> Result<Self, Refusal> {
        let page = Page { limit: NAMED_MAX, place: Place::Beginning, order: Order::Descending };
        let endpoints = tenant.control.endpoint_page(tenant.tenant(), &page).await?;
        let places = endpoints.iter().zip(0..).map(|(one, place)| (one.id, place)).collect();
        Ok(Self { endpoints, places })
    }

    /// The endpoints themselves, newest first.
    pub(super) fn all(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// What one is called; `None` for one that is gone, that nobody lists, or that is not among the newest.
    pub(super) fn name(&self, id: EndpointId) -> Option<Text> {
        self.places.get(&id).map(|place| name(&self.endpoints[*place]))
    }

    /// All of them, to choose from.
    pub(super) fn choices(&self, chosen: Option<&str>) -> Vec<Choice> {
        let choice = |one: &Endpoint| {
            let value = one.id.to_string();
            let is_it =
                chosen.is_some_and(|said| said == value || one.uid.as_deref() == Some(said));
            Choice { words: name(one), chosen: is_it, value }
        };
        self.endpoints.iter().map(choice).collect()
    }
}

/// What an endpoint is called.
pub(super) fn name(endpoint: &Endpoint) -> Text {
    match (&endpoint.uid, endpoint.description.as_str()) {
        (_, said) if !said.is_empty() => Text::line(said),
        (Some(uid), _) => Text::line(uid),
        (None, _) => {
            let host = endpoint.url.host_str().unwrap_or_default();
            Text::line(&format!("{host}{}", endpoint.url.path()))
        }
    }
}
