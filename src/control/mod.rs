//! What a person may do: the rules behind every command, whoever asks.
//!
//! One [`Control`] stands on the ports and knows no back end, no command line and no clock. Names
//! come in as people type them (an id, or a `uid`) and are resolved here; what is refused is
//! refused here, with a sentence that names the thing, what is wrong and what is accepted.
//!
//! Not here: how answers are shown (`cli`), which addresses may be called (a function handed in),
//! and carrying out what was decided (`pipeline`).

pub mod adoption;
pub mod applications;
pub mod circuits;
pub mod dead_letters;
pub mod endpoints;
pub mod event_types;
pub mod examples;
pub mod headers;
pub mod history;
pub mod inspector;
pub mod installation;
mod names;
pub mod pace;
pub mod policies;
pub mod publish;
pub mod reasons;
pub mod recovery;
pub mod replays;
mod schemas;
mod secrets;
pub mod sessions;
pub mod settings;
pub mod signature_check;
pub mod stories;
pub mod test_calls;
pub mod timeline;
pub mod tokens;
pub mod tracking;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod fake_dead_letters;
#[cfg(test)]
mod fake_history;
#[cfg(test)]
pub(crate) mod fake_replays;

use std::sync::Arc;

use url::Url;

use self::adoption::Adoption;
pub use self::secrets::{KEYS_MAX, NewKey, OVERLAP_S_DEFAULT, OVERLAP_S_MAX};
use crate::domain::application::{Application, Tenant};
use crate::domain::endpoint::Endpoint;
use crate::domain::event::ApplicationName;
use crate::domain::id::OrganisationId;
use crate::domain::policy::Ceiling;
use crate::domain::time::Timestamp;
use crate::storage::StorageError;
use crate::storage::attention::Attention;
use crate::storage::catalogue::Catalogue;
use crate::storage::dead_letters::DeadLetters;
use crate::storage::history::History;
use crate::storage::journal::Ledger;
use crate::storage::replays::Replays;

/// Judges a URL: the normalised one, or a sentence about what is wrong with it.
pub type UrlRule<'a> = &'a (dyn Fn(&str) -> Result<Url, String> + Send + Sync);

/// Time and chance, handed in.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The moment it is.
    pub now: fn() -> Timestamp,
    /// Random bytes, fit for keys.
    pub chance: fn() -> [u8; 32],
}

impl Context {
    /// Random bytes for an id.
    fn id_chance(&self) -> [u8; 15] {
        let mut chance = [0; 15];
        chance.copy_from_slice(&(self.chance)()[..15]);
        chance
    }
}

/// What it stands on.
#[derive(Clone)]
pub struct Ports {
    /// Who there is and who wants what.
    pub catalogue: Arc<dyn Catalogue>,
    /// What operators ask of the record.
    pub ledger: Arc<dyn Ledger>,
    /// What tenants ask of the record.
    pub history: Arc<dyn History>,
    /// What operators look at one by one.
    pub attention: Arc<dyn Attention>,
    /// What was given up.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What is offered again.
    pub replays: Arc<dyn Replays>,
}

/// What a person may do.
#[derive(Clone)]
pub struct Control {
    catalogue: Arc<dyn Catalogue>,
    ledger: Arc<dyn Ledger>,
    history: Arc<dyn History>,
    attention: Arc<dyn Attention>,
    dead_letters: Arc<dyn DeadLetters>,
    replays: Arc<dyn Replays>,
    context: Context,
    /// Whose matters these are: nothing of another organisation is found.
    organisation: OrganisationId,
    /// Who goes by what is edited, if anybody is waited for.
    adoption: Option<Arc<Adoption>>,
    /// What policies may say at the most.
    ceiling: Ceiling,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// What was asked is not accepted.
    #[error("{0}")]
    Invalid(String),
    /// One field of what was asked is not accepted.
    #[error("{why}")]
    InvalidField {
        /// The field, as the API spells it.
        field: &'static str,
        /// What is wrong with it, and what is accepted.
        why: String,
    },
    /// It contradicts what is there.
    #[error("{0}")]
    Conflict(String),
    /// There are as many as there may be.
    #[error("{0}")]
    LimitReached(String),
    /// A store did not answer: done or not, nobody knows; the same may be asked again.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored cannot be right. A person has to look.
    #[error("{0}")]
    Corrupt(String),
}

impl ControlError {
    /// One field of what was asked is not accepted.
    fn field(field: &'static str, why: impl Into<String>) -> Self {
        Self::InvalidField { field, why: why.into() }
    }

    /// The same, where it is this field that is not accepted.
    fn about(self, field: &'static str) -> Self {
        match self {
            Self::Invalid(why) | Self::InvalidField { why, .. } => {
                Self::InvalidField { field, why }
            }
            Self::NotFound(_)
            | Self::Conflict(_)
            | Self::LimitReached(_)
            | Self::Unavailable(_)
            | Self::Corrupt(_) => self,
        }
    }
}

impl From<StorageError> for ControlError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Unavailable(what) => Self::Unavailable(what),
            StorageError::Conflict(what) => Self::Conflict(what),
            StorageError::Corrupt(what) => Self::Corrupt(what),
        }
    }
}

/// What comes of asking.
pub type Answer<T> = Result<T, ControlError>;

impl Control {
    /// Control over these stores, within the default organisation.
    pub fn new(ports: Ports, context: Context) -> Self {
        let Ports { catalogue, ledger, history, attention, dead_letters, replays } = ports;
        let organisation = OrganisationId::DEFAULT;
        let ceiling = Ceiling::default();
        Self {
            catalogue,
            ledger,
            history,
            attention,
            dead_letters,
            replays,
            context,
            organisation,
            adoption: None,
            ceiling,
        }
    }

    /// The same under what the operator allows; without it nothing is that somebody has to allow.
    #[must_use]
    pub fn under(self, ceiling: Ceiling) -> Self {
        Self { ceiling, ..self }
    }

    /// The same within another organisation.
    #[must_use]
    pub fn within(&self, organisation: OrganisationId) -> Self {
        Self { organisation, ..self.clone() }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// `Unavailable`: why not.
    pub async fn health(&self) -> Answer<()> {
        Ok(self.catalogue.version().await.map(drop)?)
    }

    /// Whose matters these are.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// The application of that id or uid.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn application(&self, name: &str) -> Answer<Application> {
        let known = self.known_application(name).await?;
        known.ok_or_else(|| ControlError::NotFound(format!("no application is called `{name}`")))
    }

    /// The application of that id or uid, if there is one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn known_application(&self, name: &str) -> Answer<Option<Application>> {
        Ok(self.catalogue.application(self.organisation, &ApplicationName::from(name)).await?)
    }

    /// A tenant's endpoint of that id or uid.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn endpoint_of(&self, tenant: Tenant, name: &str) -> Answer<Endpoint> {
        self.catalogue.endpoint(tenant, name).await?.ok_or_else(|| no_endpoint(name))
    }

    /// The endpoint of that id, or of that uid within `application`: as the operator names it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for a uid without its application, for it may be in several.
    pub async fn endpoint(&self, application: Option<&str>, name: &str) -> Answer<Endpoint> {
        if let Some(application) = application {
            let tenant = self.application(application).await?.tenant();
            return self.endpoint_of(tenant, name).await;
        }
        let id = name.parse().map_err(|_| {
            ControlError::Invalid(format!(
                "`{name}` is not an endpoint's id (ep_…): a uid needs its application beside it"
            ))
        })?;
        self.catalogue.any_endpoint(id).await?.ok_or_else(|| no_endpoint(name))
    }
}

fn no_endpoint(name: &str) -> ControlError {
    ControlError::NotFound(format!("no endpoint is called `{name}`"))
}
