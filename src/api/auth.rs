//! Who asks, and for whom they may: before a handler runs, as what it is given.
//!
//! A handler cannot look anything up by itself: it has what one of these extractors gives it. Each begins
//! with the token of `Authorization: Bearer …`, and one that stands for an application has found it within
//! the caller's organisation. What is not the caller's is not found, whether it is there or not.
//!
//! | extractor | an organisation's token | an application's token |
//! |---|---|---|
//! | [`ForOrganisation`] | yes | refused |
//! | [`ForOwner`] | its applications | refused |
//! | [`ForApplication`] | its applications | its own application |
//! | [`ForEither`] | its applications | its own application, with less than all |
//! | [`ForReader`] | yes | yes |
//!
//! What a token may of that, where it was made with less than all, is looked at before: [`capabilities`](super::capabilities).

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use super::problem::Problem;
use super::routes::Api;
use crate::control::Control;
use crate::control::tokens::{Caller, Holder};
use crate::domain::application::{Application, Tenant};
use crate::domain::id::OrganisationId;

/// The organisation asks.
pub(super) struct ForOrganisation {
    /// What it may do, within itself.
    pub(super) control: Control,
}

/// The organisation asks about one of its applications.
pub(super) struct ForOwner {
    /// What it may do, within itself.
    pub(super) control: Control,
    /// The application that the path names.
    pub(super) application: Application,
}

/// An application, or its organisation, asks about the application.
pub(super) struct ForApplication {
    /// What may be done, within the organisation.
    pub(super) control: Control,
    /// The application that the path names.
    pub(super) application: Application,
}

/// An application, or its organisation, asks about the application for what is not the same for both.
pub(super) struct ForEither {
    /// What they ask about.
    pub(super) asked: ForApplication,
    /// Which of the two it is.
    pub(super) caller: Caller,
}

/// Anybody with a token asks about what an organisation shows to all its applications.
pub(super) struct ForReader {
    /// What may be read, within the organisation.
    pub(super) control: Control,
    /// Who it is.
    pub(super) caller: Caller,
}

impl ForApplication {
    /// Leave to ask about what the application owns.
    pub(super) const fn tenant(&self) -> Tenant {
        self.application.tenant()
    }
}

impl FromRequestParts<Arc<Api>> for ForOrganisation {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let organisation = organisation(&caller(&parts.headers, api)?)?;
        Ok(Self { control: api.control().within(organisation) })
    }
}

impl FromRequestParts<Arc<Api>> for ForOwner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let control = api.control().within(organisation(&caller(&parts.headers, api)?)?);
        let application = control.application(&named(parts, api).await?).await?;
        Ok(Self { control, application })
    }
}

impl FromRequestParts<Arc<Api>> for ForApplication {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let caller = caller(&parts.headers, api)?;
        let control = api.control().within(caller.organisation());
        let name = named(parts, api).await?;
        let application = control.application(&name).await?;
        #[cfg(feature = "failpoints")]
        if crate::failpoint::sabotaged("leak") {
            return Ok(Self { control, application }); // to see that the tests of isolation notice
        }
        if !caller.may_ask_about(application.id) {
            return Err(Problem::no_application(&name)); // in the words of one that is not there
        }
        Ok(Self { control, application })
    }
}

impl FromRequestParts<Arc<Api>> for ForEither {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let asked = ForApplication::from_request_parts(parts, api).await?;
        Ok(Self { asked, caller: caller(&parts.headers, api)? })
    }
}

impl FromRequestParts<Arc<Api>> for ForReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let caller = caller(&parts.headers, api)?;
        let control = api.control().within(caller.organisation());
        if let Caller::Application { application, .. } = &caller {
            // A token outlives its application, and stands for nobody then.
            if control.known_application(&application.to_string()).await?.is_none() {
                return Err(Problem::Unauthenticated);
            }
        }
        Ok(Self { control, caller })
    }
}

fn organisation(caller: &Caller) -> Result<OrganisationId, Problem> {
    match caller {
        Caller::Organisation(organisation) => Ok(*organisation),
        Caller::Application { .. } => Err(Problem::Forbidden),
    }
}

/// Whoever asks, by the token.
///
/// # Errors
/// `Unauthenticated`.
pub(super) fn caller(headers: &HeaderMap, api: &Api) -> Result<Caller, Problem> {
    holder(headers, api).map(|holder| holder.caller)
}

/// The same with what the token allows them.
///
/// # Errors
/// `Unauthenticated`.
pub(super) fn holder(headers: &HeaderMap, api: &Api) -> Result<Holder, Problem> {
    let told = || {
        let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = header.split_once(' ')?;
        let token = scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())?;
        api.tokens().holder(token, api.now())
    };
    told().ok_or(Problem::Unauthenticated)
}

/// The application that the path names.
async fn named(parts: &mut Parts, api: &Arc<Api>) -> Result<String, Problem> {
    // A name that is no text names nothing.
    let nothing = || Problem::NotFound("no application is called so".into());
    let names = RawPathParams::from_request_parts(parts, api).await.map_err(|_| nothing())?;
    let found = names.iter().find(|(what, _)| *what == "app");
    found.map(|(_, name)| name.to_owned()).ok_or_else(nothing)
}
