//! The settings that hold: what each says, where that came from, and whether it is safe.
//!
//! Read once, when the router started: settings are not changed while it runs. No secret is among the values: they are masked
//! where they are read.

use std::sync::Arc;

use super::Installation;

/// One setting as it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectiveSetting {
    /// Its key.
    pub key: &'static str,
    /// Its value as text, without secrets.
    pub value: String,
    /// Where it came from: `default`, `file:<path>`, `environment:<variable>`, `flag:<flag>` or `dev`.
    pub origin: String,
    /// Its default as text.
    pub default: &'static str,
    /// Which values are accepted.
    pub accepted: &'static str,
    /// What it decides, in a sentence.
    pub doc: &'static str,
    /// Why this value is not safe, if it is not, in a sentence.
    pub danger: Option<&'static str>,
}

impl EffectiveSetting {
    /// Whether somebody has decided it.
    pub fn is_set(&self) -> bool {
        self.origin != "default"
    }
}

/// Where they are shown.
#[derive(Clone)]
pub struct ConfigurationDesk(Arc<[EffectiveSetting]>);

impl ConfigurationDesk {
    /// A desk over these.
    pub fn new(settings: Vec<EffectiveSetting>) -> Self {
        Self(settings.into())
    }

    /// Every setting, in the order of the list.
    pub fn settings(&self, _: Installation) -> &[EffectiveSetting] {
        &self.0
    }
}
