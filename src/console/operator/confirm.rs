//! The page in front of a deed that is hard to take back: what it is about, what it does, and the form that does it.

use askama::Template;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::form::Faults;
use crate::console::frame::Frame;
use crate::console::refusal::Refusal;
use crate::console::text::Text;

/// The page. Its form is sent to `action`.
#[derive(Template)]
#[template(path = "operator/confirm.html")]
pub(super) struct Confirm {
    /// What stands around it; its title is the question.
    pub(super) frame: Frame,
    /// What the deed is about and does, in sentences.
    pub(super) says: Vec<Text>,
    /// The path that does it.
    pub(super) action: String,
    /// What the form says beside what is typed.
    pub(super) fields: Vec<(&'static str, Text)>,
    /// What has to be typed, if anything.
    pub(super) spelled: Option<Spelled>,
    /// Whether a reason is asked for, and has to be given.
    pub(super) reason: Option<Wanted>,
    /// The word of the button.
    pub(super) button: &'static str,
    /// Where one goes who does not want it.
    pub(super) back: String,
    /// What was wrong with what was sent before.
    pub(super) faults: Faults,
}

/// Something that has to be typed, so that nobody does it by a slip.
pub(super) struct Spelled {
    /// The field's label.
    pub(super) label: &'static str,
    /// What has to be typed.
    pub(super) wanted: Text,
}

/// Whether something has to be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// It has.
    Yes,
    /// It may be left out.
    No,
}

impl Confirm {
    /// A question without anything to type.
    pub(super) fn new(frame: Frame, action: String, back: String, button: &'static str) -> Self {
        Self {
            frame,
            says: Vec::new(),
            action,
            fields: Vec::new(),
            spelled: None,
            reason: None,
            button,
            back,
            faults: Faults::default(),
        }
    }

    /// The same, saying this too.
    pub(super) fn says(mut self, sentence: &str) -> Self {
        self.says.push(Text::line(sentence));
        self
    }

    /// The same with a field that says this.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, Text::typed(value)));
        self
    }

    /// The page.
    pub(super) fn shown(&self) -> Result<Response, Refusal> {
        self.faults.answer(self)
    }
}

/// The answer of a deed: the page where one sees that it is done.
pub(super) fn done(at: &str, word: &'static str) -> Response {
    let and = if at.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{at}{and}done={word}")).into_response()
}
