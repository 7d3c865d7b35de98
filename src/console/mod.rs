//! The pages that people open: the tenants' portal and the operators' console.
//!
//! Made on the server and whole without JavaScript: every view is an address, every deed a form, and what a script
//! adds is comfort ([`assets`]). A page is a template (`templates/`, one file for each page, named as the file that
//! fills it) and a struct beside the handler that reads what `control` knows into it.
//!
//! - [`site`]: what stands behind the pages, and every path there is.
//! - [`shield`]: what holds around all of them: the answer's headers, where a form may come from, its bounds.
//! - [`session`], [`rights`]: who looks, and what they may do, before a handler runs; [`deeds`]: who did what.
//! - [`frame`], [`parts`], [`text`], [`form`]: what pages are made of; nothing of outside is shown but as a [`text::Text`].
//! - [`views`]: what portal and console both show, each made once: lists' ends, charts, deliveries, replays, event types.
//! - [`brand`]: how a platform's portal looks.
//! - [`refusal`]: the pages for what is not there, not allowed or away.
//! - [`portal`], [`operator`]: the pages, one file for each.
//!
//! Nothing is decided here: the rules are `control`'s, and who may ask is said by the type that a handler takes.

mod assets;
pub mod brand;
mod deeds;
mod form;
mod frame;
mod operator;
mod parts;
mod portal;
mod refusal;
mod rights;
mod session;
mod shield;
pub mod site;
mod text;
mod views;
