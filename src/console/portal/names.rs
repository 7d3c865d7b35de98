//! What an application's endpoints are called on its pages: by the name that their owner gave them, or where they are.

use std::collections::HashMap;

use crate::console::refusal::Refusal;
use crate::console::rights::TenantMay;
use crate::console::text::Text;
use crate::control::ControlError;
use crate::domain::endpoint::Endpoint;
use crate::domain::id::EndpointId;
use crate::storage::page::{Order, Page, Place};

/// Endpoints whose names are looked up for a page, and that a list offers to choose from: a larger list nobody chooses from.
const NAMED_MAX: usize = 250;

/// Names of the application's newest endpoints.
pub(super) struct Names {
    endpoints: Vec<Endpoint>,
    places: HashMap<EndpointId, usize>,
    /// There are older ones.
    is_cut: bool,
    /// What was asked for and is not there (any more).
    gone: Option<String>,
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
        let limit = NAMED_MAX + 1;
        let page = Page { limit, place: Place::Beginning, order: Order::Descending };
        let mut endpoints = tenant.control.endpoint_page(tenant.tenant(), &page).await?;
        let is_cut = endpoints.len() > NAMED_MAX;
        endpoints.truncate(NAMED_MAX);
        let places = endpoints.iter().zip(0..).map(|(one, place)| (one.id, place)).collect();
        Ok(Self { endpoints, places, is_cut, gone: None })
    }

    /// Those of this tenant, and the one that is asked for, by its id or its given name, though it be older than they are. A list to
    /// choose from without it would fall to its first entry, and a form mean another endpoint than its address.
    pub(super) async fn with<R>(
        tenant: &TenantMay<R>,
        asked: Option<&str>,
    ) -> Result<Self, Refusal> {
        let mut names = Self::of(tenant).await?;
        let Some(asked) = asked else { return Ok(names) };
        if names.endpoints.iter().any(|one| is_called(one, asked)) {
            return Ok(names);
        }
        match tenant.control.endpoint_of(tenant.tenant(), asked).await {
            Ok(endpoint) => {
                names.places.insert(endpoint.id, names.endpoints.len());
                names.endpoints.push(endpoint);
            }
            Err(ControlError::NotFound(_)) => names.gone = Some(asked.to_owned()),
            Err(error) => return Err(error.into()),
        }
        Ok(names)
    }

    /// Whether there are older ones, which are not among these.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
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
        let choice = |one: &Endpoint| Choice {
            value: one.id.to_string(),
            words: name(one),
            chosen: chosen.is_some_and(|said| is_called(one, said)),
        };
        let gone = self.gone.iter().map(|said| Choice {
            value: said.clone(),
            words: Text::line(said),
            chosen: chosen == Some(said),
        });
        self.endpoints.iter().map(choice).chain(gone).collect()
    }
}

/// Whether this is an endpoint's id or its given name.
fn is_called(endpoint: &Endpoint, said: &str) -> bool {
    endpoint.uid.as_deref() == Some(said) || endpoint.id.to_string() == said
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
