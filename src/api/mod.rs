//! What is served over HTTP: the API for programs, and the operator's port.
//!
//! - [`server`]: connections, and the bounds on them.
//! - [`routes`]: every path there is, and what holds for all of them.
//! - [`auth`], [`body`], [`json`], [`query`], [`place`]: who asks and what they sent, before a handler
//!   sees either.
//! - [`idempotency`], [`audit`], [`capabilities`]: what holds around every operation: that a repeated request is done once, that who did what is written down, that their token allows it.
//! - [`applications`], [`endpoints`], [`endpoint_secrets`], [`endpoint_headers`], [`settings`],
//!   [`event_types`], [`examples`],
//!   [`messages`], [`cloudevents`], [`attempts`], [`deliveries`], [`message_endpoints`], [`statistics`],
//!   [`test_calls`], [`portal`], [`health`]: the
//!   handlers, one file for each kind of thing; [`lists`]: what those of a history share.
//! - [`trails`]: all that became of a message, and who is worst off; [`recovery`]: what a broker has lost.
//! - [`inspector`]: a target for development, its one side that is no operation.
//! - [`openapi`]: the description of all operations, made of the handlers, and the page that shows it.
//! - [`wire`]: the shapes of what is sent and answered, apart from the handlers.
//! - [`rest`]: what a refused request still had to say.
//! - [`problem`]: every error and how it is written.
//! - [`admin`]: metrics and probes, on a port of their own.
//!
//! The form is that of the webhook API which client libraries in ten languages speak (Svix's): theirs is
//! the contract on the wire. The rules are `control`'s; nothing is decided here but who may ask.

pub mod admin;
mod applications;
mod attempts;
mod audit;
mod auth;
mod body;
mod capabilities;
mod cloudevents;
mod dead_letters;
mod deliveries;
mod endpoint_headers;
mod endpoint_secrets;
mod endpoints;
mod event_types;
mod examples;
mod health;
mod idempotency;
mod inspector;
mod json;
mod lists;
mod message_endpoints;
mod messages;
pub mod openapi;
mod place;
mod portal;
mod problem;
mod query;
mod recovery;
mod replays;
mod rest;
pub mod routes;
pub mod server;
mod settings;
mod statistics;
mod test_calls;
#[cfg(test)]
mod tests;
mod trails;
mod wire;
