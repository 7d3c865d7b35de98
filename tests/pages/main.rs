//! The pages over HTTP, as a browser asks for them and as somebody asks who is no browser: who gets in, for how
//! long, what a form needs before anything is done, and whose things are shown.
//!
//! The pages and forms that are tried are read out of the console's own routes ([`paths`]), so that tomorrow's are tried,
//! too. What pages look like, and that they work in a browser, is tested elsewhere.

#[path = "../support/mod.rs"]
mod support;

mod case;
mod charts;
mod entrance;
mod forms;
mod isolation;
mod paths;
mod rights;
