//! The page before a deed that cannot be taken back, or that is about many: it names the object, the count and the effect.

use askama::Template;

use crate::console::frame::Frame;
use crate::console::text::Text;

/// The page. What it asks for is done by a form that comes back to the same address, unless `action` says otherwise.
#[derive(Template)]
#[template(path = "views/confirm.html")]
pub(in crate::console) struct Confirm {
    /// What stands around it; its title is the question.
    pub(in crate::console) frame: Frame,
    /// What it is about.
    pub(in crate::console) object: Text,
    /// What will be so afterwards, each a sentence.
    pub(in crate::console) effects: Vec<Text>,
    /// Where the form goes: a path of ours.
    pub(in crate::console) action: String,
    /// What the button says.
    pub(in crate::console) button: &'static str,
    /// Where one comes from.
    pub(in crate::console) back: String,
    /// What has to be typed, if anything.
    pub(in crate::console) typed: Option<Text>,
    /// That something else was.
    pub(in crate::console) wrong: bool,
    /// What the form carries.
    pub(in crate::console) fields: Vec<(&'static str, Text)>,
}
