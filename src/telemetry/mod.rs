//! What can be seen from outside: every metric and its labels spelled once, and the log's form.

pub mod log;
pub mod metrics;
