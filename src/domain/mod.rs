//! The rules of the house: what an event is, who wants it, and what an attempt means.
//!
//! Everything here is a function of its arguments: no clock, no I/O, no tokio, no logging, and
//! nothing imported from the rest of the crate. `now` and chance come in as parameters, so that a
//! day of traffic is a fast test and every decision can be repeated from its inputs.

pub mod application;
pub mod auth;
pub mod body;
pub mod breaker;
pub mod capability;
pub mod cloudevent;
pub mod crowd;
pub mod dead_letter;
pub mod delivery;
pub mod destination;
pub mod endpoint;
pub mod event;
pub mod event_type;
pub mod exchange;
pub mod filter;
pub mod header;
pub mod id;
pub mod lane;
pub mod leave;
pub mod object;
pub mod outcome;
pub mod pace;
pub mod policy;
pub mod replay;
pub mod retry;
pub mod room;
pub mod schema;
pub mod settings;
pub mod settlement;
pub mod signature;
pub mod tiding;
pub mod time;
pub mod url_form;
pub mod webhook;
