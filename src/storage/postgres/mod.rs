//! PostgreSQL: catalogue and journal on a server that several routers share.
//!
//! The ports are written once, in SQL that both engines read (`storage::sql`); here is what is the server's own:
//!
//! - [`connect`]: where it is, by which bounds it is talked to, and how soon again.
//! - [`connection`]: a session, with the statements that it has prepared.
//! - [`translate`], [`values`], [`faults`]: words, values and errors of one engine in those of the other.
//! - [`migrations`]: the tables' shape, changed while routers run; [`partitions`]: the days' tables.
//!
//! Left to others: inbox and ladder, which a broker keeps beside it.

pub mod connect;
pub(in crate::storage) mod connection;
mod faults;
pub mod migrations;
pub(in crate::storage) mod partitions;
mod translate;
mod values;

pub use self::connect::Settings;
