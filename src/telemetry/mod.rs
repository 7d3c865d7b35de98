//! What can be seen from outside: every metric and its labels spelled once, and the log's form.

mod book;
pub mod broker;
pub mod list;
pub mod log;
pub mod metrics;
mod store;
