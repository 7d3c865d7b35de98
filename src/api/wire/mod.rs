//! The shapes of what is sent and answered: JSON in camelCase, unknown fields passed over.

pub(super) mod message;
