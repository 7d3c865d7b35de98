//! What was typed into a form, and what is wrong with it by its fields: shown beside them, and on top of the form.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use crate::console::form::Fields;
use crate::console::refusal::{Refusal, shown};
use crate::console::text::Text;
use crate::control::ControlError;

/// What was typed, or stands in an address: a form is shown with it again.
#[derive(Debug, Clone, Default)]
pub(super) struct Typed(pub(super) Fields);

impl Typed {
    /// What this field says; nothing when it is not there.
    pub(super) fn of(&self, name: &str) -> Text {
        Text::typed(self.0.one(name).unwrap_or_default())
    }

    /// Whether this field says this.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        self.0.one(name).unwrap_or_default() == value
    }
}

/// What is wrong with a form.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults(Vec<(&'static str, Text)>);

impl Faults {
    /// What `control` finds wrong; what is not the form's doing is another page.
    ///
    /// # Errors
    /// What there is not, or what is away.
    pub(super) fn of(error: ControlError) -> Result<Self, Refusal> {
        match error {
            ControlError::InvalidField { field, why } => Ok(Self::at(field, &why)),
            ControlError::Invalid(why)
            | ControlError::Conflict(why)
            | ControlError::LimitReached(why) => Ok(Self::at("", &why)),
            ControlError::NotFound(_) | ControlError::Unavailable(_) | ControlError::Corrupt(_) => {
                Err(error.into())
            }
        }
    }

    /// This, about one field; about the form as a whole when it has no name.
    pub(super) fn at(field: &'static str, why: &str) -> Self {
        Self(vec![(field, Text::line(why))])
    }

    /// What is wrong with this field.
    pub(super) fn about(&self, field: &str) -> Option<&Text> {
        self.0.iter().find(|(known, _)| *known == field).map(|(_, why)| why)
    }

    /// All of it.
    pub(super) fn all(&self) -> &[(&'static str, Text)] {
        &self.0
    }

    /// A page with its form: 422 when something is wrong with it.
    pub(super) fn answer(&self, page: &impl askama::Template) -> Result<Response, Refusal> {
        let page = shown(page)?;
        if self.0.is_empty() {
            return Ok(page);
        }
        Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())
    }
}
