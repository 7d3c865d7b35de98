//! What portal and console both show, made once: the ends of a list, charts, a delivery with its story, a replay's
//! progress, an event type.
//!
//! Each is a template with the struct that fills it, and is written into a page as it is: `{{ chart }}`. What leads from one
//! page to another differs between the two areas and is handed in.

pub(super) mod chart;
pub(super) mod confirm;
pub(super) mod curl;
pub(super) mod delivery;
pub(super) mod event_type;
pub(super) mod json;
pub(super) mod pager;
pub(super) mod replay;
