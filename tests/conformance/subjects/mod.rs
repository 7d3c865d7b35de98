//! The back ends that the suite is run against.

mod file;
pub(crate) mod memory;
pub(crate) mod postgres;
pub(crate) mod rabbitmq;
pub(crate) mod sqlite;
