//! What applications and endpoints are called, beside their ids: nobody knows an id by heart.
//!
//! Looked up one by one, by their keys, and each once for a page: a page has 50 rows, so it is that many looks at the most. What
//! is gone has no name, and stands there by its id.

use std::collections::HashMap;

use crate::console::refusal::Refusal;
use crate::console::text::Text;
use crate::control::{Control, ControlError};
use crate::domain::endpoint::Endpoint;
use crate::domain::id::{ApplicationId, EndpointId};

/// Names for one page.
#[derive(Default)]
pub(super) struct Names(HashMap<ApplicationId, Text>);

impl Names {
    /// Of these applications.
    ///
    /// # Errors
    /// When the store is away.
    pub(super) async fn of(
        control: &Control,
        applications: Vec<ApplicationId>,
    ) -> Result<Self, Refusal> {
        let mut names = HashMap::new();
        for id in applications {
            if names.contains_key(&id) {
                continue;
            }
            if let Some(found) = control.known_application(&id.to_string()).await? {
                names.insert(id, Text::line(&found.name));
            }
        }
        Ok(Self(names))
    }

    /// What this one is called: its id when it is gone.
    pub(super) fn name(&self, id: ApplicationId) -> Text {
        self.0.get(&id).cloned().unwrap_or_else(|| Text::line(&id.to_string()))
    }
}

/// What an endpoint is called: by its uid, or by where it is; by its id when it is gone, or nobody lists it.
///
/// # Errors
/// When the store is away.
pub(super) async fn endpoint(control: &Control, id: EndpointId) -> Result<Text, Refusal> {
    match control.endpoint(None, &id.to_string()).await {
        Ok(Endpoint { uid: Some(uid), .. }) => Ok(Text::line(&uid)),
        Ok(found) => Ok(Text::line(found.url.as_str())),
        Err(ControlError::NotFound(_)) => Ok(Text::line(&id.to_string())),
        Err(error) => Err(error.into()),
    }
}
