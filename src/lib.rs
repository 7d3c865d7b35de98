//! posthaste: a durable, queue-backed event router.
//!
//! The modules in the order an event meets them. `domain` imports nothing of ours; ports (in
//! `storage` and `egress`) know only `domain`; back ends know their port; `pipeline` and `control`
//! know ports; `cli` knows `control`; only `runtime` names back ends. `tests/architecture.rs` reads
//! the `use` lines and holds this.

pub mod cli;
pub mod config;
pub mod control;
pub mod domain;
pub mod egress;
pub mod runtime;
pub mod storage;
