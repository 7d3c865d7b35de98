//! posthaste: a durable, queue-backed event router.
//!
//! The modules in the order an event meets them. `domain` imports nothing of ours; ports (in
//! `storage` and `egress`) know only `domain`; back ends know their port; `pipeline` and `control`
//! know ports; `cli` knows `control`; only `runtime` names back ends. `tests/architecture.rs` reads
//! the `use` lines and holds this.

pub mod domain;
pub mod egress;
pub mod failpoint;
pub mod pipeline;
pub mod storage;
pub mod telemetry;
