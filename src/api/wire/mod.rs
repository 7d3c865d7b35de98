//! The shapes of what is sent and answered: JSON in camelCase, unknown fields passed over.
//!
//! A field that clients cannot do without is always there and never null; others are left out or null
//! when there is nothing to say.

pub(super) mod application;
pub(super) mod attempt;
pub(super) mod audit;
pub(super) mod dead_letter;
pub(super) mod delivery;
pub(super) mod endpoint;
pub(super) mod endpoint_headers;
pub(super) mod endpoint_secret;
pub(super) mod event_type;
pub(super) mod inspector;
pub(super) mod list;
pub(super) mod message;
pub(super) mod message_out;
pub(super) mod patch;
pub(super) mod policy;
pub(super) mod portal;
pub(super) mod recovery;
pub(super) mod replay;
pub(super) mod settings;
pub(super) mod story;
pub(super) mod task;
pub(super) mod test_call;
