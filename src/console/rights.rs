//! Who looks and what they may do, as the type that a handler takes: one who takes [`TenantMay<Manage>`] runs for a session
//! that may manage, and for no other. A handler cannot look an application up by itself, so none can forget to ask.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::form::Fields;
use super::frame::{Area, Frame, Section};
use super::refusal::Refusal;
use super::session::{CONSOLE_LOGIN, Guest, PORTAL_LOGIN};
use super::site::Site;
use crate::control::Control;
use crate::control::installation::Installation;
use crate::control::tokens::Caller;
use crate::domain::application::{Application, Tenant};
use crate::domain::capability::Capability;
use crate::domain::id::OrganisationId;

/// A right, as a type.
pub(super) trait Right: Send + Sync + 'static {
    /// Which.
    const CAPABILITY: Capability;
    /// What one may not do without it, behind "may not".
    const WITHOUT: &'static str;
}

macro_rules! rights {
    ($($(#[$doc:meta])* $name:ident: $capability:ident, $without:literal;)+) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl Right for $name {
            const CAPABILITY: Capability = Capability::$capability;
            const WITHOUT: &'static str = $without;
        }
    )+};
}

rights! {
    /// Looks.
    View: ViewBase, "look at this";
    /// Is shown secrets.
    SeeSecrets: ViewEndpointSecret, "be shown secrets";
    /// Gives endpoints other keys.
    ManageSecrets: ManageEndpointSecret, "rotate secrets";
    /// Has requests made.
    MakeAttempts: CreateAttempts, "send tests, retry or replay";
    /// Makes, changes and deletes.
    Manage: ManageEndpoint, "change endpoints or settings";
}

/// A tenant in the portal, with this right.
pub(super) struct TenantMay<R> {
    /// What may be done, within the organisation.
    pub(super) control: Control,
    /// The session's application.
    pub(super) application: Application,
    /// The session.
    pub(super) guest: Arc<Guest>,
    right: PhantomData<R>,
}

/// An operator in the console, with this right.
pub(super) struct OperatorMay<R> {
    /// What may be done, within the organisation.
    pub(super) control: Control,
    /// Whose operator it is.
    pub(super) organisation: OrganisationId,
    /// The session.
    pub(super) guest: Arc<Guest>,
    right: PhantomData<R>,
}

impl<R> TenantMay<R> {
    /// Leave to ask about what the application owns.
    pub(super) const fn tenant(&self) -> Tenant {
        self.application.tenant()
    }

    /// Who it is, as `control` asks.
    pub(super) fn caller(&self) -> Caller {
        Caller::Application {
            organisation: self.application.organisation,
            application: self.application.id,
            feature_flags: self.guest.visitor.feature_flags.clone(),
        }
    }

    /// What stands around a page of this section; `asked` is what its address says.
    pub(super) fn frame(
        &self,
        site: &Site,
        title: &str,
        section: Section,
        asked: &Fields,
    ) -> Frame {
        Frame::new(site, &self.guest, Area::Portal, section, title, asked)
            .of(&self.application.name)
    }
}

impl<R> OperatorMay<R> {
    /// Leave to look into the installation itself.
    ///
    /// # Errors
    /// `NotAllowed` for another organisation's operators: that there are such pages is no secret, and that they are another's
    /// to look at is nothing that was deleted.
    pub(super) fn installation(&self) -> Result<Installation, Refusal> {
        Installation::of(self.organisation)
            .map_err(|_| Refusal::NotAllowed("look into the installation itself"))
    }

    /// Who it is, as `control` asks.
    pub(super) const fn caller(&self) -> Caller {
        Caller::Organisation(self.organisation)
    }

    /// What stands around a page of this section; `asked` is what its address says.
    pub(super) fn frame(
        &self,
        site: &Site,
        title: &str,
        section: Section,
        asked: &Fields,
    ) -> Frame {
        Frame::new(site, &self.guest, Area::Console, section, title, asked)
    }
}

impl<R: Right> FromRequestParts<Arc<Site>> for TenantMay<R> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Refusal> {
        let guest = guest(parts, PORTAL_LOGIN)?;
        let Some(application) = guest.visitor.application else {
            return Err(Refusal::LoggedOut(PORTAL_LOGIN)); // an operator's is the console's
        };
        let control = site.control().within(guest.visitor.organisation);
        let application = control
            .known_application(&application.to_string())
            .await?
            .ok_or(Refusal::LoggedOut(PORTAL_LOGIN))?; // a session outlives its application
        has::<R>(&guest)?;
        Ok(Self { control, application, guest, right: PhantomData })
    }
}

impl<R: Right> FromRequestParts<Arc<Site>> for OperatorMay<R> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Refusal> {
        let guest = guest(parts, CONSOLE_LOGIN)?;
        if guest.visitor.application.is_some() {
            return Err(Refusal::LoggedOut(CONSOLE_LOGIN));
        }
        let organisation = guest.visitor.organisation;
        let control = site.control().within(organisation);
        has::<R>(&guest)?;
        Ok(Self { control, organisation, guest, right: PhantomData })
    }
}

fn guest(parts: &Parts, login: &'static str) -> Result<Arc<Guest>, Refusal> {
    parts.extensions.get::<Arc<Guest>>().cloned().ok_or(Refusal::LoggedOut(login))
}

fn has<R: Right>(guest: &Guest) -> Result<(), Refusal> {
    if guest.visitor.capabilities.has(R::CAPABILITY) {
        Ok(())
    } else {
        Err(Refusal::NotAllowed(R::WITHOUT))
    }
}
