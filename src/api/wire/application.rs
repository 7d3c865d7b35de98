//! Applications.

use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::{change, given};
use crate::control::applications::{ApplicationEdit, NewApplication};
use crate::control::endpoints::Change;
use crate::domain::application::{Application, Metadata};
use crate::domain::time::Timestamp;

/// An application as it is asked for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ApplicationIn {
    /// For people.
    #[schema(min_length = 1, max_length = 256)]
    name: String,
    /// A name of your own that takes the id's place in every path.
    #[schema(min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Option<String>,
    /// Requests per second, kept for you. Rates are enforced by endpoint.
    #[schema(value_type = Option<u16>, minimum = 1)]
    throttle_rate: Option<NonZeroU16>,
    /// The same, by its older name; the newer one counts where both are given.
    #[schema(value_type = Option<u16>, minimum = 1, deprecated)]
    rate_limit: Option<NonZeroU16>,
    /// What you want to keep with it: at most 4096 bytes as JSON.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Metadata,
}

/// What is to change about an application: what is left out stays, `null` clears.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ApplicationPatch {
    /// For people.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 256)]
    name: Option<String>,
    /// A name of your own that takes the id's place in every path.
    #[serde(default, deserialize_with = "change")]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256, pattern = r"^[a-zA-Z0-9\-_.]+$")]
    uid: Change<String>,
    /// Requests per second, kept for you.
    #[serde(default, alias = "rateLimit", deserialize_with = "change")]
    #[schema(value_type = Option<u16>, minimum = 1)]
    throttle_rate: Change<NonZeroU16>,
    /// What you want to keep with it, all anew.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Option<Metadata>,
}

/// An application.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct ApplicationOut {
    /// Its id.
    #[schema(example = "app_1srOrx2ZWZBpBUvZwXKQmoEYga2")]
    id: String,
    /// The name that its owner gave it.
    uid: Option<String>,
    /// For people.
    name: String,
    /// Requests per second, kept for its owner.
    #[schema(value_type = Option<u16>)]
    throttle_rate: Option<NonZeroU16>,
    /// The same, by its older name.
    #[schema(value_type = Option<u16>, deprecated)]
    rate_limit: Option<NonZeroU16>,
    /// What its owner keeps with it.
    #[schema(value_type = BTreeMap<String, String>)]
    metadata: Metadata,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<ApplicationIn> for NewApplication {
    fn from(sent: ApplicationIn) -> Self {
        let ApplicationIn { name, uid, throttle_rate, rate_limit, metadata } = sent;
        Self { name, uid, throttle_rate: throttle_rate.or(rate_limit), metadata }
    }
}

impl ApplicationIn {
    /// The application to be made when the path calls one `named` that is not there: its uid is that name.
    ///
    /// # Errors
    /// When it says another uid: what is accepted.
    pub(in super::super) fn under(self, named: &str) -> Result<NewApplication, String> {
        if self.uid.as_deref().is_some_and(|uid| uid != named) {
            return Err(format!("`{named}`, as the path names it, is accepted"));
        }
        Ok(NewApplication { uid: Some(named.to_owned()), ..self.into() })
    }
}

impl From<ApplicationPatch> for ApplicationEdit {
    fn from(sent: ApplicationPatch) -> Self {
        let ApplicationPatch { name, uid, throttle_rate, metadata } = sent;
        Self { name, uid, throttle_rate, metadata }
    }
}

impl From<Application> for ApplicationOut {
    fn from(known: Application) -> Self {
        Self {
            id: known.id.to_string(),
            uid: known.uid,
            name: known.name,
            throttle_rate: known.throttle_rate,
            rate_limit: known.throttle_rate,
            metadata: known.metadata,
            created_at: known.created_at,
            updated_at: known.updated_at,
        }
    }
}
